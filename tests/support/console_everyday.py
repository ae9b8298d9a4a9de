"""What an administrator does on an ordinary day, in the browser: endpoints, packages, a planned rotation."""

import asyncio
import re

from playwright.async_api import expect
from tests.support.console_first import PASSWORD, builds
from tests.support.console_site import BRANCH, ConsoleSite
from tests.support.device import read_bundle
from tests.support.samba import Account
from tests.support.walker import Walker
from tests.support.windows import WindowsRig


async def lets_in(browser: Walker, site: ConsoleSite) -> WindowsRig:
    """A computer asks to join by a package that lets nobody in by itself; it is let in, revoked, reinstated."""
    page = browser.page
    archive = await builds(browser, site.folder, ring="lab", mode="oauth", admission="approve", max_uses="5")
    newcomer = site.rig(read_bundle(archive))
    newcomer.machine.name = "lab-1"
    await newcomer.check_in()
    await browser.go("Overview")
    await browser.look("overview-waiting")
    await browser.go("lab-1")
    await browser.look("endpoint-pending")
    await browser.press("Let it in")
    await page.get_by_text("Done.").wait_for()
    await site.visited(lambda: newcomer.said.startswith("ok"), "it to be let in", [newcomer])
    for button in ("Check in now", "Renew its key"):
        await browser.press(button)
        await page.get_by_text("The endpoint was asked").wait_for()
    await browser.press("Revoke", typed="another name")
    await page.get_by_text("type the name", exact=False).wait_for()
    await browser.judge("not revoked")
    await page.go_back()
    await browser.press("Revoke", typed="lab-1")
    await page.get_by_role("button", name="Reinstate").wait_for()
    await newcomer.check_in()
    assert "revoked" in newcomer.said, newcomer.said
    await browser.press("Reinstate")
    await page.get_by_text("Done.").wait_for()
    await site.visited(lambda: newcomer.said.startswith("ok"), "it to be back", [newcomer])
    await _its_package_is_revoked(browser)
    return newcomer


async def _its_package_is_revoked(browser: Walker) -> None:
    await browser.go("Packages", "bundle for lab")
    await browser.look("package-of-the-lab")
    await browser.press("Revoke")
    await browser.page.get_by_text("The package is revoked").wait_for()


async def keeps_a_search(browser: Walker) -> None:
    """What is looked for again and again gets a name, and loses it."""
    page = browser.page
    await browser.go("Endpoints")
    await browser.press("Find", disks="unknown")
    await browser.press("Keep", kept="Not known")
    await page.get_by_text("The search is kept").wait_for()
    await browser.look("endpoints-search-kept")
    await page.get_by_role("button", name="Forget Not known").click()
    await page.get_by_text("Done.").wait_for()


async def rotates(ada: Walker, bob: Walker, site: ConsoleSite, source: Account, target: Account) -> None:
    """Move a ring to another account, and back: two persons agree, it is paused, one endpoint is waived."""
    page = ada.page
    await ada.go("Rotations", "Plan one")
    plan = {"kind": "account", "ring": "branch", "source": source.logon, "target": target.logon, "approvals": "2"}
    await ada.press("Look ahead", **plan)
    await page.get_by_text("endpoints to move").wait_for()
    await ada.look("rotation-ahead")
    await ada.press("Put it on record")
    await page.get_by_text("The plan is on record").wait_for()
    await page.get_by_text("1 more must approve it").wait_for()  # who plans it has agreed
    await ada.look("rotation-draft")
    await bob.page.goto(page.url.partition("?")[0])
    await bob.press("Approve as bob")
    await bob.page.get_by_text("Your approval is on record").wait_for()
    await page.goto(page.url.partition("?")[0])
    await ada.press("Start")
    await _watched(ada, site, f"1 of {BRANCH} moved")
    await ada.look("rotation-canaries")
    await ada.press("Pause", within="Pause", reason="the weekend comes first")
    await page.get_by_text("Paused: the weekend comes first").first.wait_for()
    await ada.look("rotation-paused")
    await ada.press("Resume")
    await page.get_by_text("Done.").wait_for()
    last = page.get_by_role("checkbox", name=re.compile("^Waive ")).last  # whichever: any of them may be the canary
    waived = await last.get_attribute("value")
    await last.check()
    await ada.press("Wait no more for those ticked", within="Missing, by name", reason="it is in repair")
    await page.get_by_text("They are waived").wait_for()
    await ada.press("Hasten", within="Hasten", reason="the old password was seen on a screen", proof=PASSWORD)
    await site.visited(lambda: _use(site, target, waived), "all to have moved", site.branch)
    await _is_not_retired_yet(ada)
    await ada.press("Roll back", within="Roll back", reason="the other account is to rest")
    await site.visited(lambda: _use(site, source, waived), "all to be back", site.branch)
    await page.get_by_text("abandoned").first.wait_for()
    await site.verified(site.branch)


async def _is_not_retired_yet(browser: Walker) -> None:
    """The page says why not."""
    await browser.page.get_by_text("draining").first.wait_for()
    retire = await browser.within("Retire")
    await retire.get_by_role("listitem").first.wait_for()
    assert await retire.get_by_role("button").count() == 0
    await browser.look("rotation-moved")


async def _watched(browser: Walker, site: ConsoleSite, said: str) -> None:
    """Let the ring go on until the page says so, by itself."""
    live = browser.page.locator("#live")
    for _ in range(60):
        if said in " ".join((await live.inner_text()).split()):
            return
        await site.fleet.visit(site.branch)
        await asyncio.sleep(0.5)
    raise AssertionError(await live.inner_text())


def _use(site: ConsoleSite, account: Account, waived: str | None) -> bool:
    records = [rig.agent.record for rig in site.branch]
    return all(record.account_name == account.name for record in records if record.endpoint_id != waived)


async def opens_a_window_by_hand(browser: Walker) -> None:
    """For one ring; it is closed over those who did not come, by their number."""
    page = browser.page
    await browser.go("Recovery windows", "Open one")
    window = {"minutes": "30", "ranges": "127.0.0.0/8", "ring": "branch", "reason": "to see how it is done"}
    await browser.press("Open it", proof=PASSWORD, **window)
    await page.get_by_text("The recovery window is open").wait_for()
    await _closes_over_all_of_them(browser)
    await page.get_by_text("The recovery window is closed").wait_for()


async def _closes_over_all_of_them(browser: Walker) -> None:
    """By their number; if that has become another one meanwhile the page says so, and leads back."""
    page = browser.page
    for _ in range(3):
        told = re.search(r"Missing still: (\d+)", await page.locator("#live").inner_text())
        assert told, "how many are missing is told"
        async with page.expect_navigation():
            await browser.press("Close it", despite_unproven=told[1])
        if not await page.get_by_role("heading", name="That was not done").count():
            return
        await browser.go("Back")
        # What moves on the page may be a second behind: the number that was refused goes by itself.
        await expect(page.locator("#live")).not_to_contain_text(f"Missing still: {told[1]}", timeout=30_000)


async def tidies_up(browser: Walker, account: Account) -> None:
    """An account that nobody uses any more is read once more and taken off; a mode of a ring is opened and closed.

    Endpoints are told to check in less often, and as often as before.
    """
    page = browser.page
    await browser.go("Accounts", account.logon)
    await browser.press("Read it now")
    await page.get_by_text("was read from the directory a moment ago").wait_for()
    await browser.press("Remove")
    await page.get_by_text("The account is off the record").wait_for()
    await browser.go("Settings")
    for button, folded in (("Open", "Open a mode"), ("Close", "Close a mode")):
        order = {"mode": "oauth", "ring": "workshop", "reason": "the workshop is new"}
        await browser.press(button, within=folded, proof=PASSWORD, **order)
        await page.get_by_text("The authentication modes were changed").wait_for()
        await page.goto(f"{browser.url}/settings")
    for minutes in ("2", "1"):  # that of this story
        order = {"minutes": minutes, "reason": "the line is slow"}
        await browser.press("Change", within="Change it", proof=PASSWORD, **order)
        await page.get_by_text("The policy was changed").wait_for()
