"""Pages from templates. Every text is escaped, and what cannot be seen is written out, whoever it came from."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup, escape
from starlette.responses import HTMLResponse, RedirectResponse, Response

from keyfast import __version__
from keyfast.api.console import words
from keyfast.api.console.assets import Assets
from keyfast.api.console.banners import Banners
from keyfast.api.console.live import Live
from keyfast.api.console.visit import Visit
from keyfast.core.role import Permission
from keyfast.core.visible import visible
from keyfast.errors import ForbiddenError, KeyfastError, NotFoundError, NotReadyError

P = Permission


@dataclass(frozen=True, slots=True)
class Place:
    """One entry of the navigation; seen by those who hold the permission."""

    path: str
    label: str
    icon: str
    permission: Permission


PLACES = (
    Place("/", "Overview", "overview", P.SELF),
    Place("/incidents", "Incidents", "incidents", P.READ),
    Place("/endpoints", "Endpoints", "endpoints", P.ENDPOINT_READ),
    Place("/rotations", "Rotations", "rotations", P.READ),
    Place("/windows", "Recovery windows", "windows", P.READ),
    Place("/recovery", "Recovery", "recovery", P.READ),
    Place("/forecast", "Forecast", "forecast", P.READ),
    Place("/packages", "Packages", "packages", P.PACKAGE_READ),
    Place("/accounts", "Accounts", "accounts", P.READ),
    Place("/keys", "Keys", "keys", P.READ),
    Place("/settings", "Settings", "settings", P.READ),
    Place("/events", "Events", "events", P.READ),
    Place("/audit", "Audit", "audit", P.AUDIT_READ),
    Place("/approvals", "Approvals", "good", P.READ),
    Place("/people", "People", "people", P.PEOPLE_READ),
)

TOLD = {
    "asked": "The endpoint was asked; it does so at its next check-in.",
    "changed": "Done.",
    "kept": "The search is kept; nobody else sees it.",
    "approved": "Your approval is on record.",
    "waived": "They are waived: nobody waits for them, and they may still come.",
    "planned": "The plan is on record. Nothing happens before it is started.",
    "opened": "The recovery window is open.",
    "closed": "The recovery window is closed.",
    "begun": "The recovery is under way.",
    "over": "The recovery is over.",
    "building": "The package was asked for; it can be downloaded here as soon as it is ready.",
    "revoked": "The package is revoked: no further endpoint enrols with it.",
    "added": "The password was proven; the account is on record.",
    "checked": "The account was read from the directory a moment ago.",
    "removed": "The account is off the record.",
    "rotated": "The key was rotated.",
    "tested": "A test is on its way to every receiver.",
    "mode": "The authentication modes were changed.",
    "policy": "The policy was changed. Each endpoint takes it with its next check-in.",
}
"""What a page says after an act, by the word in its URL: a URL brings no text of its own into a page."""

_HEADINGS: Mapping[type[KeyfastError], str] = {
    ForbiddenError: "This is not for you",
    NotFoundError: "There is nothing here",
    NotReadyError: "Not ready",
}


class Frame:
    """Renders pages.

    Args:
        assets: style, scripts, icons.
        banners: what is told on every page.
        installation: returns the name of this installation.
        clock: unix seconds.
        single_sign_on: whether there is an identity provider.
    """

    def __init__(
        self,
        assets: Assets,
        banners: Banners,
        installation: Callable[[], str],
        clock: Callable[[], float],
        *,
        single_sign_on: bool = False,
    ) -> None:
        self._banners = banners
        self._clock = clock
        self._installation = installation
        self._environment = Environment(
            loader=PackageLoader("keyfast.api.console"),
            autoescape=True,
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
            finalize=_shown,
        )
        self._environment.filters |= {
            "colour": words.colour,
            "plainly": words.plainly,
            "sentence": words.sentence,
            "titled": words.titled,
            "size": words.size,
            "span": words.span,
            "lines": _lines,
        }
        self._environment.globals |= {
            "asset": assets.url,
            "P": Permission,
            "version": __version__,
            "single_sign_on": single_sign_on,
            "moment": words.moment,
            "iso": words.iso,
            "plainly": lambda words_: [(word, words.plainly(word)) for word in words_],
            "namesake": lambda names: [(name, name) for name in names],
        }

    async def page(
        self, visit: Visit, template: str, *, status: int = 200, live: Live | None = None, **values: Any
    ) -> Response:
        """Answer with a page in its frame; ``live`` is the part of it that moves."""
        path = visit.request.url.path
        return self._html(
            template,
            status,
            visit=visit,
            places=[place for place in PLACES if visit.may(place.permission)],
            here=max((p.path for p in PLACES if path == p.path or path.startswith(f"{p.path}/")), default="", key=len),
            banners=await self._banners.told() if visit.may(P.READ) else (),
            told=TOLD.get(visit.query("told"), ""),
            live=live,
            **(live.values if live else {}),
            **values,
        )

    def moving(self, live: Live) -> str:
        """Return a part that moves as markup, the same for everybody."""
        return self._text(live.template, live=live, **live.values)

    def part(self, live: Live, *, anew: bool) -> Response:
        """Answer with a part that moves, for a page that shows it already; ``anew`` if that has to be another."""
        return HTMLResponse(self.moving(live), headers={"hx-refresh": "true"} if anew else None)

    def acted(self) -> None:
        """Have the next page tell what is so after an act, and not what was told a moment ago."""
        self._banners.forget()

    def bare(self, template: str, *, status: int = 200, **values: Any) -> Response:
        """Answer with a page for somebody who has not signed in."""
        return self._html(template, status, **values)

    async def fault(self, visit: Visit, fault: KeyfastError, back: str) -> Response:
        """Answer with what went wrong, what mends it, and the page to go back to."""
        heading = _HEADINGS.get(type(fault), "That was not done")
        answer = await self.page(
            visit,
            "fault.html",
            status=fault.status,
            heading=heading,
            message=fault.message,
            repair=fault.repair,
            back=back,
        )
        if isinstance(fault, NotReadyError):
            answer.headers["retry-after"] = str(fault.retry_after)
        return answer

    def _html(self, template: str, status: int, **values: Any) -> Response:
        return HTMLResponse(self._text(template, **values), status)

    def _text(self, template: str, **values: Any) -> str:
        now = int(self._clock())
        return self._environment.get_template(template).render(
            now=now, installation=self._installation(), ago=lambda at: words.ago(at, now), **values
        )


def go(path: str, told: str = "") -> Response:
    """Answer a form: look at this page now, so that going back or reloading sends nothing twice."""
    joint = "&" if "?" in path else "?"
    return RedirectResponse(f"{path}{joint}told={told}" if told else path, 303)


def _lines(text: str) -> Markup:
    """Show a text of several lines; in every other place a line break is written out."""
    return Markup("\n").join(escape(visible(line, words.LONGEST)) for line in text.splitlines())


def _shown(value: object) -> object:
    return visible(value, words.LONGEST) if type(value) is str else value
