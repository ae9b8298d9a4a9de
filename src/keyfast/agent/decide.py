"""What to do next, and what a "no" changes: pure, one record in and one record or action out.

Nothing here ever clears a key, a receipt, a profile or the enrolment token. A refusal can only change when
and with what the agent comes back; the worst it can do is to make the agent wait.
"""

import math
from dataclasses import dataclass
from enum import StrEnum

from msgspec.structs import replace

from keyfast.agent import hold, recovery, renewal, transaction
from keyfast.agent.client_database import Admission, LastRefusal, LogonHold, Record
from keyfast.agent.outcome import Heard, Refused
from keyfast.agent.timing import Anchor, Due, Moment, server_now
from keyfast.core import schedule
from keyfast.core.change import ChangeState
from keyfast.core.mode import Mode
from keyfast.core.refusal import RefusalClass
from keyfast.wire import limits

TOKEN_MARGIN = 120
"""Seconds before its end from which a token is no longer used."""
MAX_QUICK = 4
"""Immediate retries in a row: a nonce, a token, a resync and a registration are the longest honest run."""


@dataclass(frozen=True, slots=True)
class MakeKeys:
    """Make the device key and the HPKE key, or those that are to take their place, and store them."""


@dataclass(frozen=True, slots=True)
class Enrol:
    """Register; repeated with the same key it is harmless."""


@dataclass(frozen=True, slots=True)
class FetchToken:
    """Ask for an access token."""


@dataclass(frozen=True, slots=True)
class CheckIn:
    """Check in.

    Attributes:
        send_inventory: enclose the full inventory.
        send_results: enclose command results.
        join: enclose what a registration says (Windows mode).
    """

    send_inventory: bool
    send_results: bool = True
    join: bool = False


@dataclass(frozen=True, slots=True)
class Probe:
    """Try the access that a change of the web access server brought."""


@dataclass(frozen=True, slots=True)
class Commit:
    """Use the access that was proven."""


@dataclass(frozen=True, slots=True)
class Recover:
    """Ask for this endpoint's access by its device key alone."""


@dataclass(frozen=True, slots=True)
class Restart:
    """End this process and begin another one: that is all that the change in use still lacks."""


@dataclass(frozen=True, slots=True)
class Wait:
    """Do nothing for ``seconds``."""

    seconds: float
    reason: str


Action = MakeKeys | Enrol | FetchToken | CheckIn | Probe | Commit | Recover | Restart | Wait


class Course(StrEnum):
    """What a refusal leads to."""

    SIGN_AGAIN = "sign_again"
    NEW_TOKEN = "new_token"  # noqa: S105 - a name, not a secret
    RESYNC = "resync"
    REGISTER = "register"
    OTHER_KEY = "other_key"
    BACK_OFF = "back_off"


COURSES: dict[str, Course] = {
    RefusalClass.USE_NONCE: Course.SIGN_AGAIN,
    RefusalClass.STALE_TIME: Course.SIGN_AGAIN,
    RefusalClass.TOKEN_EXPIRED: Course.NEW_TOKEN,
    RefusalClass.UNAUTHENTICATED: Course.NEW_TOKEN,
    RefusalClass.REPLAYED: Course.RESYNC,
    RefusalClass.UNKNOWN_DEVICE: Course.REGISTER,
}
"""Everything else, including classes that this version does not know, backs off."""

_QUIET = frozenset({Course.SIGN_AGAIN, Course.NEW_TOKEN, Course.OTHER_KEY})
"""Courses that are part of everyday life: when they are taken at once, nothing has failed."""
_PLAIN_AFTER = frozenset({RefusalClass.MALFORMED.value, RefusalClass.TOO_LARGE.value})


@dataclass(frozen=True, slots=True)
class Circumstances:
    """What a decision depends on besides the record.

    Attributes:
        now: the endpoint's clocks.
        chance: uniform random number in [0, 1).
        quick: immediate retries since the last wait or success.
        inventory_digest: of the inventory as it is now (base64url).
        instance: id of this process, if it is one that keeps running and may restart itself; else empty.
    """

    now: Moment
    chance: float = 0.0
    quick: int = 0
    inventory_digest: str = ""
    instance: str = ""


def decide(record: Record, here: Circumstances) -> Action:
    """Return the next action."""
    ordinary = _ordinary(record, here)
    if not (record.device_key and record.seal_key):
        return ordinary
    beside = _beside(record, here)
    if not isinstance(beside, Wait):
        return beside
    if not isinstance(ordinary, Wait):
        return ordinary
    restart = transaction.restart_in(record, here.instance, here.now)
    if restart is None:
        return min(beside, ordinary, key=lambda wait: wait.seconds)
    if restart <= 0:
        return Restart()
    again = Wait(restart, "the agent restarts itself then, to verify the access in use")
    return min(again, beside, ordinary, key=lambda wait: wait.seconds)


def _beside(record: Record, here: Circumstances) -> MakeKeys | Probe | Commit | Recover | Wait:
    """What there is to do beside ordinary check-ins; neither the schedule nor a held password keeps it waiting."""
    if record.change is not None and record.change.state is ChangeState.PROVEN:
        return Commit()
    if renewal.lacks_keys(record):
        return MakeKeys()
    probe = transaction.probe_in(record, here.now)
    if probe is not None and probe <= 0:
        return Probe()
    ask = record.recovery.due.remaining(here.now) if record.recovery else None
    if ask is not None and ask <= 0:
        return Recover()
    waits = [Wait(probe, "the new access is tried again later")] if probe is not None else []
    waits += [Wait(ask, "the server is asked for an access again later")] if ask is not None else []
    return min(waits, key=lambda wait: wait.seconds, default=Wait(math.inf, ""))


def _ordinary(record: Record, here: Circumstances) -> MakeKeys | Enrol | FetchToken | CheckIn | Wait:
    remaining = record.due.remaining(here.now) if record.due else 0.0
    held = _held(record, here)
    if held > remaining:
        return Wait(held, "the account's password was refused, or a try of it was cut off; it is not tried again yet")
    if remaining > 0:
        return Wait(remaining, record.trouble or "the next check-in is not due")
    if not (record.device_key and record.seal_key):
        return MakeKeys()
    return _check_in(record, here) if record.mode is Mode.WINDOWS else _by_token(record, here)


def _by_token(record: Record, here: Circumstances) -> Enrol | FetchToken | CheckIn:
    if record.admission is not Admission.REGISTERED or record.enrol_again:
        return Enrol()
    if not record.token or record.token_expires_at - server_now(record.anchor, here.now) < TOKEN_MARGIN:
        return FetchToken()
    return _check_in(record, here)


def _held(record: Record, here: Circumstances) -> float:
    return hold.remaining(record.hold, record.credential, here.now) if record.mode is Mode.WINDOWS else 0.0


def _check_in(record: Record, here: Circumstances) -> CheckIn:
    # A server that cannot read what is enclosed must still hear that the endpoint lives.
    plain = bool(record.failures and record.last_refusal and record.last_refusal.kind in _PLAIN_AFTER)
    if record.mode is Mode.WINDOWS and record.must_join:
        # Whoever joins says what it is: a server takes no join without an inventory.
        return CheckIn(send_inventory=True, send_results=not plain, join=True)
    if plain:
        return CheckIn(send_inventory=False, send_results=False)
    return CheckIn(send_inventory=record.known_inventory != here.inventory_digest)


def by_hand(record: Record, now: Moment) -> Record:
    """Return the record of an agent that a person tells to check in now: once, and whatever it waits for."""
    asking, change = record.recovery, record.change
    return replace(
        record,
        due=None,
        hold=hold.lifted(record.hold, now),
        probe_hold=hold.lifted(record.probe_hold, now),
        recovery=asking and replace(asking, due=Due(now, 0.0)),
        change=change and replace(change, due=None),
    )


def reserved(record: Record, before: LogonHold | None, here: Circumstances) -> Record:
    """Return what to store before a check-in is sent: its number, and in Windows mode the hold on the password.

    Args:
        record: as it is.
        before: the hold when this visit began; a second route of one visit is no second try.
        here: clocks and chance.
    """
    record = replace(record, seq=record.seq + 1)
    if record.mode is not Mode.WINDOWS:
        return record
    return replace(record, hold=hold.begun(before, record.credential, here.now, here.chance))


def hear(record: Record, heard: Heard, now: Moment) -> Record:
    """Take over the server's nonce and time from any answer."""
    return replace(
        record,
        nonce=heard.nonce or record.nonce,
        anchor=Anchor(heard.server_time, now) if heard.server_time else record.anchor,
    )


def refused(record: Record, action: Action, said: Refused, here: Circumstances) -> Record:
    """Return the record after a refusal of ``action``."""
    other = renewal.refused(record, said.kind, by_name=isinstance(action, FetchToken))
    course = Course.OTHER_KEY if other else _course(record, action, said)
    record = other or record
    known = hear(_prepared(_answered(record, said, here), course, said), said.heard, here.now)
    quick = here.quick < MAX_QUICK and _retries_now(course, record, said)
    if quick and course in _QUIET:
        return replace(known, due=None)
    failures = record.failures + 1
    after = replace(
        known,
        failures=failures,
        last_refusal=_last(known, said, here.now),
        trouble=f"the server refused: {said.kind}",
        due=None if quick else Due(here.now, _delay(said, failures, here.chance)),
    )
    return after if quick else _given_up(after, action, said, here.now)


def _given_up(record: Record, action: Action, said: Refused, now: Moment) -> Record:
    """Return the record after a visit that ended in a refusal: back to what worked, and by another way."""
    if said.kind == renewal.SUPERSEDED:
        record = renewal.superseded(record)
    joining = isinstance(action, Enrol) or (isinstance(action, CheckIn) and action.join)
    asking = recovery.after_refusal(record, said.kind, now, joining=joining)
    why = f"{said.kind} ({said.detail})" if said.detail else said.kind
    return transaction.visit_failed(asking, why, said.kind, joining=joining)


def unreached(record: Record, why: str, here: Circumstances, *, same_servers: bool = False) -> Record:
    """Return the record after a try that no server answered; ``same_servers`` as in ``transaction.visit_failed``."""
    failures = record.failures + 1
    delay = schedule.backoff(failures, here.chance)
    kept = hold.undecided(record.hold, here.now) if record.mode is Mode.WINDOWS else record.hold
    after = replace(record, failures=failures, trouble=why[:300], due=Due(here.now, delay), hold=kept)
    return transaction.visit_failed(recovery.after_silence(after, here.now), why, same_servers=same_servers)


def _answered(record: Record, said: Refused, here: Circumstances) -> Record:
    """Settle what ``reserved`` assumed: only a password that was presented and not accepted is held."""
    if record.mode is not Mode.WINDOWS:
        return record
    if said.tried:
        return replace(record, hold=hold.refused(record.credential, here.now, here.chance))
    return replace(record, hold=hold.undecided(record.hold, here.now))


def _course(record: Record, action: Action, said: Refused) -> Course:
    course = _course_of_class(action, said)
    # There is no token to renew; a logon that was asked for again is not made again at once.
    return Course.BACK_OFF if course is Course.NEW_TOKEN and record.mode is Mode.WINDOWS else course


def _course_of_class(action: Action, said: Refused) -> Course:
    if said.kind == RefusalClass.UNAUTHENTICATED and isinstance(action, FetchToken):
        # A server that lost its record may not say so to a caller it cannot authenticate.
        return Course.REGISTER
    if isinstance(action, Enrol) and COURSES.get(said.kind) is not Course.SIGN_AGAIN:
        return Course.BACK_OFF
    return COURSES.get(said.kind, Course.BACK_OFF)


def _prepared(record: Record, course: Course, said: Refused) -> Record:
    if course is Course.SIGN_AGAIN:
        return record
    # A server that is only busy has not said what it thinks of the registration.
    again = course is Course.REGISTER or (record.enrol_again and said.kind == RefusalClass.NOT_READY)
    record = replace(record, enrol_again=again)
    if course is Course.NEW_TOKEN:
        return replace(record, token_expires_at=0)
    if course is Course.RESYNC and said.expected_seq <= limits.SEQ_MAX:
        # Whoever went back in time may have another name since; where the key alone names it, nothing else tells.
        known = replace(record, enrol_again=record.mode is Mode.WINDOWS)
        return replace(known, seq=max(record.seq, said.expected_seq - 1))
    if said.kind == RefusalClass.PENDING:
        return replace(record, admission=Admission.PENDING)
    return record


def _retries_now(course: Course, record: Record, said: Refused) -> bool:
    if course is Course.SIGN_AGAIN:
        return bool(said.heard.nonce)
    if course is Course.REGISTER:
        # Once: a server that takes the registration and still does not know the device is not hurried.
        return record.failures == 0 and said.kind == RefusalClass.UNKNOWN_DEVICE
    return course in (Course.NEW_TOKEN, Course.RESYNC, Course.OTHER_KEY)


def _last(record: Record, said: Refused, now: Moment) -> LastRefusal:
    at = said.heard.server_time or server_now(record.anchor, now)
    return LastRefusal(said.kind, said.detail, at, said.repair)


def _delay(said: Refused, failures: int, chance: float) -> float:
    if said.retry_after:
        return schedule.retry_after(said.retry_after, chance)
    return schedule.backoff(failures, chance)
