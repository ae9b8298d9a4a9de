"""Idempotency keys: a write that is sent again is answered again, and not done again.

A caller gives a write a key of its own making (draft-ietf-httpapi-idempotency-key-header-07). What a retry under the
same key gets depends on what became of the first request. Times are unix seconds.
"""

import hashlib
import re
from collections.abc import Mapping
from enum import StrEnum

from keyfast.core import machine
from keyfast.core.caller import Caller, WayIn

KEPT_SECONDS = 24 * 3600
"""For so long a key is remembered, with the answer."""
MAX_ANSWER = 256 * 1024
"""Bytes of the largest answer that is kept."""
PATTERN = r'^(?:"[A-Za-z0-9._~:+/=-]{16,128}"|[A-Za-z0-9._~:+/=-]{16,128})$'
"""A key: a string in quotation marks, as the draft has it (RFC 9651 section 3.3.3), or the same without them."""
_KEY = re.compile(PATTERN)
_DOMAIN = b"keyfast idempotency 1\0"


class KeyState(StrEnum):
    """States of a key."""

    FREE = "free"
    BEGUN = "begun"
    ANSWERED = "answered"
    UNTOLD = "untold"


class KeyEvent(StrEnum):
    """What happens to a key."""

    CLAIMED = "claimed"
    ANSWERED = "answered"
    OUTGROWN = "outgrown"
    REFUSED = "refused"
    EXPIRED = "expired"


class Retry(StrEnum):
    """What a request under a key gets."""

    ACT = "act"
    """It is the first: do it."""
    LOOK = "look"
    """The first is being done, or the server failed in it: nobody knows yet what it came to."""
    REPLAY = "replay"
    """The answer of the first, again."""
    DONE = "done"
    """The first was done, and its answer was not kept."""
    OTHER = "other"
    """The first was another request."""


S, E = KeyState, KeyEvent

TABLE: dict[tuple[KeyState, KeyEvent], KeyState] = {
    (S.FREE, E.CLAIMED): S.BEGUN,
    (S.BEGUN, E.ANSWERED): S.ANSWERED,
    (S.BEGUN, E.OUTGROWN): S.UNTOLD,
    (S.BEGUN, E.REFUSED): S.FREE,
    (S.BEGUN, E.EXPIRED): S.FREE,
    (S.ANSWERED, E.EXPIRED): S.FREE,
    (S.UNTOLD, E.EXPIRED): S.FREE,
}
"""A key whose request ends in nothing of this, because the server failed or died in it, stays begun."""

RETRIES: Mapping[KeyState, Retry] = {
    S.FREE: Retry.ACT,
    S.BEGUN: Retry.LOOK,
    S.ANSWERED: Retry.REPLAY,
    S.UNTOLD: Retry.DONE,
}
"""What the same request gets, by the state of its key."""


def step(state: KeyState, event: KeyEvent) -> KeyState:
    """Return the state after ``event``; raise TransitionError for a cell that is not in the table."""
    return machine.step(TABLE, "idempotency key", state, event)


def retry_of(state: KeyState, *, same: bool | None) -> Retry:
    """Return what a request under a key gets.

    Args:
        state: of the key.
        same: whether it is the request that claimed the key; None where that cannot be told any more, and then the
            answer of the first cannot be either.
    """
    if state is not KeyState.FREE and same is False:
        return Retry.OTHER
    found = RETRIES[state]
    return Retry.DONE if found is Retry.REPLAY and same is None else found


def event_of(status: int, size: int | None, *, changed: bool) -> KeyEvent | None:
    """Return what an answer means for the key of its request; None leaves it begun.

    Args:
        status: of the answer (HTTP).
        size: bytes of its body, None for one that is not held in memory.
        changed: something was changed on the way to it, or may have been.
    """
    refused = 400 <= status < 500  # noqa: PLR2004 - client errors (RFC 9110 section 15.5)
    if not changed and (refused or status == 503):  # noqa: PLR2004 - not ready: nothing was done
        return KeyEvent.REFUSED
    if status >= 500:  # noqa: PLR2004 - what was done of it, nobody knows
        return None
    return KeyEvent.ANSWERED if size is not None and size <= MAX_ANSWER else KeyEvent.OUTGROWN


def key_of(text: str) -> str | None:
    """Return the key that a header holds, None if it holds none: 16 to 128 letters, digits and ``. _ ~ : + / = -``."""
    return text.strip('"') if _KEY.fullmatch(text) else None


def holder(caller: Caller | None) -> str:
    """Return whose keys a caller's are: nobody is answered by what another one was."""
    if caller is None:
        return "anyone"
    whose = caller.credential if caller.via is WayIn.TOKEN else caller.person.id
    return f"{caller.via}:{whose}"


def place(whose: str, key: str) -> bytes:
    """Return under what a key is on record (32 bytes)."""
    return hashlib.sha256(_DOMAIN + f"{whose}\0{key}".encode()).digest()


def fingerprint(method: str, target: str, body: bytes) -> bytes:
    """Return what tells a request from others (32 bytes). There may be a passphrase in it: it is kept sealed.

    Args:
        method: of the request.
        target: path and query.
        body: as it was sent.
    """
    head = f"{method} {target}\0".encode("utf-8", "surrogateescape")
    return hashlib.sha256(_DOMAIN + head + body).digest()
