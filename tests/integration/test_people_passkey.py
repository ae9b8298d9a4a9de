"""Passkeys in a real browser with a virtual authenticator, on a real server: added, used, copied, removed."""

import asyncio
import base64
import hashlib

import httpx2
import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from playwright.async_api import async_playwright
from tests.support import processes
from tests.support.require import require
from tests.support.server import RunningServer

pytestmark = pytest.mark.slow

PASSWORD = "correct horse battery"
KEY = {
    "protocol": "ctap2",
    "transport": "internal",
    "hasResidentKey": True,
    "hasUserVerification": True,
    "isUserVerified": True,
}


@pytest.fixture
async def site(tmp_path):
    port = processes.free_port()
    server = await asyncio.to_thread(RunningServer, tmp_path / "data", tables=f"[console]\nport = {port}\n")
    url = f"https://localhost:{port}"

    def listens():
        try:
            with httpx2.Client(verify=server.tls(), trust_env=False) as http:
                return http.get(f"{url}/sign-in").status_code == 200
        except httpx2.HTTPError:
            return False

    await asyncio.to_thread(processes.until, listens, "the console")
    words = ("person", "add", "alice", "--role", "operator", "--password-file", "-")
    environment = {"KEYFAST_DATA": str(server.data)}
    made = await asyncio.to_thread(processes.run, "keyfast.cli.main", *words, stdin=PASSWORD, **environment)
    assert made.returncode == 0, made.stderr
    yield server, url
    await asyncio.to_thread(server.close)


@pytest.fixture
async def browser(site):
    server, _ = site
    certificate = x509.load_pem_x509_certificate((server.settings.tls / "server.pem").read_bytes())
    public = certificate.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    trusted = base64.b64encode(hashlib.sha256(public).digest()).decode()
    # A browser makes no passkeys where it was told to look away from a certificate that it does not trust.
    options = ["--no-sandbox", f"--ignore-certificate-errors-spki-list={trusted}"]
    async with async_playwright() as playwright:
        chromium = await playwright.chromium.launch(executable_path=require("chromium", "chromium"), args=options)
        yield await (await chromium.new_context()).new_page()
        await chromium.close()


async def _authenticator(page, **changes):
    devices = await page.context.new_cdp_session(page)
    await devices.send("WebAuthn.enable")
    made = await devices.send("WebAuthn.addVirtualAuthenticator", {"options": KEY | changes})
    return devices, made["authenticatorId"]


async def _sign_out(page, url):
    await page.goto(f"{url}/me")
    await page.get_by_role("button", name="Sign out").click()
    await page.wait_for_url(f"{url}/sign-in")


async def test_a_passkey_from_its_making_to_its_removal(site, browser):
    _, url = site
    page, faults = browser, []
    page.on("pageerror", lambda error: faults.append(str(error)))
    page.on("console", lambda said: faults.append(said.text) if "Content Security Policy" in said.text else None)
    devices, key = await _authenticator(page)
    await page.goto(f"{url}/sign-in")
    await page.get_by_label("Name").fill("alice")
    await page.get_by_label("Password").fill(PASSWORD)
    await page.get_by_role("button", name="Sign in").click()
    await page.wait_for_url(f"{url}/")

    await page.goto(f"{url}/me")
    await page.get_by_label("Name of a new one").fill("blue key")
    await page.get_by_role("button", name="Add a passkey").click()
    await page.wait_for_url(f"{url}/me?told=changed")
    assert "blue key" in await page.content()
    (kept,) = (await devices.send("WebAuthn.getCredentials", {"authenticatorId": key}))["credentials"]

    # The same authenticator makes no second one for the same person.
    await page.get_by_label("Name of a new one").fill("again")
    await page.get_by_role("button", name="Add a passkey").click()
    await page.get_by_role("alert").get_by_text("registered").wait_for()

    await _sign_out(page, url)
    await page.get_by_role("button", name="Use a passkey").click()
    await page.wait_for_url(f"{url}/")
    await page.goto(f"{url}/me")
    assert "alice" in await page.content()
    assert "used never" not in await page.content()

    # A copy of the authenticator that counts less than the one that was used is refused.
    await _sign_out(page, url)
    await devices.send("WebAuthn.clearCredentials", {"authenticatorId": key})
    await devices.send("WebAuthn.addCredential", {"authenticatorId": key, "credential": kept | {"signCount": 0}})
    await page.get_by_role("button", name="Use a passkey").click()
    await page.get_by_text("That did not sign you in").wait_for()

    # Once more with the one that counts on, to remove it; then it opens nothing.
    await devices.send("WebAuthn.clearCredentials", {"authenticatorId": key})
    await devices.send("WebAuthn.addCredential", {"authenticatorId": key, "credential": kept | {"signCount": 99}})
    await page.goto(f"{url}/sign-in?next=/me")
    await page.get_by_role("button", name="Use a passkey").click()
    await page.wait_for_url(f"{url}/me")
    await page.get_by_text("Remove it").click()
    await page.get_by_role("button", name="Remove").click()
    await page.get_by_text("None yet").wait_for()
    await _sign_out(page, url)
    await page.get_by_role("button", name="Use a passkey").click()
    await page.get_by_text("That did not sign you in").wait_for()
    assert faults == []


async def test_an_authenticator_that_does_not_verify_its_user_is_not_enough(site, browser):
    _, url = site
    await _authenticator(browser, isUserVerified=False)
    await browser.goto(f"{url}/sign-in")
    await browser.get_by_role("button", name="Use a passkey").click()
    await browser.get_by_role("alert").get_by_text("Nothing was chosen").wait_for()
