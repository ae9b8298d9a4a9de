"""Acts of a transaction: noted while it runs, put on record at its end, and in no other.

Whoever answers a request says who acts (``acting``). Every change tells what happened (``store.events.add``), and
what of that is an act waits with the connection; ``Database.write`` appends it to the trail as the last thing
before the commit, so that the trail's head is held for an instant only and no two transactions wait for each other.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

from sqlalchemy.ext.asyncio import AsyncConnection

from keyfast.core.audit import Act, Actor
from keyfast.core.audit_actions import act_of
from keyfast.store import audit


class Change:
    """Whether anything was committed.

    Attributes:
        made: it was, or a commit failed in a way that leaves that open.
    """

    made = False


_ACTOR: ContextVar[Actor | None] = ContextVar("keyfast_actor", default=None)
_CHANGE: ContextVar[Change | None] = ContextVar("keyfast_change", default=None)
_NOTED = "keyfast_acts"


@contextmanager
def acting(actor: Actor) -> Iterator[None]:
    """Everything done inside, and in tasks begun inside, is this one's doing."""
    token = _ACTOR.set(actor)
    try:
        yield
    finally:
        _ACTOR.reset(token)


@contextmanager
def watched() -> Iterator[Change]:
    """Note whether anything is committed inside, or in tasks begun inside."""
    change = Change()
    token = _CHANGE.set(change)
    try:
        yield change
    finally:
        _CHANGE.reset(token)


def begin(conn: AsyncConnection) -> None:
    """Forget what a former transaction of this connection noted and rolled back."""
    conn.info[_NOTED] = []


def note_event(
    conn: AsyncConnection, *, at: int, kind: str, endpoint_id: str | None, detail: Mapping[str, Any]
) -> None:
    """Note an event, if it is an act."""
    act = act_of(kind, at, endpoint_id, detail, _ACTOR.get())
    if act is not None:
        note(conn, act)


def note(conn: AsyncConnection, act: Act) -> None:
    """Note an act; ``conn`` is one of ``Database.write``."""
    noted: list[Act] = conn.info[_NOTED]
    noted.append(act)


async def finish(conn: AsyncConnection) -> None:
    """Put what was noted on record; nothing but the commit follows in the transaction."""
    acts: list[Act] = conn.info.pop(_NOTED)
    if acts:
        await audit.append(conn, acts)
    change = _CHANGE.get()
    if change is not None:
        change.made = True
