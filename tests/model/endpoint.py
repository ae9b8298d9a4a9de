"""The endpoint's side: what its agent makes of answers, by the rules of keyfast.core.change."""

from typing import NamedTuple

from tests.model.rules import Rules
from tests.model.state import Access, Change, Endpoint, Watch

from keyfast.core import change as lifecycle
from keyfast.core.change import ChangeEvent as E
from keyfast.core.change import ChangeState as S
from keyfast.core.mode import Mode


class Told(NamedTuple):
    """A signed change as it arrives; ``access`` None for the command to erase."""

    id: int
    epoch: int
    seq: int
    access: Access | None


def offered(rules: Rules, one: Endpoint, told: Told, *, recovering: bool = False) -> Endpoint:
    """See agent.transaction.offered."""
    own, place = (one.epoch, one.seq), (told.epoch, told.seq)
    if not rules.takes(place, own, _ended_badly(one, told.id) if recovering else None):
        return _again(one, told.id)
    one = one._replace(epoch=max(own, place)[0], seq=max(own, place)[1])
    if told.access is None:
        return one._replace(previous=None) if rules.may_erase(one.watch.state if one.watch else None) else one
    in_use = (one.current.epoch, one.current.seq) if one.current else (0, 0)
    if not rules.keeps_order((told.access.epoch, told.access.seq), in_use):
        failed = Change(told.id, told.epoch, told.seq, told.access, S.FAILED)
        return one._replace(change=failed) if not _waits(one) else one
    if _waits(one) and one.change.id != told.id:
        lifecycle.step(one.change.state, E.SUPERSEDED)
    return one._replace(change=Change(told.id, told.epoch, told.seq, told.access, S.STAGED))


def _waits(one: Endpoint) -> bool:
    return one.change is not None and one.change.state in lifecycle.WAITING


def _ended_badly(one: Endpoint, command: int) -> tuple[int, int] | None:
    for held in (one.change, one.watch):
        if held is not None and held.id == command and held.state in lifecycle.ENDED_BADLY:
            return held.epoch, held.seq
    return None


def _again(one: Endpoint, command: int) -> Endpoint:
    """Say once more what became of it."""
    if one.change is not None and one.change.id == command:
        return one._replace(change=one.change._replace(unsent=True))
    if one.watch is not None and one.watch.id == command:
        return one._replace(watch=one.watch._replace(unsent=True))
    return one


def probe_passed(one: Endpoint) -> Endpoint:
    return one._replace(change=one.change._replace(state=lifecycle.step(one.change.state, E.PROBE_PASSED)))


def probe_failed(rules: Rules, one: Endpoint, refusal: str) -> Endpoint:
    """One step stands for all tries but the last."""
    tries = lifecycle.PROBE_TRIES if one.change.tries else lifecycle.PROBE_TRIES - 1
    event = rules.after_probe(tries, refusal)
    state = lifecycle.step(one.change.state, event)
    return one._replace(change=one.change._replace(state=state, tries=tries, unsent=True))


def committed(rules: Rules, one: Endpoint) -> Endpoint:
    """See agent.transaction.committed."""
    made, watch = one.change, one.watch
    worth = one.previous is None or watch is None or rules.has_worked(watch.state, watch.good)
    state = lifecycle.step(made.state, E.FLIPPED)
    return one._replace(
        current=made.access,
        previous=one.current if worth else one.previous,
        change=None,
        watch=Watch(made.id, made.epoch, made.seq, state),
    )


def restarted(one: Endpoint) -> Endpoint:
    watch = one.watch
    return (
        one if watch is None or watch.state is not S.COMMITTED else one._replace(watch=watch._replace(restarted=True))
    )


def checked_in(rules: Rules, one: Endpoint) -> Endpoint:
    """One step stands for all good check-ins but the last."""
    one = one._replace(
        behind=False,
        change=one.change and one.change._replace(unsent=False),
        watch=one.watch and one.watch._replace(unsent=False),
    )
    watch = one.watch
    if watch is None or watch.state is not S.COMMITTED:
        return one
    good = lifecycle.GOOD_CHECK_INS - (0 if watch.good else 1)
    event = rules.after_check_in(good, restarted=watch.restarted)
    state = lifecycle.step(watch.state, event)
    return one._replace(watch=watch._replace(state=state, good=good, missed=0, unsent=event is E.VERIFIED))


def missed(rules: Rules, one: Endpoint, refusal: str) -> Endpoint:
    """One step stands for all failed visits but the last; see agent.transaction.visit_failed."""
    watch = one.watch
    if not rules.keeps_keys_when_unknown and refusal == "unknown_device":
        return one._replace(keys=0)
    if not rules.keeps_what_is_refused and refusal in lifecycle.ACCESS_REFUSED and one.current is not None:
        one = one._replace(current=Access(one.current.mode, one.current.epoch, one.current.seq))
    if watch is None or watch.state is not S.COMMITTED or not lifecycle.is_about_access(refusal):
        return one
    count = lifecycle.MISSED_VISITS - (0 if watch.missed else 1)
    event = rules.after_failed_visit(count, refusal)
    if event is not E.LOST or one.previous is None:
        return one._replace(watch=watch._replace(missed=count))
    lost = watch._replace(state=lifecycle.step(watch.state, E.LOST), unsent=True)
    return one._replace(current=one.previous, previous=one.current, watch=lost)


def heard_epoch(rules: Rules, one: Endpoint, epoch: int) -> Endpoint:
    """Numbers of commands start again when a server comes back from a backup."""
    after = rules.heard_epoch(one.epoch, epoch)
    return one if after == one.epoch else one._replace(epoch=after, seq=0)


def adopted(one: Endpoint, mode: Mode, epoch: int, seq: int) -> Endpoint:
    """A newer profile that leads to the same servers; see agent.absorb.adopted."""
    current = one.current
    if current is None or current.mode is not mode or (epoch, seq) <= (current.epoch, current.seq):
        return one
    return one._replace(current=current._replace(epoch=epoch, seq=seq))
