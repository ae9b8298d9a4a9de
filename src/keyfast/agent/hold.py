"""One logon try per credential generation per six hours, once a password was refused. Pure.

A wrong password counts toward the lockout of an account that a whole fleet shares. The hold is stored with
the sequence number *before* a password is presented, as if it had been refused already, and lifted when the
answer says otherwise: an agent that dies in the middle of a try finds the hold, not a reason to try again.
The first try of a generation without a history holds for no time, so that a machine which is switched off
in the middle of a good one loses nothing; from the second on, the hold is for the whole time.
"""

from keyfast.agent.client_database import Credential, LogonHold
from keyfast.agent.timing import Due, Moment
from keyfast.core import schedule

HOLD = 6 * 3600.0
"""Shortest time, in seconds, between two tries of a password that was refused."""


def remaining(hold: LogonHold | None, credential: Credential, now: Moment) -> float:
    """Seconds before the password of ``credential`` may be presented."""
    return hold.due.carried(now).remaining(now) if _about(hold, credential) and hold else 0.0


def begun(hold: LogonHold | None, credential: Credential, now: Moment, chance: float) -> LogonHold:
    """Return what to store before a try."""
    return (
        refused(credential, now, chance)
        if _about(hold, credential)
        else LogonHold(credential[1], Due(now, 0.0), credential[0])
    )


def refused(credential: Credential, now: Moment, chance: float) -> LogonHold:
    """Return the hold after a refused password: jittered, never shorter than ``HOLD``."""
    return LogonHold(credential[1], Due(now, schedule.retry_after(HOLD, chance)), credential[0])


def undecided(hold: LogonHold | None, now: Moment) -> LogonHold | None:
    """Return what is left of ``begun`` after a try without a verdict: an outage is not a refusal."""
    return None if hold is None or hold.due.delay == 0 else lifted(hold, now)


def lifted(hold: LogonHold | None, now: Moment) -> LogonHold | None:
    """Return the hold with its history and without its wait."""
    return LogonHold(hold.generation, Due(now, 0.0), hold.account) if hold else None


def carried(hold: LogonHold | None, now: Moment) -> LogonHold | None:
    """Return the hold as it is after a restart."""
    return LogonHold(hold.generation, hold.due.carried(now), hold.account) if hold else None


def _about(hold: LogonHold | None, credential: Credential) -> bool:
    return hold is not None and (hold.account or credential[0], hold.generation) == credential
