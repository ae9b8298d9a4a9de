"""Streams of what moves on pages: their bounds, their ends, and that they are what the page would have asked for."""

import asyncio
import re

import pytest
from tests.support.streams import Listener, Quiet, parts

from keyfast.api.console.live import Asked, Live
from keyfast.api.console.looks import Looks
from keyfast.api.console.pages import PAGES, Shape
from keyfast.api.console.stream import RETRY_AFTER, LiveStream, Streams, written
from keyfast.core.live_stream import NOTHING_MORE, Seen, Word
from keyfast.errors import NotFoundError, NotReadyError

LIVE = Live("t.html", {}, "/x/live", "open", moves=True, every=0.01)


class Clock:
    """A clock that somebody else moves."""

    def __init__(self):
        self.now = 0.0

    def __call__(self):
        return self.now


# --- as it travels


@pytest.mark.parametrize(
    ("word", "text", "bytes_"),
    [
        (Word.PART, "<p>\u00e9</p>", "event: part\ndata: <p>\u00e9</p>\n\n".encode()),
        (Word.PART, "a\nb\r\nc\rd\n", b"event: part\ndata: a\ndata: b\ndata: c\ndata: d\ndata: \n\n"),
        (Word.PART, "a\u2028b\x0cc", "event: part\ndata: a\u2028b\x0cc\n\n".encode()),
        (Word.END, "", b"event: end\ndata: \n\n"),
        (Word.BEAT, "", b":\n\n"),
    ],
)
def test_a_word_is_one_event(word, text, bytes_):
    assert written(word, text) == bytes_


def test_no_text_makes_an_event_of_its_own():
    assert written(Word.PART, "a\n\nevent: end\n\n").count(b"\n\n") == 1


# --- bounds


def test_there_are_so_many_streams_and_so_many_of_a_session():
    streams = Streams(Clock(), most=3, of_session=2)
    for session in ("a", "a", "b"):
        streams.enter(session)
    for session in ("a", "b", "c"):
        with pytest.raises(NotReadyError) as fault:
            streams.enter(session)
        assert fault.value.retry_after == RETRY_AFTER
    streams.leave("a")
    streams.enter("b")
    streams.leave("a")
    with pytest.raises(NotReadyError):
        streams.enter("b")
    streams.enter("c")
    assert len(streams) == 3


def test_none_is_begun_while_the_server_stops():
    streams = Streams(Clock())
    streams.end_all()
    with pytest.raises(NotReadyError):
        streams.enter("a")


# --- one stream


def stream(streams, *seen, rest=0.0):
    """A stream that sees these in turn, and then nothing new for ever."""
    left = list(seen)

    async def watch():
        return (left.pop(0) if len(left) > 1 else left[0]), rest

    streams.enter("a")
    return LiveStream(streams, "a", (left.pop(0) if len(left) > 1 else left[0], rest), watch)


def seen(text, *, over=False):
    return Seen(text, over)


async def test_what_has_changed_is_sent_once_and_the_end_said():
    streams, listener = Streams(Clock()), Listener()
    await listener.hear(stream(streams, seen("a"), seen("a"), seen("b"), seen("b"), seen("c", over=True)))
    assert parts(listener.text) == ["a", "b", "c"]
    assert listener.text.endswith("event: end\ndata: \n\n")
    assert listener.text.startswith("retry: ")
    assert listener.headers[b"content-type"].startswith(b"text/event-stream")
    assert listener.headers[b"x-accel-buffering"] == b"no"
    assert b"content-length" not in listener.headers
    assert listener.complete
    assert len(streams) == 0


async def test_who_may_see_no_more_hears_the_end():
    streams, listener = Streams(Clock()), Listener()
    await listener.hear(stream(streams, seen("a"), NOTHING_MORE))
    assert parts(listener.text) == ["a"]
    assert "event: end" in listener.text
    assert len(streams) == 0


@pytest.mark.parametrize("reads", [True, False])
@pytest.mark.parametrize("who", ["browser", "server"])
async def test_a_stream_ends_with_its_browser_and_with_the_server(who, reads):
    streams, listener = Streams(Clock()), Listener(reads=reads)
    hearing = asyncio.create_task(listener.hear(stream(streams, seen("a"), rest=3600.0)))
    await listener.spoken.wait()
    assert len(streams) == 1
    if who == "browser":
        listener.gone.set()
    else:
        streams.end_all()
    await asyncio.wait_for(hearing, 10)
    assert len(streams) == 0
    assert "event: end" not in listener.text, "the browser is to come again"
    assert listener.complete is reads


async def test_a_failure_frees_the_place():
    streams = Streams(Clock())

    async def watch():
        raise RuntimeError("the code is wrong")

    streams.enter("a")
    with pytest.raises(RuntimeError):
        await Listener().hear(LiveStream(streams, "a", (seen("a"), 0.0), watch))
    assert len(streams) == 0


# --- one look for all


async def test_those_who_watch_the_same_share_a_look():
    clock, looked = Clock(), Quiet(LIVE)
    looks = Looks(lambda live: live.state, clock)
    first = asyncio.create_task(looks.at("x", looked))
    second = asyncio.create_task(looks.at("x", looked))
    other = asyncio.create_task(looks.at("y", looked))
    await asyncio.sleep(0)
    looked.go.set()
    assert (await first) is (await second)
    assert (await first) is not (await other)
    assert looked.times == 2
    assert (await looks.at("x", looked)) is (await first), "it is worth no look yet"
    assert looks.rest(await first) == pytest.approx(LIVE.every)
    clock.now += LIVE.every
    assert (await looks.at("x", looked)) is not (await first)
    assert looks.rest(await first) == 0.0
    clock.now += 60.0
    await looks.at("y", looked)
    assert list(looks._kept) == ["y"], "what nobody watches any more is forgotten"


async def test_a_look_that_failed_is_taken_again():
    looked = Quiet(NotFoundError("gone"))
    looked.go.set()
    looks = Looks(lambda live: live.state, Clock())
    for _ in range(2):
        with pytest.raises(NotFoundError):
            await looks.at("x", looked)
    assert looked.times == 2


async def test_one_who_leaves_takes_no_look_from_others():
    looked = Quiet(LIVE)
    looks = Looks(lambda live: live.state, Clock())
    leaves, stays = (asyncio.create_task(looks.at("x", looked)) for _ in range(2))
    await asyncio.sleep(0)
    leaves.cancel()
    looked.go.set()
    assert (await stays).live is LIVE


def test_a_part_says_where_it_is_asked_for_next():
    part = Live("t", {}, "/x/live", "canary!", moves=True, words={"after": "3", "hash": "a&b"})
    assert part.url == "/x/live?state=canary%21&after=3&hash=a%26b"
    assert part.stream == "/x/live/stream?state=canary%21&after=3&hash=a%26b"
    asked = Asked({}, {"state": "open", "after": "1"})
    assert asked.then(part) == Asked({}, {"state": "open", "after": "3", "hash": "a&b"})
    assert asked.seen(part, "text") == NOTHING_MORE
    assert asked.seen(LIVE, "text") == Seen("text", over=False)


# --- over the console


def test_everything_that_is_asked_for_is_told_too():
    told = {row.path for row in PAGES if row.shape is Shape.STREAM}
    assert told == {f"{row.path}/stream" for row in PAGES if row.shape is Shape.PART}
    assert {row.path for row in PAGES if row.path.endswith("/live")} == {path.removesuffix("/stream") for path in told}
    assert len(told) == 6


def test_the_stream_of_a_long_verification_goes_to_its_end(town):
    anna = town.browser("anna")
    page = anna.get("/audit/verify?after=0").text
    assert "sse-connect" not in page, "a short trail is verified at once"
    answer = anna.get("/audit/verify/live/stream?state=&after=0")
    (part,) = parts(answer.text)
    assert "Intact up to record" in part
    assert part == anna.get("/audit/verify/live?state=&after=0").text.replace("\r", "")
    assert (answer.headers["cache-control"], answer.headers["x-accel-buffering"]) == ("no-store", "no")
    assert anna.get("/audit/verify/live/stream?after=nonsense").status_code == 400
    assert len(town.streams) == 0


def test_another_phase_than_the_page_shows_ends_the_stream_at_once(town):
    answer = town.browser("ada").get("/recovery/progress/live/stream?state=moving")
    assert (parts(answer.text), "event: end" in answer.text) == ([], True)


def test_too_many_streams_are_told_to_ask(town):
    ada = town.browser("ada")
    (session,) = [who.session_id for token, who in town.sign_in.sessions.items() if token == ada.cookie]
    for _ in range(3):
        town.streams.enter(session)
    answer = ada.get("/recovery/progress/live/stream?state=idle")
    assert (answer.status_code, answer.headers["retry-after"]) == (503, str(RETRY_AFTER))
    assert ada.get("/recovery/progress/live?state=idle").status_code == 200
    assert town.browser("ada").get("/recovery/progress/live/stream?state=idle").status_code == 200
    for _ in range(3):
        town.streams.leave(session)
    assert ada.get("/recovery/progress/live/stream?state=idle").status_code == 200


def test_only_people_keep_a_session_alive(town):
    ada = town.browser("ada")
    town.sign_in.used.clear()
    ada.get("/recovery/progress/live/stream?state=idle")
    ada.get("/recovery/progress/live?state=idle")
    assert town.sign_in.used == []
    ada.get("/recovery/progress")
    assert town.sign_in.used == ["ada"]


def test_a_window_is_told_until_it_is_closed_or_the_session_ends(town):
    ada, olga = town.browser("ada"), town.browser("olga")
    order = {"minutes": "60", "ranges": "any", "account": "LOCAL\\svc-a", "reason": "all went silent"}
    window = ada.post("/windows", **order).headers["location"].partition("?")[0]
    page = olga.get(window).text
    (where,) = re.findall(r'sse-connect="([^"]+)"', page)
    assert where == f"{window}/live/stream?state=open"
    first, second = (town.listen(browser.cookie, where) for browser in (olga, ada))
    for listener in (first, second):
        town.run(listener.spoken.wait())
    assert parts(first.text)[0] == ada.get(f"{window}/live?state=open").text
    assert len(town.streams) == 2
    olga.post("/sign-out")
    town.run(asyncio.wait_for(first.ended.wait(), 30))
    assert "event: end" in first.text
    assert not second.ended.is_set()
    ada.post(f"{window}/close", despite_unproven=re.search(r"Missing still: (\d+)", ada.get(window).text).group(1))
    town.run(asyncio.wait_for(second.ended.wait(), 30))
    assert second.text.endswith("event: end\ndata: \n\n")
    assert ada.get(f"{window}/live?state=open").headers["hx-refresh"] == "true"
    assert "sse-connect" not in ada.get(window).text
    assert len(town.streams) == 0


def test_asking_for_the_head_of_a_stream_begins_none(town):
    answer = town.browser("ada")._ask("HEAD", "/recovery/progress/live/stream?state=idle", {})
    assert (answer.status_code, answer.text) == (200, "")
    assert answer.headers["content-type"].startswith("text/event-stream")
