"""The console's application: one table of pages and acts, each with the permission it takes."""

from collections.abc import Callable, Mapping, Sequence
from operator import attrgetter

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from keyfast.api.console.assets import PREFIX, Assets
from keyfast.api.console.banners import Banners
from keyfast.api.console.endpoint_views import EndpointViews
from keyfast.api.console.frame import Frame
from keyfast.api.console.gate import Gate, Row, View
from keyfast.api.console.headers import SafeHeaders
from keyfast.api.console.home_views import HomeViews
from keyfast.api.console.services import Services
from keyfast.api.console.sign_in import SignInViews
from keyfast.core.person import SignIn
from keyfast.core.role import Permission

P = Permission

PAGES: Sequence[Row] = (
    Row("GET", "/", P.SELF, "home.overview"),
    Row("GET", "/endpoints", P.ENDPOINT_READ, "endpoints.list_"),
    Row("GET", "/endpoints/{id}", P.ENDPOINT_READ, "endpoints.show"),
    Row("POST", "/endpoints/{id}/check-in-now", P.ENDPOINT_ACT, "endpoints.check_in_now"),
    Row("POST", "/endpoints/{id}/renew-key", P.ENDPOINT_ACT, "endpoints.renew_key"),
    Row("POST", "/endpoints/{id}/{event}", P.ENDPOINT_JUDGE, "endpoints.judge"),
)
"""Every page and act of somebody who has signed in, in the order in which paths are matched."""


def console_app(services: Services, sign_in: SignIn, clock: Callable[[], float]) -> Starlette:
    """Build the application.

    Args:
        services: what pages ask and tell.
        sign_in: how a browser's user becomes a person.
        clock: unix seconds.
    """
    assets = Assets()
    banners = Banners(services.live, services.accounts, services.rotations, clock)
    frame = Frame(assets, banners, lambda: services.live.current.installation.name, clock)
    gate = Gate(sign_in, frame, clock)
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
            Route(f"{PREFIX}/{{path:path}}", assets.serve, methods=["GET"]),
            *(Route(row.path, gate.guarded(row, _view(views, row)), methods=[row.method]) for row in PAGES),
        ],
        middleware=[Middleware(SafeHeaders)],
        exception_handlers={404: nothing_here, 405: nothing_here, 500: failed},
    )


def _views(services: Services, frame: Frame) -> Mapping[str, object]:
    return {
        "home": HomeViews(frame, services),
        "endpoints": EndpointViews(frame, services),
    }


def _view(views: Mapping[str, object], row: Row) -> View:
    name, _, method = row.handler.partition(".")
    view: View = attrgetter(method)(views[name])
    return view
