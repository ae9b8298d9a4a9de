"""Listening to streams of server-sent events."""

import asyncio


def parts(text: str) -> list[str]:
    """Return what was in the events called ``part``."""
    found = [event.split("\n") for event in text.split("\n\n") if event.startswith("event: part\n")]
    return ["\n".join(line.removeprefix("data: ") for line in lines[1:]) for lines in found]


class Listener:
    """A browser at the other end of an ASGI application.

    Args:
        reads: or lets everything pile up, as a computer does that was put to sleep.
    """

    def __init__(self, *, reads: bool = True) -> None:
        self.gone, self.spoken, self.ended = asyncio.Event(), asyncio.Event(), asyncio.Event()
        self.reads = reads
        self.status = 0
        self.headers: dict[bytes, bytes] = {}
        self.text = ""
        self.complete = False

    async def hear(self, app, **scope) -> None:
        """Listen until it ends."""
        try:
            await app({"type": "http", "method": "GET", "headers": [], **scope}, self._receive, self._send)
        finally:
            self.ended.set()

    async def _receive(self):
        await self.gone.wait()
        return {"type": "http.disconnect"}

    async def _send(self, message):
        if message["type"] == "http.response.start":
            self.status, self.headers = message["status"], dict(message["headers"])
            return
        self.spoken.set()
        if not self.reads:
            await asyncio.Event().wait()
        self.text += message["body"].decode()
        self.complete = not message["more_body"]


class Quiet:
    """A look that takes until ``go``, and then finds this or fails with it."""

    def __init__(self, found) -> None:
        self.found = found
        self.times = 0
        self.go = asyncio.Event()

    async def __call__(self):
        self.times += 1
        await self.go.wait()
        if isinstance(self.found, Exception):
            raise self.found
        return self.found
