"""Every page of the console, by the console's own table."""

from urllib.parse import quote

from tests.support.console_site import ConsoleSite
from tests.support.walker import Walker

from keyfast.api.console.pages import PAGES, Row, Shape
from keyfast.wire.admin import PackageLine
from keyfast.wire.rotation import RotationLine


def is_page(row: Row) -> bool:
    """Tell whether a row is a page: not a part that pages fetch, nor an act."""
    return row.method == "GET" and row.shape is Shape.PAGE and not row.path.endswith(".json")


async def walks(browser: Walker, site: ConsoleSite, account: str) -> None:
    """Look at every page that is there, in every size and shade; the rest is looked at when there is one."""
    places = _places(site, account)
    for path in (row.path for row in PAGES if is_page(row)):
        if path in places or "{" not in path:
            await browser.open(places.get(path, path))
            await browser.look("-".join(part.strip("{}") for part in path.split("/") if part) or "overview")
    await browser.open("/nothing/here", 404)
    await browser.look("nothing-here")


def _places(site: ConsoleSite, account: str) -> dict[str, str]:
    """Where to find what a path of the table leaves open."""
    (rotation, *_) = site.admin.get("/admin/v1/rotations", list[RotationLine])
    (package, *_) = site.admin.get("/admin/v1/packages", list[PackageLine])
    named = quote(account)
    return {
        "/endpoints/{id}": f"/endpoints/{site.fleet.rigs[-1].agent.record.endpoint_id}",
        "/rotations/{id}": f"/rotations/{rotation.id}",
        "/packages/{id}": f"/packages/{package.id}",
        "/accounts/show": f"/accounts/show?account={named}",
        "/recovery/way": f"/recovery/way?account={named}&way=device-key",
        "/audit/verify": "/audit/verify?after=0",
        "/audit/{number}": "/audit/1",
        "/people/{name}": "/people/bob",
    }
