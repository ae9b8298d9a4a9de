"""A stream of the console over TLS, from a real server: it moves, it ends, it is bounded, and no stop waits for it."""

import asyncio
import json
import time
from contextlib import AsyncExitStack, asynccontextmanager
from urllib.parse import urlencode

import httpx2
import pytest
from tests.support import processes
from tests.support.device import Device, read_bundle
from tests.support.server import RunningServer
from tests.support.streams import parts

from keyfast.api.console.gate import COOKIE
from keyfast.api.console.stream import MOST_OF_SESSION, RETRY_AFTER
from keyfast.server.supervisor import STOP_SECONDS

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

PASSWORD = "correct horse battery"
FORM = {"content-type": "application/x-www-form-urlencoded", "sec-fetch-site": "same-origin"}
SOON = 30


class Site:
    """A server with a console, somebody who may watch, and a window for two endpoints."""

    def __init__(self, folder):
        self.port = processes.free_port()
        self.server = RunningServer(folder / "data", tables=f"[console]\nport = {self.port}\n")
        processes.until(self._listens, "the console")
        self.keyfast("person", "add", "alice", "--role", "operator", "--password-file", "-", stdin=PASSWORD)
        self.http = self.server.client()
        bundle = read_bundle(self.server.package().path)
        self.devices = [Device(self.http, self.server.url, name).enrol(bundle) for name in ("one", "two")]
        named = [part for device in self.devices for part in ("--endpoint", device.id)]
        opened = self.keyfast("window", "open", *named, "--address", "any", "--reason", "a test", "--json")
        self.window = json.loads(opened)["line"]["id"]

    def keyfast(self, *words, stdin=""):
        done = processes.run("keyfast.cli.main", *words, stdin=stdin, KEYFAST_DATA=str(self.server.data))
        assert done.returncode == 0, done.stderr
        return done.stdout

    def _listens(self):
        try:
            with httpx2.Client(verify=self.server.tls(), trust_env=False) as http:
                return http.get(f"https://localhost:{self.port}/sign-in").status_code == 200
        except httpx2.HTTPError:
            return False

    @asynccontextmanager
    async def alice(self):
        """Alice in a browser of hers."""
        url = f"https://localhost:{self.port}"
        async with httpx2.AsyncClient(base_url=url, verify=self.server.tls(), trust_env=False, timeout=SOON) as browser:
            said = await browser.post("/sign-in", content=_form(name="alice", password=PASSWORD), headers=FORM)
            assert said.status_code == 303, said.text
            browser.cookies.clear()
            browser.headers["cookie"] = said.headers["set-cookie"].partition(";")[0]
            assert COOKIE in browser.headers["cookie"]
            yield browser

    @asynccontextmanager
    async def watched(self, browser):
        """She watches the window; yields what she hears of it."""
        async with browser.stream("GET", f"/windows/{self.window}/live/stream?state=open") as answer:
            yield Heard(answer)


class Heard:
    """What came so far."""

    def __init__(self, answer):
        self.answer = answer
        self.text = ""
        self._coming = answer.aiter_text()

    async def until(self, said):
        """Wait for a word."""
        async with asyncio.timeout(SOON):
            while said not in self.text:
                self.text += await anext(self._coming)

    async def end(self):
        """Wait for the end."""
        async with asyncio.timeout(SOON):
            async for text in self._coming:
                self.text += text


def _form(**fields):
    return urlencode(fields)


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    made = Site(tmp_path_factory.mktemp("stream"))
    yield made
    made.http.close()
    made.server.close()


async def test_a_stream_moves_and_ends_when_she_signs_out(site):
    async with site.alice() as browser, site.watched(browser) as heard:
        assert heard.answer.status_code == 200
        headers = heard.answer.headers
        assert headers["content-type"].startswith("text/event-stream")
        assert (headers["cache-control"], headers["x-accel-buffering"]) == ("no-store", "no")
        await heard.until("0 of 2</strong>")
        opened_at = time.time()
        await asyncio.to_thread(processes.until, lambda: time.time() >= opened_at + 1, "the next second")
        assert (await asyncio.to_thread(site.devices[0].check_in)).status_code == 200
        await heard.until("1 of 2</strong>")
        assert "event: end" not in heard.text
        assert (await browser.post("/sign-out", headers=FORM)).status_code == 303
        await heard.end()
        assert heard.text.endswith("event: end\ndata: \n\n")
        assert len(parts(heard.text)) >= 2


async def test_so_many_of_a_session_and_room_again_when_one_is_gone(site):
    async with site.alice() as browser, site.alice() as other:
        async with AsyncExitStack() as opened:
            for _ in range(MOST_OF_SESSION):
                heard = await opened.enter_async_context(site.watched(browser))
                await heard.until("event: part")
            async with site.watched(browser) as refused:
                assert refused.answer.status_code == 503
                assert refused.answer.headers["retry-after"] == str(RETRY_AFTER)
            assert (await browser.get(f"/windows/{site.window}/live?state=open")).status_code == 200
            async with site.watched(other) as heard:
                await heard.until("event: part")
        async with asyncio.timeout(SOON):
            while True:  # the server hears of it in its own time
                async with site.watched(browser) as heard:
                    if heard.answer.status_code == 200:
                        break
        (seen,) = {
            line["seen_at"] == line["begun_at"] for line in json.loads(site.keyfast("session", "list", "--json"))
        }
        assert seen


async def test_whoever_is_changed_sees_no_more(site):
    async with site.alice() as browser, site.watched(browser) as heard:
        await heard.until("event: part")
        await asyncio.to_thread(site.keyfast, "person", "disable", "alice")
        await heard.end()
        assert heard.text.endswith("event: end\ndata: \n\n")
        await asyncio.to_thread(site.keyfast, "person", "enable", "alice")


async def test_a_stop_waits_for_no_stream(site):
    async with site.alice() as browser, site.watched(browser) as heard:
        await heard.until("event: part")
        began = time.monotonic()
        await asyncio.to_thread(site.server.close)
        took = time.monotonic() - began
        await heard.end()
        assert "event: end" not in heard.text, "the page is to come again"
    assert took < STOP_SECONDS - 2, "the supervisor had to kill it"
    assert "Traceback" not in site.server.log.read_text()
    await asyncio.to_thread(site.server.start)
    await asyncio.to_thread(processes.until, site._listens, "the console again")
