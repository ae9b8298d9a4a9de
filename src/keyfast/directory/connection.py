"""One connection to one domain controller: one request at a time, never in the clear.

Messages by pyasn1 over asyncio, not libldap: its TLS handshake with a domain controller that hangs blocks
the whole process, without a timeout.
"""

import asyncio
import contextlib
import socket
import ssl
from collections.abc import Iterator, Sequence
from typing import Self

from keyfast.core.secret import Secret
from keyfast.directory import kerberos, ldap_message
from keyfast.directory.address import Address
from keyfast.directory.kerberos import Session
from keyfast.directory.ldap_message import Answer, Code, Entry, Filter, Inbox, Result, Scope
from keyfast.directory.settings import KeytabReader
from keyfast.errors import NotReadyError, TrustError
from keyfast.trust import channel_binding

_LARGEST_MESSAGE = 1024 * 1024
_LARGEST_OF_A_STRANGER = 8 * 1024
"""Of a peer that has not proven yet to be the domain controller: decoding costs it nothing and us much."""
_CHUNK = 65536
_MAX_STEPS = 8
"""Steps of a SASL bind; Kerberos takes three."""


class Connection:
    """A connection to a domain controller; made by ``open``. After any fault it is closed.

    Every method raises NotReadyError when the domain controller is down or talks nonsense. Time is the
    caller's: whoever cancels a call must close the connection.
    """

    def __init__(self, address: Address, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._address = address
        self._reader = reader
        self._writer = writer
        self._inbox = Inbox()
        self._number = 0
        self._session: Session | None = None

    @classmethod
    async def open(cls, address: Address, tls: ssl.SSLContext | None) -> Self:
        """Connect; with ``tls`` None only ``bind_keytab`` is possible, and it seals.

        Raises:
            NotReadyError: nobody answers, or the certificate does not hold.
        """
        if tls is None and address.tls:
            raise TrustError("ldaps needs a TLS context")
        with _faults(address.host):
            raw = await _connect(address)
            try:
                if tls is not None and not address.tls:
                    await _start_tls(raw)
                streams = await asyncio.open_connection(
                    sock=raw, ssl=tls, server_hostname=address.host if tls else None
                )
            except BaseException:
                raw.close()
                raise
        return cls(address, *streams)

    @property
    def closed(self) -> bool:
        """Whether it is of no more use, as far as can be told without asking."""
        return self._writer.is_closing() or self._reader.at_eof()

    def close(self) -> None:
        """Let go of it at once."""
        if not self._writer.is_closing():
            with contextlib.suppress(OSError, RuntimeError):
                self._writer.transport.abort()

    async def bind(self, name: str, password: Secret) -> Result:
        """Bind with a name and a password; the result may be a refusal.

        Raises:
            TrustError: the connection has no TLS.
        """
        if self._tls is None:
            raise TrustError("a password is never sent in the clear")
        if not password.reveal():
            raise TrustError("a bind without a password is anonymous and proves nothing")
        (result,) = await self._ask(ldap_message.simple_bind(self._next(), name, password.reveal()))
        return _ended(result)

    async def bind_keytab(self, reader: KeytabReader) -> Result:
        """Bind with Kerberos; outside TLS everything after it is sealed."""
        binding = self._binding()
        session = await kerberos.beside(Session, self._address.host, reader.principal, reader.keytab, binding)
        result = Result(Code.SASL_BIND_IN_PROGRESS)
        for _ in range(_MAX_STEPS):
            token = await kerberos.beside(session.answer, result.sasl)
            (answer,) = await self._ask(ldap_message.sasl_bind(self._next(), "GSSAPI", token))
            result = _ended(answer)
            if result.code != Code.SASL_BIND_IN_PROGRESS:
                break
        if result.code == Code.SUCCESS and session.sealing:
            self._session = session
        return result

    async def search(
        self, base: str, scope: Scope, filter_: Filter, attributes: Sequence[str], limit: int = 2
    ) -> tuple[Entry, ...]:
        """Return the entries found; none where ``base`` does not exist."""
        *entries, end = await self._ask(ldap_message.search(self._next(), base, scope, filter_, attributes, limit))
        result = _ended(end)
        if result.code not in (Code.SUCCESS, Code.NO_SUCH_OBJECT):
            raise NotReadyError(f"{self._address.host} refused the search (LDAP result {result.code})")
        return tuple(entry for entry in entries if isinstance(entry, Entry))

    async def replace(self, dn: str, attribute: str, value: bytes) -> Result:
        """Replace an attribute's values by one; the result may be a refusal.

        Raises:
            TrustError: the connection has neither TLS nor sealing.
        """
        if self._tls is None and self._session is None:
            raise TrustError("a password is never sent in the clear")
        (result,) = await self._ask(ldap_message.replace_value(self._next(), dn, attribute, value))
        return _ended(result)

    @property
    def _tls(self) -> ssl.SSLObject | None:
        found: ssl.SSLObject | None = self._writer.get_extra_info("ssl_object")
        return found

    def _binding(self) -> bytes | None:
        tls = self._tls
        certificate = tls.getpeercert(binary_form=True) if tls else None
        return channel_binding.server_end_point(certificate) if certificate else None

    def _next(self) -> int:
        self._number += 1
        return self._number

    async def _ask(self, message: bytes) -> list[Answer]:
        """Send a request and return all that answers it, the end last."""
        with _faults(self._address.host):
            self._writer.write(self._session.wrap(message) if self._session else message)
            await self._writer.drain()
            answers: list[Answer] = []
            while not answers or not isinstance(answers[-1], Result):
                number, answer = await self._message()
                if number != self._number:
                    raise ConnectionError("it ends the connection" if number == 0 else "answers are out of step")
                answers.append(answer)
            return answers

    async def _message(self) -> tuple[int, Answer]:
        while (found := self._inbox.take()) is None:
            self._inbox.feed(await self._more())
            known = self._tls is not None or self._session is not None
            _bound(self._inbox, _LARGEST_MESSAGE if known else _LARGEST_OF_A_STRANGER)
        return found

    async def _more(self) -> bytes:
        if self._session is None:
            data = await self._reader.read(_CHUNK)
            if not data:
                raise ConnectionError("it closed the connection")
            return data
        size = int.from_bytes(await self._reader.readexactly(4), "big")
        if size > _LARGEST_MESSAGE:
            raise ValueError("a sealed message is too large")
        return self._session.unwrap(await self._reader.readexactly(size))


def _bound(inbox: Inbox, largest: int) -> None:
    if inbox.size > largest:
        raise ValueError("a message is too large")


def _ended(answer: Answer) -> Result:
    if not isinstance(answer, Result):
        raise NotReadyError("the domain controller answered something that was not asked for")
    return answer


async def _connect(address: Address) -> socket.socket:
    loop = asyncio.get_running_loop()
    places = await loop.getaddrinfo(address.host, address.port, type=socket.SOCK_STREAM)
    fault: OSError = ConnectionError("its name has no address")
    for family, kind, protocol, _, place in places:
        raw = socket.socket(family, kind, protocol)
        raw.setblocking(False)
        try:
            await loop.sock_connect(raw, place)
        except OSError as cause:
            raw.close()
            fault = cause
        except BaseException:
            raw.close()
            raise
        else:
            return raw
    raise fault


async def _start_tls(raw: socket.socket) -> None:
    """Ask for TLS on the bare socket, so that nothing said in the clear can end up inside TLS."""
    loop = asyncio.get_running_loop()
    await loop.sock_sendall(raw, ldap_message.start_tls(1))
    inbox = Inbox()
    while (found := inbox.take()) is None:
        more = await loop.sock_recv(raw, _CHUNK)
        if not more:
            raise ConnectionError("it closed the connection")
        inbox.feed(more)
        _bound(inbox, _LARGEST_OF_A_STRANGER)
    _, answer = found
    if inbox.size:
        raise ConnectionError("it says something in the clear before TLS")
    if not isinstance(answer, Result) or answer.code != Code.SUCCESS:
        raise ConnectionError("it refuses StartTLS")


@contextlib.contextmanager
def _faults(host: str) -> Iterator[None]:
    """Turn what the network throws into NotReadyError with one sentence; what a server sent is not repeated."""
    try:
        yield
    except ssl.SSLCertVerificationError as cause:
        raise NotReadyError(
            f"the certificate of {host} does not hold: {cause.verify_message}",
            repair="give the certificate of the authority that issued it",
        ) from None
    except OSError as cause:
        raise NotReadyError(f"{host} cannot be reached: {cause}") from None
    except (EOFError, ValueError):
        raise NotReadyError(f"{host} cannot be reached: it does not speak LDAP") from None
