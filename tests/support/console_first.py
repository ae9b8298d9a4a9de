"""The first hour with the console: join, open Windows Authentication, prove an account, download a package."""

import asyncio
from pathlib import Path

from tests.support import processes
from tests.support.console_site import ConsoleSite
from tests.support.samba import Account
from tests.support.walker import Walker

PASSWORD = "correct horse battery"


async def joins(browser: Walker, site: ConsoleSite, name: str, code: str) -> None:
    """Somebody takes up an invitation and signs in."""
    page = browser.page
    await page.goto(f"{site.home}/join")
    await browser.look("join")
    await page.get_by_label("Invitation").fill(code)
    await page.get_by_label("Your password").fill(PASSWORD)
    await page.get_by_label("The same again").fill(PASSWORD)
    await page.get_by_role("button", name="Take it up").click()
    await page.get_by_text("The password is yours").wait_for()
    await browser.look("joined")
    await browser.go("Sign in")
    await page.get_by_role("heading", name="Sign in").wait_for()
    await browser.look("sign-in")
    await browser.sign_in(name, PASSWORD)


async def opens_windows_mode(browser: Walker, site: ConsoleSite) -> None:
    """OAuth is open from the beginning; this fleet authenticates with an account."""
    await browser.go("Settings")
    await browser.press("Open", within="Open a mode", mode="windows", reason="the site has a domain", proof=PASSWORD)
    await browser.page.get_by_text("The authentication modes were changed").wait_for()
    await asyncio.to_thread(processes.until, lambda: site.curl().kind != "mode_closed", "the mode to open")


async def proves(browser: Walker, site: ConsoleSite, account: Account) -> None:
    """Put an account on record: a wrong password is refused, and says why."""
    page = browser.page
    await browser.go("Accounts")
    await browser.press("Prove and add", account=account.logon, password="Not-Its-Passw0rd-1")
    await page.get_by_role("alert").wait_for()
    await browser.look("account-refused")
    await browser.press("Prove and add", account=account.logon, password=account.password)
    await page.get_by_text("The password was proven").wait_for()
    await asyncio.to_thread(
        processes.until, lambda: site.ntlm(account).kind != "account_not_allowed", "the check-in process to know it"
    )


async def builds(browser: Walker, to: Path, **order: str) -> Path:
    """Build a package and download it."""
    page = browser.page
    await browser.go("Packages", "Build one")
    await browser.press("Build it", kind="bundle", **order)
    button = page.get_by_role("button", name="Download")
    await button.wait_for(timeout=60_000)
    async with page.expect_download() as downloading:
        await button.click()
    download = await downloading.value
    archive = to / download.suggested_filename
    await download.save_as(archive)
    return archive
