"""What moves is told to a real browser: no page asks, none is loaded anew but at the end, and all of it by policy."""

import asyncio
import re

import pytest
from tests.support import processes
from tests.support.console import ConsoleTown
from tests.support.walker import walker

from keyfast.api.console.stream import MOST_OF_SESSION
from keyfast.core.rotation_state import RotationEvent

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

POLL, PATIENCE = 4_000, 50_000
"""Milliseconds: longer than a page waits to ask, and than it waits when it is told nothing."""


@pytest.fixture
def town(tmp_path):
    made = ConsoleTown(tmp_path / "data", "windows")
    for _ in range(3):
        made.join()
    yield made
    made.close()


@pytest.fixture
def rotation(town):
    """The page of a rotation that has begun."""
    ada = town.browser("ada")
    ada.post("/settings/modes/open", mode="oauth", reason="beside the other")
    made = ada.post("/rotations", kind="oauth", source="LOCAL\\svc-a", approvals="1", ring="default")
    page = made.headers["location"].partition("?")[0]
    ada.post(f"{page}/start")
    town.let_pass(5)
    return page


class Asked:
    """Which parts a page asked for, and how often it was loaded."""

    def __init__(self, page):
        self.parts, self.loads, self.streams = [], [], []
        page.on("request", self._asks)

    def _asks(self, request):
        if "/live/stream?" in request.url:
            self.streams.append(request.url)
        elif "/live?" in request.url:
            self.parts.append(request.url)
        elif request.is_navigation_request():
            self.loads.append(request.url)


async def _open(browser, path):
    """Look at a page with a clock that the test moves, and mark what came with it."""
    page = browser.page
    await page.clock.install()
    asked = Asked(page)
    await page.add_init_script("document.addEventListener('htmx:sseBeforeMessage', () => { window.told = true; })")
    await browser.open(path)
    return page, asked


def _progress(page, waived):
    return page.locator("#live > p").get_by_text(f"{waived} waived")


async def _waive(town, rotation, number):
    """Somebody else waits no more for an endpoint."""
    endpoint = town.endpoints[number].record.endpoint_id
    await town.site._admin.console.rotations.waive(rotation.rpartition("/")[2], (endpoint,), "in a cupboard", "olga")


def test_progress_is_told_and_no_page_asks(town, rotation, tmp_path):
    async def act():
        async with town.served(tmp_path) as url, walker(url, tmp_path) as browser:
            await browser.sign_in("ada")
            page, asked = await _open(browser, rotation)
            await page.wait_for_function("window.told")
            for number in range(2):
                await _waive(town, rotation, number)
                await _progress(page, number + 1).wait_for()
                await page.clock.fast_forward(POLL)
            assert (asked.parts, len(asked.loads), len(asked.streams)) == ([], 1, 1)
            await browser.judge("told")
            # In case something in between holds the stream back: who is told nothing for long asks, once.
            async with page.expect_response(re.compile(r"/live\?")):
                await page.clock.fast_forward(PATIENCE)
            await page.clock.fast_forward(POLL)
            assert len(asked.parts) == 1
            # Another phase: the page finds out by itself, and is loaded anew.
            service = town.site._admin.console.rotations
            await service.act(rotation.rpartition("/")[2], RotationEvent.PAUSED, "olga", "wait for Monday")
            await page.get_by_text("Paused: wait for Monday").wait_for()
            assert len(asked.loads) == 2
            await page.wait_for_function("window.told")
            await browser.judge("paused")
            return browser.faults

    assert town.run(act()) == []


def test_an_act_that_ends_a_phase_says_what_it_did(town, rotation, tmp_path):
    """The page learns that it is of the past before the answer to the button is there, and waits for the answer."""

    async def act():
        async with town.served(tmp_path) as url, walker(url, tmp_path) as browser:
            await browser.sign_in("ada")
            page, told = browser.page, asyncio.Event()
            page.on("response", lambda answer: told.set() if "hx-refresh" in answer.headers else None)

            async def hold(route):
                headers = {**await route.request.all_headers(), "sec-fetch-site": "same-origin"}
                answer = await route.fetch(headers=headers, max_redirects=0)
                await asyncio.wait_for(told.wait(), 30)
                await asyncio.sleep(0.5)  # what the page does about it, it does at once
                await route.fulfill(response=answer)

            await page.route("**/pause", hold)
            await browser.open(rotation)
            asked = Asked(page)
            await browser.press("Pause", within="Pause", reason="one question first")
            await page.get_by_text("Done.").wait_for()
            await page.get_by_text("Paused: one question first").first.wait_for()
            assert [load.partition("?")[0] for load in asked.loads] == [f"{url}{rotation}/pause", url + rotation]
            return browser.faults

    assert town.run(act()) == []


def test_a_session_that_ended_is_shown_the_sign_in(town, rotation, tmp_path):
    async def act():
        async with town.served(tmp_path) as url, walker(url, tmp_path) as browser:
            await browser.sign_in("ada")
            page, _ = await _open(browser, rotation)
            await page.wait_for_function("window.told")
            town.sign_in.sessions.clear()
            await page.wait_for_url("**/sign-in?next=**")
            return browser.faults

    assert town.run(act()) == []


def test_a_page_that_is_told_nothing_asks(town, rotation, tmp_path):
    async def act():
        async with town.served(tmp_path) as url, walker(url, tmp_path) as browser:
            await browser.sign_in("ada")
            others = [await browser.page.context.new_page() for _ in range(MOST_OF_SESSION)]
            for other in others:
                async with other.expect_request(re.compile("/live/stream")):
                    await other.goto(url + rotation)
            page, asked = await _open(browser, rotation)
            await page.clock.fast_forward(POLL)
            await _waive(town, rotation, 0)
            await page.clock.fast_forward(POLL)
            await _progress(page, 1).wait_for()
            assert len(asked.parts) >= 1
            await page.clock.fast_forward(PATIENCE)
            assert len(asked.streams) == 1, "it was refused, and does not insist"
            violations = await page.evaluate("window.__violations")
            # The others are closed: their places are free again.
            for other in others:
                await other.close()
            await asyncio.to_thread(processes.until, lambda: not len(town.streams), "the streams to end")
            return violations

    assert town.run(act()) == []
