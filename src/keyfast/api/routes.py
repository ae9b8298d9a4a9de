"""One table of who may call each route. A route that is not in it does not exist."""

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from operator import attrgetter

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from keyfast.api import http
from keyfast.api.access_api import AccessApi
from keyfast.api.acts import WRITING, audited, demand_listed
from keyfast.api.admin_api import AdminApi, guarded
from keyfast.api.approval_api import ApprovalApi
from keyfast.api.audit_api import AuditApi
from keyfast.api.endpoint_api import EndpointApi
from keyfast.api.gate import Approvals, Door, Gate, Rings, local_door
from keyfast.api.idempotency import Answers, once
from keyfast.api.incident_api import IncidentApi
from keyfast.api.node_api import NodeApi
from keyfast.api.notification_api import NotificationApi
from keyfast.api.oauth_api import OAuthApi
from keyfast.api.openapi import OpenApi
from keyfast.api.package_api import MAX_ORDER, PackageApi
from keyfast.api.people_api import MAX_JOINING, PeopleApi
from keyfast.api.policy_api import PolicyApi
from keyfast.api.recovery_api import RecoveryApi
from keyfast.api.rotation_api import RotationApi
from keyfast.api.search_api import SearchApi
from keyfast.api.window_api import Banner, WindowApi
from keyfast.core.refusal import Refusal, RefusalClass
from keyfast.core.role import Permission

P = Permission
_log = logging.getLogger(__name__)
_NOTHING_HERE = Refusal(RefusalClass.NOT_FOUND)
_FAILED = Refusal(RefusalClass.NOT_READY, "the server failed; its log says why", retry_after=60)


class Who(StrEnum):
    """Who may call a route."""

    ANYONE = "anyone"
    DEVICE_KEY = "whoever proves a device key"
    TOKEN = "an endpoint with an access token and its key"  # noqa: S105 - a description
    ACCOUNT = "a client authentication account"
    ENDPOINT = "an endpoint with its key, and an access token or a client authentication account"
    RECOVERY = "whoever proves a device key; while a recovery window is open also an endpoint that it covers"
    ADMINISTRATOR = "an administrator on the local socket, or a person with the permission"


@dataclass(frozen=True, slots=True)
class Row:
    """One route.

    Attributes:
        permission: what a caller of the admin service needs; without one nobody may, unless it is for anyone.
    """

    method: str
    path: str
    who: Who
    handler: str
    permission: Permission | None = None


ENDPOINT_ROUTES: Sequence[Row] = (
    Row("POST", "/endpoint/v1/check-in", Who.ENDPOINT, "endpoint.check_in"),
    Row("GET", "/endpoint/v1/self", Who.TOKEN, "endpoint.self_"),
    Row("GET", "/endpoint/v1/time", Who.ANYONE, "endpoint.time"),
    Row("GET", "/endpoint/v1/probe", Who.ACCOUNT, "endpoint.probe"),
    Row("POST", "/endpoint/v1/probe", Who.ENDPOINT, "endpoint.probe_access"),
    Row("POST", "/endpoint/v1/recover", Who.RECOVERY, "endpoint.recover"),
    Row("GET", "/.well-known/oauth-authorization-server", Who.ANYONE, "oauth.metadata"),
    Row("GET", "/oauth/jwks", Who.ANYONE, "oauth.jwks"),
    Row("POST", "/oauth/register", Who.DEVICE_KEY, "oauth.register"),
    Row("POST", "/oauth/token", Who.DEVICE_KEY, "oauth.token"),
    Row("POST", "/oauth/revoke", Who.DEVICE_KEY, "oauth.revoke"),
)

ADMIN_ROUTES: Sequence[Row] = (
    Row("GET", "/admin/v1/installation", Who.ADMINISTRATOR, "admin.installation", P.SELF),
    Row("POST", "/admin/v1/installation/end-recovery", Who.ADMINISTRATOR, "admin.end_recovery", P.KEY_MOVE),
    Row("GET", "/admin/v1/nodes", Who.ADMINISTRATOR, "node.list_", P.READ),
    Row("POST", "/admin/v1/nodes/forget", Who.ADMINISTRATOR, "node.forget", P.SETTINGS_CHANGE),
    Row("GET", "/admin/v1/policy", Who.ADMINISTRATOR, "policy.show", P.READ),
    Row("POST", "/admin/v1/policy", Who.ADMINISTRATOR, "policy.change", P.SETTINGS_CHANGE),
    Row("GET", "/admin/v1/endpoints", Who.ADMINISTRATOR, "admin.endpoints", P.ENDPOINT_READ),
    Row("GET", "/admin/v1/endpoints/{id}", Who.ADMINISTRATOR, "admin.endpoint", P.ENDPOINT_READ),
    Row("POST", "/admin/v1/endpoints/{id}/check-in-now", Who.ADMINISTRATOR, "admin.check_in_now", P.ENDPOINT_ACT),
    Row("POST", "/admin/v1/endpoints/{id}/renew-key", Who.ADMINISTRATOR, "admin.renew_key", P.ENDPOINT_ACT),
    Row("POST", "/admin/v1/endpoints/{id}/{event}", Who.ADMINISTRATOR, "admin.change_endpoint", P.ENDPOINT_JUDGE),
    Row("GET", "/admin/v1/searches", Who.ADMINISTRATOR, "search.list_", P.ENDPOINT_READ),
    Row("POST", "/admin/v1/searches", Who.ADMINISTRATOR, "search.save", P.ENDPOINT_READ),
    Row("POST", "/admin/v1/searches/{name}/remove", Who.ADMINISTRATOR, "search.remove", P.ENDPOINT_READ),
    Row("GET", "/admin/v1/notifications", Who.ADMINISTRATOR, "notification.list_", P.READ),
    Row("POST", "/admin/v1/notifications/test", Who.ADMINISTRATOR, "notification.test", P.SETTINGS_CHANGE),
    Row("GET", "/admin/v1/audit", Who.ADMINISTRATOR, "audit.list_", P.AUDIT_READ),
    Row("GET", "/admin/v1/audit/head", Who.ADMINISTRATOR, "audit.head", P.AUDIT_READ),
    Row("GET", "/admin/v1/audit/verify", Who.ADMINISTRATOR, "audit.verify", P.AUDIT_READ),
    Row("GET", "/admin/v1/audit/export", Who.ADMINISTRATOR, "audit.export", P.AUDIT_EXPORT),
    Row("GET", "/admin/v1/audit/{number}", Who.ADMINISTRATOR, "audit.show", P.AUDIT_READ),
    Row("GET", "/admin/v1/events", Who.ADMINISTRATOR, "admin.events", P.READ),
    Row("GET", "/admin/v1/packages", Who.ADMINISTRATOR, "package.packages", P.PACKAGE_READ),
    Row("POST", "/admin/v1/packages", Who.ADMINISTRATOR, "package.create", P.PACKAGE_BUILD),
    Row("GET", "/admin/v1/packages/kinds", Who.ADMINISTRATOR, "package.kinds", P.PACKAGE_READ),
    Row("POST", "/admin/v1/packages/verify", Who.ADMINISTRATOR, "package.verify", P.READ),
    Row("GET", "/admin/v1/packages/{id}", Who.ADMINISTRATOR, "package.package", P.PACKAGE_READ),
    Row("GET", "/admin/v1/packages/{id}/endpoints", Who.ADMINISTRATOR, "package.endpoints", P.PACKAGE_READ),
    Row("GET", "/admin/v1/packages/{id}/file", Who.ADMINISTRATOR, "package.download", P.PACKAGE_TAKE),
    Row("POST", "/admin/v1/packages/{id}/revoke", Who.ADMINISTRATOR, "package.revoke", P.PACKAGE_REVOKE),
    Row("GET", "/admin/v1/keys", Who.ADMINISTRATOR, "admin.keys", P.READ),
    Row("POST", "/admin/v1/keys/rotate", Who.ADMINISTRATOR, "admin.rotate_key", P.KEY_ROTATE),
    Row("POST", "/admin/v1/keys/export", Who.ADMINISTRATOR, "admin.export_keys", P.KEY_MOVE),
    Row("POST", "/admin/v1/keys/import", Who.ADMINISTRATOR, "admin.import_keys", P.KEY_MOVE),
    Row("POST", "/admin/v1/keys/remove-root", Who.ADMINISTRATOR, "admin.remove_root", P.KEY_MOVE),
    Row("POST", "/admin/v1/keys/rewrap", Who.ADMINISTRATOR, "admin.rewrap", P.KEY_MOVE),
    Row("GET", "/admin/v1/modes", Who.ADMINISTRATOR, "access.modes", P.READ),
    Row("POST", "/admin/v1/modes/open", Who.ADMINISTRATOR, "access.open_mode", P.MODE_CHANGE),
    Row("POST", "/admin/v1/modes/close", Who.ADMINISTRATOR, "access.close_mode", P.MODE_CHANGE),
    Row("GET", "/admin/v1/accounts", Who.ADMINISTRATOR, "access.accounts", P.READ),
    Row("POST", "/admin/v1/accounts", Who.ADMINISTRATOR, "access.add_account", P.ACCOUNT_CHANGE),
    Row("POST", "/admin/v1/accounts/check", Who.ADMINISTRATOR, "access.check_account", P.ACCOUNT_CHANGE),
    Row("POST", "/admin/v1/accounts/remove", Who.ADMINISTRATOR, "access.remove_account", P.ACCOUNT_CHANGE),
    Row("GET", "/admin/v1/accounts/history", Who.ADMINISTRATOR, "access.account_history", P.READ),
    Row("GET", "/admin/v1/directory", Who.ADMINISTRATOR, "access.directory", P.READ),
    Row("GET", "/admin/v1/directory/accounts", Who.ADMINISTRATOR, "access.local_accounts", P.READ),
    Row("POST", "/admin/v1/directory/accounts", Who.ADMINISTRATOR, "access.set_local_account", P.ACCOUNT_CHANGE),
    Row("GET", "/admin/v1/windows", Who.ADMINISTRATOR, "window.windows", P.READ),
    Row("GET", "/admin/v1/windows/show", Who.ADMINISTRATOR, "window.window", P.READ),
    Row("POST", "/admin/v1/windows/open", Who.ADMINISTRATOR, "window.open_window", P.WINDOW_OPEN),
    Row("POST", "/admin/v1/windows/close", Who.ADMINISTRATOR, "window.close_window", P.WINDOW_CLOSE),
    Row("GET", "/admin/v1/recovery/situations", Who.ADMINISTRATOR, "recovery.situations", P.READ),
    Row("GET", "/admin/v1/recovery/status", Who.ADMINISTRATOR, "recovery.status", P.READ),
    Row("POST", "/admin/v1/recovery/begin", Who.ADMINISTRATOR, "recovery.begin", P.RECOVERY_LEAD),
    Row("POST", "/admin/v1/recovery/resume", Who.ADMINISTRATOR, "recovery.resume", P.RECOVERY_LEAD),
    Row("POST", "/admin/v1/recovery/finish", Who.ADMINISTRATOR, "recovery.finish", P.RECOVERY_LEAD),
    Row("GET", "/admin/v1/rotations", Who.ADMINISTRATOR, "rotation.list_", P.READ),
    Row("POST", "/admin/v1/rotations", Who.ADMINISTRATOR, "rotation.plan", P.ROTATION_PLAN),
    Row("POST", "/admin/v1/rotations/preview", Who.ADMINISTRATOR, "rotation.preview", P.READ),
    Row("GET", "/admin/v1/rotations/{id}", Who.ADMINISTRATOR, "rotation.show", P.READ),
    Row("POST", "/admin/v1/rotations/{id}/approve", Who.ADMINISTRATOR, "rotation.approve", P.ROTATION_APPROVE),
    Row("POST", "/admin/v1/rotations/{id}/waive", Who.ADMINISTRATOR, "rotation.waive", P.ROTATION_PLAN),
    Row("POST", "/admin/v1/rotations/{id}/retire", Who.ADMINISTRATOR, "rotation.retire", P.ROTATION_RETIRE),
    Row("POST", "/admin/v1/rotations/{id}/hasten", Who.ADMINISTRATOR, "rotation.hasten", P.ROTATION_RETIRE),
    Row("POST", "/admin/v1/rotations/{id}/{act}", Who.ADMINISTRATOR, "rotation.act", P.ROTATION_RUN),
    Row("GET", "/admin/v1/incidents", Who.ADMINISTRATOR, "incident.list_", P.READ),
    Row("GET", "/admin/v1/incidents/{id}", Who.ADMINISTRATOR, "incident.show", P.READ),
    Row("POST", "/admin/v1/incidents/{id}/close", Who.ADMINISTRATOR, "incident.close", P.INCIDENT_ACT),
    Row("GET", "/admin/v1/roll-call", Who.ADMINISTRATOR, "incident.roll_call", P.READ),
    Row("GET", "/admin/v1/forecast", Who.ADMINISTRATOR, "incident.forecast", P.READ),
    Row("GET", "/admin/v1/diagnosis", Who.ADMINISTRATOR, "incident.diagnosis", P.READ),
    Row("GET", "/admin/v1/openapi.json", Who.ADMINISTRATOR, "openapi.show", P.SELF),
    Row("GET", "/admin/v1/self", Who.ADMINISTRATOR, "people.myself", P.SELF),
    Row("POST", "/admin/v1/join", Who.ANYONE, "people.join"),
    Row("GET", "/admin/v1/people", Who.ADMINISTRATOR, "people.people", P.PEOPLE_READ),
    Row("POST", "/admin/v1/people", Who.ADMINISTRATOR, "people.add", P.PEOPLE_CHANGE),
    Row("GET", "/admin/v1/people/{name}", Who.ADMINISTRATOR, "people.person", P.PEOPLE_READ),
    Row("POST", "/admin/v1/people/{name}", Who.ADMINISTRATOR, "people.change", P.PEOPLE_CHANGE),
    Row("POST", "/admin/v1/people/{name}/reset", Who.ADMINISTRATOR, "people.reset", P.PEOPLE_CHANGE),
    Row("POST", "/admin/v1/people/{name}/disable", Who.ADMINISTRATOR, "people.disable", P.PEOPLE_CHANGE),
    Row("POST", "/admin/v1/people/{name}/enable", Who.ADMINISTRATOR, "people.enable", P.PEOPLE_CHANGE),
    Row("POST", "/admin/v1/people/{name}/second-factor", Who.ADMINISTRATOR, "people.begin_code", P.PEOPLE_CHANGE),
    Row(
        "POST",
        "/admin/v1/people/{name}/second-factor/confirm",
        Who.ADMINISTRATOR,
        "people.confirm_code",
        P.PEOPLE_CHANGE,
    ),
    Row("GET", "/admin/v1/people/{name}/passkeys", Who.ADMINISTRATOR, "people.passkeys", P.PEOPLE_READ),
    Row(
        "POST",
        "/admin/v1/people/{name}/passkeys/{id}/remove",
        Who.ADMINISTRATOR,
        "people.remove_passkey",
        P.PEOPLE_CHANGE,
    ),
    Row("GET", "/admin/v1/groups", Who.ADMINISTRATOR, "people.groups", P.PEOPLE_READ),
    Row("GET", "/admin/v1/approvals", Who.ADMINISTRATOR, "approval.list_", P.READ),
    Row("POST", "/admin/v1/approvals/{id}/approve", Who.ADMINISTRATOR, "approval.approve", P.APPROVAL_DECIDE),
    Row("POST", "/admin/v1/approvals/{id}/deny", Who.ADMINISTRATOR, "approval.deny", P.APPROVAL_DECIDE),
    Row("GET", "/admin/v1/sessions", Who.ADMINISTRATOR, "people.sessions", P.PEOPLE_READ),
    Row("POST", "/admin/v1/sessions/{id}/end", Who.ADMINISTRATOR, "people.end_session", P.PEOPLE_CHANGE),
    Row("GET", "/admin/v1/tokens", Who.ADMINISTRATOR, "people.tokens", P.PEOPLE_READ),
    Row("POST", "/admin/v1/tokens", Who.ADMINISTRATOR, "people.create_token", P.PEOPLE_CHANGE),
    Row("POST", "/admin/v1/tokens/{id}/revoke", Who.ADMINISTRATOR, "people.revoke_token", P.PEOPLE_CHANGE),
    Row("POST", "/oauth/introspect", Who.ADMINISTRATOR, "admin.introspect", P.READ),
)


@dataclass(frozen=True, slots=True)
class EndpointHandlers:
    """Where the endpoint service's handlers live."""

    endpoint: EndpointApi
    oauth: OAuthApi


@dataclass(frozen=True, slots=True)
class AdminHandlers:
    """Where the admin service's handlers live."""

    admin: AdminApi
    access: AccessApi
    window: WindowApi
    recovery: RecoveryApi
    rotation: RotationApi
    node: NodeApi
    policy: PolicyApi
    package: PackageApi
    notification: NotificationApi
    audit: AuditApi
    people: PeopleApi
    incident: IncidentApi
    approval: ApprovalApi
    search: SearchApi
    openapi: OpenApi = field(default_factory=lambda: OpenApi(ADMIN_ROUTES, AdminHandlers))


class EndpointApp:
    """The check-in service's application: the table's handlers by method and path, and nothing in between.

    Its paths have no parameters, so one look into a dict finds the handler; the framework's router and
    middleware would cost each check-in some 20 microseconds. Handlers are the framework's all the same.
    """

    def __init__(self, handlers: EndpointHandlers, clock: Callable[[], float]) -> None:
        self._handlers = {(row.method, row.path): attrgetter(row.handler)(handlers) for row in ENDPOINT_ROUTES}
        self._clock = clock

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request (ASGI)."""
        handler: http.Handler = self._handlers.get((scope["method"], scope["path"]), self._nothing_here)
        try:
            response = await handler(Request(scope, receive))
        except Exception:  # noqa: BLE001 - whatever it is, the server lives and the log has it
            _log.exception("a request to %s failed", scope["path"])
            response = http.refused(_FAILED, int(self._clock()))
        await response(scope, receive, send)

    async def _nothing_here(self, request: Request) -> Response:  # noqa: ARG002 - a handler
        return http.refused(_NOTHING_HERE, int(self._clock()))


def admin_app(
    handlers: AdminHandlers,
    answers: Answers,
    clock: Callable[[], float],
    banner: Callable[[], str] = lambda: "",
    *,
    door: Door = local_door,
    rings: Rings | None = None,
    approvals: Approvals | None = None,
) -> Starlette:
    """The admin service's application.

    Args:
        handlers: where the table's handlers live.
        answers: keeps the answers to writes that carry an idempotency key.
        clock: unix seconds.
        banner: returns what every answer carries in a header.
        door: finds out who calls; of itself, the local socket's.
        rings: finds the ring of an endpoint or a package, for callers who answer for some rings only.
        approvals: knows what a second person has to agree to, None where nobody has to.

    Raises:
        LookupError: a route may change something and is not known as an act.
    """
    gate = Gate(door, clock, rings, approvals)

    def nothing_here(request: Request, cause: Exception) -> Response:  # noqa: ARG001 - the framework's signature
        return http.refused(_NOTHING_HERE, int(clock()))

    def failed(request: Request, cause: Exception) -> Response:  # noqa: ARG001 - the framework's signature
        return http.refused(_FAILED, int(clock()))

    def route(row: Row) -> Route:
        """Who calls is found out first, so that what they are denied is on the trail as well.

        An answer is given again only to those who may still ask for it, and uses no second approval up.
        """
        demand_listed(row.method, row.path)
        handler, anyone = attrgetter(row.handler)(handlers), row.who is Who.ANYONE
        if not anyone:
            handler = gate.agreed(handler, row.permission)
        if row.method in WRITING:
            handler = once(handler, answers, MAX_JOINING if anyone else MAX_ORDER)
        if not anyone:
            handler = gate.allowed(handler, row.permission)
        handler = audited(f"{row.method} {row.path}", handler, handlers.audit.trail)
        if not anyone:
            handler = gate.known(handler)
        return Route(row.path, guarded(handler), methods=[row.method])

    return Starlette(
        routes=[route(row) for row in ADMIN_ROUTES],
        middleware=[Middleware(Banner, text=banner)],
        exception_handlers={404: nothing_here, 405: nothing_here, 500: failed},
    )
