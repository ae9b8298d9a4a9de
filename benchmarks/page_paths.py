"""What is asked of every page of the console and every GET of the admin API, in an estate."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from urllib.parse import quote, urlencode

from benchmarks import estate as known
from benchmarks import fleet
from benchmarks.estate import BROKEN, Estate, text
from benchmarks.estate_rows import CHATTY, CHECKING, DRAINING, RECOVERY, ROLLING
from keyfast.api.console.pages import PAGES, Shape
from keyfast.api.routes import ADMIN_ROUTES
from keyfast.core.endpoint import EndpointState
from keyfast.core.protection import Disks
from keyfast.core.rotation_state import RotationState
from keyfast.wire.audit_formats import Format

STRANGERS = ("/sign-in", "/join", "/static/{path:path}")
"""Pages for people who are not known yet."""
BY_PROVIDER = ("/sign-in/oidc", "/sign-in/oidc/answer")
"""Pages of an installation with an identity provider: they ask it, and the measurement has none."""


class Scene(StrEnum):
    """What is going on in the installation."""

    RECOVERING = "a recovery is under way"
    CHECKING = "all took the change of a recovery"
    BROKEN = "an account is broken and nobody recovers it"


SCENES: Mapping[Scene, Mapping[int, RotationState]] = {
    Scene.RECOVERING: {},
    Scene.CHECKING: {RECOVERY: RotationState.DONE, CHECKING: RotationState.EMERGENCY},
    Scene.BROKEN: {CHECKING: RotationState.DONE},
}
"""How the phases of rotations change when a scene begins."""


@dataclass(frozen=True, slots=True)
class Ask:
    """One request.

    Attributes:
        path: with its query.
        what: what is special about it, empty for nothing.
        ringed: asked by somebody who answers for some rings only.
        part: only the time to the first part of the answer counts: it is a download, read some at a time.
        expected: status of the answer.
    """

    path: str
    what: str = ""
    ringed: bool = False
    part: bool = False
    expected: int = 200
    scene: Scene = Scene.RECOVERING


Asks = Sequence[Ask]


def routes() -> list[str]:
    """Every route that is to be measured: ``console /path`` or ``api /path``.

    A stream sends what the route of its part answers, which is measured.
    """
    pages = [row.path for row in PAGES if row.method == "GET" and row.path not in streams()]
    console = [*STRANGERS, *pages]
    return [
        *(f"console {path}" for path in console),
        *(f"api {row.path}" for row in ADMIN_ROUTES if row.method == "GET"),
    ]


def streams() -> set[str]:
    """Routes that send parts of pages as they move."""
    return {row.path for row in PAGES if row.shape is Shape.STREAM}


def asked(estate: Estate, package: str, asset: str) -> dict[str, Asks]:
    """Return what is asked of each route.

    Args:
        estate: whose.
        package: id of one whose file is there.
        asset: path of a file of the console's own.

    Raises:
        LookupError: there is a route of which nothing is asked, or the other way round.
    """
    found = {f"console {path}": asks for path, asks in _console(estate, package, asset).items()}
    found |= {f"api {path}": asks for path, asks in _api(estate, package).items()}
    if wrong := sorted(set(found) ^ set(routes())):
        raise LookupError(f"benchmarks/page_paths.py and the tables of routes differ in: {', '.join(wrong)}")
    return found


def _console(estate: Estate, package: str, asset: str) -> dict[str, Asks]:
    e, account = estate, quote(BROKEN)
    rotations = [(text("rotation", which), what) for which, what in _ROTATIONS.items()]
    windows = [(text("window", which), what) for which, what in _WINDOWS.items()]
    incidents = [(text("incident", which), what) for which, what in ((0, "open"), (5, "over"))]
    everything: dict[str, Asks] = {
        "/sign-in": [Ask("/sign-in")],
        "/join": [Ask("/join")],
        "/static/{path:path}": [Ask(asset)],
        "/": [Ask("/"), Ask("/", "of some rings", ringed=True)],
        "/traffic.json": [Ask("/traffic.json")],
        "/incidents": _pages("/incidents", "before", {"middle": text("incident", e.incidents // 2)}),
        "/incidents/{id}": [Ask(f"/incidents/{number}", what) for number, what in incidents],
        "/incidents/{id}/live": [Ask(f"/incidents/{number}/live?state=open", what) for number, what in incidents],
        "/incidents/{id}/course.json": [Ask(f"/incidents/{number}/course.json", what) for number, what in incidents],
        "/forecast": [Ask("/forecast")],
        "/diagnosis": [Ask("/diagnosis")],
        "/endpoints": _endpoints(e, "/endpoints"),
        "/endpoints/{id}": [Ask(f"/endpoints/{number}", what) for number, what in _of_endpoint(e).items()],
        "/rotations": [Ask("/rotations")],
        "/rotations/new": [Ask("/rotations/new")],
        "/rotations/{id}": [Ask(f"/rotations/{number}", what) for number, what in rotations],
        "/rotations/{id}/live": [Ask(f"/rotations/{number}/live", what) for number, what in rotations],
        "/windows": [Ask("/windows")],
        "/windows/new": [Ask("/windows/new")],
        "/windows/{id}": [Ask(f"/windows/{number}", what) for number, what in windows],
        "/windows/{id}/live": [Ask(f"/windows/{number}/live", what) for number, what in windows],
        "/recovery": [Ask("/recovery")],
        "/recovery/way": [Ask(f"/recovery/way?account={account}&way=device-key")],
        "/recovery/progress": _progress("/recovery/progress"),
        "/recovery/progress/live": _progress("/recovery/progress/live"),
        "/packages": _packages(e, "/packages"),
        "/packages/new": [Ask("/packages/new")],
        "/packages/{id}": [
            *_pages(f"/packages/{text('package', 1)}", "after", {"last endpoints": known.endpoint(1)}),
            Ask(f"/packages/{package}", "of nobody yet"),
        ],
        "/packages/{id}/live": [Ask(f"/packages/{package}/live")],
        "/accounts": [Ask("/accounts")],
        "/accounts/show": [Ask(f"/accounts/show?account={account}")],
        "/accounts/history.json": [Ask(f"/accounts/history.json?account={account}")],
        "/keys": [Ask("/keys")],
        "/settings": [Ask("/settings")],
        "/events": _pages("/events", "before", {"middle": e.events // 2, "last": 50}),
        "/notifications": _pages("/notifications", "before", {"middle": e.messages // 2, "last": 50}),
        "/audit": _audit(e, "/audit"),
        "/audit/verify": [Ask("/audit/verify"), Ask("/audit/verify?after=0", "first stretch")],
        "/audit/verify/live": [Ask("/audit/verify/live?after=0", "first stretch")],
        "/audit/{number}": [Ask(f"/audit/{e.acts // 2}")],
        "/me": [Ask("/me")],
        "/groups": [Ask("/groups")],
        "/approvals": _pages("/approvals", "after", {"middle": text("approval", e.people * 5)}),
        "/people": _people(e, "/people"),
        "/people/{name}": [Ask(f"/people/{known.person(e.people // 2)}")],
    }
    return everything


def _api(estate: Estate, package: str) -> dict[str, Asks]:
    e, at, account = estate, "/admin/v1", quote(BROKEN)
    rotations = [(text("rotation", which), what) for which, what in _ROTATIONS.items()]
    plain = [
        "installation",
        "nodes",
        "policy",
        "audit/head",
        "packages/kinds",
        "keys",
        "modes",
        "accounts",
        "directory",
    ]
    plain += ["directory/accounts", "recovery/situations", "diagnosis", "openapi.json", "self", "searches", "groups"]
    everything: dict[str, Asks] = {f"{at}/{path}": [Ask(f"{at}/{path}")] for path in plain}
    everything |= {
        f"{at}/endpoints": _endpoints(e, f"{at}/endpoints"),
        f"{at}/endpoints/{{id}}": [Ask(f"{at}/endpoints/{who}", what) for who, what in _of_endpoint(e).items()],
        f"{at}/notifications": _pages(f"{at}/notifications", "before", {"middle": e.messages // 2}),
        f"{at}/audit": _audit(e, f"{at}/audit"),
        f"{at}/audit/verify": [Ask(f"{at}/audit/verify", "first stretch")],
        f"{at}/audit/export": [
            Ask(f"{at}/audit/export?format={form}&after={max(0, e.acts - 3000)}", f"first part, {form}", part=True)
            for form in Format
        ],
        f"{at}/audit/{{number}}": [Ask(f"{at}/audit/{e.acts // 2}")],
        f"{at}/events": _pages(f"{at}/events", "before", {"middle": e.events // 2, "last": 50}),
        f"{at}/packages": _packages(e, f"{at}/packages"),
        f"{at}/packages/{{id}}": [Ask(f"{at}/packages/{text('package', 1)}")],
        f"{at}/packages/{{id}}/endpoints": _pages(
            f"{at}/packages/{text('package', 1)}/endpoints", "after", {"last": known.endpoint(1)}
        ),
        f"{at}/packages/{{id}}/file": [Ask(f"{at}/packages/{package}/file", part=True)],
        f"{at}/accounts/history": [Ask(f"{at}/accounts/history?account={account}")],
        f"{at}/windows": [Ask(f"{at}/windows")],
        f"{at}/windows/show": [Ask(f"{at}/windows/show"), Ask(f"{at}/windows/show?window={text('window', 1)}", "over")],
        f"{at}/recovery/status": _progress(f"{at}/recovery/status"),
        f"{at}/rotations": [Ask(f"{at}/rotations")],
        f"{at}/rotations/{{id}}": [Ask(f"{at}/rotations/{number}", what) for number, what in rotations],
        f"{at}/incidents": _pages(f"{at}/incidents", "before", {"middle": text("incident", e.incidents // 2)}),
        f"{at}/incidents/{{id}}": [Ask(f"{at}/incidents/{text('incident', 0)}", "open")],
        f"{at}/roll-call": [
            Ask(f"{at}/roll-call"),
            Ask(f"{at}/roll-call?minutes=1440&limit=1000", "a day, all groups"),
        ],
        f"{at}/forecast": [Ask(f"{at}/forecast")],
        f"{at}/people": _people(e, f"{at}/people"),
        f"{at}/people/{{name}}": [Ask(f"{at}/people/{known.person(1)}")],
        f"{at}/people/{{name}}/passkeys": [Ask(f"{at}/people/{known.person(1)}/passkeys")],
        f"{at}/approvals": _pages(f"{at}/approvals", "after", {"middle": text("approval", e.people * 5)}),
        f"{at}/sessions": _pages(f"{at}/sessions", "after", {"middle": text("session", e.people)}),
        f"{at}/tokens": [
            *_pages(f"{at}/tokens", "after", {"middle": "80000000-0000-4000-8000-000000000000"}),
            Ask(f"{at}/tokens?person={known.person(1)}", "of one person"),
        ],
    }
    return everything


_ROTATIONS = {ROLLING: "rolling, all endpoints", DRAINING: "draining", RECOVERY: "recovery", CHECKING: "over"}
_WINDOWS = {0: "open", 1: "over"}


def _endpoints(e: Estate, at: str) -> Asks:
    """Early, middle and last pages, every way to search, and somebody who answers for two rings."""
    middle, last = known.endpoint(e.endpoints // 2), known.endpoint(e.endpoints - 60)
    searches: dict[str, dict[str, str]] = {
        "after the middle": {"after": middle},
        "last": {"after": last},
        "by name": {"q": fleet.name(e.endpoints // 3)[:12]},
        "active": {"state": EndpointState.ACTIVE.value, "after": middle},
        **{state.value.replace("_", " "): {"state": state.value} for state in EndpointState if state.value != "active"},
        "by name of nobody": {"q": "nobody"},
        "by serial": {"q": known.serial(e.endpoints // 2)},
        "by user": {"q": fleet.user(e.endpoints // 2)},
        "by account": {"account": BROKEN},
        "by account, after the middle": {"account": BROKEN, "after": middle},
        "by account and state": {"account": BROKEN, "state": EndpointState.PENDING.value},
        "by package": {"package": text("package", 1), "after": middle},
        "by disks": {"disks": Disks.EXPOSED.value},
        "by disks, after the middle": {"disks": Disks.PROTECTED.value, "after": middle},
        "by disks, ring and state": {"disks": Disks.EXPOSED.value, "ring": known.ring(1), "state": "active"},
    }
    found = [Ask(at), *(Ask(f"{at}?{urlencode(query)}", what) for what, query in searches.items())]
    mine = {
        "of two rings": {},
        "of two rings, after the middle": {"after": middle},
        "of two rings, by state": {"state": "retired"},
    }
    found += [Ask(f"{at}?{urlencode(query)}", what, ringed=True) for what, query in mine.items()]
    return found


def _of_endpoint(e: Estate) -> dict[str, str]:
    suspect = known.first(e, EndpointState.CLONE_SUSPECT)
    return {known.endpoint(CHATTY): "with a long history", known.endpoint(suspect): "a clone suspect"}


def _pages(at: str, word: str, beyond: Mapping[str, object]) -> Asks:
    return [Ask(at), *(Ask(f"{at}?{word}={after}", what) for what, after in beyond.items())]


def _packages(e: Estate, at: str) -> Asks:
    pages = _pages(at, "after", {"middle": text("package", e.packages // 2), "last": text("package", 10)})
    return [*pages, Ask(at, "of two rings", ringed=True)]


def _people(e: Estate, at: str) -> Asks:
    return _pages(at, "after", {"middle": known.person(e.people // 2), "last": known.person(e.people - 5)})


def _audit(e: Estate, at: str) -> Asks:
    searches = {
        "middle": {"before": str(e.acts // 2)},
        "by actor": {"actor": known.person(3)},
        "by action": {"action": "endpoint_approved", "before": str(e.acts // 2)},
        "by actor and action": {"actor": known.person(3), "action": "endpoint_approved"},
        "by subject": {"subject": text("package", 3)},
        "by two that never met": {"actor": known.person(3), "action": "package_revoked"},
        "by actor and a subject of others": {"actor": known.person(3), "subject": text("package", 4)},
    }
    return [Ask(at), *(Ask(f"{at}?{urlencode(query)}", what) for what, query in searches.items())]


def _progress(at: str) -> Asks:
    path = f"{at}?account={quote(BROKEN)}"
    return [Ask(path, scene.value, scene=scene) for scene in Scene]
