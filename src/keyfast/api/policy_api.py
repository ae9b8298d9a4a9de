"""The admin API of the policy that endpoints follow."""

from starlette.requests import Request

from keyfast.api.admin_api import asked, ok
from keyfast.api.gate import caller_of
from keyfast.api.operations import Answer, Asks
from keyfast.services.policy import PolicyService
from keyfast.wire.policy import PolicyOrder, PolicyView


class PolicyApi:
    """Handlers of ``/admin/v1/policy``."""

    def __init__(self, policy: PolicyService) -> None:
        self._policy = policy

    async def show(self, request: Request) -> Answer[PolicyView]:  # noqa: ARG002 - the framework's signature
        """``GET /admin/v1/policy``: the policy in force, and the load that it makes."""
        return ok(await self._policy.show())

    async def change(self, request: Asks[PolicyOrder]) -> Answer[PolicyView]:
        """``POST /admin/v1/policy``: put another policy in force for all endpoints."""
        return ok(await self._policy.change(await asked(request, PolicyOrder), caller_of(request).name))
