"""What a stream of a part that moves says, and when. Times are seconds of a clock that does not go back."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

BEAT = 15.0
"""After so many seconds without a word a stream gives a sign of life: what stands in between closes what is idle."""
LONGEST = 15 * 60.0
"""A stream ends after so many seconds; the page asks by itself from then on."""
EASY = 0.05
"""A look that takes longer than so many seconds is taken the more rarely."""


class Word(StrEnum):
    """What is said: a part as it is now, a sign of life, or that no more will come."""

    PART = "part"
    BEAT = "beat"
    END = "end"


@dataclass(frozen=True, slots=True)
class Seen:
    """What a look found.

    Attributes:
        text: the part as it is now, None if there is no use in showing it.
        over: no more will come: what moved has come to its end, or the page has to be another.
    """

    text: str | None
    over: bool


@dataclass(frozen=True, slots=True)
class Told:
    """What a stream has told so far: since when, when last, and the part that the page shows."""

    begun_at: float
    said_at: float
    shown: str | None = None


NOTHING_MORE = Seen(None, over=True)
"""Whoever watches may not see it any more, or it cannot be looked at."""


def step(told: Told, seen: Seen, now: float) -> tuple[Told, Sequence[tuple[Word, str]]]:
    """Say what differs from what was told, the end if this was it, and something at least every ``BEAT`` seconds."""
    says: list[tuple[Word, str]] = []
    shown = told.shown
    if seen.text is not None and seen.text != shown:
        says.append((Word.PART, seen.text))
        shown = seen.text
    if seen.over or now >= told.begun_at + LONGEST:
        says.append((Word.END, ""))
    elif not says and now >= told.said_at + BEAT:
        says.append((Word.BEAT, ""))
    return Told(told.begun_at, now if says else told.said_at, shown), says


def pause(every: float, took: float) -> float:
    """Return the seconds until the next look: ``every``, and longer where a look takes longer than ``EASY``.

    So looking once a second takes a twentieth of a core at most, up to looks of 0.75 s. Whether somebody may watch is
    judged at each look, so that one is never later than a sign of life.
    """
    return min(every * max(1.0, took / EASY), BEAT)
