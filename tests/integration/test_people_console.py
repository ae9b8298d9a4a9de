"""People in a browser, on a real server: invited, joined, signed in by password and by an identity provider."""

import asyncio
import html
import json
import re
from urllib.parse import parse_qsl, urlencode, urlsplit

import httpx2
import pytest
import trustme
from tests.support import processes
from tests.support.identity_provider import IdentityProvider
from tests.support.server import RunningServer
from tests.support.tls_server import served

from keyfast.api.console.entry_views import TICKET
from keyfast.api.console.gate import COOKIE

pytestmark = pytest.mark.slow

PASSWORD = "correct horse battery"
FORM = {"content-type": "application/x-www-form-urlencoded", "sec-fetch-site": "same-origin"}


class Site:
    """A server with a console and an identity provider."""

    def __init__(self, folder, provider, authority):
        self.provider = provider
        self.port = processes.free_port()
        self.url = f"https://localhost:{self.port}"
        (folder / "secret").touch(mode=0o600)
        (folder / "secret").write_text(provider.secret)
        authority.cert_pem.write_to_path(folder / "provider.pem")
        tables = (
            f"[console]\nport = {self.port}\n[oidc]\nissuer = {json.dumps(provider.issuer)}\nclient_id = 'keyfast'\n"
            f"client_secret_file = '{folder}/secret'\nca = '{folder}/provider.pem'\n"
        )
        self.server = RunningServer(folder / "data", tables=tables)
        processes.until(self._listens, "the console")

    def _listens(self):
        try:
            with httpx2.Client(verify=self.server.tls(), trust_env=False) as http:
                return http.get(f"{self.url}/sign-in").status_code == 200
        except httpx2.HTTPError:
            return False

    async def here(self, *words):
        run = asyncio.to_thread(processes.run, "keyfast.cli.main", *words, KEYFAST_DATA=str(self.server.data))
        done = await run
        assert done.returncode == 0, done.stderr
        return done.stdout

    def browser(self):
        return httpx2.AsyncClient(base_url=self.url, verify=self.server.tls(), trust_env=False, timeout=20)


@pytest.fixture
async def site(tmp_path):
    authority, provider = trustme.CA(), IdentityProvider()
    issued = authority.issue_cert("localhost")
    issued.cert_chain_pems[0].write_to_path(tmp_path / "cert.pem")
    issued.private_key_pem.write_to_path(tmp_path / "key.pem")
    async with served(provider, tmp_path / "cert.pem", tmp_path / "key.pem") as port:
        provider.issuer = f"https://localhost:{port}"
        made = await asyncio.to_thread(Site, tmp_path, provider, authority)
        yield made
        await asyncio.to_thread(made.server.close)


async def _post(browser, path, headers=FORM, **fields):
    return await browser.post(path, content=urlencode(fields, doseq=True), headers=headers)


async def test_from_the_invitation_to_a_colleague(site):
    code = json.loads(await site.here("person", "add", "alice", "--role", "administrator", "--json"))["code"]
    async with site.browser() as alice, site.browser() as bob:
        await _joined(alice, code)
        planted = "kfs_" + "A" * 43
        fixed = {"cookie": f"{COOKIE}={planted}"}
        assert (await alice.get("/people", headers=fixed)).headers["location"].startswith("/sign-in")
        assert (await _post(alice, "/sign-in", name="alice", password=PASSWORD + "x")).status_code == 403
        entered = await _post(alice, "/sign-in", headers=FORM | fixed, name="alice", password=PASSWORD, next="/people")
        assert (await alice.get("/people", headers=fixed)).headers["location"].startswith("/sign-in")
        assert (entered.status_code, entered.headers["location"]) == (303, "/people")
        cookie = entered.headers["set-cookie"]
        assert planted not in cookie
        assert all(word in cookie for word in ("Secure", "HttpOnly", "SameSite=lax", "Path=/"))
        await _enters(alice, cookie)
        assert "alice" in (await alice.get("/people")).text
        await _refused_invitations(alice)
        made = await _post(alice, "/people", name="bob", role="operator", rings="a b", reason="he joins")
        await _joined(bob, _told_once(made))
        entered = await _post(bob, "/sign-in", name="bob", password=PASSWORD)
        await _enters(bob, entered.headers["set-cookie"])
        assert (await bob.get("/people")).status_code == 403
        assert (await _post(bob, "/people", name="eve", role="administrator", reason="x")).status_code == 403
        assert _told_once(await _post(alice, "/people/bob/second-factor", reason="x")).startswith("otpauth://")
        token = {"name": "t", "days": 1, "scope": "endpoint.read"}
        told = _told_once(await _post(alice, "/people/bob/tokens", reason="a test", **token))
        assert told.startswith("kfa_")
        page = (await alice.get("/people/bob")).text
        assert told not in page
        token_id = re.search(r"/tokens/([0-9a-f-]{36})/revoke", page).group(1)
        assert (await _post(alice, f"/people/bob/tokens/{token_id}/revoke", reason="done")).status_code == 303
        for act in ("change", "reset", "disable", "enable"):
            answer = await _post(alice, f"/people/bob/{act}", reason="a test", role="auditor", rings="")
            assert answer.status_code in (200, 303), (act, answer.text)
            assert (await bob.get("/")).headers["location"] == "/sign-in", act
        await _ends_her_session(alice)


async def _joined(browser, code):
    assert "Take it up" in (await browser.get("/join")).text
    form = {"code": code, "password": PASSWORD, "again": PASSWORD}
    foreign = {"content-type": FORM["content-type"], "sec-fetch-site": "cross-site"}
    assert (await _post(browser, "/join", headers=foreign, **form)).status_code == 403
    differing = (await _post(browser, "/join", **form | {"again": "x"})).text
    assert "The two passwords differ" in differing
    assert code in differing  # it need not be typed again
    assert PASSWORD not in differing
    assert (await _post(browser, "/join", **form | {"code": "kfi_x"})).status_code == 404
    assert "is yours" in (await _post(browser, "/join", **form)).text


async def _refused_invitations(alice):
    order = {"name": "mallory", "role": "operator"}
    foreign = {"content-type": FORM["content-type"], "sec-fetch-site": "cross-site"}
    assert (await _post(alice, "/people", headers=foreign, reason="x", **order)).status_code == 403
    assert "reason" in (await _post(alice, "/people", **order)).text
    assert "mallory" not in (await alice.get("/people")).text


async def _ends_her_session(alice):
    page = (await alice.get("/people")).text
    session = re.search(r"/people/sessions/([0-9a-f-]{36})/end", page).group(1)
    await _post(alice, f"/people/sessions/{session}/end", reason="mine")
    assert (await alice.get("/people")).headers["location"].startswith("/sign-in")


async def _enters(browser, cookie):
    browser.cookies.clear()
    browser.headers["cookie"] = cookie.partition(";")[0]


def _told_once(answer):
    assert answer.status_code == 200, answer.text
    assert answer.headers["cache-control"] == "no-store"
    return html.unescape(re.search(r'<code class="wrap">([^<]*)</code>', answer.text).group(1))


async def test_single_sign_on(site):
    await site.here("person", "add", "carol", "--role", "auditor", "--json")
    async with site.browser() as browser:
        assert "/sign-in/oidc?next=" in (await browser.get("/sign-in")).text
        left = await browser.get("/sign-in/oidc?next=https://evil.example/")
        ticket = left.headers["set-cookie"]
        assert left.status_code == 303
        assert ticket.startswith(f"{TICKET}=")
        asked = dict(parse_qsl(urlsplit(left.headers["location"]).query))
        assert asked["redirect_uri"] == f"{site.url}/sign-in/oidc/answer"
        brought = site.provider.log_in(left.headers["location"], name="carol")
        for cookie in ("", f"{TICKET}=x"):
            answer = await browser.get("/sign-in/oidc/answer", params=brought, headers={"cookie": cookie})
            assert (answer.status_code, COOKIE + "=" in answer.headers["set-cookie"]) == (401, False)
        browser.cookies.clear()
        answer = await browser.get("/sign-in/oidc/answer", params=brought, headers={"cookie": ticket.partition(";")[0]})
        assert (answer.status_code, answer.headers["location"]) == (303, "/")
        session = next(line for line in answer.headers.get_list("set-cookie") if line.startswith(f"{COOKIE}="))
        await _enters(browser, session)
        assert "carol" in (await browser.get("/")).text
        again = await browser.get("/sign-in/oidc?again=1")
        assert "prompt=login" in again.headers["location"]
        nobody = await browser.get("/sign-in/oidc")
        brought = site.provider.log_in(nobody.headers["location"], name="<b>eve</b>", subject="sub-9")
        cookie = nobody.headers["set-cookie"].partition(";")[0]
        answer = await browser.get("/sign-in/oidc/answer", params=brought, headers={"cookie": cookie})
        assert (answer.status_code, "<b>eve" in answer.text) == (403, False)
