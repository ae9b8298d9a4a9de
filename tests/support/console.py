"""The console over a town: real services, real endpoints, virtual time; asked in memory, or by a browser over TLS."""

import asyncio
import contextlib
import time
from pathlib import Path
from urllib.parse import urlencode, urlsplit

import httpx2
import trustme
from granian.constants import HTTPModes, Interfaces
from granian.log import LogLevels
from granian.server.embed import Server
from tests.support import processes
from tests.support.fake_sign_in import FakeSignIn
from tests.support.streams import Listener
from tests.support.town import Town

from keyfast.api.console.app import console_app
from keyfast.api.console.gate import COOKIE
from keyfast.api.console.stream import Streams
from keyfast.core.audit import Actor, Via
from keyfast.core.audit_actions import refused_act
from keyfast.store import acts

FORM = "application/x-www-form-urlencoded"
ORIGIN = "https://console.example"


class ConsoleTown(Town):
    """A town with a console in front of it."""

    def __init__(self, folder: Path, mode: str = "oauth") -> None:
        super().__init__(folder, mode)
        self.strict = True
        self.sign_in = FakeSignIn(self.time)
        self.listening: list[asyncio.Task[None]] = []
        self.streams = Streams(time.monotonic)
        self.app = console_app(self.site._admin.console, self.sign_in, self.time, self.streams)

    def lengthen_trail(self, records: int) -> None:
        """Put refused acts on the trail, all at once."""

        async def noted() -> None:
            async with self.site._parts.database.write() as conn:
                for number in range(records):
                    asked = {"account": f"svc-{number}"}
                    acts.note(conn, refused_act("account_added", number, asked, Actor("ada", Via.HTTPS), "no"))

        self.run(noted())

    def falls_silent(self) -> str:
        """Time passes in which nobody checks in, and roll calls are made; return the incident's page."""
        for _ in range(40):
            self.let_pass(7200)
            self.run(self.site.roll_call())
        (line,) = self.run(self.site._admin.console.incidents.list_("", 5))
        return f"/incidents/{line.id}"

    def browser(self, name: str = "") -> "Browser":
        """Somebody in front of a browser, signed in under a name if one is given."""
        browser = Browser(self)
        if name:
            said = browser.post("/sign-in", name=name, password=name)
            assert said.status_code == 303, said.text
        return browser

    def listen(self, cookie: str, path: str) -> Listener:
        """Somebody with a session listens to a stream, while others do something."""
        listener, where = Listener(), urlsplit(path)
        headers = [(b"host", b"console.example"), (b"cookie", f"{COOKIE}={cookie}".encode())]
        scope = {"path": where.path, "query_string": where.query.encode(), "headers": headers, "root_path": ""}
        self.listening.append(self.loop.create_task(listener.hear(self.app, scheme="https", **scope)))
        return listener

    @contextlib.asynccontextmanager
    async def served(self, folder: Path):
        """Serve the console over TLS on a free port; yields its URL."""
        authority = trustme.CA()
        certificate = authority.issue_cert("localhost")
        chain, key = folder / "console.pem", folder / "console.key"
        chain.write_bytes(b"".join(part.bytes() for part in certificate.cert_chain_pems))
        certificate.private_key_pem.write_to_path(key)
        port = processes.free_port()
        server = Server(
            self.app,
            address="127.0.0.1",
            port=port,
            interface=Interfaces.ASGINL,
            http=HTTPModes.http1,
            websockets=False,
            log_level=LogLevels.warning,
            ssl_cert=chain,
            ssl_key=key,
        )
        running = self.loop.create_task(server.serve())
        try:
            yield f"https://localhost:{port}"
        finally:
            self.streams.end_all()
            server.stop()
            await running


class Browser:
    """What a browser sends and keeps, without its pictures."""

    def __init__(self, town: ConsoleTown) -> None:
        self.town = town
        self.cookie = ""

    def get(self, path: str, **headers: str) -> httpx2.Response:
        """Look at a page."""
        return self._ask("GET", path, headers)

    def post(self, path: str, *, headers: dict[str, str] | None = None, **fields: object) -> httpx2.Response:
        """Send a form, as one of the console's own pages does."""
        return self._ask("POST", path, {"sec-fetch-site": "same-origin"} if headers is None else headers, fields)

    def _ask(self, method: str, path: str, headers: dict[str, str], fields: dict[str, object] | None = None):
        if self.cookie:
            headers = headers | {"cookie": f"{COOKIE}={self.cookie}"}
        answer = self.town.run(self._asked(method, path, headers, fields))
        for line in answer.headers.get_list("set-cookie"):
            self.cookie = line.partition("=")[2].partition(";")[0].strip('"')
        return answer

    async def _asked(self, method, path, headers, fields):
        transport = httpx2.ASGITransport(self.town.app, raise_app_exceptions=self.town.strict)
        async with httpx2.AsyncClient(transport=transport, base_url=ORIGIN) as http:
            if fields is None:
                return await http.request(method, path, headers=headers)
            body = urlencode(fields, doseq=True)
            return await http.request(method, path, headers={"content-type": FORM} | headers, content=body)
