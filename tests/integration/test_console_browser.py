"""The console in a real browser: every page, light and dark, narrow and wide; an outage mended from it; no script."""

from pathlib import Path

import pytest
from tests.support.console import ConsoleTown
from tests.support.pictures import empty_folder
from tests.support.town import ACCOUNT
from tests.support.walker import walker

from keyfast.services.audit import STRETCH

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

KEY = "LOCAL\\svc-a"
FLEET = 12
CHANGED = "Changed-Twice-2"


class Site:
    """A town with something on every page."""

    def __init__(self, folder: Path, name: str) -> None:
        self.town = ConsoleTown(folder / "data", "windows")
        self.folder = folder
        self.pictures = empty_folder(name)
        for _ in range(FLEET):
            self.town.join()

    def fill(self) -> dict[str, str]:
        """Do one of everything; return the pages by name."""
        ada = self.town.browser("ada")
        ada.post("/settings/modes/open", mode="oauth", reason="beside the other")
        plan = {"kind": "oauth", "source": KEY, "ring": "default", "approvals": "1"}
        rotation = _place(ada.post("/rotations", **plan))
        ada.post(f"{rotation}/start")
        self.town.let_pass(5)
        window = _place(ada.post("/windows", minutes="300", ranges="any", account=KEY, reason="all went silent"))
        self.break_account()
        return {
            "sign-in": "/sign-in",
            "overview": "/",
            "incidents": "/incidents",
            "forecast": "/forecast",
            "diagnosis": "/diagnosis",
            "approvals": "/approvals",
            "people": "/people",
            "endpoints": "/endpoints",
            "endpoint": f"/endpoints/{self.town.endpoints[0].record.endpoint_id}",
            "nobody": "/endpoints?q=nobody",
            "rotations": "/rotations",
            "rotation": rotation,
            "rotation-new": "/rotations/new",
            "windows": "/windows",
            "window": window,
            "window-new": "/windows/new",
            "recovery": "/recovery",
            "way-out": "/recovery/way?account=LOCAL%5Csvc-a&way=device-key",
            "way-account": "/recovery/way?account=LOCAL%5Csvc-a&way=account",
            "progress": "/recovery/progress",
            "packages": "/packages",
            "package": _place(ada.post("/packages", kind="bundle", ring="berlin")),
            "package-new": "/packages/new",
            "accounts": "/accounts",
            "account": "/accounts/show?account=LOCAL%5Csvc-a",
            "keys": "/keys",
            "settings": "/settings",
            "events": "/events",
            "notifications": "/notifications",
            "audit": "/audit",
            "audit-record": "/audit/1",
            "audit-verify": "/audit/verify?after=0",
        }

    def break_account(self) -> None:
        """Somebody changes the password in the directory, twice, behind everybody's back."""
        for password in ("Changed-Once-1", CHANGED):
            self.town.run(self.town.site.set_password(ACCOUNT, password))
            self.town.let_pass(4000)
        for endpoint in self.town.endpoints:
            self.town.visit(endpoint)


def _place(answer):
    assert answer.status_code == 303, answer.text
    return answer.headers["location"].partition("?")[0]


@pytest.fixture
def site(tmp_path, request):
    made = Site(tmp_path, request.node.name)
    yield made
    made.town.close()


@pytest.mark.parametrize(
    ("size", "dark", "person"), [("wide", False, "ada"), ("narrow", True, "ada"), ("narrow", False, "anna")]
)
def test_every_page_is_without_fault(site, size, dark, person):
    pages = site.fill()

    async def walk():
        async with site.town.served(site.folder) as url, walker(url, site.pictures, size=size, dark=dark) as browser:
            await browser.open("/sign-in")
            await browser.sign_in(person)
            for name, path in pages.items():
                denied = person == "anna" and name in {
                    "rotation-new",
                    "window-new",
                    "package-new",
                    "way-out",
                    "way-account",
                }
                await browser.open(path, 403 if denied else 200)
                await browser.picture(f"{name}-{size}-{'dark' if dark else 'light'}-{person}")
            await browser.open("/nothing/here", 404)
            return browser.faults

    assert site.town.run(walk()) == []


def test_an_incident_says_who_why_and_what_to_do(site):
    for _ in range(6):
        site.town.time.now += 43_200
        for endpoint in site.town.endpoints:
            site.town.visit(endpoint)
        site.town.let_pass(10)
        site.town.run(site.town.site.roll_call())
    site.break_account()
    page = site.town.falls_silent()

    async def walk():
        async with site.town.served(site.folder) as url, walker(url, site.pictures) as browser:
            await browser.sign_in("ada")
            await browser.picture("overview-incident")
            await browser.page.get_by_role("link", name="What happened").click()
            await browser.page.wait_for_url(f"**{page}")
            await browser.page.locator(".plot canvas").first.wait_for()
            await browser.judge("incident")
            await browser.picture("incident")
            await browser.page.get_by_role("link", name="Take this way").first.click()
            await browser.page.get_by_label("Its present password").wait_for()
            await browser.judge("way out")
            return browser.faults

    assert site.town.run(walk()) == []


def test_an_outage_is_mended_in_three_clicks_and_watched_to_the_last_name(site):
    site.break_account()

    async def act():
        async with site.town.served(site.folder) as url, walker(url, site.pictures) as browser:
            page = browser.page
            await browser.sign_in("ada")
            # 1. From the banner of any page to what broke, and the ways out.
            await page.get_by_role("link", name="Ways out").click()
            await browser.judge("recovery")
            # 2. The one to take first.
            await page.get_by_role("link", name="Take this way").first.click()
            await browser.judge("way out")
            await page.get_by_label("Its present password").fill(CHANGED)
            await page.get_by_label("Reason").fill("the password was changed by hand")
            # 3. Begin.
            await page.get_by_role("button", name="Begin").click()
            await page.wait_for_url("**/recovery/progress**")
            await browser.judge("progress")
            await browser.picture("story-1-begun")
            left = list(site.town.endpoints)
            while left:  # they come back one by one while the page is looked at
                await site.town.site.tick()
                site.town.time.now += await left[0].visit() + 0.1
                if left[0].record.credential_generation == 2 and not left[0].record.failures:
                    left.pop(0)
            for endpoint in site.town.endpoints:
                site.town.time.now += 90_000
                await endpoint.visit()
            await site.town.site.tick()
            # The page finds out by itself, without being loaded again by hand.
            await page.get_by_text("all are back", exact=False).wait_for(timeout=15_000)
            await browser.judge("done")
            await browser.picture("story-2-all-back")
            await page.get_by_label("Reason").fill("all are back")
            await page.get_by_label("Your password").fill("ada")
            await page.get_by_role("button", name="End the recovery").click()
            await page.get_by_text("The recovery is over").wait_for()
            return browser.faults

    assert site.town.run(act()) == []


@pytest.mark.parametrize("script", [True, False])
def test_a_long_trail_is_verified_to_its_end(site, script):
    site.town.lengthen_trail(2 * STRETCH)
    head = site.town.run(site.town.site._admin.console.audit.last())

    async def act():
        async with (
            site.town.served(site.folder) as url,
            walker(url, site.pictures, script=script) as browser,
        ):
            page = browser.page
            await browser.sign_in("anna")
            await page.get_by_role("link", name="Audit").click()
            await page.get_by_role("link", name="Verify").click()
            await page.get_by_role("button", name="Verify").click()
            for _ in range(0 if script else 2):
                await page.get_by_role("button", name="Go on").click()
            await page.get_by_text(f"Intact up to record {head}").wait_for(timeout=15_000)
            return browser.faults

    assert site.town.run(act()) == []


def test_a_keyboard_is_enough(site):
    async def act():
        async with site.town.served(site.folder) as url, walker(url, site.pictures, size="narrow") as browser:
            page = browser.page
            await page.goto(f"{url}/sign-in")
            await page.keyboard.type("ada")  # the field has the focus
            await page.keyboard.press("Tab")
            await page.keyboard.type("ada")
            await page.keyboard.press("Enter")
            await page.wait_for_url(f"{url}/")
            await page.keyboard.press("Tab")
            assert await page.evaluate("document.activeElement.textContent") == "Skip to the page"
            await page.keyboard.press("Enter")
            assert await page.evaluate("document.activeElement.id") == "main"
            await page.get_by_role("button", name="Menu").focus()
            await page.keyboard.press("Enter")
            await page.keyboard.press("Tab")
            await browser.judge("menu")
            await browser.picture("menu-narrow")
            await page.get_by_role("link", name="Endpoints").focus()
            await page.keyboard.press("Enter")
            await page.wait_for_url(f"{url}/endpoints")
            return browser.faults

    assert site.town.run(act()) == []


def test_everything_works_without_a_script(site):
    async def act():
        async with site.town.served(site.folder) as url, walker(url, site.pictures, script=False) as browser:
            page = browser.page
            await browser.sign_in("ada")
            await page.get_by_role("link", name="Endpoints").click()
            await page.get_by_label("Name begins with").fill("pc-00003")
            await page.get_by_role("button", name="Find").click()
            await page.get_by_role("link", name="pc-00003").click()
            await page.get_by_role("button", name="Check in now").click()
            await page.get_by_text("was asked").wait_for()
            await page.get_by_role("link", name="Packages").click()
            await page.get_by_role("link", name="Build one").click()
            await page.get_by_role("button", name="Build it").click()
            async with page.expect_download() as downloading:
                await page.get_by_role("button", name="Download").click()
            assert (await (await downloading.value).path()).stat().st_size > 1000
            await page.get_by_role("button", name="Sign out").click()
            await page.wait_for_url(f"{url}/sign-in")
            return browser.faults

    assert site.town.run(act()) == []


def test_another_site_can_neither_frame_it_nor_send_its_forms(site):
    async def act():
        async with site.town.served(site.folder) as url, walker(url, site.pictures) as browser:
            page = browser.page
            await browser.sign_in("ada")
            await page.goto("about:blank")
            await page.set_content(f'<iframe src="{url}/keys"></iframe>')
            await page.wait_for_timeout(500)
            framed = [frame.url for frame in page.frames[1:]]
            assert framed == ["chrome-error://chromewebdata/"], framed
            form = f'<form method="post" action="{url}/packages"><input name="kind" value="bundle">'
            await page.set_content(f"{form}<button>x</button></form>")
            async with page.expect_navigation() as going:
                await page.get_by_role("button").click()
            answer = await going.value
            # A form of another site comes without the cookie (SameSite=Lax), and is refused for its origin.
            assert answer.status == 403
            return await answer.text()

    assert "Another site sent this form" in site.town.run(act())
