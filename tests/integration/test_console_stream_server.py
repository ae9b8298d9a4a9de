"""A stream of the console over TLS, from a real server: it moves, it ends, it is bounded, and no stop waits for it."""

import asyncio
import json
import time
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import replace
from urllib.parse import urlencode

import httpx2
import pytest
from tests.support import processes
from tests.support.device import Device, read_bundle
from tests.support.server import RunningServer
from tests.support.streams import parts

from keyfast.api.console.gate import COOKIE
from keyfast.api.console.stream import MOST_OF_SESSION, RETRY_AFTER, LiveStream, Streams
from keyfast.core.live_stream import Seen
from keyfast.server import console
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
        for name in ("alice", "bob"):
            self.keyfast("person", "add", name, "--role", "operator", "--password-file", "-", stdin=PASSWORD)
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
    async def browser(self, name="alice"):
        """Somebody in a browser of theirs."""
        url = f"https://localhost:{self.port}"
        async with httpx2.AsyncClient(base_url=url, verify=self.server.tls(), trust_env=False, timeout=SOON) as browser:
            said = await browser.post("/sign-in", content=_form(name=name, password=PASSWORD), headers=FORM)
            assert said.status_code == 303, said.text
            browser.cookies.clear()
            browser.headers["cookie"] = said.headers["set-cookie"].partition(";")[0]
            assert COOKIE in browser.headers["cookie"]
            yield browser

    @asynccontextmanager
    async def watched(self, browser):
        """They watch the window; yields what they hear of it."""
        async with browser.stream("GET", f"/windows/{self.window}/live/stream?state=open") as answer:
            yield Heard(answer)


class Flood:
    """A stream that says more than anybody takes (ASGI)."""

    def __init__(self):
        self.streams = Streams(time.monotonic)
        self.looks = 0

    async def watch(self):
        self.looks += 1
        return Seen(str(self.looks % 10) * 1_000_000, over=False), 0.0

    async def __call__(self, scope, receive, send):
        self.streams.enter("a")
        await LiveStream(self.streams, "a", await self.watch(), self.watch)(scope, receive, send)


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
    async with site.browser() as browser, site.watched(browser) as heard:
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
    async with site.browser() as browser, site.browser() as other:
        async with AsyncExitStack() as opened:
            watching = [await opened.enter_async_context(site.watched(browser)) for _ in range(MOST_OF_SESSION)]
            for heard in watching:
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


async def test_whoever_is_changed_sees_no_more(site):
    async with site.browser("bob") as browser, site.watched(browser) as heard:
        await heard.until("event: part")
        await asyncio.to_thread(site.keyfast, "person", "disable", "bob")
        await heard.end()
        assert heard.text.endswith("event: end\ndata: \n\n")


async def test_a_stop_does_not_wait_for_who_takes_nothing(site):
    port, flood = processes.free_port(), Flood()
    here = replace(site.server.settings, console=replace(site.server.settings.console, port=port))
    serving = asyncio.create_task(console.serve(here, flood, flood.streams.end_all, lambda: None))
    reader, writer = await _connected(port, site.server.tls())
    writer.write(b"GET / HTTP/1.1\r\nhost: localhost\r\n\r\n")
    await reader.readuntil(b"data: ")
    looks = -1
    async with asyncio.timeout(SOON):
        while looks != flood.looks:  # until it is held up
            looks = flood.looks
            await asyncio.sleep(0.5)
    assert len(flood.streams) == 1
    serving.cancel()
    async with asyncio.timeout(console.DRAIN_SECONDS + SOON / 2):
        await asyncio.wait({serving})
    assert serving.cancelled()
    assert len(flood.streams) == 0
    writer.transport.abort()


async def _connected(port, tls):
    async with asyncio.timeout(SOON):
        while True:
            with suppress(ConnectionRefusedError):
                return await asyncio.open_connection("localhost", port, ssl=tls)
            await asyncio.sleep(0.05)


async def test_a_stop_waits_for_no_stream(site):
    async with site.browser() as browser, site.watched(browser) as heard:
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
