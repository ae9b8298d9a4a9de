"""Clients of Windows Authentication that a test leads leg by leg, and what may stand between them and a server."""

import base64
import http.client
import http.server
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx2
import msgspec
import spnego
from spnego.channel_bindings import GssChannelBindings
from tests.support import processes
from tests.support.device import CHECK_IN, Device
from tests.support.samba import Account
from tests.support.windows import PROBE, Said, WindowsServer, said

from keyfast.trust.channel_binding import server_end_point
from keyfast.wire.bundle import Bundle
from keyfast.wire.messages import Hardware, Join

SCHEMES = {"kerberos": "Negotiate", "ntlm": "NTLM"}
_HOP_BY_HOP = {"connection", "keep-alive", "content-length", "transfer-encoding", "host"}


def heard(response: httpx2.Response) -> Said:
    """Read a response."""
    offers = response.headers.get_list("www-authenticate")
    return said(response.status_code, response.content, response.headers.get("retry-after", ""), offers)


def basic(account: Account, password: str = "", user: str = "") -> str:
    """An ``Authorization`` header of Basic."""
    text = f"{user or account.logon}:{password or account.password}"
    return f"Basic {base64.b64encode(text.encode()).decode()}"


def binding_of(server: WindowsServer) -> bytes:
    """The channel binding of a server's certificate."""
    pem = (server.settings.tls / "server.pem").read_text()
    first, end, _ = pem.partition("-----END CERTIFICATE-----")
    return server_end_point(ssl.PEM_cert_to_DER_cert(first + end))


class Legs:
    """The client half of one logon by pyspnego."""

    def __init__(self, account: Account, protocol: str, binding: bytes | None = None, password: str = "") -> None:
        user = account.upn if protocol == "kerberos" else account.logon
        self.scheme = SCHEMES[protocol]
        self._binding = GssChannelBindings(application_data=binding) if binding else None
        self._context = spnego.client(
            user, password or account.password, hostname="localhost", service="HTTP", protocol=protocol
        )

    def next(self, answer: httpx2.Response | None = None) -> str:
        """The next ``Authorization`` header."""
        challenge = None
        for line in answer.headers.get_list("www-authenticate") if answer is not None else ():
            scheme, _, token = line.partition(" ")
            if scheme == self.scheme and token:
                challenge = base64.b64decode(token)
        token = self._context.step(challenge, channel_bindings=self._binding)
        return f"{self.scheme} {base64.b64encode(token or b'').decode()}"

    def probe(self, client: httpx2.Client) -> Said:
        """Log on at the probe, all legs on one connection."""
        response = client.get(PROBE, headers={"authorization": self.next()})
        if self.scheme == "NTLM" and response.status_code == 401:
            response = client.get(PROBE, headers={"authorization": self.next(response)})
        return heard(response)


class WindowsDevice(Device):
    """An endpoint in Windows mode that speaks the protocol by hand."""

    def __init__(self, http: httpx2.Client, url: str, account: Account, bundle: Bundle) -> None:
        super().__init__(http, url)
        self.account, self.bundle = account, bundle
        self.joined = False

    def body(self, **changes: Any) -> bytes:
        """A check-in body; until it has joined it asks to join."""
        generation = self.bundle.account.generation if self.bundle.account else 0
        asked = {} if self.joined else {"join": self.join()}
        return super().body(**{"credential_generation": generation, **asked, **changes})

    def join(self, **changes: Any) -> Join:
        """What it joins with."""
        asked = Join(self.bundle.statement, self.seal_key.public_jwk(), Hardware("smbios", "machine"))
        return msgspec.structs.replace(asked, **changes)

    def send(self, body: bytes, *, headers: dict[str, str] | None = None, **proof: Any) -> httpx2.Response:
        """Send a leg; ``headers`` bring the ``Authorization``, if any."""
        sent = {
            "content-type": "application/json",
            "dpop": self.proof("POST", CHECK_IN, **{"body": body, **proof}),
        } | (headers or {})
        return self.keep(self.http.post(CHECK_IN, content=body, headers=sent))

    def knock(self, **changes: Any) -> Said:
        """Leg 0 with a good proof."""
        self.fresh()
        return heard(self.send(self.body(**changes)))

    def fresh(self) -> None:
        """Have a nonce."""
        if not self.nonce:
            self.send(self.body())

    def by_basic(self, password: str = "", **changes: Any) -> Said:
        """Check in by Basic; what was accepted is remembered."""
        self.fresh()
        body = self.body(**changes)
        answer = heard(self.send(body, headers={"authorization": basic(self.account, password)}))
        if answer.status == 200:
            self.took(body, answer)
        return answer

    def by_ntlm(self, **changes: Any) -> Said:
        """Check in by NTLM, all legs on this endpoint's connection; what was accepted is remembered."""
        self.fresh()
        body, legs = self.body(**changes), Legs(self.account, "ntlm")
        response = self.send(body, headers={"authorization": legs.next()})
        if response.status_code == 401:
            response = self.send(body, headers={"authorization": legs.next(response)})
        answer = heard(response)
        if answer.status == 200:
            self.took(body, answer)
        return answer

    def took(self, body: bytes, answer: Said) -> None:
        """Remember an accepted check-in."""
        told = msgspec.json.decode(body)
        self.seq = told["seq"]
        self.id = answer.body.get("registered", {}).get("client_id", self.id)
        self.joined = True


class _Spreading(http.server.BaseHTTPRequestHandler):
    """Takes connections that stay open, and asks the server over a new one each time."""

    protocol_version = "HTTP/1.1"
    upstream = ("", 0)
    trust: ssl.SSLContext

    def do_GET(self) -> None:
        self._pass_on()

    def do_POST(self) -> None:
        self._pass_on()

    def log_message(self, *_: object) -> None:
        pass

    def _pass_on(self) -> None:
        body = self.rfile.read(int(self.headers.get("content-length", 0)))
        up = http.client.HTTPSConnection(*self.upstream, context=self.trust, timeout=20)
        kept = {name: value for name, value in self.headers.items() if name.lower() not in _HOP_BY_HOP}
        up.request(self.command, self.path, body or None, kept)
        answer = up.getresponse()
        content = answer.read()
        self.send_response(answer.status)
        for name, value in answer.getheaders():
            if name.lower() not in _HOP_BY_HOP:
                self.send_header(name, value)
        self.send_header("content-length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)
        up.close()


@contextmanager
def spreading_proxy(server: WindowsServer) -> Iterator[str]:
    """A proxy with the server's own certificate that spreads requests over connections; yields its URL."""
    handler = type("Handler", (_Spreading,), {"upstream": ("localhost", server.port), "trust": server.tls()})
    proxy = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls: Path = server.settings.tls
    context.load_cert_chain(tls / "server.pem", tls / "server.key")
    proxy.socket = context.wrap_socket(proxy.socket, server_side=True)
    thread = threading.Thread(target=proxy.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield f"https://localhost:{proxy.server_port}"
    finally:
        proxy.shutdown()
        proxy.server_close()
        thread.join()


class Barrier:
    """Tells when a check-in process has caught up with what was committed, and has told what it counted.

    Nothing that a client can ask shows that, so it is shown: by a mode of a ring of its own, which an endpoint that
    never joins keeps knocking at, and by a user nobody knows, whose refusal is written after those before it.
    """

    RING = "barrier"

    def __init__(self, server: WindowsServer) -> None:
        self._server = server
        account = server.new_account("svc-barrier")
        bundle = server.windows_bundle(account, ring=self.RING)
        server.open_mode("oauth", self.RING)
        self._http = server.client()
        self._device = WindowsDevice(self._http, server.url, account, bundle)
        self._open = True
        self._strangers = 0

    def pass_(self) -> None:
        """Wait until what was committed before is known everywhere."""
        change = self._server.close_mode if self._open else self._server.open_mode
        change("windows", self.RING)
        self._open = not self._open
        processes.until(lambda: (self._device.knock().kind != "mode_closed") == self._open, "the server to catch up")

    def flush(self) -> None:
        """Wait until what was refused before is among the events."""
        self._strangers += 1
        name = f"stranger-{self._strangers}"
        assert self._server.curl("--basic", "-u", f"{name}:no-Passw0rd").kind == "account_not_allowed"
        key = f"{self._server.domain.netbios}\\{name}"
        processes.until(
            lambda: any(row.detail["account"] == key for row in self._server.events("account_not_allowed")), "the event"
        )

    def close(self) -> None:
        """Let go of its connection."""
        self._http.close()
