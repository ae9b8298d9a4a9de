"""Speak to the running server's admin API; never to the database behind its back.

On the server's machine over its local socket, from elsewhere over HTTPS with an API token.
"""

import os
import socket
import ssl
import uuid
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, TypeVar
from urllib.parse import quote, unquote

import httpx2
import msgspec

from keyfast.cli import output
from keyfast.core.secret import Secret
from keyfast.errors import EXIT_FAILED, KeyfastError, NotReadyError, UsageError
from keyfast.wire.idempotency import KEY_HEADER
from keyfast.wire.people import APPROVAL_HEADER, REASON_HEADER
from keyfast.wire.problems import read_problem
from keyfast.wire.window import BANNER_HEADER

Answer = TypeVar("Answer")
Said = TypeVar("Said")

TIMEOUT = 60.0
_BROKEN = (httpx2.ReadError, httpx2.WriteError, httpx2.RemoteProtocolError)
"""The connection ended before the answer: a write may have been done."""


class AnsweredError(KeyfastError):
    """The server said no; message and repair are the server's."""

    code = "answered"
    exit_code = EXIT_FAILED


def default_data() -> Path:
    """The data directory: ``KEYFAST_DATA``, else ``./data`` if it is one, else ``/var/lib/keyfast``."""
    named = os.environ.get("KEYFAST_DATA")
    if named:
        return Path(named)
    return Path("data") if Path("data/server.toml").exists() else Path("/var/lib/keyfast")


class AdminClient:
    """The admin API over the local socket; each call has a connection of its own, as a command makes one or two.

    Args:
        path: path of the server's admin socket.
    """

    def __init__(self, path: Path) -> None:
        self._socket = path
        self._where = str(path)
        self._banner_shown = False

    def get(self, path: str, kind: type[Answer], query: Mapping[str, str | int] | None = None) -> Answer:
        """Read something."""
        return self._call("GET", path, kind, params=dict(query or {}))

    def post(self, path: str, kind: type[Answer], body: object = None) -> Answer:
        """Change something, once: if the connection breaks before the answer, ask again under the same key."""
        return self._call(
            "POST",
            path,
            kind,
            content=msgspec.json.encode(body or {}),
            headers={"content-type": "application/json", KEY_HEADER: f'"{uuid.uuid4()}"'},
        )

    def download(self, path: str, to: BinaryIO) -> Mapping[str, str]:
        """Write an answer into a file as it arrives; return its headers."""

        def save(http: httpx2.Client) -> Mapping[str, str]:
            with http.stream("GET", path) as response:
                if not response.is_success:
                    raise _said(response.read(), response.status_code)
                to.writelines(response.iter_bytes())
                return response.headers

        self._demand_listener()
        return self._spoken(save)

    def _call(self, method: str, path: str, kind: type[Answer], **request: Any) -> Answer:
        self._demand_listener()
        response = self._asked(method, path, **request)
        self._show_banner(response.headers.get(BANNER_HEADER, ""))
        if response.is_success:
            return msgspec.json.decode(response.content, type=kind)
        raise _said(response.content, response.status_code)

    def _show_banner(self, text: str) -> None:
        """Say once what the server wants said; on standard error, so that JSON stays JSON."""
        if text and not self._banner_shown:
            self._banner_shown = True
            output.banner(unquote(text))

    def _asked(self, method: str, path: str, **request: Any) -> httpx2.Response:
        return self._spoken(lambda http: http.request(method, path, **request), tries=2 if method == "POST" else 1)

    def _spoken(self, ask: Callable[[httpx2.Client], Said], tries: int = 1) -> Said:
        # A listener may go away after it was looked for: the library leaves the socket to Python then.
        with warnings.catch_warnings(action="ignore", category=ResourceWarning):
            try:
                with self._opened() as http:
                    return ask(http)
            except httpx2.HTTPError as cause:
                if tries > 1 and isinstance(cause, _BROKEN):
                    return self._spoken(ask, tries - 1)
                why = str(cause)
        raise NotReadyError(f"the server on {self._where} did not answer: {why}")

    def _opened(self) -> httpx2.Client:
        transport = httpx2.HTTPTransport(uds=str(self._socket))
        return httpx2.Client(transport=transport, base_url="http://keyfast", timeout=TIMEOUT)

    def _demand_listener(self) -> None:
        """The usual fault is that no server runs; the HTTP library would leak a socket finding that out."""
        with socket.socket(socket.AF_UNIX) as probe:
            try:
                probe.connect(str(self._socket))
            except OSError as cause:
                raise NotReadyError(
                    f"no server answers on {self._socket}",
                    repair="keyfast server run --data DIR (or set KEYFAST_DATA)",
                ) from cause


@dataclass(frozen=True, slots=True)
class Far:
    """A server elsewhere.

    Attributes:
        url: ``https://`` and where its console listens.
        token: an API token, None for nobody in particular.
        ca: PEM file of the authority behind its certificate, None for the operating system's.
        reason: why something dangerous is done, empty where nothing is.
        approval: id of a second person's approval, empty where none is needed.
    """

    url: str
    token: Secret | None = None
    ca: Path | None = None
    reason: str = ""
    approval: str = ""


class FarClient(AdminClient):
    """The admin API over HTTPS; the server's certificate is verified, and there is no way not to."""

    def __init__(self, far: Far) -> None:
        super().__init__(Path())
        self._far = far
        self._where = far.url

    def _demand_listener(self) -> None:
        """Connecting tells."""

    def _opened(self) -> httpx2.Client:
        far = self._far
        headers = {} if far.token is None else {"authorization": f"Bearer {far.token.reveal().decode('ascii')}"}
        if far.reason:
            headers[REASON_HEADER] = quote(far.reason, safe="")
        if far.approval:
            headers[APPROVAL_HEADER] = quote(far.approval, safe="")
        try:
            trusted = ssl.create_default_context(cafile=None if far.ca is None else str(far.ca))
        except (OSError, ssl.SSLError) as cause:
            raise UsageError(f"cannot read the authority in {far.ca}: {cause}") from cause
        return httpx2.Client(base_url=far.url, headers=headers, verify=trusted, timeout=TIMEOUT, trust_env=False)


def far(url: str, token_file: Path | None, ca: Path | None, reason: str, approval: str) -> Far:
    """Return where a server is, with the token from its file if there is one.

    Raises:
        UsageError: the URL is not HTTPS, or the file holds no token.
    """
    if not url.startswith("https://"):
        raise UsageError(f"'{url}' is not an https URL; an API token never travels without TLS")
    url = url.rstrip("/")
    if token_file is None:
        return Far(url, None, ca, reason, approval)
    try:
        token = token_file.read_text("ascii").strip()
    except (OSError, UnicodeDecodeError) as cause:
        raise UsageError(f"cannot read {token_file}: {cause}") from cause
    if not token or not token.isprintable() or " " in token:
        raise UsageError(f"{token_file} does not hold an API token and nothing else")
    return Far(url, Secret(token.encode("ascii")), ca, reason, approval)


def _said(body: bytes, status: int) -> AnsweredError:
    problem = read_problem(body)
    return AnsweredError(problem.detail or problem.title or f"status {status}", repair=problem.repair)
