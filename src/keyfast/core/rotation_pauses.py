"""What pauses a rotation by itself: named, pure, each None or the reason. An operator resumes it."""

from collections.abc import Callable

from keyfast.core.command import CommandState as C
from keyfast.core.generation import GenerationState
from keyfast.core.rotation_evidence import FETCHED, MOVED, Evidence, Tolerated
from keyfast.core.rotation_state import Rotation, RotationState

Pause = Callable[[Rotation, Evidence], str | None]


def failing(rotation: Rotation, evidence: Evidence) -> str | None:
    """Too many changes failed, of those that ended."""
    failed = evidence.number({C.FAILED})
    new = failed - rotation.tolerated.failed
    ended = failed + evidence.number(MOVED | {C.REVERTED})
    if new <= 0 or 100 * new <= rotation.plan.limits.failure_percent * ended:
        return None
    return f"{failed:,} of {ended:,} changes failed"


def reverting(rotation: Rotation, evidence: Evidence) -> str | None:
    """Too many endpoints went back by themselves."""
    reverted = evidence.number({C.REVERTED})
    if reverted - rotation.tolerated.reverted <= rotation.plan.limits.reverts:
        return None
    return f"{reverted:,} endpoints went back by themselves"


def guessing(rotation: Rotation, evidence: Evidence) -> str | None:
    """Wrong passwords are being counted for the accounts."""
    grown = evidence.bad_passwords - max(rotation.started_bad, rotation.tolerated.bad_passwords)
    if rotation.state is RotationState.EMERGENCY or grown <= rotation.plan.limits.bad_passwords:
        return None
    return f"{grown:,} wrong passwords were counted since it began"


def silencing(rotation: Rotation, evidence: Evidence) -> str | None:
    """Endpoints that fetched the change were not heard of again."""
    fetched = evidence.number(FETCHED)
    new = evidence.silent - rotation.tolerated.silent
    if rotation.state is RotationState.EMERGENCY or new <= 0:
        return None
    if 100 * new <= rotation.plan.limits.silent_percent * max(1, fetched):
        return None
    return f"{evidence.silent:,} endpoints fetched the change and were not heard of again"


def outdated(rotation: Rotation, evidence: Evidence) -> str | None:
    """The password that endpoints are given is not the target account's any more: not all of them would notice."""
    if evidence.handed_out in {None, GenerationState.PROVEN, GenerationState.IN_QUESTION}:
        return None
    return f"the password of {rotation.plan.target} that endpoints are given does not work any more"


PAUSES: tuple[Pause, ...] = (outdated, reverting, failing, guessing, silencing)


def reason_to_pause(rotation: Rotation, evidence: Evidence) -> str:
    """Return the first reason to pause, empty if there is none."""
    return next((reason for pause in PAUSES if (reason := pause(rotation, evidence))), "")


def tolerated(evidence: Evidence) -> Tolerated:
    """Return what is accepted by somebody who resumes now."""
    return Tolerated(
        failed=evidence.number({C.FAILED}),
        reverted=evidence.number({C.REVERTED}),
        bad_passwords=evidence.bad_passwords,
        silent=evidence.silent,
    )
