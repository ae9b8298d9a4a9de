"""The admin API of people, their groups, sessions and API tokens."""

from starlette.requests import Request

from keyfast.api import http
from keyfast.api.admin_api import MAX_PAGE, PAGE, asked, ok
from keyfast.api.gate import caller_of
from keyfast.api.operations import Answer, Asks, query
from keyfast.core.secret import Secret
from keyfast.services.api_tokens import ApiTokenService
from keyfast.services.passkeys import PasskeyService
from keyfast.services.people import PeopleService
from keyfast.services.person_groups import PersonGroups
from keyfast.services.second_factor import SecondFactors
from keyfast.services.sessions import SessionService
from keyfast.wire import admin
from keyfast.wire.people import (
    Code,
    GroupsView,
    Invited,
    Joining,
    Myself,
    PasskeyLine,
    PersonChange,
    PersonLine,
    PersonOrder,
    SecondFactor,
    SessionLine,
    TokenLine,
    TokenMade,
    TokenOrder,
)

MAX_JOINING = 4096
"""Bytes that a stranger may send."""


class PeopleApi:
    """Handlers of ``/admin/v1/people``, ``groups``, ``sessions``, ``tokens`` and ``self``."""

    def __init__(
        self,
        people: PeopleService,
        codes: SecondFactors,
        passkeys: PasskeyService,
        sessions: SessionService,
        tokens: ApiTokenService,
        groups: PersonGroups,
    ) -> None:
        self._people = people
        self._passkeys = passkeys
        self._codes = codes
        self._sessions = sessions
        self._tokens = tokens
        self._groups = groups

    async def myself(self, request: Request) -> Answer[Myself]:
        """``GET /admin/v1/self``: who calls, and what they may do."""
        caller = caller_of(request)
        allowed = tuple(sorted(permission for permission in caller.person.permissions if caller.may(permission)))
        person = caller.person
        return ok(Myself(person.name, person.role.value, person.rings, caller.via.value, allowed))

    async def join(self, request: Asks[Joining]) -> Answer[PersonLine]:
        """``POST /admin/v1/join``: take up an invitation; its code is what proves who asks."""
        order = await asked(request, Joining, MAX_JOINING)
        return ok(await self._people.join(order.code, Secret(order.password.encode())))

    @query(after=str, limit=int)
    async def people(self, request: Request) -> Answer[list[PersonLine]]:
        """``GET /admin/v1/people``: a page of people in order of name."""
        query = request.query_params
        return ok(await self._people.list_(query.get("after", ""), http.query_int(query, "limit", PAGE, MAX_PAGE)))

    async def add(self, request: Asks[PersonOrder]) -> Answer[Invited]:
        """``POST /admin/v1/people``: put somebody on record; without a password they are invited."""
        return ok(await self._people.add(await asked(request, PersonOrder), caller_of(request).name))

    async def person(self, request: Request) -> Answer[PersonLine]:
        """``GET /admin/v1/people/{name}``: one person."""
        return ok(await self._people.show(_name(request)))

    async def change(self, request: Asks[PersonChange]) -> Answer[PersonLine]:
        """``POST /admin/v1/people/{name}``: change role and rings."""
        return ok(
            await self._people.change(_name(request), await asked(request, PersonChange), caller_of(request).name)
        )

    async def reset(self, request: Request) -> Answer[Invited]:
        """``POST /admin/v1/people/{name}/reset``: void what they sign in with, and invite again."""
        return ok(await self._people.reset(_name(request), caller_of(request).name))

    async def disable(self, request: Request) -> Answer[PersonLine]:
        """``POST /admin/v1/people/{name}/disable``: switch somebody off, at once."""
        return ok(await self._people.disable(_name(request), caller_of(request).name))

    async def enable(self, request: Request) -> Answer[Invited]:
        """``POST /admin/v1/people/{name}/enable``: let somebody back in, by an invitation."""
        return ok(await self._people.enable(_name(request), caller_of(request).name))

    @query(name=str)
    async def groups(self, request: Request) -> Answer[GroupsView]:
        """``GET /admin/v1/groups``: what groups of the directory give, and would give the account ``name``."""
        return ok(await self._groups.show(request.query_params.get("name", "")))

    async def begin_code(self, request: Request) -> Answer[SecondFactor]:
        """``POST /admin/v1/people/{name}/second-factor``: make a secret for an authenticator; told once."""
        return ok(SecondFactor(await self._codes.begin(_name(request))))

    async def confirm_code(self, request: Asks[Code]) -> Answer[admin.Changed]:
        """``POST /admin/v1/people/{name}/second-factor/confirm``: demand codes from now on."""
        code = (await asked(request, Code)).code
        await self._codes.confirm(_name(request), code, caller_of(request).name)
        return ok(admin.Changed("confirmed"))

    async def passkeys(self, request: Request) -> Answer[list[PasskeyLine]]:
        """``GET /admin/v1/people/{name}/passkeys``: somebody's passkeys, oldest first; they are made in a browser."""
        return ok(await self._passkeys.list_(_name(request)))

    async def remove_passkey(self, request: Request) -> Answer[admin.Changed]:
        """``POST /admin/v1/people/{name}/passkeys/{id}/remove``: take a passkey away."""
        await self._passkeys.remove(_name(request), request.path_params["id"], caller_of(request).name)
        return ok(admin.Changed("removed"))

    @query(after=str, limit=int)
    async def sessions(self, request: Request) -> Answer[list[SessionLine]]:
        """``GET /admin/v1/sessions``: who is signed in, newest first."""
        query = request.query_params
        limit = http.query_int(query, "limit", PAGE, MAX_PAGE)
        return ok(await self._sessions.list_(query.get("after", ""), limit))

    async def end_session(self, request: Request) -> Answer[admin.Changed]:
        """``POST /admin/v1/sessions/{id}/end``: sign somebody out."""
        await self._sessions.end(request.path_params["id"], caller_of(request).name)
        return ok(admin.Changed("ended"))

    @query(after=str, limit=int, person=str)
    async def tokens(self, request: Request) -> Answer[list[TokenLine]]:
        """``GET /admin/v1/tokens``: every API token, or those of one person."""
        query = request.query_params
        limit = http.query_int(query, "limit", PAGE, MAX_PAGE)
        return ok(await self._tokens.list_(query.get("after", ""), limit, query.get("person", "")))

    async def create_token(self, request: Asks[TokenOrder]) -> Answer[TokenMade]:
        """``POST /admin/v1/tokens``: make one; its text is told once."""
        return ok(await self._tokens.create(await asked(request, TokenOrder), caller_of(request).name))

    async def revoke_token(self, request: Request) -> Answer[admin.Changed]:
        """``POST /admin/v1/tokens/{id}/revoke``: end an API token."""
        await self._tokens.revoke(request.path_params["id"], caller_of(request).name)
        return ok(admin.Changed("revoked"))


def _name(request: Request) -> str:
    name: str = request.path_params["name"]
    return name.lower()
