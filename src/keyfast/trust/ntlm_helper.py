"""One ``ntlm_auth`` process: what is said to it and what it answers (Samba, ``source3/utils/ntlm_auth.c``).

A request is a line, ``YR`` (first token of a logon; forgets the one under way) or ``KK`` (the next token)
and the token in base64. The answer is a line too.
"""

import asyncio
import contextlib
from asyncio.subprocess import DEVNULL, PIPE, Process
from base64 import b64decode, b64encode
from collections.abc import Sequence
from enum import StrEnum
from typing import NamedTuple

from keyfast.errors import NotReadyError
from keyfast.trust.negotiate import MAX_TOKEN
from keyfast.trust.ntlm_status import REPAIR

BARE, WRAPPED = "squid-2.5-ntlmssp", "gss-spnego"
"""Protocols: for bare NTLM, and for NTLM in a negotiation (RFC 4178)."""

# The server's own environment may hold secrets, and a helper needs none of it.
_ENVIRONMENT = {"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C.UTF-8"}
_LINE = 2 * MAX_TOKEN


class Said(StrEnum):
    """First word of an answer."""

    CHALLENGE = "TT"
    GRANTED = "AF"
    DENIED = "NA"
    BROKEN = "BH"


class Answer(NamedTuple):
    """An answer.

    Attributes:
        said: its first word.
        token: for the client; may be empty.
        text: name of the account when granted, else why not.
    """

    said: Said
    token: bytes
    text: str


def parse(line: bytes, protocol: str) -> Answer:
    """Read an answer.

    Raises:
        ValueError: it is none.
    """
    word, _, rest = line.decode("utf-8").rstrip("\r\n").partition(" ")
    said = Said(word)
    if said is Said.BROKEN:
        return Answer(said, b"", rest)
    token, text = _split(rest, said, protocol)
    return Answer(said, b64decode(token, validate=True), text)


def _split(rest: str, said: Said, protocol: str) -> tuple[str, str]:
    """Return token and text, whose places depend on the protocol."""
    if protocol == BARE:
        return (rest, "") if said is Said.CHALLENGE else ("", rest)
    token, _, text = rest.partition(" ")
    return token.removeprefix("*"), text


class Helper:
    """A running process. One request at a time; after one that failed it is of no use."""

    def __init__(self, process: Process, protocol: str, answer_s: float) -> None:
        self._process = process
        self._protocol = protocol
        self._answer_s = answer_s
        self._sound = True

    @classmethod
    async def start(cls, command: Sequence[str], protocol: str, answer_s: float) -> "Helper":
        """Start one.

        Args:
            command: program and arguments before ``--helper-protocol``.
            protocol: ``BARE`` or ``WRAPPED``.
            answer_s: longest time it may take to answer.

        Raises:
            NotReadyError: it cannot be started.
        """
        try:
            process = await asyncio.create_subprocess_exec(
                *command,
                f"--helper-protocol={protocol}",
                stdin=PIPE,
                stdout=PIPE,
                stderr=DEVNULL,  # it repeats there what clients sent
                env=_ENVIRONMENT,
                limit=_LINE,
                start_new_session=True,
            )
        except OSError as cause:
            raise NotReadyError(
                f"{command[0]} cannot be started: {cause.strerror}", repair="apt-get install winbind"
            ) from cause
        return cls(process, protocol, answer_s)

    @property
    def alive(self) -> bool:
        """Tell whether it may be asked."""
        return self._sound and self._process.returncode is None

    async def ask(self, verb: str, token: bytes) -> Answer:
        """Pass on a client's token.

        Raises:
            NotReadyError: no answer came in time, or none that can be read.
        """
        self._sound = False  # until the answer is here: what is interrupted is out of step
        try:
            async with asyncio.timeout(self._answer_s):
                answer = parse(await self._exchange(verb, token), self._protocol)
        except (OSError, TimeoutError, ValueError):
            # The cause is dropped: it may quote a token.
            raise NotReadyError("the NTLM helper gave no answer that can be read", repair=REPAIR) from None
        self._sound = answer.said is not Said.BROKEN
        return answer

    async def _exchange(self, verb: str, token: bytes) -> bytes:
        stdin, stdout = self._process.stdin, self._process.stdout
        if stdin is None or stdout is None:
            raise ValueError("started without pipes")
        stdin.write(f"{verb} {b64encode(token).decode('ascii')}\n".encode("ascii"))
        await stdin.drain()
        return await stdout.readline()

    def kill(self) -> None:
        """End it at once; it holds nothing that would be lost."""
        self._sound = False
        with contextlib.suppress(ProcessLookupError):
            self._process.kill()

    async def ended(self) -> None:
        """Wait until it has ended."""
        await self._process.wait()
