"""Collectors of the way to one server, step by step until it ends: name, connection, TLS. They send no request."""

import socket
import ssl
from collections.abc import Callable
from urllib.parse import urlsplit

from cryptography import x509
from msgspec.structs import replace

from keyfast.agent.diagnosis.facts import Way
from keyfast.agent.routes import Route
from keyfast.agent.tls import strict_context
from keyfast.core.diagnosis.evidence import Connecting, TlsFault
from keyfast.errors import TrustError

STEP_SECONDS = 4.0
"""How long each step may take."""
_HTTPS = 443
_VERSION = "TLSv1.3"
"""What the agent demands (``agent.tls``)."""
_PLAIN = b"HEAD / HTTP/1.0\r\n\r\n"

# X509_V_ERR_... of OpenSSL.
_FAULTS = {
    9: TlsFault.NOT_YET,
    10: TlsFault.EXPIRED,
    20: TlsFault.ISSUER_UNKNOWN,
    21: TlsFault.ISSUER_UNKNOWN,
    62: TlsFault.WRONG_NAME,
    64: TlsFault.WRONG_NAME,
}
_NOT_TLS = frozenset({"WRONG_VERSION_NUMBER", "HTTP_REQUEST", "UNKNOWN_PROTOCOL", "PACKET_LENGTH_TOO_LONG"})
_TOO_OLD = frozenset({"UNSUPPORTED_PROTOCOL", "TLSV1_ALERT_PROTOCOL_VERSION", "WRONG_SSL_VERSION"})

Resolve = Callable[[str, int], list[str]]


def addresses(host: str, port: int) -> list[str]:
    """Look a name up as every program here does.

    Raises:
        OSError: it has no address.
        UnicodeError: it is no name.
    """
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(one[4][0]) for one in found))


def looked_up(route: Route, resolve: Resolve = addresses) -> Way:
    """Look up the name of a server."""
    seen = Way(route.url, route.slot)
    try:
        host, port = _place(route.url)
    except ValueError as cause:
        return replace(seen, detail=f"the address cannot be read: {cause}")
    try:
        return replace(seen, resolves=True, addresses=tuple(resolve(host, port)))
    except (OSError, UnicodeError) as cause:
        return replace(seen, resolves=False, detail=f"{host} has no address: {_words(cause)}")


def way(route: Route, seen: Way, seconds: float = STEP_SECONDS) -> Way:
    """Take the rest of the way to a server whose name has an address, until it ends."""
    place = _place(route.url)
    where = f"{place[0]}:{place[1]}"
    try:
        connection = socket.create_connection(place, seconds)
    except ConnectionRefusedError as cause:
        return replace(seen, connecting=Connecting.REFUSED, detail=f"{where}: {_words(cause)}")
    except OSError as cause:
        return replace(seen, connecting=Connecting.TIMEOUT, detail=f"{where}: {_words(cause)}")
    with connection:
        return _secured(replace(seen, connecting=Connecting.OPEN), connection, place, route.ca)


def _place(url: str) -> tuple[str, int]:
    parts = urlsplit(url)
    return parts.hostname or "", parts.port or _HTTPS


def _secured(seen: Way, connection: socket.socket, place: tuple[str, int], ca: str) -> Way:
    try:
        with strict_context(ca).wrap_socket(connection, server_hostname=place[0]) as secured:
            version = secured.version() or ""
            return _dated(replace(seen, fault=TlsFault.NONE, version=version), secured.getpeercert(binary_form=True))
    except ssl.SSLCertVerificationError as cause:
        fault = _FAULTS.get(cause.verify_code, TlsFault.UNTRUSTED)
        return _dated(replace(seen, fault=fault, detail=cause.verify_message), presented(place)[0])
    except TrustError as cause:
        return replace(seen, detail=cause.message)
    except OSError as cause:
        return _without_tls(replace(seen, fault=fault_of(cause), detail=_words(cause)), place)


def _without_tls(seen: Way, place: tuple[str, int]) -> Way:
    """Look closer where TLS was not answered: not every server says why it does not go on."""
    if seen.fault in (TlsFault.UNANSWERED, TlsFault.CUT) and speaks_plainly(place):
        return replace(seen, fault=TlsFault.NOT_TLS, detail="it answers a request without TLS")
    version = presented(place)[1] if seen.fault is TlsFault.CUT else ""
    if version and version != _VERSION:
        return replace(seen, fault=TlsFault.TOO_OLD, detail=f"it speaks {version} and nothing newer")
    return seen


def fault_of(cause: OSError) -> TlsFault | None:
    """Tell why TLS did not come about, where it is not the certificate; None for what nobody thought of."""
    if isinstance(cause, TimeoutError):
        return TlsFault.UNANSWERED
    if isinstance(cause, ssl.SSLEOFError | ssl.SSLZeroReturnError | ConnectionError):
        return TlsFault.CUT
    reason = getattr(cause, "reason", "")
    if reason in _NOT_TLS:
        return TlsFault.NOT_TLS
    return TlsFault.TOO_OLD if reason in _TOO_OLD else None


def presented(place: tuple[str, int], seconds: float = STEP_SECONDS) -> tuple[bytes | None, str]:
    """Return the certificate (DER) that a server presents, whether or not it holds, and the version of TLS.

    Nothing is sent over it.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    try:
        with (
            socket.create_connection(place, seconds) as connection,
            context.wrap_socket(connection, server_hostname=place[0]) as secured,
        ):
            return secured.getpeercert(binary_form=True), secured.version() or ""
    except OSError:
        return None, ""


def speaks_plainly(place: tuple[str, int], seconds: float = STEP_SECONDS) -> bool:
    """Tell whether a port answers HTTP without TLS; what is asked names nobody."""
    try:
        with socket.create_connection(place, seconds) as connection:
            connection.sendall(_PLAIN)
            return connection.recv(16).startswith(b"HTTP/")
    except OSError:
        return False


def _dated(seen: Way, der: bytes | None) -> Way:
    if der is None:
        return seen
    try:
        certificate = x509.load_der_x509_certificate(der)
        begins, ends = certificate.not_valid_before_utc, certificate.not_valid_after_utc
    except ValueError:
        return seen
    return replace(seen, begins_at=max(0, int(begins.timestamp())), expires_at=max(0, int(ends.timestamp())))


def _words(cause: BaseException) -> str:
    return getattr(cause, "strerror", None) or str(cause) or type(cause).__name__
