"""The doors of Windows Authentication in memory: they say what a test wants, and remember what they were asked."""

import asyncio
import struct
from base64 import b64encode
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

import spnego
from spnego.channel_bindings import GssChannelBindings

from keyfast.core.directory import Logon
from keyfast.core.mode import Mechanism
from keyfast.trust.kerberos import Accepted, Refused
from keyfast.trust.ntlm import Denied, Granted, Malformed

KERBEROS_OID = bytes.fromhex("06092a864886f712010202")
TICKET = b"\x60\x0d" + KERBEROS_OID + b"\x01\x00"
_UNICODE_NTLM_TARGET = 0x00000001 | 0x00000200 | 0x00010000 | 0x00080000 | 0x00800000 | 0x20000000


def challenge() -> bytes:
    """A CHALLENGE_MESSAGE (MS-NLMP 2.2.1.2) of the domain CORP."""
    name = "CORP".encode("utf-16-le")
    info = struct.pack("<HH", 2, len(name)) + name + struct.pack("<HH", 7, 8) + bytes(8) + bytes(4)
    at = 56
    fields = struct.pack("<HHI", len(name), len(name), at) + struct.pack("<I", _UNICODE_NTLM_TARGET) + b"challeng"
    fields += bytes(8) + struct.pack("<HHI", len(info), len(info), at + len(name)) + bytes(8)
    return b"NTLMSSP\0" + struct.pack("<I", 2) + fields + name + info


class NtlmClient:
    """The client's half of one NTLM logon."""

    def __init__(self, user: str, password: str, binding: bytes | None = None) -> None:
        self._context = spnego.client(user, password, hostname="localhost", service="HTTP", protocol="ntlm")
        self._binding = None if binding is None else GssChannelBindings(application_data=binding)

    def first(self) -> str:
        """The ``Authorization`` header of the first leg."""
        return "NTLM " + b64encode(self._context.step() or b"").decode()

    def last(self) -> str:
        """The one of the last leg."""
        return "NTLM " + b64encode(self._context.step(challenge(), channel_bindings=self._binding) or b"").decode()


def basic(user: str, password: str) -> str:
    """An ``Authorization`` header."""
    return "Basic " + b64encode(f"{user}:{password}".encode()).decode()


@dataclass
class FakeAcceptor:
    """In place of ``trust.kerberos.Acceptor``."""

    says: Accepted | Refused | Exception = field(
        default_factory=lambda: Accepted("svc-see@CORP.EXAMPLE.TEST", b"answer", bound=True)
    )
    bindings: list[bytes | None] = field(default_factory=list)

    def accept(self, token: bytes, binding: bytes | None) -> Accepted | Refused:
        """See ``Acceptor.accept``."""
        self.bindings.append(binding)
        if isinstance(self.says, Exception):
            raise self.says
        return self.says


@dataclass
class FakeExchange:
    """In place of ``trust.ntlm.Exchange``."""

    finished: Callable[[], Awaitable[Granted | Denied | Malformed]]
    challenge: bytes = field(default_factory=challenge)
    over: str = ""

    async def finish(self, token: bytes) -> Granted | Denied | Malformed:
        """See ``Exchange.finish``."""
        self.over = "finished"
        return await self.finished()

    def drop(self) -> None:
        """See ``Exchange.drop``."""
        self.over = self.over or "dropped"


class FakeHelpers:
    """In place of ``trust.ntlm.NtlmHelpers``; with ``takes`` a verdict takes until that is set."""

    def __init__(self) -> None:
        self.takes: asyncio.Event | None = None
        self.asked = asyncio.Event()
        self.says: Granted | Denied | Malformed | Exception = Granted("CORP", "svc-see")
        self.begins: Malformed | Exception | None = None
        self.exchanges: list[FakeExchange] = []

    async def begin(self, token: bytes, *, spnego: bool = False) -> FakeExchange | Malformed:
        """See ``NtlmHelpers.begin``."""
        if isinstance(self.begins, Exception):
            raise self.begins
        if self.begins is not None:
            return self.begins
        self.exchanges.append(FakeExchange(self._finished))
        return self.exchanges[-1]

    async def _finished(self) -> Granted | Denied | Malformed:
        self.asked.set()
        if self.takes is not None:
            await self.takes.wait()
        if isinstance(self.says, Exception):
            raise self.says
        return self.says


@dataclass
class Heard:
    """An observer that remembers."""

    refused: list[tuple[str, Mechanism, Logon, str]] = field(default_factory=list)
    strangers: list[tuple[str, Mechanism, str]] = field(default_factory=list)

    def logon_refused(self, account: str, mechanism: Mechanism, why: Logon, address: str) -> None:
        """See ``Observer``."""
        self.refused.append((account, mechanism, why, address))

    def account_not_allowed(self, account: str, mechanism: Mechanism, address: str) -> None:
        """See ``Observer``."""
        self.strangers.append((account, mechanism, address))
