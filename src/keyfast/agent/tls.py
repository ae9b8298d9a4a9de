"""TLS that an endpoint with a wrong clock can still speak.

The authority is the access profile's and nobody else's. The first try is strict. Only when a certificate is
refused for its dates alone is it looked at by the server's clock instead of the endpoint's: the chain is
still verified, and the dates are compared with a time that was signed under the pinned root.
"""

import ssl
from collections.abc import Callable
from functools import lru_cache
from typing import Any

from cryptography import x509

from keyfast.errors import TrustError

NO_CHECK_TIME = 0x200000
"""X509_V_FLAG_NO_CHECK_TIME of OpenSSL."""
_NOT_YET_VALID, _EXPIRED = 9, 10

TimeSource = Callable[[], int | None]


class _DatedObject(ssl.SSLObject):
    """A TLS connection that compares the certificate's dates with a time source of its context."""

    def do_handshake(self) -> None:
        super().do_handshake()
        now = getattr(self.context, "server_time", lambda: None)()
        if now is not None:
            _check_dates(self.getpeercert(binary_form=True), now)


class _DatedContext(ssl.SSLContext):
    """A context whose connections are dated by ``server_time``."""

    sslobject_class: Any = _DatedObject
    server_time: TimeSource


def strict_context(ca: str) -> ssl.SSLContext:
    """Verify chain, name and dates by the endpoint's own clock.

    Raises:
        TrustError: ``ca`` is not PEM.
    """
    return _pinned_context(ca) if ca else _prepared(ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT), ca)


@lru_cache(maxsize=8)
def _pinned_context(ca: str) -> ssl.SSLContext:
    """Kept for the next visits; one without a pinned authority is made anew, as the system's may change."""
    return _prepared(ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT), ca)


def dated_context(ca: str, server_time: TimeSource) -> ssl.SSLContext:
    """Verify chain and name, and the dates by ``server_time`` (unix seconds, None while unknown).

    Raises:
        TrustError: ``ca`` is not PEM.
    """
    context = _DatedContext(ssl.PROTOCOL_TLS_CLIENT)
    context.server_time = server_time
    context.verify_flags |= NO_CHECK_TIME
    return _prepared(context, ca)


def unverified_context() -> ssl.SSLContext:
    """Verify nothing: only for a recovery, whose answers are signed up to the pinned root."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


def refused_for_trust(cause: BaseException | None) -> bool:
    """Tell whether a connection failed because the server's certificate did not hold."""
    while cause is not None:
        if isinstance(cause, ssl.SSLCertVerificationError):
            return True
        cause = cause.__cause__ or cause.__context__
    return False


def refused_for_time(cause: BaseException | None) -> bool:
    """Tell whether a connection failed because of the certificate's dates and nothing else."""
    while cause is not None:
        if isinstance(cause, ssl.SSLCertVerificationError):
            return cause.verify_code in (_NOT_YET_VALID, _EXPIRED)
        cause = cause.__cause__ or cause.__context__
    return False


def _prepared(context: ssl.SSLContext, ca: str) -> ssl.SSLContext:
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    try:
        if ca:
            context.load_verify_locations(cadata=ca)
        else:
            context.load_default_certs()
    except (ssl.SSLError, ValueError) as cause:
        raise TrustError("the access profile's certificate authority is not PEM") from cause
    return context


def _check_dates(der: bytes | None, now: int) -> None:
    if der is None:
        raise ssl.SSLCertVerificationError("the server presented no certificate")
    certificate = x509.load_der_x509_certificate(der)
    if not certificate.not_valid_before_utc.timestamp() <= now <= certificate.not_valid_after_utc.timestamp():
        raise ssl.SSLCertVerificationError("the certificate is not valid at the server's signed time")
