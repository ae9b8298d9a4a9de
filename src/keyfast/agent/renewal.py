"""The renewal of the device key in the endpoint's record: pure, from one record to the next.

The new key lies beside the one in use, durably, before anybody hears of it, and takes its place when the server's
receipt for it is there. No key is ever dropped before: what was in use goes to the history. Where the answer was lost
the server knows the new key and the endpoint does not know that; it then uses whichever the server accepts.
"""

from msgspec.structs import replace

from keyfast.agent import transaction
from keyfast.agent.client_database import KeyPair, Record, Renewal, remembered
from keyfast.agent.results import repeated, reported
from keyfast.agent.timing import Due, Moment
from keyfast.core.change import ChangeState
from keyfast.core.refusal import RefusalClass
from keyfast.wire.messages import Command

SOON = 1.0
"""Seconds until the check-in that brings a new key, or tells that it is in use."""
SUPERSEDED = RefusalClass.KEY_SUPERSEDED.value
NOT_KNOWN = frozenset({SUPERSEDED, RefusalClass.UNKNOWN_DEVICE.value})
"""Refusals that are about the device key."""
_DONE = frozenset({"received", "applied", "verified"})


def ordered(record: Record, command: Command, now: Moment) -> Record:
    """Return the record after a signed command to renew the key; a repeated one is a no-op."""
    if any(result.id == command.id and result.state in _DONE for result in record.done):
        return repeated(record, command.id)
    # A key that was made and not taken yet is as new as another one would be.
    asked = replace(record.renewal or Renewal(), command=command.id)
    return reported(replace(record, renewal=asked, due=Due(now, SOON)), command.id, "received")


def lacks_keys(record: Record) -> bool:
    """Tell whether new keys are to be made now."""
    return record.renewal is not None and record.renewal.keys is None and not is_postponed(record)


def is_postponed(record: Record) -> bool:
    """Tell whether a change of the web access server comes first: whatever goes wrong with it, the key must not.

    An endpoint whose key the server has superseded cannot wait: nothing else goes on.
    """
    if record.recovery is not None and record.recovery.why == SUPERSEDED:
        return False
    watched = record.watch is not None and record.watch.state is ChangeState.COMMITTED
    return watched or transaction.is_waiting(record)


def made(record: Record, keys: KeyPair) -> Record:
    """Return the record with new keys beside those in use."""
    asked = record.renewal or Renewal()
    return record if asked.keys else replace(record, renewal=replace(asked, keys=keys))


def brought_by_check_in(record: Record) -> KeyPair | None:
    """Return the new keys that the next check-in is to bring, None if it brings none."""
    asked = record.renewal
    return asked.keys if asked and (asked.trying or not is_postponed(record)) else None


def signing_keys(record: Record) -> KeyPair:
    """Return the keys that requests for work are signed with: those in use, unless the new ones are being tried."""
    asked = record.renewal
    return asked.keys if asked and asked.keys and asked.trying else KeyPair(record.device_key, record.seal_key)


def vouching(record: Record, asks: int) -> KeyPair | None:
    """Return other keys to recover with, where those in use are not known: another one each time, None for none."""
    new = (record.renewal.keys,) if record.renewal and record.renewal.keys else ()
    others = (*new, *record.former_keys)
    return others[asks % len(others)] if others else None


def refused(record: Record, kind: str, *, by_name: bool) -> Record | None:
    """Return the record that goes on with the other key, None if this refusal is not about the key or there is none.

    A new key that was refused stays: were another one made each time, a server that always says so would push the
    former ones out of the history.

    Args:
        record: as it is.
        kind: class of the refusal.
        by_name: it was asked for a token, where a key that is not known is ``unauthenticated``.
    """
    asked = record.renewal
    if asked is None or asked.keys is None:
        return None
    unknown = kind in NOT_KNOWN or (by_name and kind == RefusalClass.UNAUTHENTICATED)
    if asked.trying and unknown:
        return _without_token(replace(record, renewal=replace(asked, trying=False)))
    if not asked.trying and kind == SUPERSEDED:
        return _without_token(replace(record, renewal=replace(asked, trying=True)))
    return None


def superseded(record: Record) -> Record:
    """Return the record of an endpoint whose key has a successor that it does not hold: it is to make another one."""
    return record if record.renewal else replace(record, renewal=Renewal())


def taken(record: Record, receipt: str, now: Moment) -> Record:
    """Return the record in which the new keys are in use, as the server's receipt says; the others are kept."""
    asked = record.renewal
    if asked is None or asked.keys is None:
        return record
    after = replace(
        record,
        key_history=remembered(record.device_key, record.key_history),
        seal_history=remembered(record.seal_key, record.seal_history),
        device_key=asked.keys.device,
        seal_key=asked.keys.seal,
        receipt=receipt,
        renewal=None,
        due=Due(now, SOON),
    )
    after = after if asked.trying else _without_token(after)
    return reported(after, asked.command, "verified") if asked.command else after


def _without_token(record: Record) -> Record:
    """An access token is bound to the key that it was asked for with."""
    return replace(record, token="", token_expires_at=0)
