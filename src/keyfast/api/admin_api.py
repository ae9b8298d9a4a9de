"""The admin API: what the command line speaks with a server, over its local socket or the network."""

from collections.abc import Callable
from urllib.parse import parse_qsl

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from keyfast import __version__
from keyfast.api import http
from keyfast.api.gate import caller_of
from keyfast.api.operations import Answer, Asked, Asks, AsksForm, View, query
from keyfast.core.endpoint import DECISIONS
from keyfast.core.refusal import Refusal
from keyfast.core.search import FIELDS as SEARCH_FIELDS
from keyfast.core.search import read_search
from keyfast.core.secret import Secret
from keyfast.errors import KeyfastError, NotFoundError, UsageError
from keyfast.services.command import CommandService
from keyfast.services.keyring import KeyringService
from keyfast.services.live import LiveState
from keyfast.services.report import ReportService
from keyfast.services.went_back import EndRecovery
from keyfast.trust.keyset import Role
from keyfast.wire import admin

PAGE = 100
MAX_PAGE = 1000
MAX_BODY = 256 * 1024
ORDER = "keyfast.order"
"""Where a request keeps what it asks for, once that was read: what is refused is put on record too."""


class Rotate(msgspec.Struct, forbid_unknown_fields=True):
    """Which key to rotate."""

    role: str


class Interval(msgspec.Struct, forbid_unknown_fields=True):
    """How often to check in from now on; 0 keeps the policy's interval."""

    interval_s: int = 0


class Passphrase(msgspec.Struct, forbid_unknown_fields=True):
    """A passphrase, and the export it opens."""

    passphrase: str
    export: str = ""

    def secret(self) -> Secret:
        """The passphrase as a secret."""
        return Secret(self.passphrase.encode())


class Token(msgspec.Struct):
    """An access token to judge."""

    token: str


class AdminApi:
    """Handlers of ``/admin/v1``."""

    def __init__(
        self,
        live: LiveState,
        reports: ReportService,
        keyring: KeyringService,
        commands: CommandService,
        recovery: EndRecovery,
        clock: Callable[[], float],
    ) -> None:
        self._live = live
        self._reports = reports
        self._keyring = keyring
        self._commands = commands
        self._recovery = recovery
        self._clock = clock

    async def installation(
        self,
        request: Request,  # noqa: ARG002 - the framework's signature
    ) -> Answer[admin.Installation]:
        """``GET /admin/v1/installation``: which installation this is."""
        live = self._live.current
        row, now = live.installation, int(self._clock())
        return ok(admin.Installation(row.id, row.name, row.epoch, live.urls, __version__, now, row.restored_at))

    async def end_recovery(self, request: Request) -> Answer[admin.Changed]:
        """``POST /admin/v1/installation/end-recovery``: the recovery of a restored server is over."""
        await self._recovery.end(caller_of(request).name)
        return ok(admin.Changed("ended"))

    @query(**dict.fromkeys(SEARCH_FIELDS, str), after=str, limit=int)
    async def endpoints(self, request: Request) -> Answer[list[admin.EndpointLine]]:
        """``GET /admin/v1/endpoints``: a page of endpoints in order of name."""
        query = request.query_params
        return ok(
            await self._reports.list_page(
                read_search(query),
                after=query.get("after", ""),
                limit=http.query_int(query, "limit", PAGE, MAX_PAGE),
                rings=caller_of(request).person.rings,
            )
        )

    async def endpoint(self, request: Request) -> Answer[admin.EndpointDetail]:
        """``GET /admin/v1/endpoints/{id}``: everything on record about one endpoint."""
        return ok(await self._reports.show(request.path_params["id"]))

    async def change_endpoint(self, request: Request) -> Answer[admin.Changed]:
        """``POST /admin/v1/endpoints/{id}/{event}``: `approve`, `revoke`, `reinstate` or `clear`."""
        event = DECISIONS.get(request.path_params["event"])
        if event is None:
            raise NotFoundError("no such act")
        return ok(admin.Changed(await self._reports.change(request.path_params["id"], event, caller_of(request).name)))

    async def check_in_now(self, request: Asks[Interval]) -> Answer[admin.CommandLine]:
        """``POST /admin/v1/endpoints/{id}/check-in-now``: queue the command `CheckInNow`."""
        order = await asked(request, Interval)
        row = await self._commands.check_in_now(request.path_params["id"], order.interval_s, caller_of(request).name)
        return ok(admin.CommandLine(row.id, row.action, row.state.value, row.created_at, row.updated_at, row.detail))

    async def renew_key(self, request: Request) -> Answer[admin.CommandLine]:
        """``POST /admin/v1/endpoints/{id}/renew-key``: queue the command `RenewDeviceKey`."""
        row = await self._commands.renew_key(request.path_params["id"], caller_of(request).name)
        return ok(admin.CommandLine(row.id, row.action, row.state.value, row.created_at, row.updated_at, row.detail))

    @query(before=int, limit=int)
    async def events(self, request: Request) -> Answer[list[admin.EventLine]]:
        """``GET /admin/v1/events``: what happened, newest first."""
        query = request.query_params
        before = http.query_int(query, "before", 0, 2**31) or None
        return ok(await self._reports.events_page(before, http.query_int(query, "limit", PAGE, MAX_PAGE)))

    async def keys(self, request: Request) -> Answer[list[admin.KeyLine]]:  # noqa: ARG002 - the framework's signature
        """``GET /admin/v1/keys``: public facts of the installation's keys."""
        await self._live.refresh()
        return ok(self._keyring.lines())

    async def rotate_key(self, request: Asks[Rotate]) -> Answer[list[admin.KeyLine]]:
        """``POST /admin/v1/keys/rotate``: rotate the key of a role."""
        order = await asked(request, Rotate)
        try:
            role = Role(order.role)
        except ValueError:
            raise UsageError(f"no role '{order.role}'; roles: {', '.join(Role)}") from None
        return ok(await self._keyring.rotate(role, caller_of(request).name))

    async def export_keys(self, request: Asks[Passphrase]) -> Answer[dict[str, str]]:
        """``POST /admin/v1/keys/export``: all keys, encrypted under a passphrase."""
        order = await asked(request, Passphrase)
        return ok({"export": await self._keyring.export(order.secret(), caller_of(request).name)})

    async def import_keys(self, request: Asks[Passphrase]) -> Answer[list[admin.KeyLine]]:
        """``POST /admin/v1/keys/import``: take private halves from an export."""
        order = await asked(request, Passphrase)
        return ok(await self._keyring.restore(order.export, order.secret(), caller_of(request).name))

    async def remove_root(self, request: Request) -> Answer[list[admin.KeyLine]]:
        """``POST /admin/v1/keys/remove-root``: take the root's private half off this server."""
        return ok(await self._keyring.remove_root(caller_of(request).name))

    async def rewrap(self, request: Request) -> Answer[dict[str, int]]:
        """``POST /admin/v1/keys/rewrap``: seal every secret under a new KEK."""
        return ok({"rewrapped": await self._keyring.rewrap(caller_of(request).name)})

    async def introspect(self, request: AsksForm[Token]) -> Answer[admin.Introspection]:
        """``POST /oauth/introspect``: whether an access token works now (RFC 7662); endpoints cannot ask."""
        token = (await asked_form(request, Token)).token
        return ok(await self._keyring.introspect(token))


def guarded(handler: http.Handler) -> http.Handler:
    """Turn faults into problem bodies."""

    async def inner(request: Request) -> Response:
        try:
            return await handler(request)
        except KeyfastError as fault:
            return http.faulted(fault)

    return inner


def ok(view: View) -> Answer[View]:
    """Answer with a view."""
    return Answer(view)


async def asked(request: Asks[Asked], kind: type[Asked], limit: int = MAX_BODY) -> Asked:
    """Read what was asked for, in at most ``limit`` bytes.

    Raises:
        UsageError: it is not of that kind.
    """
    body = await _body(request, http.JSON, limit)
    try:
        order = msgspec.json.decode(body, type=kind)
    except (msgspec.DecodeError, UnicodeDecodeError) as cause:
        raise _not_that(cause) from cause
    request.scope[ORDER] = order
    return order


async def asked_form(request: AsksForm[Asked], kind: type[Asked]) -> Asked:
    """The same for a form."""
    body = await _body(request, http.FORM, MAX_BODY)
    try:
        return msgspec.convert(dict(parse_qsl(body.decode("ascii", "replace"))), kind)
    except msgspec.ValidationError as cause:
        raise _not_that(cause) from cause


async def _body(request: Request, media_type: str, limit: int) -> bytes:
    body = await http.read_body(request, media_type, limit)
    if isinstance(body, Refusal):
        raise UsageError(body.rule.title)
    return body


def _not_that(cause: Exception) -> UsageError:
    return UsageError(f"not what this asks for: {cause}")
