# ruff: noqa: ARG001 - they share a signature
"""What must be true before a rotation may take a step: named, pure, each None or a sentence that says why not.

The sentences are shown to people: "safe to retire? no, because ...".
"""

from collections.abc import Callable

from keyfast.core.command import CommandState as C
from keyfast.core.generation import GenerationState
from keyfast.core.rotation_evidence import MOVED, Evidence
from keyfast.core.rotation_plan import Kind
from keyfast.core.rotation_state import Rotation, RotationEvent, RotationState

Guard = Callable[[Rotation, Evidence, int], str | None]
S, E = RotationState, RotationEvent


def approved(rotation: Rotation, evidence: Evidence, now: int) -> str | None:
    """As many persons agreed as the plan asks for."""
    missing = rotation.plan.approvals - len(set(rotation.approvals))
    return f"{missing} more must approve it" if missing > 0 else None


def alone(rotation: Rotation, evidence: Evidence, now: int) -> str | None:
    """No other rotation moves the same endpoints."""
    return f"rotation {evidence.others[0]} is under way for the same endpoints" if evidence.others else None


def account_unused(rotation: Rotation, evidence: Evidence, now: int) -> str | None:
    """Nobody uses the account whose password is to be set (I7)."""
    if not rotation.plan.sets_password or not evidence.users:
        return None
    return f"{evidence.users:,} endpoints use {rotation.plan.target}; its password is never changed under them"


def account_settled(rotation: Rotation, evidence: Evidence, now: int) -> str | None:
    """No earlier rotation still keeps that account for endpoints that come late (I7)."""
    if not rotation.plan.sets_password or not evidence.holders:
        return None
    return f"rotation {evidence.holders[0]} still keeps {rotation.plan.target} for endpoints that come late"


def effects_done(rotation: Rotation, evidence: Evidence, now: int) -> str | None:
    """Everything decided so far has been done."""
    if not evidence.pending:
        return None
    return evidence.trouble or f"{evidence.pending} decided acts are not done yet"


def account_sound(rotation: Rotation, evidence: Evidence, now: int) -> str | None:
    """Every domain controller says that the target account can log on."""
    return evidence.account_faults[0] if rotation.plan.uses_account and evidence.account_faults else None


def generation_known(rotation: Rotation, evidence: Evidence, now: int) -> str | None:
    """The target account's password is on record and was proven."""
    if not rotation.plan.uses_account or rotation.facts.generation:
        return None
    return f"no password of {rotation.plan.target} was proven yet"


def generation_still_proven(rotation: Rotation, evidence: Evidence, now: int) -> str | None:
    """The password that endpoints are given still works."""
    if evidence.handed_out in {None, GenerationState.PROVEN}:
        return None
    return f"the password of {rotation.plan.target} was set again and is not proven"


def nodes_agree(rotation: Rotation, evidence: Evidence, now: int) -> str | None:
    """Every server process says that it accepts the old and the new (I8)."""
    return evidence.nodes_behind[0] if evidence.nodes_behind else None


def profile_signed(rotation: Rotation, evidence: Evidence, now: int) -> str | None:
    """The new access profile is signed."""
    if not rotation.plan.own_profile or rotation.facts.profile_seq:
        return None
    return "its access profile is not signed yet"


def somebody_to_move(rotation: Rotation, evidence: Evidence, now: int) -> str | None:
    """At least one endpoint is in its scope."""
    if not rotation.plan.has_targets or rotation.facts.targets:
        return None
    return "no endpoint is in its scope"


def key_published(rotation: Rotation, evidence: Evidence, now: int) -> str | None:
    """The next token key has been published long enough for every reader of the key set."""
    if rotation.plan.kind is not Kind.TOKEN_KEY:
        return None
    if not evidence.next_key_at:
        return "no next token key is published"
    return _wait("the next token key must stay published", evidence.next_key_at, rotation.plan.holds.publish_s, now)


def only_emergencies(rotation: Rotation, evidence: Evidence, now: int) -> str | None:
    """It was planned as one that moves all endpoints at once."""
    return None if rotation.plan.at_once else "it was not planned to move all endpoints at once"


def only_by_waves(rotation: Rotation, evidence: Evidence, now: int) -> str | None:
    """It was planned to begin with a canary."""
    return "it was planned to move all endpoints at once" if rotation.plan.at_once else None


def not_paused(rotation: Rotation, evidence: Evidence, now: int) -> str | None:
    """It is not paused."""
    return f"it is paused: {rotation.paused}" if rotation.paused else None


def is_paused(rotation: Rotation, evidence: Evidence, now: int) -> str | None:
    """It is paused."""
    return None if rotation.paused else "it is not paused"


def wave_released(rotation: Rotation, evidence: Evidence, now: int) -> str | None:
    """Every endpoint of the waves so far has been released."""
    left = evidence.number({C.PLANNED}, upto=rotation.wave)
    return f"{left:,} endpoints of wave {rotation.wave} are not released yet" if left else None


def wave_moved(rotation: Rotation, evidence: Evidence, now: int) -> str | None:
    """Every endpoint of the waves so far that was seen lately has moved, or was waived."""
    if not evidence.waited_for:
        return None
    return f"{evidence.waited_for:,} endpoints of the waves so far were seen lately and have not moved"


def wave_proven(rotation: Rotation, evidence: Evidence, now: int) -> str | None:
    """At least one endpoint of the canary has proven the new access: silence is no proof."""
    if not rotation.plan.has_targets or rotation.plan.kind is Kind.RECOVERY:
        return None  # nothing is taken away after a recovery
    wanted = {C.VERIFIED} if rotation.state is S.CANARY and rotation.plan.waves.restart_proof else MOVED
    if evidence.number(wanted):
        return None
    return "no endpoint has proven the new access" + (" over a restart" if wanted is not MOVED else "")


def soaked(rotation: Rotation, evidence: Evidence, now: int) -> str | None:
    """The last wave has had time to show what is wrong."""
    if not rotation.plan.has_targets:
        return None
    return _wait(f"wave {rotation.wave} must soak", rotation.wave_at, rotation.plan.waves.soak_s, now)


def waves_left(rotation: Rotation, evidence: Evidence, now: int) -> str | None:
    """There is another wave."""
    return None if rotation.wave < rotation.facts.waves else "there is no further wave"


def last_wave(rotation: Rotation, evidence: Evidence, now: int) -> str | None:
    """There is no further wave."""
    last = rotation.facts.waves
    return f"wave {rotation.wave} of {last} is not the last" if rotation.wave < last else None


def somebody_new(rotation: Rotation, evidence: Evidence, now: int) -> str | None:
    """Endpoints joined with the old access after the targets were listed."""
    return None if evidence.uncovered else "nobody has joined with the old access since"


def epoch_is_new(rotation: Rotation, evidence: Evidence, now: int) -> str | None:
    """Its access profile is of an earlier epoch."""
    signed = rotation.facts.profile_epoch
    return None if signed and signed < evidence.epoch else "its access profile is of this epoch"


def retires_something(rotation: Rotation, evidence: Evidence, now: int) -> str | None:
    """There is an old access to refuse."""
    return None if rotation.plan.retires else f"a rotation of kind {rotation.plan.kind} retires nothing; finish it"


def retires_nothing(rotation: Rotation, evidence: Evidence, now: int) -> str | None:
    """There is no old access that must be refused first."""
    return "the old access must be refused first" if rotation.plan.retires else None


def everyone_moved(rotation: Rotation, evidence: Evidence, now: int) -> str | None:
    """Each endpoint has committed to the new access, or was waived by name (I2)."""
    return f"{evidence.unmoved:,} endpoints have not moved and were not waived" if evidence.unmoved else None


def everyone_verified(rotation: Rotation, evidence: Evidence, now: int) -> str | None:
    """Each endpoint goes on checking in with the new access, or was waived by name."""
    left = evidence.unmoved + (evidence.number({C.APPLIED}) if rotation.plan.waves.restart_proof else 0)
    return f"{left:,} endpoints have not been seen often enough with the new access" if left else None


def everyone_covered(rotation: Rotation, evidence: Evidence, now: int) -> str | None:
    """No endpoint that joined since uses the old access."""
    return f"{evidence.uncovered:,} endpoints joined with the old access since" if evidence.uncovered else None


def drained(rotation: Rotation, evidence: Evidence, now: int) -> str | None:
    """Nobody has used the old access for long enough."""
    if rotation.plan.kind is Kind.RECOVERY:
        return None  # what was there before does not work
    if not rotation.plan.has_targets:
        return _wait("it must drain", rotation.since, rotation.plan.holds.drain_s, now)
    hold = max(rotation.plan.holds.drain_s, 2 * rotation.facts.longest_gap_s)
    return _wait("the old access must stay unused", max(rotation.moved_at, rotation.since), hold, now)


def held(rotation: Rotation, evidence: Evidence, now: int) -> str | None:
    """The old access has been refused, and could be trusted again, for long enough."""
    return _wait("the old access must stay refused", rotation.since, rotation.plan.holds.refused_s, now)


def backups_newer(rotation: Rotation, evidence: Evidence, now: int) -> str | None:
    """Every backup that may still be restored is newer than the last endpoint's move."""
    return _wait("backups from before the last move are kept", rotation.moved_at, rotation.plan.holds.backup_s, now)


def not_restored(rotation: Rotation, evidence: Evidence, now: int) -> str | None:
    """The server is not known to have gone back in time."""
    return "the server was restored from a backup; nothing is taken away" if evidence.restored_at else None


def everyone_back(rotation: Rotation, evidence: Evidence, now: int) -> str | None:
    """Each endpoint that may have moved has committed to the old access again, or was waived by name."""
    return f"{evidence.not_back:,} endpoints have not come back and were not waived" if evidence.not_back else None


def can_go_back(rotation: Rotation, evidence: Evidence, now: int) -> str | None:
    """There is something to go back to."""
    if rotation.plan.kind is Kind.RECOVERY:
        return "what a recovery replaces does not work any more"
    return "rotate the token key once more instead" if rotation.plan.kind is Kind.TOKEN_KEY else None


def _wait(what: str, since: int, hold: int, now: int) -> str | None:
    left = since + hold - now
    return f"{what} for {_span(hold)}, {_span(left)} more" if left > 0 else None


def _span(seconds: int) -> str:
    for unit, size in (("d", 86_400), ("h", 3600), ("min", 60)):
        if seconds >= 2 * size:
            return f"{seconds // size} {unit}"
    return f"{seconds} s"


_READY = (not_restored, effects_done, account_sound, generation_known, profile_signed, somebody_to_move)
SOUND = (account_sound, generation_still_proven)
"""The new access works; else the old one is neither replaced nor taken away."""
_OFFERED = (not_restored, effects_done, not_paused, *SOUND, wave_released, wave_moved)

GUARDS: dict[tuple[RotationState, RotationEvent], tuple[Guard, ...]] = {
    (S.DRAFT, E.STARTED): (approved, alone, account_unused, account_settled, not_restored),
    (S.PREPARED, E.TRUSTED): (only_by_waves, *_READY),
    (S.PREPARED, E.HASTENED): (only_emergencies, *_READY, nodes_agree),
    (S.TRUSTED, E.OFFERED): (*_READY, key_published, nodes_agree),
    (S.CANARY, E.WIDENED): (waves_left, *_OFFERED, wave_proven, soaked),
    (S.CANARY, E.CONVERGED): (last_wave, *_OFFERED, wave_proven, soaked),
    (S.ROLLING, E.WIDENED): (waves_left, *_OFFERED, soaked),
    (S.ROLLING, E.CONVERGED): (last_wave, *_OFFERED, wave_proven, soaked),
    (S.EMERGENCY, E.CONVERGED): (*_OFFERED, wave_proven),
    (S.EMERGENCY, E.RETIRED): (
        retires_something,
        not_restored,
        effects_done,
        *SOUND,
        wave_proven,
        everyone_moved,
        everyone_covered,
    ),
    (S.DRAINING, E.RETIRED): (
        retires_something,
        not_restored,
        effects_done,
        *SOUND,
        everyone_moved,
        everyone_covered,
        drained,
    ),
    (S.DRAINING, E.EXTENDED): (effects_done, somebody_new),
    (S.DRAINING, E.FINISHED): (retires_nothing, not_restored, effects_done, everyone_verified, drained),
    (S.REFUSED, E.FINISHED): (not_restored, effects_done, everyone_moved, held, backups_newer),
    (S.ROLLING_BACK, E.RETURNED): (not_restored, effects_done, everyone_back),
    **{(state, E.ROLLED_BACK): (can_go_back,) for state in (S.CANARY, S.ROLLING, S.EMERGENCY, S.DRAINING, S.REFUSED)},
    **{(state, E.PAUSED): (not_paused,) for state in (S.CANARY, S.ROLLING, S.EMERGENCY)},
    **{(state, E.RESUMED): (is_paused,) for state in (S.CANARY, S.ROLLING, S.EMERGENCY)},
    **{
        (state, E.SIGNED_ANEW): (effects_done, epoch_is_new)
        for state in (S.TRUSTED, S.CANARY, S.ROLLING, S.EMERGENCY, S.DRAINING, S.REFUSED)
    },
}
"""What is asked before each step; a step that is not here is only bound by the table."""
