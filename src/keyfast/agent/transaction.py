"""The change of the web access server in the endpoint's record: pure, from one record to the next.

Each function returns a whole record, and a record is stored whole: whoever dies between any two of them
comes back with the access it had, or with the one that was proven, and with what to do next.
"""

from dataclasses import dataclass

from msgspec.structs import replace

from keyfast.agent import hold
from keyfast.agent.client_database import HeldChange, KeptAccount, Record, Slots
from keyfast.agent.results import refused, reported
from keyfast.agent.timing import Due, Moment
from keyfast.core import change as rules
from keyfast.core.change import ChangeEvent, ChangeState
from keyfast.core.mode import Mode
from keyfast.wire.changes import CHANGE_WEB_ACCESS_SERVER, ERASE, Change
from keyfast.wire.messages import AccessProfile

SOON = 1.0
"""Seconds until the check-in that tells what became of a change."""


@dataclass(frozen=True, slots=True)
class Offered:
    """A change whose signature holds, and what was found in it.

    Attributes:
        change: its claims.
        profile: its access profile, None if that cannot be used.
        account: its account, None where its mode has none.
        fault: why it cannot be used, empty if it can.
    """

    change: Change
    profile: AccessProfile | None = None
    account: KeptAccount | None = None
    fault: str = ""


def offered(record: Record, what: Offered, now: Moment, *, recovering: bool = False) -> Record:
    """Return the record after a signed change arrived; a repeated one is a no-op.

    Args:
        record: as it is.
        what: the change.
        now: the endpoint's clocks.
        recovering: it came with the answer to a recovery.
    """
    change = what.change
    if not record.endpoint_id:
        return record
    if change.endpoint != record.endpoint_id:
        return refused(record, change.id, "it is for another endpoint")
    own, told = (record.epoch, record.command_seq), (change.epoch, change.seq)
    if not rules.takes(told, own, _again(record, change.id) if recovering else None):
        return refused(record, change.id, f"its number {told[0]}.{told[1]} is not above {own[0]}.{own[1]}")
    if record.anchor is not None and change.expires_at <= record.anchor.server_now(now):
        # Its number is not used up: the server makes what has expired anew.
        return reported(record, change.id, "failed", "it had expired when it arrived")
    if told > own:
        record = replace(record, epoch=change.epoch, command_seq=change.seq)
    if change.action == ERASE:
        return _erased(record, change.id, now)
    fault = what.fault or _fault(record, what)
    return reported(record, change.id, "failed", fault) if fault else _staged(record, what)


def _again(record: Record, command: str) -> rules.Place | None:
    """Return where a change may be that a recovery brings once more: it ended badly here, or never began."""
    known = [held for held in (record.change, record.watch) if held is not None and held.id == command]
    if not known:
        return record.epoch, record.command_seq
    ended = known[0] if known[0].state in rules.ENDED_BADLY else None
    return (ended.epoch, ended.seq) if ended else None


def _fault(record: Record, what: Offered) -> str:
    if what.change.action != CHANGE_WEB_ACCESS_SERVER:
        return f"this agent does not know the action {what.change.action[:64]}"
    if what.profile is None:
        return "it names no access profile"
    told = (what.profile.epoch, what.profile.seq)
    if not rules.keeps_order(told, (record.profile_epoch, record.profile_seq)):
        return f"its access profile {what.profile.seq} is older than the one in use, {record.profile_seq}"
    return ""


def _staged(record: Record, what: Offered) -> Record:
    change, profile = what.change, what.profile
    assert profile is not None  # noqa: S101 - _fault has looked
    if record.change is not None and record.change.id != change.id:
        record = without_candidate(record, "a newer change came before it was committed")
    held = HeldChange(
        change.id,
        change.seq,
        change.epoch,
        rotation=change.rotation,
        mode=Mode(profile.mode),
        profile_seq=profile.seq,
        profile_epoch=profile.epoch,
        account=what.account,
    )
    slots = replace(record.slots, candidate=change.profile)
    return reported(replace(record, slots=slots, change=held), change.id, "received")


def without_candidate(record: Record, why: str) -> Record:
    """Return the record without a change in hand; the server is told why it is no longer waited for."""
    change = record.change
    if change is None or change.state not in rules.WAITING:
        return record
    rules.step(change.state, ChangeEvent.SUPERSEDED)
    return reported(replace(record, change=None), change.id, "failed", why)


def _erased(record: Record, command: str, now: Moment) -> Record:
    nothing = not record.slots.previous and record.previous_account is None
    if not nothing and not rules.may_erase(record.watch.state if record.watch else None):
        return reported(record, command, "failed", "the access in use is not verified yet")
    record = replace(record, slots=replace(record.slots, previous=""), previous_account=None, due=Due(now, SOON))
    return reported(record, command, "applied")


def is_waiting(record: Record) -> bool:
    """Tell whether a candidate lies beside the access in use."""
    return record.change is not None and record.change.state in rules.WAITING


def probe_in(record: Record, now: Moment) -> float | None:
    """Seconds until the candidate is to be probed, None if there is none to probe."""
    change = record.change
    if change is None or change.state is not ChangeState.STAGED:
        return None
    due = change.due.remaining(now) if change.due else 0.0
    return max(due, hold.remaining(record.probe_hold, change.account.credential, now) if change.account else 0.0)


def probe_begun(record: Record, now: Moment, chance: float) -> Record:
    """Return what to store before a probe: its number, when the next may come, and the hold on the password."""
    change = _in_hand(record)
    tries = change.tries + 1
    due = Due(now, rules.probe_wait(tries, chance))
    held = record.probe_hold
    if change.account is not None:
        held = hold.begun(held, change.account.credential, now, chance)
    return replace(record, change=replace(change, tries=tries, due=due), probe_hold=held)


def probe_passed(record: Record) -> Record:
    """Return the record after a probe whose proof holds."""
    change = _in_hand(record)
    state = rules.step(change.state, ChangeEvent.PROBE_PASSED)
    return replace(record, change=replace(change, state=state, reason=""), probe_hold=None)


def probe_failed(
    record: Record, why: str, now: Moment, chance: float, *, refusal: str = "", tried: bool = False
) -> Record:
    """Return the record after a probe that did not pass.

    Args:
        record: as ``probe_begun`` left it, with the token that was fetched.
        why: one sentence.
        now: the endpoint's clocks.
        chance: uniform random number in [0, 1).
        refusal: class of the refusal, empty if no server could be believed.
        tried: the password was presented, and this may be why.
    """
    change = _in_hand(record)
    if change.account is not None:
        credential = change.account.credential
        held = hold.refused(credential, now, chance) if tried else hold.undecided(record.probe_hold, now)
        record = replace(record, probe_hold=held)
    event = rules.after_probe(change.tries, refusal)
    state = rules.step(change.state, event)
    if event is ChangeEvent.PROBE_FAILED:
        return replace(record, change=replace(change, state=state, reason=why[:300]))
    # What never worked is not kept: its password would be one more to lose.
    ended = replace(change, state=state, reason=why[:300], account=None, token="", due=None)
    due = record.due if record.failures else Due(now, SOON)
    record = replace(record, change=ended, slots=replace(record.slots, candidate=""), due=due)
    return reported(record, change.id, "failed", why)


def _in_hand(record: Record) -> HeldChange:
    change = record.change
    assert change is not None  # noqa: S101 - decide has looked
    return change


def committed(record: Record, instance: str) -> Record:
    """Return the record in which the proven candidate is in use, and what was in use is the previous one."""
    change = _in_hand(record)
    kept = _set_aside(record) if _is_worth_keeping(record) else record
    account = change.account or KeptAccount("", "", "", 0)
    done = replace(
        change,
        state=rules.step(change.state, ChangeEvent.FLIPPED),
        account=None,
        token="",
        due=None,
        instance=instance,
        reason="",
    )
    after = replace(
        _with_account(kept, account),
        slots=Slots(record.slots.factory, record.slots.candidate, kept.slots.previous),
        mode=change.mode,
        profile_seq=change.profile_seq,
        profile_epoch=change.profile_epoch,
        token=change.token,
        token_expires_at=change.token_expires_at,
        change=None,
        watch=done,
    )
    return reported(_fresh(after), change.id, "applied")


def _is_worth_keeping(record: Record) -> bool:
    """Tell whether what is in use becomes the previous access, and not one that is there already."""
    if not record.slots.previous:
        return True
    watch = record.watch
    return rules.has_worked(watch.state, watch.good) if watch else True


def _set_aside(record: Record) -> Record:
    """Return the record in which the previous access is the one in use."""
    return replace(
        record,
        slots=replace(record.slots, previous=record.slots.current),
        previous_mode=record.mode,
        previous_seq=record.profile_seq,
        previous_epoch=record.profile_epoch,
        # Where there is no account now, one from before still waits for the word that nobody needs it.
        previous_account=record.account or record.previous_account,
    )


def _with_account(record: Record, account: KeptAccount) -> Record:
    return replace(
        record,
        account_name=account.name,
        account_domain=account.domain,
        account_realm=account.realm,
        account_password=account.password,
        credential_generation=account.generation,
    )


def _fresh(record: Record) -> Record:
    """Return the record that checks in at once over an access that has just been taken.

    A recovery keeps its pace until that check-in is accepted, so that an access which passes its probe and
    is refused for work is not taken and lost without a pause.
    """
    # It was the other access with which it was to register again; if need be, the server says so once more.
    return replace(record, mechanism="", hold=None, failures=0, trouble="", due=None, enrol_again=False)


def checked_in(record: Record, slot: str, instance: str, now: Moment, chance: float) -> Record:
    """Return the record after an accepted check-in that went over a URL of ``slot``.

    Args:
        record: as it is.
        slot: of the URL.
        instance: id of this process of the agent.
        now: the endpoint's clocks.
        chance: uniform random number in [0, 1).
    """
    watch = record.watch
    if watch is None or watch.state is not ChangeState.COMMITTED or slot != "current":
        return record
    good = watch.good + 1
    event = rules.after_check_in(good, restarted=instance != watch.instance)
    watch = replace(watch, state=rules.step(watch.state, event), good=good, missed=0)
    if event is not ChangeEvent.VERIFIED:
        if good == rules.GOOD_CHECK_INS:  # once for each change: from here on only a restart is missing
            watch = replace(watch, due=Due(now, rules.restart_wait(chance)))
        return replace(record, watch=watch)
    record = replace(record, watch=replace(watch, due=None))
    return replace(reported(record, watch.id, "verified"), due=Due(now, SOON))


def restart_in(record: Record, instance: str, now: Moment) -> float | None:
    """Seconds until the agent restarts itself, None if it has no reason to.

    Whatever ends this process, the next one has another id, and none takes a restart for the same change again.

    Args:
        record: as it is.
        instance: id of this process, if it is one that keeps running; else empty.
        now: the endpoint's clocks.
    """
    watch = record.watch
    if not instance or watch is None or watch.state is not ChangeState.COMMITTED or watch.instance != instance:
        return None
    return watch.due.remaining(now) if watch.due else None


def visit_failed(record: Record, why: str, refusal: str = "", *, same_servers: bool = False) -> Record:
    """Return the record after a visit that failed.

    Args:
        record: as it is.
        why: one sentence.
        refusal: class of the refusal, empty if no server answered.
        same_servers: the previous access leads to the very same servers.
    """
    watch = record.watch
    if watch is None or watch.state is not ChangeState.COMMITTED:
        return record
    if not rules.is_about_access(refusal, same_servers=same_servers):
        return record
    missed = watch.missed + 1
    event = rules.after_failed_visit(missed, refusal)
    if event is ChangeEvent.LOST and record.slots.previous:
        return _reverted(record, why)
    return replace(record, watch=replace(watch, missed=missed))


def _reverted(record: Record, why: str) -> Record:
    """Return the record that uses its previous access again; what was lost stays beside it, for its URLs."""
    watch = record.watch
    assert watch is not None  # noqa: S101 - the caller has looked
    account = record.previous_account if record.previous_mode is Mode.WINDOWS else None
    reason = f"the new access failed: {why}"[:300]
    lost = replace(watch, state=rules.step(watch.state, ChangeEvent.LOST), reason=reason)
    aside = _set_aside(record)
    after = replace(
        _with_account(aside, account or KeptAccount("", "", "", 0)),
        slots=replace(aside.slots, current=record.slots.previous),
        mode=record.previous_mode,
        profile_seq=record.previous_seq,
        profile_epoch=record.previous_epoch,
        token="",
        token_expires_at=0,
        watch=lost,
        # The old access is tried before anybody is asked for another one.
        recovery=record.recovery if record.recovery and record.recovery.asks else None,
        # The same password may come again with a recovery.
        probe_hold=record.hold or record.probe_hold,
    )
    return reported(_fresh(after), watch.id, "reverted", reason)
