"""They all went silent, in the browser: from the incident to the last name, by a device key or through a window."""

import asyncio

from tests.support import roll_call
from tests.support.console_first import PASSWORD
from tests.support.console_site import OFF, ConsoleSite
from tests.support.walker import Walker

REASON = "the password was changed by hand"


async def takes_the_way_of_device_keys(browser: Walker, site: ConsoleSite, password: str) -> None:
    """From the incident to the chosen way in three clicks, and watched to the last name."""
    page = browser.page
    # 1. From the banner of any page to the incident.
    await browser.go("What happened")
    await page.get_by_role("heading", name=f"{len(site.fleet)} endpoints went silent").wait_for()
    await page.locator(".plot canvas").first.wait_for()
    await browser.look("incident")
    # 2. The way to take first.
    await page.get_by_role("link", name="Take this way").first.click()
    await page.get_by_label("Its present password").wait_for()
    await browser.look("way-device-key")
    # 3. Begin: a password that does not work is refused, and nothing has begun.
    await browser.press("Begin", password="Not-The-Passw0rd-1", reason=REASON, proof=PASSWORD)
    await page.get_by_role("alert").wait_for()
    await browser.look("way-refused")
    await browser.press("Begin", password=password, reason=REASON, proof=PASSWORD)
    await page.get_by_role("heading", name="Recovery under way").wait_for()
    await browser.look("recovery-begun")
    await _stops_and_goes_on(browser)
    await _watched_to_the_last_name(browser, site, 2)
    await browser.look("recovery-all-back")
    await browser.press("End the recovery", reason="all are back", proof=PASSWORD)
    await page.get_by_text("The recovery is over").wait_for()


async def _stops_and_goes_on(browser: Walker) -> None:
    """Somebody pauses what carries it out; it goes on where it stopped."""
    page = browser.page
    await browser.go("its rotation")
    await browser.press("Pause", within="Pause", reason="one question first")
    await page.get_by_text("Paused: one question first").first.wait_for()
    await _to_its_progress(browser)
    await browser.go("Look at it")
    await browser.press("Resume")
    await page.get_by_text("Done.").wait_for()
    await _to_its_progress(browser)


async def _to_its_progress(browser: Walker) -> None:
    await browser.go("Recovery")
    await browser.page.locator("main a[href='/recovery/progress']").click()
    await browser.page.get_by_role("heading", name="Recovery under way").wait_for()


async def _watched_to_the_last_name(browser: Walker, site: ConsoleSite, generation: int) -> None:
    """The page names who is off; they are switched on; nobody loads it again by hand."""
    page = browser.page
    await site.back(site.on, generation)
    await page.get_by_text(f"Missing still: {OFF}").wait_for(timeout=30_000)
    for rig in site.off:
        await page.get_by_text(rig.machine.name).wait_for()
    await browser.look("recovery-some-missing")
    await site.back(site.off, generation)
    await asyncio.sleep(1.1)  # the next check-in is one after the change only in another second
    await site.all_check_in()
    await page.get_by_text("all are back", exact=False).wait_for(timeout=30_000)


async def sees_the_incident_end(browser: Walker, site: ConsoleSite) -> None:
    """Two roll calls that find everybody; the page says by itself that it is over."""
    page = browser.page
    await browser.go("Incidents")
    await page.locator("tbody th a").first.click()
    for _ in range(2):
        await site.all_check_in()
        await roll_call.called(site)
    await page.get_by_text("Silent at the end").wait_for(timeout=30_000)
    await page.get_by_text("resolved").first.wait_for()
    await browser.look("incident-over")


async def takes_the_way_of_the_article(browser: Walker, site: ConsoleSite, password: str) -> None:
    """Anonymous is opened for recovery, watched, not closed over those who are missing, closed when all are back."""
    page = browser.page
    await page.goto(f"{site.home}/")
    await browser.go("What happened")
    await page.get_by_role("heading", name="went silent").wait_for()
    way = page.get_by_role("listitem").filter(has_text="Open a recovery window").get_by_role("link")
    await way.first.click()
    await browser.look("way-window")
    window = {"minutes": "30", "ranges": "127.0.0.0/8", "password": password, "reason": REASON}
    await browser.press("Begin", proof=PASSWORD, **window)
    await page.get_by_role("heading", name="Recovery under way").wait_for()
    await browser.go("open")
    await page.get_by_role("heading", name="Who is back").wait_for()
    await browser.look("window-open")
    await site.back(site.on, 3)
    await page.get_by_text(f"{len(site.on)} of {len(site.fleet)}").wait_for(timeout=30_000)
    for rig in site.off:
        await page.get_by_role("link", name=rig.machine.name).wait_for()
    await browser.look("window-some-missing")
    closing = page.url.partition("?")[0]
    await browser.press("Close it")
    await page.get_by_text("not proven", exact=False).first.wait_for()
    await browser.look("window-not-closed")
    await _gives_the_rest_up(browser)
    await page.goto(closing)
    await site.back(site.off, 3)
    await asyncio.sleep(1.1)
    await site.all_check_in()
    await page.get_by_text("Nobody is missing").wait_for(timeout=30_000)
    await page.reload()
    await browser.press("Close it")
    await page.get_by_text("The recovery window is closed").wait_for()
    await browser.look("window-closed")
    # Everybody goes on checking in, now that Anonymous is shut: only then are all of them back.
    await asyncio.sleep(1.1)
    await site.all_check_in()
    await _to_its_progress(browser)
    await page.get_by_text("all are back", exact=False).wait_for(timeout=30_000)
    await browser.press("End the recovery", within="End it", reason="all are back", proof=PASSWORD)
    await page.get_by_text("The recovery is over").wait_for()


async def _gives_the_rest_up(browser: Walker) -> None:
    """Somebody does not believe in the last ones, and ends the incident without them."""
    await browser.go("Incidents")
    await browser.page.locator("tbody th a").first.click()
    await browser.press("They will not come back")
    await browser.page.get_by_text("given up").first.wait_for()
    await browser.look("incident-given-up")
