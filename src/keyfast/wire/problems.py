"""Problem bodies (RFC 9457) to and from refusals and faults."""

import msgspec

from keyfast.core.refusal import Refusal, RefusalClass
from keyfast.errors import ApprovalNeededError, KeyfastError

MEDIA_TYPE = "application/problem+json"
TYPE_PREFIX = "urn:keyfast:refusal:"


class Problem(msgspec.Struct, frozen=True, omit_defaults=True, rename={"kind": "class"}):
    """A problem body as an agent or a program reads it; unknown members are ignored."""

    kind: str = ""
    status: int = 0
    title: str = ""
    detail: str = ""
    server_time: int = 0
    presented: str = ""
    expected: str = ""
    repair: str = ""
    expected_seq: int = 0


def problem_bytes(refusal: Refusal, server_time: int) -> bytes:
    """Encode ``refusal``; the server's time lets an endpoint with a wrong clock sign a fresh proof."""
    body: dict[str, str | int] = {
        "type": TYPE_PREFIX + refusal.kind,
        "class": refusal.kind.value,
        "status": refusal.rule.status,
        "title": refusal.rule.title,
        "server_time": server_time,
    }
    told = {
        "detail": refusal.detail,
        "presented": refusal.presented,
        "expected": refusal.expected,
        "repair": refusal.repair,
    }
    body.update({name: value for name, value in told.items() if value})
    body.update(refusal.extra)
    return msgspec.json.encode(body)


def fault_bytes(fault: KeyfastError) -> bytes:
    """Encode a fault for the admin API: code, message and repair, never a stack trace."""
    body = {
        "type": f"urn:keyfast:fault:{fault.code}",
        "class": fault.code,
        "status": fault.status,
        "detail": fault.message,
    }
    if fault.repair:
        body["repair"] = fault.repair
    if isinstance(fault, ApprovalNeededError):
        body["approval"] = fault.approval
    return msgspec.json.encode(body)


_decoder = msgspec.json.Decoder(Problem)


def read_problem(body: bytes) -> Problem:
    """Read what some server or proxy sent; anything unreadable is an empty problem."""
    try:
        return _decoder.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return Problem()


def known_class(name: str) -> RefusalClass | None:
    """Return the class called ``name``, or None for one that this version does not know."""
    try:
        return RefusalClass(name)
    except ValueError:
        return None
