"""What every route shares: bounded bodies, refusals as problem bodies, faults without stack traces."""

from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence

from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Message

from keyfast.core.refusal import Refusal, RefusalClass
from keyfast.errors import KeyfastError, NotReadyError
from keyfast.services.authenticate import SignedRequest
from keyfast.wire import limits, problems

JSON = "application/json"
FORM = "application/x-www-form-urlencoded"
NONCE_HEADER = "dpop-nonce"

_HEADERS_READ = "keyfast.headers"
_MAX_LENGTH_DIGITS = 12
THROWN_AWAY = 256 * 1024
"""Bytes beyond a limit that are read all the same."""

BASE_HEADERS = {"cache-control": "no-store", "x-content-type-options": "nosniff"}


async def read_body(request: Request, media_type: str, limit: int) -> bytes | Refusal:
    """Read a whole body, never more than ``limit`` bytes of it.

    Returns:
        The bytes, or a refusal for a wrong content type or a body that is too large.
    """
    headers = _headers(request)
    sent = headers.get(b"content-type", b"").decode("latin-1")
    if sent != media_type and sent.partition(";")[0].strip().lower() != media_type:
        await whole_body(request, limit)
        return Refusal(RefusalClass.WRONG_MEDIA_TYPE, expected=media_type)
    return await whole_body(request, limit)


async def whole_body(request: Request, limit: int) -> bytes | Refusal:
    """Read a whole body of whatever type, never keeping more than ``limit`` bytes; or refuse one that is too large.

    A little more is read and thrown away: where a body is left unread the HTTP server closes the connection, on which
    the refusal may not get through, and on which a client may have sent its next request.
    """
    headers = _headers(request)
    too_large = Refusal(RefusalClass.TOO_LARGE, expected=f"at most {limit} bytes")
    most = limit + THROWN_AWAY
    announced = headers.get(b"content-length", b"")
    if announced.isdigit() and (len(announced) > _MAX_LENGTH_DIGITS or int(announced) > most):
        return too_large
    size, body, more = 0, b"", True
    while more and size <= most:
        message = await request.receive()
        chunk: bytes = message.get("body", b"")
        size += len(chunk)
        body = body + chunk if size <= limit else b""
        more = message.get("more_body", False)
    return body if size <= limit else too_large


def with_body(request: Request, body: bytes) -> Request:
    """Return a request with its body, which was read, unread."""

    async def again() -> Message:
        return {"type": "http.request", "body": body, "more_body": False}

    return Request(request.scope, again)


def signed_request(request: Request) -> SignedRequest:
    """Collect what the request presents to prove its sender; oversized headers count as absent."""
    headers, scope = _headers(request), request.scope
    authorization, proof = headers.get(b"authorization", b""), headers.get(b"dpop", b"")
    client = scope.get("client")
    return SignedRequest(
        method=scope["method"],
        path=scope["path"],
        authorization=authorization.decode("latin-1") if len(authorization) <= limits.MAX_LOGON_CHARS else "",
        proof=proof.decode("latin-1") if len(proof) <= limits.MAX_PROOF_CHARS else "",
        address=client[0] if client else "",
        port=client[1] if client else 0,
        kdc_refused=headers.get(b"keyfast-kdc") == b"refused",
    )


def _headers(request: Request) -> dict[bytes, bytes]:
    """All headers by lower-case name, read once: the framework's view searches the list for each name."""
    scope = request.scope
    found: dict[bytes, bytes] | None = scope.get(_HEADERS_READ)
    if found is None:
        found = scope[_HEADERS_READ] = dict(scope["headers"])
        if len(found) != len(scope["headers"]):
            _drop_doubled(found, scope["headers"])
    return found


def _drop_doubled(found: dict[bytes, bytes], headers: Iterable[tuple[bytes, bytes]]) -> None:
    """Two proofs or two tokens prove nothing (RFC 9449 section 4.3): count them as absent."""
    sent = [name for name, _ in headers]
    for name in (b"authorization", b"dpop"):
        if sent.count(name) > 1:
            del found[name]


def answer(body: bytes, nonce: str = "", status: int = 200, media_type: str = JSON) -> Response:
    """A good answer."""
    headers = {**BASE_HEADERS, NONCE_HEADER: nonce} if nonce else BASE_HEADERS
    return Response(body, status, headers, media_type)


def refused(refusal: Refusal, now: int, nonce: str = "", challenges: Sequence[str] = ()) -> Response:
    """A refusal as a problem body, with the headers OAuth clients expect (RFC 9449 sections 8 and 9).

    Args:
        refusal: what is refused.
        now: server time.
        nonce: for the next proof.
        challenges: further ``WWW-Authenticate`` lines, one header each (RFC 9110 section 11.6.1).
    """
    headers = dict(BASE_HEADERS)
    if nonce:
        headers[NONCE_HEADER] = nonce
    if refusal.rule.status == 401:  # noqa: PLR2004 - the status this header belongs to
        error = "use_dpop_nonce" if refusal.kind is RefusalClass.USE_NONCE else "invalid_token"
        headers["www-authenticate"] = f'DPoP error="{error}", algs="ES256"'
    if refusal.kind is RefusalClass.NOT_READY or refusal.retry_after:
        headers["retry-after"] = str(refusal.retry_after or 30)
    response = Response(problems.problem_bytes(refusal, now), refusal.rule.status, headers, problems.MEDIA_TYPE)
    return with_challenges(response, challenges)


def with_challenges(response: Response, challenges: Sequence[str]) -> Response:
    """Put ``WWW-Authenticate`` lines before those that are there: clients take the first they know."""
    lines = [(b"www-authenticate", line.encode("latin-1")) for line in challenges]
    response.raw_headers[:0] = lines
    return response


def not_ready(fault: NotReadyError) -> Refusal:
    """What a caller hears of an outage: never a 401, and when to come back."""
    return Refusal(RefusalClass.NOT_READY, "a dependency of the server is down or full", retry_after=fault.retry_after)


def faulted(fault: KeyfastError) -> Response:
    """A fault as an administrator hears it."""
    headers = dict(BASE_HEADERS)
    if isinstance(fault, NotReadyError):
        headers["retry-after"] = str(fault.retry_after)
    return Response(problems.fault_bytes(fault), fault.status, headers, problems.MEDIA_TYPE)


Handler = Callable[[Request], Awaitable[Response]]


def query_int(values: Mapping[str, str], name: str, default: int, most: int) -> int:
    """Read a bounded whole number from a query; anything else is the default."""
    text = values.get(name, "")
    return min(int(text), most) if text.isdecimal() and len(text) < 10 else default  # noqa: PLR2004 - digits
