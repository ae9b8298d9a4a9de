# ruff: noqa: ARG001 - they share a signature
"""What a rotation decides to do, as data. Effects are journalled, done in their order, and each may be done twice."""

from collections.abc import Callable, Mapping
from enum import StrEnum

import msgspec

from keyfast.core.rotation_evidence import BACK
from keyfast.core.rotation_plan import Kind
from keyfast.core.rotation_state import Rotation, RotationEvent, RotationState

S, E = RotationState, RotationEvent
Value = str | int | bool


class EffectKind(StrEnum):
    """What is to be done."""

    SET_PASSWORD = "set_password"  # noqa: S105 - a name: set the idle account's new password in the directory
    VERIFY_ACCOUNT = "verify_account"
    OPEN_MODE = "open_mode"
    SIGN_PROFILE = "sign_profile"
    PLAN_TARGETS = "plan_targets"
    PLAN_BACK = "plan_back"
    RELEASE_WAVE = "release_wave"
    RETRY = "retry"
    RECALL = "recall"
    WITHDRAW = "withdraw"
    PUT_IN_FORCE = "put_in_force"
    ROTATE_KEY = "rotate_key"
    RETIRE = "retire"
    RETRUST = "retrust"
    ERASE = "erase"
    DESTROY = "destroy"


LASTING = frozenset({EffectKind.RELEASE_WAVE})
"""Done in portions over time; those behind it do not wait for it."""
DESTRUCTIVE = frozenset({EffectKind.RETIRE, EffectKind.ERASE, EffectKind.DESTROY})
"""Never done while the server is known to have gone back in time."""


class Effect(msgspec.Struct, frozen=True):
    """One act.

    Attributes:
        kind: what.
        document: with what; see each maker below.
    """

    kind: EffectKind
    document: Mapping[str, Value] = {}


K = EffectKind


def decided(before: Rotation, event: RotationEvent, after: Rotation) -> tuple[Effect, ...]:
    """Say what follows from ``event``."""
    make = _MAKERS.get(event)
    return () if make is None else make(before, after)


def _prepare(before: Rotation, after: Rotation) -> tuple[Effect, ...]:
    plan = after.plan
    acts = []
    if plan.sets_password:
        acts.append(Effect(K.SET_PASSWORD, {"account": plan.target}))
    if plan.uses_account:
        acts.append(Effect(K.VERIFY_ACCOUNT, {"account": plan.target}))
    if plan.own_profile:
        if plan.kind is not Kind.ADDRESS:
            acts.append(Effect(K.OPEN_MODE, {"mode": plan.mode}))
        acts.append(Effect(K.SIGN_PROFILE))
    if plan.has_targets:
        acts.append(Effect(K.PLAN_TARGETS))
    return tuple(acts)


def _offer(before: Rotation, after: Rotation) -> tuple[Effect, ...]:
    if after.plan.kind is Kind.TOKEN_KEY:
        return (Effect(K.ROTATE_KEY),)
    return (Effect(K.RELEASE_WAVE, {"wave": after.wave}),)


def _converge(before: Rotation, after: Rotation) -> tuple[Effect, ...]:
    return (Effect(K.PUT_IN_FORCE, {"back": False}),) if after.plan.own_profile else ()


def _extend(before: Rotation, after: Rotation) -> tuple[Effect, ...]:
    return (Effect(K.PLAN_TARGETS), Effect(K.RELEASE_WAVE, {"wave": after.wave}))


def _sign_anew(before: Rotation, after: Rotation) -> tuple[Effect, ...]:
    signing = (Effect(K.SIGN_PROFILE),)
    in_force = before.state in {S.DRAINING, S.REFUSED}
    return (*signing, Effect(K.PUT_IN_FORCE, {"back": False})) if in_force else signing


def _pause(before: Rotation, after: Rotation) -> tuple[Effect, ...]:
    return (Effect(K.RECALL),)


def _resume(before: Rotation, after: Rotation) -> tuple[Effect, ...]:
    """What failed is tried once more, with the password that works now."""
    plan = after.plan
    verifying = (Effect(K.VERIFY_ACCOUNT, {"account": plan.target}),) if plan.uses_account else ()
    return (*verifying, Effect(K.RETRY), Effect(K.RELEASE_WAVE, {"wave": after.wave}))


def _hasten(before: Rotation, after: Rotation) -> tuple[Effect, ...]:
    return (Effect(K.RELEASE_WAVE, {"wave": after.wave}),)


def _retire(before: Rotation, after: Rotation) -> tuple[Effect, ...]:
    return (Effect(K.RETIRE, _old(after)),)


def _retrust(before: Rotation, after: Rotation) -> tuple[Effect, ...]:
    return (Effect(K.RETRUST, _old(after)),)


def _finish(before: Rotation, after: Rotation) -> tuple[Effect, ...]:
    acts = []
    if after.plan.moves_access:
        acts.append(Effect(K.ERASE))
    if after.plan.retires and after.plan.source:
        acts.append(Effect(K.DESTROY, {"account": after.plan.source}))
    return tuple(acts)


def _roll_back(before: Rotation, after: Rotation) -> tuple[Effect, ...]:
    acts = [Effect(K.WITHDRAW)]
    if before.state is S.REFUSED:
        acts.insert(0, Effect(K.RETRUST, _old(after)))
    if after.plan.own_profile:
        acts += [Effect(K.SIGN_PROFILE, {"back": True}), Effect(K.PUT_IN_FORCE, {"back": True})]
    return (*acts, Effect(K.PLAN_BACK), Effect(K.RELEASE_WAVE, {"wave": BACK}))


def _abandon(before: Rotation, after: Rotation) -> tuple[Effect, ...]:
    return () if before.state is S.DRAFT else (Effect(K.WITHDRAW),)


def _old(rotation: Rotation) -> dict[str, Value]:
    """The old access: one account, or the whole mode in a ring. An old address is switched off by its owner."""
    plan = rotation.plan
    if plan.kind is Kind.ADDRESS:
        return {"urls": True}
    return {"account": plan.source} if plan.source else {"mode": plan.from_mode, "ring": plan.ring}


_MAKERS: dict[RotationEvent, Callable[[Rotation, Rotation], tuple[Effect, ...]]] = {
    E.STARTED: _prepare,
    E.OFFERED: _offer,
    E.WIDENED: _hasten,
    E.HASTENED: _hasten,
    E.CONVERGED: _converge,
    E.EXTENDED: _extend,
    E.SIGNED_ANEW: _sign_anew,
    E.PAUSED: _pause,
    E.RESUMED: _resume,
    E.RETIRED: _retire,
    E.RETRUSTED: _retrust,
    E.FINISHED: _finish,
    E.ROLLED_BACK: _roll_back,
    E.ABANDONED: _abandon,
}
