"""The console's application: one table of pages and acts, each with the permission it takes."""

from collections.abc import Callable, Mapping, Sequence
from operator import attrgetter

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from keyfast.api.console.account_views import AccountViews
from keyfast.api.console.approval_views import ApprovalViews
from keyfast.api.console.assets import PREFIX, Assets
from keyfast.api.console.banners import Banners
from keyfast.api.console.endpoint_views import EndpointViews
from keyfast.api.console.entry_views import JoinViews, OidcViews
from keyfast.api.console.frame import Frame
from keyfast.api.console.gate import Gate, Row, View
from keyfast.api.console.headers import SafeHeaders
from keyfast.api.console.home_views import HomeViews
from keyfast.api.console.incident_views import IncidentViews
from keyfast.api.console.package_views import PackageViews
from keyfast.api.console.passkey_views import MyViews, PasskeySignIn
from keyfast.api.console.people_views import PeopleViews
from keyfast.api.console.recovery_views import RecoveryViews
from keyfast.api.console.rotation_views import RotationViews
from keyfast.api.console.services import Services
from keyfast.api.console.setting_views import SettingViews
from keyfast.api.console.sign_in import SignInViews
from keyfast.api.console.window_views import WindowViews
from keyfast.core.person import SignIn
from keyfast.core.role import Permission

P = Permission
API_PATHS = ("/admin/", "/oauth/")
LONG_FORM = 8 * 1024 * 1024
"""An allow-list of a package may be long."""

PAGES: Sequence[Row] = (
    Row("GET", "/", P.SELF, "home.overview"),
    Row("GET", "/traffic.json", P.READ, "incidents.traffic"),
    Row("GET", "/incidents", P.READ, "incidents.list_"),
    Row("GET", "/incidents/{id}", P.READ, "incidents.show"),
    Row("GET", "/incidents/{id}/live", P.READ, "incidents.live"),
    Row("GET", "/incidents/{id}/course.json", P.READ, "incidents.course"),
    Row("POST", "/incidents/{id}/close", P.INCIDENT_ACT, "incidents.close"),
    Row("GET", "/forecast", P.READ, "incidents.forecast"),
    Row("GET", "/diagnosis", P.READ, "incidents.diagnosis"),
    Row("GET", "/endpoints", P.ENDPOINT_READ, "endpoints.list_"),
    Row("GET", "/endpoints/{id}", P.ENDPOINT_READ, "endpoints.show"),
    Row("POST", "/endpoints/{id}/check-in-now", P.ENDPOINT_ACT, "endpoints.check_in_now"),
    Row("POST", "/endpoints/{id}/renew-key", P.ENDPOINT_ACT, "endpoints.renew_key"),
    Row("POST", "/endpoints/{id}/{event}", P.ENDPOINT_JUDGE, "endpoints.judge"),
    Row("GET", "/rotations", P.READ, "rotations.list_"),
    Row("POST", "/rotations", P.ROTATION_PLAN, "rotations.plan"),
    Row("GET", "/rotations/new", P.ROTATION_PLAN, "rotations.new"),
    Row("GET", "/rotations/{id}", P.READ, "rotations.show"),
    Row("GET", "/rotations/{id}/live", P.READ, "rotations.live"),
    Row("POST", "/rotations/{id}/approve", P.ROTATION_APPROVE, "rotations.approve"),
    Row("POST", "/rotations/{id}/waive", P.ROTATION_PLAN, "rotations.waive"),
    Row("POST", "/rotations/{id}/retire", P.ROTATION_RETIRE, "rotations.retire"),
    Row("POST", "/rotations/{id}/hasten", P.ROTATION_RETIRE, "rotations.retire"),
    Row("POST", "/rotations/{id}/{act}", P.ROTATION_RUN, "rotations.act"),
    Row("GET", "/windows", P.READ, "windows.list_"),
    Row("POST", "/windows", P.WINDOW_OPEN, "windows.open_"),
    Row("GET", "/windows/new", P.WINDOW_OPEN, "windows.new"),
    Row("GET", "/windows/{id}", P.READ, "windows.show"),
    Row("GET", "/windows/{id}/live", P.READ, "windows.live"),
    Row("POST", "/windows/{id}/close", P.WINDOW_CLOSE, "windows.close"),
    Row("GET", "/recovery", P.READ, "recovery.situations"),
    Row("GET", "/recovery/way", P.RECOVERY_LEAD, "recovery.way"),
    Row("GET", "/recovery/progress", P.READ, "recovery.progress"),
    Row("GET", "/recovery/progress/live", P.READ, "recovery.live"),
    Row("POST", "/recovery/begin", P.RECOVERY_LEAD, "recovery.begin"),
    Row("POST", "/recovery/resume", P.RECOVERY_LEAD, "recovery.resume"),
    Row("POST", "/recovery/finish", P.RECOVERY_LEAD, "recovery.finish"),
    Row("GET", "/packages", P.PACKAGE_READ, "packages.list_"),
    Row("POST", "/packages", P.PACKAGE_BUILD, "packages.build", LONG_FORM),
    Row("GET", "/packages/new", P.PACKAGE_BUILD, "packages.new"),
    Row("GET", "/packages/{id}", P.PACKAGE_READ, "packages.show"),
    Row("GET", "/packages/{id}/live", P.PACKAGE_READ, "packages.live"),
    Row("POST", "/packages/{id}/file", P.PACKAGE_TAKE, "packages.take"),
    Row("POST", "/packages/{id}/revoke", P.PACKAGE_REVOKE, "packages.revoke"),
    Row("GET", "/accounts", P.READ, "accounts.list_"),
    Row("POST", "/accounts", P.ACCOUNT_CHANGE, "accounts.add"),
    Row("GET", "/accounts/show", P.READ, "accounts.show"),
    Row("GET", "/accounts/history.json", P.READ, "accounts.history"),
    Row("POST", "/accounts/check", P.ACCOUNT_CHANGE, "accounts.check"),
    Row("POST", "/accounts/remove", P.ACCOUNT_CHANGE, "accounts.remove"),
    Row("GET", "/keys", P.READ, "settings.keys"),
    Row("POST", "/keys/rotate", P.KEY_ROTATE, "settings.rotate_key"),
    Row("GET", "/settings", P.READ, "settings.settings"),
    Row("POST", "/settings/modes/open", P.MODE_CHANGE, "settings.open_mode"),
    Row("POST", "/settings/modes/close", P.MODE_CHANGE, "settings.close_mode"),
    Row("POST", "/settings/end-recovery", P.KEY_MOVE, "settings.end_recovery"),
    Row("POST", "/settings/nodes/forget", P.SETTINGS_CHANGE, "settings.forget_node"),
    Row("GET", "/events", P.READ, "settings.events"),
    Row("GET", "/me", P.SELF, "me.show"),
    Row("POST", "/me/passkeys/begin", P.SELF_CHANGE, "me.begin"),
    Row("POST", "/me/passkeys", P.SELF_CHANGE, "me.add"),
    Row("POST", "/me/passkeys/{id}/remove", P.SELF_CHANGE, "me.remove"),
    Row("GET", "/approvals", P.READ, "approvals.list_"),
    Row("POST", "/approvals/{id}/approve", P.APPROVAL_DECIDE, "approvals.approve"),
    Row("POST", "/approvals/{id}/deny", P.APPROVAL_DECIDE, "approvals.deny"),
    Row("GET", "/people", P.PEOPLE_READ, "people.list_"),
    Row("POST", "/people", P.PEOPLE_CHANGE, "people.add"),
    Row("POST", "/people/sessions/{id}/end", P.PEOPLE_CHANGE, "people.end_session"),
    Row("GET", "/people/{name}", P.PEOPLE_READ, "people.show"),
    Row("POST", "/people/{name}/change", P.PEOPLE_CHANGE, "people.change"),
    Row("POST", "/people/{name}/reset", P.PEOPLE_CHANGE, "people.reset"),
    Row("POST", "/people/{name}/disable", P.PEOPLE_CHANGE, "people.disable"),
    Row("POST", "/people/{name}/enable", P.PEOPLE_CHANGE, "people.enable"),
    Row("POST", "/people/{name}/second-factor", P.PEOPLE_CHANGE, "people.begin_code"),
    Row("POST", "/people/{name}/second-factor/confirm", P.PEOPLE_CHANGE, "people.confirm_code"),
    Row("POST", "/people/{name}/tokens", P.PEOPLE_CHANGE, "people.create_token"),
    Row("POST", "/people/{name}/tokens/{id}/revoke", P.PEOPLE_CHANGE, "people.revoke_token"),
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
    banners = Banners(services.live, services.accounts, services.rotations, services.incidents, clock)
    frame = Frame(
        assets,
        banners,
        lambda: services.live.current.installation.name,
        clock,
        single_sign_on=services.oidc is not None,
    )
    gate = Gate(sign_in, frame, services.rings, services.approvals, clock)
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
            *_other_ways_in(services, sign_in, gate, frame),
            Route(f"{PREFIX}/{{path:path}}", assets.serve, methods=["GET"]),
            *(Route(row.path, gate.guarded(row, _view(views, row)), methods=[row.method]) for row in PAGES),
        ],
        middleware=[Middleware(SafeHeaders)],
        exception_handlers={404: nothing_here, 405: nothing_here, 500: failed},
    )


def _other_ways_in(services: Services, sign_in: SignIn, gate: Gate, frame: Frame) -> list[Route]:
    join = JoinViews(services.people, gate, frame)
    routes = [Route("/join", join.show, methods=["GET"]), Route("/join", join.take_up, methods=["POST"])]
    passkeys = PasskeySignIn(services.passkeys, sign_in, gate, frame)
    routes += [
        Route("/sign-in/passkey/begin", passkeys.begin, methods=["POST"]),
        Route("/sign-in/passkey", passkeys.use, methods=["POST"]),
    ]
    if services.oidc is not None:
        oidc = OidcViews(services.oidc, sign_in, frame)
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
        "me": MyViews(frame, services),
    }


def _view(views: Mapping[str, object], row: Row) -> View:
    name, _, method = row.handler.partition(".")
    view: View = attrgetter(method)(views[name])
    return view


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
