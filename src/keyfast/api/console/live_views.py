"""The two ways in which a page hears of what moves: it asks again, or it is told. One answer for both."""

from collections.abc import Awaitable, Callable
from functools import partial
from urllib.parse import urlencode

from starlette.requests import Request
from starlette.responses import Response

from keyfast.api.console.frame import Frame
from keyfast.api.console.gate import Gate, View
from keyfast.api.console.live import Asked, Live
from keyfast.api.console.looks import Looks
from keyfast.api.console.pages import Row
from keyfast.api.console.stream import EVENTS, LiveStream, Streams
from keyfast.api.console.visit import Visit
from keyfast.core.live_stream import NOTHING_MORE, Seen
from keyfast.errors import KeyfastError

LiveView = Callable[[Asked], Awaitable[Live]]
"""Looks at what moves. It is not told who asks, so that many can be answered by one look."""


class LiveViews:
    """Makes pages' handlers of views of what moves.

    Args:
        frame: renders them.
        gate: knows who may watch.
        streams: those of this process.
    """

    def __init__(self, frame: Frame, gate: Gate, streams: Streams) -> None:
        self._frame = frame
        self._gate = gate
        self._streams = streams
        self._looks = Looks(frame.moving, streams.clock)

    def polled(self, look: LiveView) -> View:
        """Return what answers a page that asks: the part as it is now, or that the whole page is to be loaded anew."""

        async def view(visit: Visit) -> Response:
            asked = Asked.of(visit.request)
            return self._frame.part(live := await look(asked), anew=asked.is_anew(live))

        return view

    def streamed(self, row: Row, look: LiveView) -> View:
        """Return what tells a page: the same, at once and whenever it has changed."""

        async def view(visit: Visit) -> Response:
            if visit.request.method == "HEAD":
                return Response(media_type=EVENTS)
            watch = Watch(partial(self._gate.demand_still, visit.request, row), self._looks, look, visit.request)
            session = visit.who.session_id
            self._streams.enter(session)
            try:
                first = await watch.look()
            except BaseException:
                self._streams.leave(session)
                raise
            return LiveStream(self._streams, session, first, watch.again)

        return view


class Watch:
    """Somebody watches something.

    Args:
        demand_still: makes sure that they may.
        looks: shared with others who watch the same.
        look: looks at it.
        request: what was asked for.
    """

    def __init__(
        self, demand_still: Callable[[], Awaitable[None]], looks: Looks, look: LiveView, request: Request
    ) -> None:
        self._demand_still = demand_still
        self._looks = looks
        self._look = look
        self._path = request.url.path
        self._asked = Asked.of(request)

    async def look(self) -> tuple[Seen, float]:
        """Look; return what there is, and after how many seconds to look again."""
        asked = self._asked
        what = f"{self._path}?{urlencode(asked.words)}"
        found = await self._looks.at(what, partial(self._look, asked))
        self._asked = asked.then(found.live)
        return asked.seen(found.live, found.text), self._looks.rest(found)

    async def again(self) -> tuple[Seen, float]:
        """Look again, if they still may. Why there is nothing more to see the page hears when it asks by itself."""
        try:
            await self._demand_still()
            return await self.look()
        except KeyfastError:
            return NOTHING_MORE, 0.0
