"""What a receiver of notifications is sent, and what administrators see of the outbox."""

import msgspec

from keyfast.wire.admin import View

SIGNATURE_HEADER = "keyfast-signature"
"""Carries ``t=<unix seconds>,v1=<hexadecimal HMAC-SHA256 of "<t>.<body>">``."""


class Message(msgspec.Struct, frozen=True):
    """A message, as a webhook gets it.

    Attributes:
        id: the same for the same message, however often it comes.
        at: when it happened (unix seconds).
        kind: kind of the event.
        title: one sentence.
        detail: particulars.
        installation, name: which installation says so.
    """

    id: int
    at: int
    kind: str
    title: str
    detail: dict[str, str]
    installation: str
    name: str


class NotificationLine(View, frozen=True):
    """A message in the outbox.

    Attributes:
        state: ``pending``, ``sent``, ``failed`` or ``unaddressed`` (no receiver was configured).
        reached: receivers that have it.
        tries: how often it was tried.
        due_at: when it is tried next, while it is pending.
        trouble: why the last try did not reach everybody.
    """

    id: int
    at: int
    kind: str
    title: str
    state: str
    reached: tuple[str, ...]
    tries: int
    due_at: int
    trouble: str
