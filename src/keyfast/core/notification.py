"""What somebody is told who is not looking: which events, in which words, how often, and the life of a message.

A message is put into an outbox by the transaction of its event, and delivered afterwards, at least once to each
receiver; its id tells a receiver that it is the same again.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import msgspec

from keyfast.core import machine
from keyfast.core.audit import plain

HOUR = 3600
FIRST_PAUSE = 10
LONGEST_PAUSE = HOUR
GIVE_UP_AFTER = 24 * HOUR
"""Seconds between tries, doubled each time, and after which a message has failed."""


class NoticeState(StrEnum):
    """States of a message."""

    PENDING = "pending"
    SENT = "sent"
    FAILED = "failed"
    UNADDRESSED = "unaddressed"


class NoticeEvent(StrEnum):
    """What happens to a message."""

    MISSED = "missed"
    DELIVERED = "delivered"
    GIVEN_UP = "given_up"
    NOBODY_THERE = "nobody_there"


S, E = NoticeState, NoticeEvent

TABLE: dict[tuple[NoticeState, NoticeEvent], NoticeState] = {
    (S.PENDING, E.MISSED): S.PENDING,
    (S.PENDING, E.DELIVERED): S.SENT,
    (S.PENDING, E.GIVEN_UP): S.FAILED,
    (S.PENDING, E.NOBODY_THERE): S.UNADDRESSED,
}


class Notice(msgspec.Struct, frozen=True):
    """Something to tell.

    Attributes:
        at: when it happened (unix seconds).
        kind: kind of the event.
        key: messages of the same key are the same news.
        title: one sentence.
        detail: the event's particulars that may leave this server, as texts.
        quiet_s: for how long after one message no other of the same key is made.
    """

    at: int
    kind: str
    key: str
    title: str
    detail: dict[str, str]
    quiet_s: int


@dataclass(frozen=True, slots=True)
class Rule:
    """How an event is told.

    Attributes:
        title: sentence with the particulars in braces.
        same: particulars that make two messages the same news.
        fields: particulars that are sent along.
        quiet_s: see ``Notice``.
    """

    title: str
    same: tuple[str, ...]
    fields: tuple[str, ...] = ()
    quiet_s: int = HOUR


_SERVERS = ("servers", "endpoints")

RULES: Mapping[str, Rule] = {
    "window_opened": Rule("a recovery window was opened: {reason}", ("window",), ("deadline", "endpoints", "by")),
    "window_closing": Rule(
        "a recovery window is about to expire; {unproven} endpoints are missing",
        ("window",),
        ("deadline",),
        quiet_s=24 * HOUR,
    ),
    "window_closed": Rule("a recovery window was closed; {unproven} endpoints are missing", ("window",), ("by",)),
    "window_expired": Rule("a recovery window expired; {unproven} endpoints are missing", ("window",), ("missing",)),
    "recovery_begun": Rule("the recovery of {account} began", ("account", "rotation"), ("way", "to", "by")),
    "recovery_finished": Rule("the recovery of {account} is over", ("account", "rotation"), ("missing", "by")),
    "rotation_paused": Rule("a rotation was paused: {reason}", ("rotation",), ("kind", "by"), quiet_s=600),
    "rotation_rolled_back": Rule("a rotation is taken back: {reason}", ("rotation",), ("kind", "by")),
    "rotation_abandoned": Rule("a rotation was given up", ("rotation",), ("kind", "by")),
    "rotation_finished": Rule("a rotation is done", ("rotation",), ("kind", "by")),
    "account_expires": Rule("the {what} of {account} expires in {days} days", ("account", "what", "days"), _SERVERS),
    "account_expired": Rule("the {what} of {account} has expired", ("account", "what"), _SERVERS),
    "account_must_change": Rule("{account} must change its password at the next logon", ("account",), _SERVERS),
    "account_locked": Rule("{account} is locked out", ("account",), _SERVERS),
    "account_disabled": Rule("{account} was switched off", ("account",), _SERVERS),
    "account_missing": Rule("{account} is not in the directory any more", ("account",), _SERVERS),
    "account_password_changed": Rule("the password of {account} was set anew", ("account", "set_at"), ("endpoints",)),
    "account_repaired": Rule("nothing stands against {account} any more", ("account",), ("servers",)),
    "generation_refused": Rule("a password of {account} on record does not work any more", ("account", "generation")),
    "directory_unreachable": Rule("the domain controller {server} cannot be read", ("server",), ("reason",)),
    "server_went_back": Rule("this server was restored from a backup", ("from", "to")),
    "incident_opened": Rule(
        "{silent} of {endpoints} endpoints of {group} {name} are silent", ("incident",), ("cause",)
    ),
    "incident_renamed": Rule(
        "it is {silent} of {endpoints} endpoints of {group} {name} that are silent", ("incident", "name"), ("cause",)
    ),
    "incident_closed": Rule("an incident is over: {state}", ("incident",), ("silent", "by")),
    "notification_tested": Rule("this is a test, ordered by {by}", ("test",), quiet_s=0),
}
"""Every event of which somebody is told."""


def notice_of(kind: str, at: int, detail: Mapping[str, Any]) -> Notice | None:
    """Say what is told of an event; None if nobody is told of its kind."""
    rule = RULES.get(kind)
    if rule is None:
        return None
    told = {name: _text(value) for name, value in detail.items()}
    key = "|".join((kind, *(told.get(name, "") for name in rule.same)))
    sent = {name: told[name] for name in (*rule.same, *rule.fields) if told.get(name)}
    return Notice(at, kind, plain(key), plain(rule.title.format_map(_Blanks(told))), sent, rule.quiet_s)


def is_same_news(notice: Notice, last_at: int | None) -> bool:
    """Tell whether a message is left out because one of its key was made at ``last_at`` (None: never)."""
    return last_at is not None and notice.at < last_at + notice.quiet_s


def after_miss(made_at: int, tries: int, now: int) -> tuple[NoticeState, int]:
    """Return the state after a try that did not reach everybody, and when to try next.

    Args:
        made_at: when the message was made.
        tries: how many there were, this one included.
        now: unix seconds.
    """
    if now >= made_at + GIVE_UP_AFTER:
        return step(S.PENDING, E.GIVEN_UP), 0
    pause = min(FIRST_PAUSE * 2 ** min(tries - 1, 16), LONGEST_PAUSE)
    return step(S.PENDING, E.MISSED), now + pause


def step(state: NoticeState, event: NoticeEvent) -> NoticeState:
    """Return the state after ``event``; raise TransitionError for a cell that is not in the table."""
    return machine.step(TABLE, "message", state, event)


class _Blanks(dict[str, str]):
    """What an event does not say is left blank."""

    def __missing__(self, key: str) -> str:
        return "?"


def _text(value: Any) -> str:
    return plain(", ".join(map(str, value)) if isinstance(value, list | tuple) else str(value or ""))
