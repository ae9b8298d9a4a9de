"""Speak to the running server's admin API over its local socket; never to the database behind its back."""

import os
import socket
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, BinaryIO, TypeVar
from urllib.parse import unquote

import httpx2
import msgspec

from keyfast.cli import output
from keyfast.errors import EXIT_FAILED, KeyfastError, NotReadyError
from keyfast.wire.problems import read_problem
from keyfast.wire.window import BANNER_HEADER

Answer = TypeVar("Answer")
Said = TypeVar("Said")

TIMEOUT = 60.0


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
    """The admin API; each call has a connection of its own, as a command makes one or two.

    Args:
        path: path of the server's admin socket.
    """

    def __init__(self, path: Path) -> None:
        self._socket = path
        self._banner_shown = False

    def get(self, path: str, kind: type[Answer], query: Mapping[str, str | int] | None = None) -> Answer:
        """Read something."""
        return self._call("GET", path, kind, params=dict(query or {}))

    def post(self, path: str, kind: type[Answer], body: object = None) -> Answer:
        """Change something."""
        return self._call(
            "POST",
            path,
            kind,
            content=msgspec.json.encode(body or {}),
            headers={"content-type": "application/json"},
        )

    def download(self, path: str, to: BinaryIO) -> Mapping[str, str]:
        """Write an answer into a file as it arrives; return its headers."""

        def save(http: httpx2.Client) -> Mapping[str, str]:
            with http.stream("GET", f"http://keyfast{path}") as response:
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
        return self._spoken(lambda http: http.request(method, f"http://keyfast{path}", **request))

    def _spoken(self, ask: Callable[[httpx2.Client], Said]) -> Said:
        # A listener may go away after it was looked for: the library leaves the socket to Python then.
        with warnings.catch_warnings(action="ignore", category=ResourceWarning):
            try:
                with httpx2.Client(transport=httpx2.HTTPTransport(uds=str(self._socket)), timeout=TIMEOUT) as http:
                    return ask(http)
            except httpx2.HTTPError as cause:
                why = str(cause)
        raise NotReadyError(f"the server on {self._socket} did not answer: {why}")

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


def _said(body: bytes, status: int) -> AnsweredError:
    problem = read_problem(body)
    return AnsweredError(problem.detail or problem.title or f"status {status}", repair=problem.repair)
