"""Server-sent events (WHATWG HTML, section 9.2): what moves on a page, as it moves. Bounded, and ended at any time."""

import asyncio
import re
from collections import Counter
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any

from starlette.responses import StreamingResponse
from starlette.types import Message, Receive, Scope, Send

from keyfast.core.live_stream import Seen, Told, Word, step
from keyfast.errors import NotReadyError

MOST = 64
"""Streams of this process."""
MOST_OF_SESSION = 3
"""Streams of one session. A browser has six connections to a server, for all of its windows: some stay for pages."""
RETRY_AFTER = 60
"""Seconds; for those that are too many."""
EVENTS = "text/event-stream"
GOODBYE = 1.0
"""Seconds in which the end of an answer is said to a browser that is to come again."""
RECONNECT = b"retry: 3000\n\n"
"""A browser whose connection broke comes again after so many milliseconds."""
_LINE_END = re.compile("\r\n|\r|\n")

Ends = set[asyncio.Future[Any]]
Watch = Callable[[], Awaitable[tuple[Seen, float]]]
"""Looks; returns what there is, and after how many seconds to look again."""


class Streams:
    """Knows every stream of this process, and ends them all.

    Args:
        clock: seconds; does not go back.
        most: streams at one time.
        of_session: those of one session.
    """

    def __init__(self, clock: Callable[[], float], most: int = MOST, of_session: int = MOST_OF_SESSION) -> None:
        self.clock = clock
        self.over = asyncio.Event()
        self._most = most
        self._of_session = of_session
        self._open: Counter[str] = Counter()

    def __len__(self) -> int:
        """How many there are."""
        return self._open.total()

    def end_all(self) -> None:
        """End every stream now, and begin none any more: the server stops, and waits for no page to be closed."""
        self.over.set()

    def enter(self, session: str) -> None:
        """Count one more stream of a session.

        Raises:
            NotReadyError: there are too many; the page asks by itself.
        """
        if self.over.is_set() or len(self) >= self._most or self._open[session] >= self._of_session:
            raise NotReadyError("too many pages are watched at once", retry_after=RETRY_AFTER)
        self._open[session] += 1

    def leave(self, session: str) -> None:
        """Count one less."""
        self._open[session] -= 1
        self._open = +self._open


class LiveStream(StreamingResponse):
    """One stream (ASGI), entered already. Between two looks it holds nothing but its connection.

    Args:
        streams: it is one of them.
        session: whose it is.
        first: what there is now, and seconds until the next look.
        watch: looks again.
    """

    def __init__(self, streams: Streams, session: str, first: tuple[Seen, float], watch: Watch) -> None:
        super().__init__((), media_type=EVENTS, headers={"x-accel-buffering": "no"})
        self._streams = streams
        self._session = session
        self._first = first
        self._watch = watch

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG002 - ASGI
        """Send until nothing more will come, the browser is gone, or the server stops."""
        ends: Ends = {asyncio.ensure_future(_gone(receive)), asyncio.ensure_future(self._streams.over.wait())}
        try:
            await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
            await self._speak(send, ends)
        finally:
            self._streams.leave(self._session)
            for end in ends:
                end.cancel()

    async def _speak(self, send: Send, ends: Ends) -> None:
        """Look and say, in turns. A look is never broken off: it may hold a connection to the database."""
        seen, rest = self._first
        told, spoken = Told(self._streams.clock(), self._streams.clock()), RECONNECT
        while True:
            told, says = step(told, seen, self._streams.clock())
            spoken += b"".join(written(word, text) for word, text in says)
            is_last = any(word is Word.END for word, _ in says)
            # A browser that reads no more holds this up; it is not to hold up the end.
            if spoken and not await _done(ends, send(_body(spoken, more=not is_last))):
                return
            if is_last:
                return
            if not await _done(ends, asyncio.sleep(rest)):
                with suppress(TimeoutError):
                    await asyncio.wait_for(send(_body(b"", more=False)), GOODBYE)
                return
            (seen, rest), spoken = await self._watch(), b""


def written(word: Word, text: str) -> bytes:
    """Return a word as it travels; a sign of life is a comment, which no page hears of."""
    if word is Word.BEAT:
        return b":\n\n"
    lines = "".join(f"data: {line}\n" for line in _LINE_END.split(text))
    return f"event: {word}\n{lines}\n".encode()


def _body(spoken: bytes, *, more: bool) -> Message:
    return {"type": "http.response.body", "body": spoken, "more_body": more}


async def _done(ends: Ends, act: Awaitable[None]) -> bool:
    """Act; tell whether that was done before the stream was ended."""
    acting = asyncio.ensure_future(act)
    await asyncio.wait({acting, *ends}, return_when=asyncio.FIRST_COMPLETED)
    if not acting.done():
        acting.cancel()
        return False
    await acting
    return True


async def _gone(receive: Receive) -> None:
    """Wait until the browser is gone."""
    while (await receive())["type"] != "http.disconnect":
        pass
