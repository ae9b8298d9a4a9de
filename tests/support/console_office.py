"""People and their keys, in the browser: roles, codes, passkeys, tokens, a second person, the trail, what is told."""

import asyncio
import re
import time

from tests.support.authenticator import STEP, code_of
from tests.support.console_first import PASSWORD
from tests.support.console_site import ConsoleSite
from tests.support.receivers import Hook
from tests.support.walker import Walker

AUTHENTICATOR = {
    "protocol": "ctap2",
    "transport": "internal",
    "hasResidentKey": True,
    "hasUserVerification": True,
    "isUserVerified": True,
}


async def invites(browser: Walker, name: str, role: str, rings: str = "") -> str:
    """Invite somebody; return the code, which is shown once."""
    await browser.go("People")
    order = {"name": name, "role": role, "rings": rings, "reason": f"{name} joins the team"}
    await browser.press("Invite", within="Invite somebody", proof=PASSWORD, **order)
    code = await _told_once(browser)
    await browser.look("invitation")
    return code


async def _told_once(browser: Walker) -> str:
    await browser.page.get_by_text("This is shown only now").wait_for()
    return await browser.page.locator("code.wrap").inner_text()


async def changes_people(browser: Walker) -> None:
    """Somebody gets another role, is reset, switched off and let back in."""
    page = browser.page
    await invites(browser, "carol", "operator")
    await browser.go("To carol")
    why = {"reason": "she has other work now", "proof": PASSWORD}
    await browser.press("Change", within="Role and rings", role="auditor", rings="", **why)
    await page.get_by_text("Done.").wait_for()
    await browser.press("Reset", within="Reset", **why)
    await _told_once(browser)
    await browser.go("To carol")
    await browser.press("Switch off", within="Switch off", **why)
    await page.get_by_text("disabled").first.wait_for()
    await browser.look("person-disabled")
    await browser.press("Let back in", within="Let back in", **why)
    await _told_once(browser)


async def hands_out_a_token(browser: Walker) -> None:
    """An API token for a program, and its end."""
    await browser.go("People", "bob")
    what = {"name": "inventory", "days": "30", "scope": "endpoint.read", "reason": "the inventory reads endpoints"}
    await browser.press("Make it", within="Make one", proof=PASSWORD, **what)
    assert (await _told_once(browser)).startswith("kfa_")
    await browser.go("To bob")
    await browser.look("person-with-a-token")
    await browser.press("Revoke", within="Revoke it", reason="it is not needed any more", proof=PASSWORD)
    await browser.page.get_by_text("revoked").first.wait_for()


async def demands_codes(ada: Walker, bob: Walker) -> None:
    """Bob gets a second factor: from its first code on he does not come in without one."""
    await ada.go("People", "bob")
    await ada.press("Make it", within="Second factor", reason="all of us use codes", proof=PASSWORD)
    told = await _told_once(ada)
    await ada.look("second-factor")
    found = re.search(r"secret=([A-Z2-7]+)", told)
    assert found is not None, "no secret in what was told"
    secret = found.group(1)
    first = code_of(secret, time.time())
    await ada.press("Demand codes from now on", code=first, reason="all of us use codes", proof=PASSWORD)
    await ada.page.get_by_text("Done.").wait_for()
    await bob.page.goto(f"{bob.url}/me")
    await bob.page.get_by_role("button", name="Sign out").click()
    await bob.page.wait_for_url(f"{bob.url}/sign-in")
    await bob.page.get_by_label("Name").fill("bob")
    await bob.page.get_by_label("Password").fill(PASSWORD)
    await bob.page.get_by_role("button", name="Sign in").click()
    await bob.page.get_by_role("alert").first.wait_for()
    await asyncio.sleep(STEP - time.time() % STEP)  # no code is taken twice
    await bob.sign_in("bob", PASSWORD, code_of(secret, time.time()))


async def uses_a_passkey(browser: Walker) -> None:
    """Add one, come in by it, remove it."""
    page = browser.page
    devices = await page.context.new_cdp_session(page)
    await devices.send("WebAuthn.enable")
    await devices.send("WebAuthn.addVirtualAuthenticator", {"options": AUTHENTICATOR})
    await browser.go("ada")
    name = page.get_by_label("Name of a new one")
    await name.wait_for()
    await browser.press("Add a passkey", name="blue key", proof=PASSWORD)
    await page.get_by_text("blue key", exact=True).wait_for()
    await browser.look("passkey")
    await page.get_by_role("button", name="Sign out").click()
    await page.get_by_role("button", name="Use a passkey").click()
    await page.wait_for_url(f"{browser.url}/")
    await browser.go("ada")
    await browser.press("Remove", within="Remove it", proof=PASSWORD)
    await page.get_by_text("None yet").wait_for()
    await devices.detach()


async def rotates_a_key(ada: Walker, bob: Walker) -> None:
    """A second person has to agree here: once he does, once he does not."""
    page = ada.page
    for answer, state in (("Agree", "given"), ("Deny", "denied")):
        await ada.go("Keys")
        await ada.press("Rotate", role="command", reason="once a year", proof=PASSWORD)
        await page.get_by_role("heading", name="A second person has to agree").wait_for()
        await ada.look("second-person")
        await bob.go("Approvals")
        await bob.look("approval-asked")
        await bob.press(answer, within=answer, reason="I looked at it", proof=PASSWORD)
        await bob.page.get_by_text(state, exact=True).first.wait_for()
        await ada.press("Do it, now that they agreed", proof=PASSWORD)
        await page.get_by_text("The key was rotated" if answer == "Agree" else "denied").first.wait_for()


async def sends_a_test(browser: Walker, hook: Hook) -> None:
    """The receiver of notifications hears it, and the page says so."""
    page = browser.page
    await browser.go("Settings", "Notifications")
    hook.heard.clear()
    await browser.press("Send a test", reason="after the move", proof=PASSWORD)
    await page.get_by_text("A test is on its way").wait_for()
    await asyncio.wait_for(hook.heard.wait(), 30)
    await page.reload()
    await page.get_by_text("webhook").first.wait_for()


async def reads_the_trail(browser: Walker, site: ConsoleSite) -> None:
    """Find an act, look at it, verify everything, take it along."""
    page = browser.page
    await browser.go("Audit")
    await page.get_by_label("Who", exact=True).fill("ada")
    await page.get_by_label("Act", exact=True).select_option("recovery_begun")
    await page.get_by_role("button", name="Find").click()
    await browser.look("audit-filtered")
    await browser.go("recovery begun")
    await page.get_by_text("the password was changed", exact=False).first.wait_for()
    await browser.go("Audit", "Verify")
    await page.get_by_role("button", name="Verify").click()
    await page.get_by_text("Intact up to record").wait_for()
    await browser.look("audit-verified")
    await browser.go("Audit")
    async with page.expect_download() as downloading:
        await page.get_by_role("button", name="Export").click()
    exported = site.folder / "trail.jsonl"
    await (await downloading.value).save_as(exported)
    assert len(exported.read_text("utf-8").splitlines()) > 50


async def ends_a_session(ada: Walker, bob: Walker) -> None:
    """Bob is signed out at once."""
    await ada.go("People")
    item = ada.page.get_by_role("region", name="Signed in").get_by_role("listitem").filter(has_text="bob")
    await item.get_by_text("End it").click()
    await item.get_by_label("Reason").fill("his telephone was lost")
    proof = item.get_by_label("Your password")
    if await proof.count():
        await proof.fill(PASSWORD)
    await item.get_by_role("button", name="End", exact=True).click()
    await ada.page.get_by_text("Done.").wait_for()
    await bob.page.goto(f"{bob.url}/keys")
    await bob.page.get_by_role("heading", name="Sign in").wait_for()
