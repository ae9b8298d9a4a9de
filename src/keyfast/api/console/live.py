"""Parts of pages that move while one looks at them, and how they are asked for."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Self
from urllib.parse import urlencode

from starlette.requests import Request

from keyfast.core.live_stream import Seen


@dataclass(frozen=True, slots=True)
class Live:
    """A part of a page that moves.

    Attributes:
        template: of the part alone.
        values: what it shows.
        path: where a page asks for it again; ``/stream`` below that sends it when it has changed.
        state: of what it is about; in another state the page around it is another too.
        moves: whether there is more to come.
        words: what is asked for besides the state.
        every: seconds between two looks of a stream.
        asks: when a page asks that has no stream (an htmx trigger).
    """

    template: str
    values: Mapping[str, Any]
    path: str
    state: str
    moves: bool
    words: Mapping[str, str] = field(default_factory=dict)
    every: float = 1.0
    asks: str = "every 3s"

    @property
    def url(self) -> str:
        """Where a page that shows this asks for what comes next."""
        return f"{self.path}?{self._query}"

    @property
    def stream(self) -> str:
        """Where it is sent from."""
        return f"{self.path}/stream?{self._query}"

    @property
    def _query(self) -> str:
        return urlencode({"state": self.state, **self.words})


@dataclass(frozen=True, slots=True)
class Asked:
    """Which part is asked for. Not by whom: what several people watch is the same for all of them, and looked at once.

    Attributes:
        parts: of the path.
        words: of the query.
    """

    parts: Mapping[str, str]
    words: Mapping[str, str]

    @classmethod
    def of(cls, request: Request) -> Self:
        """Return what a request asks for."""
        return cls(request.path_params, dict(request.query_params))

    def path(self, name: str) -> str:
        """Return a part of the path."""
        return self.parts[name]

    def query(self, name: str) -> str:
        """Return a word of the query."""
        return self.words.get(name, "").strip()

    def seen(self, live: Live, text: str) -> Seen:
        """Judge what was found: in another state than the page shows, the part alone is of no use."""
        anew = self.is_anew(live)
        return Seen(None if anew else text, over=anew or not live.moves)

    def is_anew(self, live: Live) -> bool:
        """Tell whether the whole page has to be loaded anew."""
        return self.query("state") != live.state

    def then(self, live: Live) -> Self:
        """Return what a page that shows this asks for next."""
        return type(self)(self.parts, {**live.words, "state": self.query("state")})
