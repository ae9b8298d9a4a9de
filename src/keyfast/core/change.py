"""The change of an endpoint's web access server, as the endpoint lives it: one table, and the rules around it.

The new access is staged beside the one in use, proven by a probe, and only then committed to. From there on
it is watched: some good check-ins and a restart verify it, some failed visits in a row take the endpoint back
to what it had, unless all they say is that the same servers as before are down. What is in use and what was in
use before are never lost on the way.

Everything here takes and returns plain values, so that every sequence of events can be searched.
"""

from enum import StrEnum

from keyfast.core import machine, schedule
from keyfast.core.refusal import RefusalClass

Place = tuple[int, int]
"""Epoch of the installation, and a number within it: of commands to one endpoint, or of access profiles."""

GOOD_CHECK_INS = 3
"""Accepted check-ins over the new access before it can be verified."""
MISSED_VISITS = 3
"""Failed visits in a row after which the endpoint goes back."""
PROBE_TRIES = 4
"""Probes that may come to nothing before the change has failed."""
RESTART_AFTER = 600.0
"""Seconds, at least, from when only a restart is missing to the one that an agent takes by itself."""
EPOCH_LEAP = 1000
"""Epochs an answer may be ahead of what was heard; each stands for one restore of the server."""

RETIRED_GENERATION = "retired_generation"
ACCESS_REFUSED = frozenset(
    {
        RefusalClass.ACCOUNT_REFUSED.value,
        RefusalClass.ACCOUNT_NOT_ALLOWED.value,
        RefusalClass.MODE_CLOSED.value,
        RETIRED_GENERATION,
    }
)
"""Refusal classes that are about the access itself: a probe that hears one is not tried again."""
NOT_THE_ACCESS = frozenset(
    {
        RefusalClass.PENDING.value,
        RefusalClass.REVOKED.value,
        RefusalClass.REPLAYED.value,
        RefusalClass.NOT_READY.value,
        RefusalClass.MALFORMED.value,
        RefusalClass.TOO_LARGE.value,
    }
)
"""Refusal classes of a server that was reached and would say the same to any other access."""


class ChangeState(StrEnum):
    """States of a change on its endpoint."""

    STAGED = "staged"
    PROVEN = "proven"
    COMMITTED = "committed"
    VERIFIED = "verified"
    REVERTED = "reverted"
    FAILED = "failed"


class ChangeEvent(StrEnum):
    """What happens to it."""

    PROBE_FAILED = "probe_failed"
    PROBE_PASSED = "probe_passed"
    GAVE_UP = "gave_up"
    SUPERSEDED = "superseded"
    FLIPPED = "flipped"
    CHECKED_IN = "checked_in"
    MISSED = "missed"
    VERIFIED = "verified"
    LOST = "lost"
    STAGED_AGAIN = "staged_again"


S, E = ChangeState, ChangeEvent

TABLE: dict[tuple[ChangeState, ChangeEvent], ChangeState] = {
    (S.STAGED, E.PROBE_FAILED): S.STAGED,
    (S.STAGED, E.PROBE_PASSED): S.PROVEN,
    (S.STAGED, E.GAVE_UP): S.FAILED,
    (S.STAGED, E.SUPERSEDED): S.FAILED,
    (S.PROVEN, E.FLIPPED): S.COMMITTED,
    (S.PROVEN, E.SUPERSEDED): S.FAILED,
    (S.COMMITTED, E.CHECKED_IN): S.COMMITTED,
    (S.COMMITTED, E.MISSED): S.COMMITTED,
    (S.COMMITTED, E.VERIFIED): S.VERIFIED,
    (S.COMMITTED, E.LOST): S.REVERTED,
    (S.FAILED, E.STAGED_AGAIN): S.STAGED,
    (S.REVERTED, E.STAGED_AGAIN): S.STAGED,
}

WAITING = frozenset({S.STAGED, S.PROVEN})
"""States in which a candidate lies beside the access in use."""
ENDED_BADLY = frozenset({S.FAILED, S.REVERTED})
"""States from which the same change may be staged once more."""


def step(state: ChangeState, event: ChangeEvent) -> ChangeState:
    """Return the state after ``event``; raise TransitionError for a cell that is not in the table."""
    return machine.step(TABLE, "change of the web access server", state, event)


def takes(told: Place, own: Place, held: Place | None = None) -> bool:
    """Tell whether a change may be taken.

    Args:
        told: epoch and number of the change.
        own: epoch last heard and highest command number seen.
        held: place of this very change, where it ended badly before and a recovery brings it again. The server
            cannot know how it ended, since whoever needs a recovery cannot tell it.
    """
    return told > own or (told == held and told[0] >= own[0])


def keeps_order(told: Place, own: Place) -> bool:
    """Tell whether a change's profile may follow the one in use: the same one, or a newer one."""
    return told >= own


def heard_epoch(own: int, told: int) -> int:
    """Return the epoch to go by; it never goes back, and nobody makes it jump out of reach."""
    return told if own < told <= own + EPOCH_LEAP else own


def after_probe(tries: int, refusal: str = "") -> ChangeEvent:
    """Return the event of a probe that did not pass.

    Args:
        tries: probes begun, this one included.
        refusal: class of the refusal, empty if no server could be believed.
    """
    return E.GAVE_UP if tries >= PROBE_TRIES or refusal in ACCESS_REFUSED else E.PROBE_FAILED


def probe_wait(tries: int, chance: float) -> float:
    """Seconds from the beginning of the probe number ``tries`` (>= 1) to the next."""
    return schedule.backoff(tries, chance)


def after_check_in(good: int, *, restarted: bool) -> ChangeEvent:
    """Return the event of an accepted check-in over the new access.

    Args:
        good: accepted check-ins since the commit, this one included.
        restarted: another process of the agent than the one that committed made it.
    """
    return E.VERIFIED if good >= GOOD_CHECK_INS and restarted else E.CHECKED_IN


def restart_wait(chance: float) -> float:
    """Seconds from when only a restart is missing to the one that the agent takes: once to twice ``RESTART_AFTER``."""
    return schedule.retry_after(RESTART_AFTER, chance, spread=1.0)


def after_failed_visit(missed: int, refusal: str = "") -> ChangeEvent:
    """Return the event of a failed visit.

    An access that is refused is not tried twice more: a refused password is held for hours, and what the
    endpoint had before waits beside it.

    Args:
        missed: failed visits in a row, this one included.
        refusal: class of the refusal, empty if no server answered.
    """
    return E.LOST if missed >= MISSED_VISITS or refusal in ACCESS_REFUSED else E.MISSED


def is_about_access(refusal: str, *, same_servers: bool = False) -> bool:
    """Tell whether a failed visit counts against the access.

    Args:
        refusal: class of the refusal, empty if no server answered.
        same_servers: the access before leads to the very same servers, and would not have reached them either.
    """
    return refusal not in NOT_THE_ACCESS if refusal else not same_servers


def has_worked(state: ChangeState | None, good: int) -> bool:
    """Tell whether the access in use is good enough to fall back on.

    Args:
        state: of the change that brought it, None if no change did.
        good: accepted check-ins since.
    """
    return state is not S.COMMITTED or good >= GOOD_CHECK_INS


def may_erase(state: ChangeState | None) -> bool:
    """Tell whether the previous access may go, by the state of the change in use."""
    return state is S.VERIFIED
