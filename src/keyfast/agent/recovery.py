"""When an endpoint asks for its access by its device key: pure, one record in and one out."""

from msgspec.structs import replace

from keyfast.agent.client_database import Record, Recovery
from keyfast.agent.timing import Due, Moment
from keyfast.core import schedule
from keyfast.core.change import ACCESS_REFUSED
from keyfast.core.refusal import RefusalClass
from keyfast.wire import limits

UNREACHED = "unreached"
WINDOW_CLOSED = "window_closed"
EVERY_SILENT = 2
"""Visits without an answer after which the endpoint asks."""
MIN_WAIT = 30

REFUSED = ACCESS_REFUSED | {
    RefusalClass.UNKNOWN_DEVICE.value,
    RefusalClass.UNAUTHENTICATED.value,
    RefusalClass.KEY_SUPERSEDED.value,
}
"""Refusals of a check-in or a token request after which the endpoint asks at once."""
JOIN_REFUSED = REFUSED | {
    RefusalClass.ENROLMENT_EXPIRED.value,
    RefusalClass.ENROLMENT_EXHAUSTED.value,
    RefusalClass.ENROLMENT_REVOKED.value,
    RefusalClass.ENROLMENT_NOT_LISTED.value,
}
"""The same where the endpoint asked to be taken in."""
KEY_NOT_KNOWN = frozenset({RefusalClass.UNAUTHENTICATED.value, RefusalClass.UNKNOWN_DEVICE.value})
"""Refusals of a signed recovery that another key of the endpoint may get around."""
THEN_ANONYMOUSLY = KEY_NOT_KNOWN | {WINDOW_CLOSED}
"""Refusals of a signed recovery that an anonymous one may get around while a window is open."""


def after_refusal(record: Record, kind: str, now: Moment, *, joining: bool) -> Record:
    """Return the record after a visit that ended with a refusal of class ``kind``."""
    return _wanted(record, kind, now) if kind in (JOIN_REFUSED if joining else REFUSED) else record


def after_silence(record: Record, now: Moment) -> Record:
    """Return the record after a visit that no server answered.

    One that never joined just goes on joining: asking for recovery would make it wait for a person, although
    nobody has refused its package.
    """
    return _wanted(record, UNREACHED, now) if record.receipt and record.failures % EVERY_SILENT == 0 else record


def _wanted(record: Record, why: str, now: Moment) -> Record:
    asking = record.recovery
    # One that asks already keeps its own pace, whatever else is refused meanwhile.
    return replace(record, recovery=replace(asking, why=why) if asking else Recovery(why, Due(now, 0.0)))


def begun(record: Record, now: Moment, chance: float) -> Record:
    """Return what to store before asking: that it asked, and when to ask again if nothing comes of it."""
    asking = record.recovery or Recovery(UNREACHED, Due(now, 0.0))
    asks = asking.asks + 1
    return replace(record, recovery=Recovery(asking.why, Due(now, schedule.backoff(asks, chance)), asks))


def unanswered(record: Record) -> Record:
    """Return the record after nobody answered: a silent network is asked again with the visits that find it so."""
    silent = record.recovery is not None and record.recovery.why == UNREACHED
    return replace(record, recovery=None) if silent else record


def told_to_wait(record: Record, seconds: int, now: Moment, chance: float) -> Record:
    """Return the record that asks again when the server said, within bounds."""
    asking = record.recovery
    if asking is None or seconds <= 0:
        return record
    wait = schedule.retry_after(min(max(seconds, MIN_WAIT), limits.MAX_INTERVAL), chance)
    return replace(record, recovery=replace(asking, due=Due(now, wait)))
