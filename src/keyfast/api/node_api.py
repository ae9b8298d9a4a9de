"""The admin API of nodes: the processes that endpoints speak to."""

from starlette.requests import Request

from keyfast.api.admin_api import asked, ok
from keyfast.api.gate import caller_of
from keyfast.api.operations import Answer, Asks
from keyfast.core.node import Node
from keyfast.services.node import NodeService
from keyfast.wire.admin import Changed, NodeLine, NodeName


class NodeApi:
    """Handlers of ``/admin/v1/nodes``."""

    def __init__(self, nodes: NodeService) -> None:
        self._nodes = nodes

    async def list_(self, request: Request) -> Answer[list[NodeLine]]:  # noqa: ARG002 - the framework's signature
        """``GET /admin/v1/nodes``: processes that endpoints speak to."""
        return ok([_line(node) for node in await self._nodes.list_()])

    async def forget(self, request: Asks[NodeName]) -> Answer[Changed]:
        """``POST /admin/v1/nodes/forget``: take a node that is gone off the record."""
        await self._nodes.forget((await asked(request, NodeName)).name, caller_of(request).name)
        return ok(Changed("forgotten"))


def _line(node: Node) -> NodeLine:
    said = node.accepts
    return NodeLine(
        name=node.name,
        started_at=node.started_at,
        seen_at=node.seen_at,
        profile_seq=said.profile_seq,
        modes=tuple(f"{mode} for {ring or 'every ring'}" for ring, mode in said.modes),
        generations=tuple(f"{account} #{number}" for account, number in said.generations),
        token_keys=said.token_keys,
    )
