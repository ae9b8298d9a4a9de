"""One table of who may call each route. A route that is not in it does not exist."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from operator import attrgetter

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from keyfast.api import http
from keyfast.api.admin_api import AdminApi, guarded
from keyfast.api.endpoint_api import EndpointApi
from keyfast.api.oauth_api import OAuthApi
from keyfast.core.refusal import Refusal, RefusalClass


class Who(StrEnum):
    """Who may call a route."""

    ANYONE = "anyone"
    DEVICE_KEY = "whoever proves a device key"
    TOKEN = "an endpoint with an access token and its key"  # noqa: S105 - a description
    ADMINISTRATOR = "an administrator on the local socket"


@dataclass(frozen=True, slots=True)
class Row:
    """One route."""

    method: str
    path: str
    who: Who
    handler: str


ENDPOINT_ROUTES: Sequence[Row] = (
    Row("POST", "/endpoint/v1/check-in", Who.TOKEN, "endpoint.check_in"),
    Row("GET", "/endpoint/v1/self", Who.TOKEN, "endpoint.self_"),
    Row("GET", "/endpoint/v1/time", Who.ANYONE, "endpoint.time"),
    Row("GET", "/.well-known/oauth-authorization-server", Who.ANYONE, "oauth.metadata"),
    Row("GET", "/oauth/jwks", Who.ANYONE, "oauth.jwks"),
    Row("POST", "/oauth/register", Who.DEVICE_KEY, "oauth.register"),
    Row("POST", "/oauth/token", Who.DEVICE_KEY, "oauth.token"),
    Row("POST", "/oauth/revoke", Who.DEVICE_KEY, "oauth.revoke"),
)

ADMIN_ROUTES: Sequence[Row] = (
    Row("GET", "/admin/v1/installation", Who.ADMINISTRATOR, "admin.installation"),
    Row("GET", "/admin/v1/endpoints", Who.ADMINISTRATOR, "admin.endpoints"),
    Row("GET", "/admin/v1/endpoints/{id}", Who.ADMINISTRATOR, "admin.endpoint"),
    Row("POST", "/admin/v1/endpoints/{id}/check-in-now", Who.ADMINISTRATOR, "admin.check_in_now"),
    Row("POST", "/admin/v1/endpoints/{id}/{event}", Who.ADMINISTRATOR, "admin.change_endpoint"),
    Row("GET", "/admin/v1/events", Who.ADMINISTRATOR, "admin.events"),
    Row("GET", "/admin/v1/packages", Who.ADMINISTRATOR, "admin.packages"),
    Row("POST", "/admin/v1/packages", Who.ADMINISTRATOR, "admin.create_package"),
    Row("POST", "/admin/v1/packages/{id}/revoke", Who.ADMINISTRATOR, "admin.revoke_package"),
    Row("GET", "/admin/v1/keys", Who.ADMINISTRATOR, "admin.keys"),
    Row("POST", "/admin/v1/keys/rotate", Who.ADMINISTRATOR, "admin.rotate_key"),
    Row("POST", "/admin/v1/keys/export", Who.ADMINISTRATOR, "admin.export_keys"),
    Row("POST", "/admin/v1/keys/import", Who.ADMINISTRATOR, "admin.import_keys"),
    Row("POST", "/admin/v1/keys/remove-root", Who.ADMINISTRATOR, "admin.remove_root"),
    Row("POST", "/admin/v1/keys/rewrap", Who.ADMINISTRATOR, "admin.rewrap"),
    Row("POST", "/oauth/introspect", Who.ADMINISTRATOR, "admin.introspect"),
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


def endpoint_app(handlers: EndpointHandlers, clock: Callable[[], float]) -> Starlette:
    """The check-in service's application."""
    return _app(ENDPOINT_ROUTES, handlers, clock, lambda handler: handler)


def admin_app(handlers: AdminHandlers, clock: Callable[[], float]) -> Starlette:
    """The admin service's application."""
    return _app(ADMIN_ROUTES, handlers, clock, guarded)


def _app(
    rows: Sequence[Row],
    handlers: object,
    clock: Callable[[], float],
    wrap: Callable[[http.Handler], http.Handler],
) -> Starlette:
    def nothing_here(request: Request, cause: Exception) -> Response:  # noqa: ARG001 - the framework's signature
        return http.refused(Refusal(RefusalClass.NOT_FOUND), int(clock()))

    def broken(request: Request, cause: Exception) -> Response:  # noqa: ARG001 - the framework's signature
        return http.refused(
            Refusal(RefusalClass.NOT_READY, "the server failed; its log says why", retry_after=60),
            int(clock()),
        )

    return Starlette(
        routes=[Route(row.path, wrap(attrgetter(row.handler)(handlers)), methods=[row.method]) for row in rows],
        exception_handlers={404: nothing_here, 405: nothing_here, 500: broken},
    )
