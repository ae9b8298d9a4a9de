"""Between the table of routes and its handlers: who calls, and may they? Absent means denied.

A door finds out who calls, and there is one for each way in: the local socket's lets in whoever could open it, the
network's wants an API token. A browser's session has its own routes and opens none of these: no cookie is looked at.
"""

import hashlib
from collections.abc import Awaitable, Callable
from typing import Protocol
from urllib.parse import unquote

import msgspec
from msgspec.structs import replace
from starlette.requests import Request
from starlette.responses import Response

from keyfast.api import http
from keyfast.core.caller import LOCAL, Caller, WayIn, denial, reason_fault, unproved
from keyfast.core.refusal import Refusal
from keyfast.core.role import DANGEROUS, Permission
from keyfast.core.secret import Secret
from keyfast.errors import ForbiddenError, NotFoundError, NotSignedInError, UsageError
from keyfast.services.approvals import Wanted
from keyfast.wire.people import APPROVAL_HEADER, REASON_HEADER

Door = Callable[[Request], Awaitable[Caller]]
"""Returns who calls; raises NotSignedInError for nobody."""

_CALLER = "keyfast.caller"
_MAX_TOKEN_CHARS = 200
MAX_AGREED = 256 * 1024
"""Bytes of the largest request that a second person can agree to."""
_NOUNS = {"endpoint", "package"}
"""Permissions whose first word is one of these are about the one that the path names."""


class Rings(Protocol):
    """Finds rings."""

    async def ring_of(self, noun: str, number: str) -> str | None:
        """Return the ring of an endpoint or a package, None if there is none of that id."""
        ...


class Tokens(Protocol):
    """Knows API tokens."""

    async def caller_of(self, token: Secret) -> Caller | None:
        """Return who an API token belongs to, None for one that is unknown, revoked or expired."""
        ...


async def local_door(request: Request) -> Caller:  # noqa: ARG001 - a door
    """The local socket's: the file system has told who it is."""
    return LOCAL


class BearerDoor:
    """The network's: an API token in ``Authorization: Bearer`` (RFC 6750 section 2.1), and nothing else."""

    def __init__(self, tokens: Tokens) -> None:
        self._tokens = tokens

    async def __call__(self, request: Request) -> Caller:
        """Return who calls; see ``Door``."""
        sent = request.headers.getlist("authorization")
        scheme, _, token = (sent[0] if len(sent) == 1 else "").partition(" ")
        if scheme.lower() != "bearer" or not 0 < len(token) <= _MAX_TOKEN_CHARS:
            raise NotSignedInError("this needs an API token", repair="keyfast token create NAME")
        caller = await self._tokens.caller_of(Secret(token.encode("utf-8", "replace")))
        if caller is None:
            raise NotSignedInError(
                "the API token is unknown, revoked or expired, or its person is switched off",
                repair="keyfast token create NAME",
            )
        return caller


class Approvals(Protocol):
    """Knows whether a second person agreed."""

    def needs(self, caller: Caller, permission: Permission) -> bool:
        """Tell whether one has to."""
        ...

    async def demand(self, caller: Caller, wanted: Wanted) -> None:
        """Use an approval up; raises ApprovalNeededError or ConflictError if there is none."""
        ...


class Gate:
    """Lets callers pass who may.

    Args:
        door: finds out who calls.
        clock: unix seconds.
        rings: needed where callers can answer for some rings only.
        approvals: needed where a second person has to agree to something.
    """

    def __init__(
        self,
        door: Door,
        clock: Callable[[], float],
        rings: Rings | None = None,
        approvals: Approvals | None = None,
    ) -> None:
        self._door = door
        self._clock = clock
        self._rings = rings
        self._approvals = approvals

    def known(self, handler: http.Handler) -> http.Handler:
        """Return a handler that nobody reaches whom the door does not know."""

        async def inner(request: Request) -> Response:
            reason = _reason(request)
            caller = await self._door(request)
            request.scope[_CALLER] = replace(caller, reason=reason if reason_fault(reason) is None else "")
            return await handler(request)

        return inner

    def allowed(self, handler: http.Handler, permission: Permission | None) -> http.Handler:
        """Return a handler that only callers with a permission reach."""

        async def inner(request: Request) -> Response:
            caller = caller_of(request)
            if permission is None:
                raise ForbiddenError("nobody may do this")
            await demand(caller, permission, request.path_params.get("id"), self._rings)
            self._demand_more(request, caller, permission)
            return await handler(request)

        return inner

    def agreed(self, handler: http.Handler, permission: Permission | None) -> http.Handler:
        """Return a handler that is reached once a second person agreed, where one has to."""

        async def inner(request: Request) -> Response:
            caller = caller_of(request)
            if permission is not None and self._approvals is not None and self._approvals.needs(caller, permission):
                request = await self._demand_agreed(request, caller, permission, self._approvals)
            return await handler(request)

        return inner

    async def _demand_agreed(
        self, request: Request, caller: Caller, permission: Permission, approvals: Approvals
    ) -> Request:
        """Demand that a second person agreed to exactly this request; return it with its body unread."""
        body = await http.read_body(request, http.JSON, MAX_AGREED)
        if isinstance(body, Refusal):
            raise UsageError(body.rule.title)
        path, query = request.url.path, request.url.query
        parts = (request.method, path, query, body)
        seen = hashlib.sha256(msgspec.json.encode(parts)).digest()
        claimed = request.headers.get(APPROVAL_HEADER, "")
        await approvals.demand(caller, Wanted(permission, f"{request.method} {path}", seen, caller.reason, claimed))
        return http.with_body(request, body)

    def _demand_more(self, request: Request, caller: Caller, permission: Permission) -> None:
        """Demand what a dangerous act needs besides the permission."""
        if unproved(caller, permission, int(self._clock())):
            raise NotSignedInError("prove again who you are before this: enter password and code once more")
        if caller.via is not WayIn.SOCKET and permission in DANGEROUS and (fault := reason_fault(_reason(request))):
            raise UsageError(fault, repair=f"send it in the header {REASON_HEADER}, percent-encoded")


async def demand(caller: Caller, permission: Permission, number: str | None, rings: Rings | None) -> None:
    """Make sure that somebody may do something, and may do it to what a path names.

    Args:
        caller: who.
        permission: what it takes.
        number: id of the endpoint or package that it is about, None for none.
        rings: finds its ring; None where nobody answers for some rings only.

    Raises:
        ForbiddenError: they may not.
        NotFoundError: it is not of their rings; what is not does not exist for them.
    """
    if why := denial(caller, permission):
        raise ForbiddenError(why)
    noun = permission.partition(".")[0]
    if not caller.person.rings or noun not in _NOUNS or number is None:
        return
    ring = await rings.ring_of(noun, number) if rings else None
    if ring is None or not caller.person.answers_for(ring):
        raise NotFoundError(f"no {noun} {number}")


def _reason(request: Request) -> str:
    return unquote(request.headers.get(REASON_HEADER, ""))


def known_caller(request: Request) -> Caller | None:
    """Return who calls; None where the route is for anyone."""
    caller: Caller | None = request.scope.get(_CALLER)
    return caller


def caller_of(request: Request) -> Caller:
    """Return who calls, in a handler behind the gate."""
    caller: Caller = request.scope[_CALLER]
    return caller
