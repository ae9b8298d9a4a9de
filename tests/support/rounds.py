"""Whether a walk through the console has been everywhere: its own table of pages, against what was seen."""

from collections.abc import Mapping

from starlette.routing import compile_path
from tests.support.console_pages import is_page
from tests.support.walker import Walker

from keyfast.api.console.pages import PAGES

REFUSED = 400
_ROWS = tuple((f"{row.method} {row.path}", row.method, compile_path(row.path)[0]) for row in PAGES)


def left(walkers: list[Walker], excused: Mapping[str, str]) -> list[str]:
    """Return the rows of the table that nobody has been at: pages looked at, acts and parts answered with success.

    Args:
        walkers: everybody who walked.
        excused: rows where nobody need be, and why; one that is no row is returned too.
    """
    answers = [answer for walker in walkers for answer in walker.heard if answer[2] < REFUSED]
    seen = {_row(method, path.partition("?")[0]) for method, path, _ in answers}
    looked = {_row("GET", path) for walker in walkers for path in walker.looked}
    pages = {f"GET {row.path}" for row in PAGES if is_page(row)}
    rows = {name for name, _, _ in _ROWS}
    been = (seen - pages) | looked
    # A part that is told is not asked for.
    been |= {name.removesuffix("/stream") for name in been if name.endswith("/live/stream")}
    return sorted((rows - been - set(excused)) | (set(excused) - rows))


def _row(method: str, path: str) -> str:
    """The first row that fits, as the application finds it."""
    return next((name for name, of, pattern in _ROWS if of == method and pattern.match(path)), "")
