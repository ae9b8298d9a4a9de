"""The console's application: the table of pages over the views that answer them."""

from collections.abc import Callable, Mapping
from operator import attrgetter
from typing import Any

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from keyfast.api.console.account_views import AccountViews
from keyfast.api.console.approval_views import ApprovalViews
from keyfast.api.console.assets import PREFIX, Assets
from keyfast.api.console.audit_views import AuditViews
from keyfast.api.console.banners import Banners
from keyfast.api.console.endpoint_views import EndpointViews
from keyfast.api.console.entry_views import JoinViews, OidcViews
from keyfast.api.console.frame import Frame
from keyfast.api.console.gate import Again, Gate, View
from keyfast.api.console.headers import SafeHeaders
from keyfast.api.console.home_views import HomeViews
from keyfast.api.console.incident_views import IncidentViews
from keyfast.api.console.live_views import LiveViews
from keyfast.api.console.package_views import PackageViews
from keyfast.api.console.pages import PAGES, Row, Shape
from keyfast.api.console.passkey_views import MyViews, PasskeySignIn
from keyfast.api.console.people_views import PeopleViews
from keyfast.api.console.recovery_views import RecoveryViews
from keyfast.api.console.rotation_views import RotationViews
from keyfast.api.console.services import Services
from keyfast.api.console.setting_views import SettingViews
from keyfast.api.console.sign_in import SignInViews
from keyfast.api.console.stream import Streams
from keyfast.api.console.window_views import WindowViews
from keyfast.core.person import SignIn

API_PATHS = ("/admin/", "/oauth/")


def console_app(services: Services, sign_in: SignIn, clock: Callable[[], float], streams: Streams) -> Starlette:
    """Build the application.

    Args:
        services: what pages ask and tell.
        sign_in: how a browser's user becomes a person.
        clock: unix seconds.
        streams: those of this process.
    """
    assets = Assets()
    banners = Banners(services.live, services.accounts, services.rotations, services.incidents, clock)
    frame = Frame(
        assets,
        banners,
        lambda: services.live.current.installation.name,
        clock,
        single_sign_on=services.oidc is not None,
    )
    gate = Gate(sign_in, frame, services.rings, services.approvals, services.audit, clock)
    live = LiveViews(frame, gate, streams)
    entry = SignInViews(sign_in, gate, frame)
    views = _views(services, frame)

    def nothing_here(request: Request, cause: Exception) -> Response:  # noqa: ARG001 - the framework's signature
        return frame.bare("bare.html", status=404, heading="There is nothing here", message="No page has this address.")

    def failed(request: Request, cause: Exception) -> Response:  # noqa: ARG001 - the framework's signature
        message = "The server failed; its log says why. Nothing was half done."
        return frame.bare("bare.html", status=500, heading="That went wrong", message=message)

    return Starlette(
        routes=[
            Route("/sign-in", entry.show, methods=["GET"]),
            Route("/sign-in", entry.begin, methods=["POST"]),
            Route("/sign-out", entry.end, methods=["POST"]),
            *_other_ways_in(services, gate, frame),
            Route(f"{PREFIX}/{{path:path}}", assets.serve, methods=["GET"]),
            *(_route(gate, live, views, row) for row in PAGES),
        ],
        middleware=[Middleware(SafeHeaders)],
        exception_handlers={404: nothing_here, 405: nothing_here, 500: failed},
    )


def _other_ways_in(services: Services, gate: Gate, frame: Frame) -> list[Route]:
    join = JoinViews(services.people, gate, frame)
    routes = [Route("/join", join.show, methods=["GET"]), Route("/join", join.take_up, methods=["POST"])]
    passkeys = PasskeySignIn(services.passkeys, gate, frame)
    routes += [
        Route("/sign-in/passkey/begin", passkeys.begin, methods=["POST"]),
        Route("/sign-in/passkey", passkeys.use, methods=["POST"]),
    ]
    if services.oidc is not None:
        oidc = OidcViews(services.oidc, gate, frame)
        routes += [
            Route("/sign-in/oidc", oidc.leave, methods=["GET"]),
            Route("/sign-in/oidc/answer", oidc.arrive, methods=["GET"]),
        ]
    return routes


def _views(services: Services, frame: Frame) -> Mapping[str, object]:
    return {
        "home": HomeViews(frame, services),
        "incidents": IncidentViews(frame, services),
        "endpoints": EndpointViews(frame, services),
        "rotations": RotationViews(frame, services),
        "windows": WindowViews(frame, services),
        "recovery": RecoveryViews(frame, services),
        "packages": PackageViews(frame, services),
        "accounts": AccountViews(frame, services),
        "settings": SettingViews(frame, services),
        "people": PeopleViews(frame, services),
        "approvals": ApprovalViews(frame, services),
        "audit": AuditViews(frame, services),
        "me": MyViews(frame, services),
    }


def _route(gate: Gate, live: LiveViews, views: Mapping[str, object], row: Row) -> Route:
    named = _named(views, row.handler)
    shapes: Mapping[Shape, Callable[[], View]] = {
        Shape.PAGE: lambda: named,
        Shape.PART: lambda: live.polled(named),
        Shape.STREAM: lambda: live.streamed(row, named),
    }
    view = shapes[row.shape]()
    again: Again | None = _named(views, row.again) if row.again else None
    return Route(row.path, gate.guarded(row, view, again), methods=[row.method])


def _named(views: Mapping[str, object], place: str) -> Any:
    name, _, method = place.partition(".")
    return attrgetter(method)(views[name])


class Network:
    """What the listener for people serves: the admin API by its paths, and the console (ASGI).

    The API looks at no cookie and the console at no API token, so neither opens the other's routes.

    Args:
        api: the admin API.
        console: everything else.
    """

    def __init__(self, api: ASGIApp, console: ASGIApp) -> None:
        self._api = api
        self._console = console

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        path: str = scope.get("path", "")
        await (self._api if path.startswith(API_PATHS) else self._console)(scope, receive, send)
