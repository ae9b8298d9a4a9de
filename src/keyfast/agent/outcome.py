"""What became of one request: answered, refused with a reason, or not reached at all."""

from collections.abc import Mapping
from dataclasses import dataclass
from http import HTTPStatus

import msgspec

from keyfast.core.refusal import RefusalClass
from keyfast.wire import limits, problems

MAX_NONCE_CHARS = 512
_OAUTH_ERRORS = {
    "use_dpop_nonce": RefusalClass.USE_NONCE,
    "invalid_dpop_proof": RefusalClass.UNAUTHENTICATED,
    "invalid_client": RefusalClass.UNAUTHENTICATED,
    "temporarily_unavailable": RefusalClass.NOT_READY,
}


@dataclass(frozen=True, slots=True)
class Heard:
    """What every answer may carry.

    Attributes:
        nonce: for the next proof, empty if none came.
        server_time: unix seconds, 0 if not told.
    """

    nonce: str = ""
    server_time: int = 0


@dataclass(frozen=True, slots=True)
class Answered:
    """The server did what was asked.

    Attributes:
        mechanism: how the logon travelled, empty where there was none.
    """

    body: bytes
    heard: Heard
    mechanism: str = ""


@dataclass(frozen=True, slots=True)
class Refused:
    """The server said no.

    Attributes:
        kind: refusal class as received; may be unknown to this version.
        detail: the server's sentence.
        repair: the server's advice.
        expected_seq: sequence number to use, with ``replayed``; else 0.
        retry_after: seconds the server asked to wait, 0 if it did not.
        tried: the account's password was presented, and this may be why it was refused.
        by_kdc: it was the domain's KDC that said so, and the server has not heard of it.
    """

    kind: str
    heard: Heard
    detail: str = ""
    repair: str = ""
    expected_seq: int = 0
    retry_after: int = 0
    tried: bool = False
    by_kdc: bool = False


@dataclass(frozen=True, slots=True)
class Unreached:
    """No Keyfast server answered: network, certificate, or something else at that address.

    Attributes:
        untrusted: a server was there, and its certificate did not hold.
        status: HTTP status with which something else answered, 0 if nothing did.
    """

    why: str
    untrusted: bool = False
    status: int = 0


Outcome = Answered | Refused | Unreached


class _OAuthError(msgspec.Struct, frozen=True):
    """The members of RFC 6749 section 5.2."""

    error: str = ""
    error_description: str = ""


_oauth_error = msgspec.json.Decoder(_OAuthError)


def read_outcome(status: int, headers: Mapping[str, str], body: bytes) -> Outcome:
    """Read an HTTP answer; header names in lower case. Never raises."""
    nonce = headers.get("dpop-nonce", "")
    if len(nonce) > MAX_NONCE_CHARS or not nonce.isascii():
        nonce = ""
    if status in (HTTPStatus.OK, HTTPStatus.CREATED):
        return Answered(body, Heard(nonce))
    problem = problems.read_problem(body)
    oauth = _read_oauth(body)
    kind = problem.kind or _OAUTH_ERRORS.get(oauth.error, oauth.error)
    wait = _seconds(headers.get("retry-after", ""))
    if not kind and status in (HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.SERVICE_UNAVAILABLE) and wait:
        kind = RefusalClass.NOT_READY
    if not kind:
        return Unreached(f"something that is not a Keyfast server answered with status {status}", status=status)
    heard = Heard(nonce, problem.server_time if 0 < problem.server_time < limits.TIME_MAX else 0)
    detail = problem.detail or oauth.error_description or problem.title
    return Refused(kind[:64], heard, detail[:300], problem.repair[:300], problem.expected_seq, wait)


def _read_oauth(body: bytes) -> _OAuthError:
    try:
        return _oauth_error.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return _OAuthError()


def _seconds(text: str) -> int:
    """Read Retry-After in seconds (RFC 9110 section 10.2.3); a date would need a clock to trust."""
    return min(int(text), limits.MAX_INTERVAL) if text.isascii() and text.isdigit() and len(text) < 10 else 0  # noqa: PLR2004
