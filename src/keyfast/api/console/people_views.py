"""People: who may sign in, invite, change, reset, switch off; their sessions and API tokens.

What is told once (an invitation, a token, the secret of a second factor) is shown in the answer to the form itself.
"""

from urllib.parse import quote

from starlette.responses import Response

from keyfast.api.console.frame import Frame, go
from keyfast.api.console.services import Services
from keyfast.api.console.visit import Visit
from keyfast.core.role import DANGEROUS, MEANING, Permission, Role, permissions
from keyfast.errors import UsageError
from keyfast.wire.people import Invited, PersonChange, PersonLine, PersonOrder, TokenOrder

PAGE = 100


class PeopleViews:
    """Handlers of ``/people``."""

    def __init__(self, frame: Frame, services: Services) -> None:
        self._frame = frame
        self._people = services.people
        self._groups = services.groups
        self._codes = services.codes
        self._sessions = services.sessions
        self._tokens = services.tokens

    async def list_(self, visit: Visit) -> Response:
        """``GET /people``: by name, a page of them."""
        lines = await self._people.list_(visit.query("after"), PAGE)
        return await self._frame.page(
            visit,
            "people.html",
            lines=lines,
            more=lines[-1].name if len(lines) == PAGE else "",
            sessions=await self._sessions.list_("", PAGE),
            roles=[role.value for role in Role],
        )

    async def groups(self, visit: Visit) -> Response:
        """``GET /groups``: what groups of the directory give, and what they would give an account."""
        name = visit.query("name")
        return await self._frame.page(visit, "groups.html", name=name, view=await self._groups.show(name))

    async def add(self, visit: Visit) -> Response:
        """``POST /people``: by an invitation."""
        form = visit.form
        order = PersonOrder(form.text("name"), _role(visit), form.lines("rings"))
        return await self._invited(visit, await self._people.add(order, visit.by))

    async def show(self, visit: Visit) -> Response:
        """``GET /people/{name}``."""
        line = await self._people.show(visit.path("name"))
        return await self._frame.page(
            visit,
            "person.html",
            line=line,
            tokens=await self._tokens.list_("", PAGE, line.name),
            roles=[role.value for role in Role],
            scopes=_scopes(line),
        )

    async def change(self, visit: Visit) -> Response:
        """``POST /people/{name}/change``: role and rings."""
        change = PersonChange(_role(visit), visit.form.lines("rings"))
        line = await self._people.change(visit.path("name"), change, visit.by)
        return go(_page(line.name), "changed")

    async def reset(self, visit: Visit) -> Response:
        """``POST /people/{name}/reset``."""
        return await self._invited(visit, await self._people.reset(visit.path("name"), visit.by))

    async def enable(self, visit: Visit) -> Response:
        """``POST /people/{name}/enable``."""
        return await self._invited(visit, await self._people.enable(visit.path("name"), visit.by))

    async def disable(self, visit: Visit) -> Response:
        """``POST /people/{name}/disable``."""
        line = await self._people.disable(visit.path("name"), visit.by)
        return go(_page(line.name), "changed")

    async def begin_code(self, visit: Visit) -> Response:
        """``POST /people/{name}/second-factor``: a secret for their authenticator."""
        name = visit.path("name")
        return await self._told_once(visit, "second factor", name, await self._codes.begin(name), confirm=True)

    async def confirm_code(self, visit: Visit) -> Response:
        """``POST /people/{name}/second-factor/confirm``: its first code."""
        await self._codes.confirm(visit.path("name"), visit.form.text("code"), visit.by)
        return go(_page(visit.path("name")), "changed")

    async def create_token(self, visit: Visit) -> Response:
        """``POST /people/{name}/tokens``."""
        form = visit.form
        order = TokenOrder(visit.path("name"), form.text("name"), form.every("scope"), form.number("days", 0))
        made = await self._tokens.create(order, visit.by)
        return await self._told_once(visit, "API token", visit.path("name"), made.token)

    async def revoke_token(self, visit: Visit) -> Response:
        """``POST /people/{name}/tokens/{id}/revoke``."""
        await self._tokens.revoke(visit.path("id"), visit.by)
        return go(_page(visit.path("name")), "changed")

    async def end_session(self, visit: Visit) -> Response:
        """``POST /people/sessions/{id}/end``."""
        await self._sessions.end(visit.path("id"), visit.by)
        return go("/people", "changed")

    async def _invited(self, visit: Visit, made: Invited) -> Response:
        if not made.code:  # whoever comes by the directory needs no invitation
            return go(_page(made.person.name), "changed")
        return await self._told_once(visit, "invitation", made.person.name, made.code)

    async def _told_once(self, visit: Visit, what: str, name: str, secret: str, *, confirm: bool = False) -> Response:
        return await self._frame.page(
            visit, "told_once.html", what=what, name=name, secret=secret, confirm=confirm, page=_page(name)
        )


def _scopes(line: PersonLine) -> list[tuple[str, str, bool]]:
    """What a token of somebody may be given: name, meaning, whether it is dangerous. Their own they always have."""
    allowed = permissions(Role(line.role), ringed=bool(line.rings)) - {Permission.SELF}
    return [(scope.value, MEANING[scope], scope in DANGEROUS) for scope in Permission if scope in allowed]


def _role(visit: Visit) -> Role:
    try:
        return Role(visit.form.text("role"))
    except ValueError:
        raise UsageError("choose a role") from None


def _page(name: str) -> str:
    return f"/people/{quote(name, safe='')}"
