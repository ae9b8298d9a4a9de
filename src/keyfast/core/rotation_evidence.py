"""What a rotation's decisions rest on: counted and read by its runner, judged in ``core.rotation_guards``."""

from collections.abc import Iterable

import msgspec

from keyfast.core.command import CommandState as C
from keyfast.core.generation import GenerationState

MOVED = frozenset({C.APPLIED, C.VERIFIED})
"""The endpoint has committed to the new access."""
FETCHED = frozenset({C.OFFERED, C.RECEIVED, C.PROVEN, C.APPLIED})
"""It has the change, and has not been seen long enough with it."""
UNSETTLED = FETCHED - {C.APPLIED}
"""It has the change, and has not come to its end with it: a matter of seconds."""
LEFT_OUT = frozenset({C.WAIVED, C.SUPERSEDED})
"""Nobody waits for it: waived by name, or overtaken by another change."""
BACK = -1
"""The wave of changes that undo the rotation."""
ERASING = -2
"""The wave of commands that erase what endpoints keep of their previous access."""


class Count(msgspec.Struct, frozen=True):
    """So many changes of one wave are in one state."""

    wave: int
    state: C
    number: int


class Tolerated(msgspec.Struct, frozen=True):
    """What an operator has seen and accepted; only more than that pauses a rotation again."""

    failed: int = 0
    reverted: int = 0
    bad_passwords: int = 0
    silent: int = 0


class Evidence(msgspec.Struct, frozen=True):
    """What is known at one moment.

    Attributes:
        counts: changes by wave and state.
        pending: effects decided and not done.
        trouble: why the first of them could not be done, one sentence.
        account_faults: what stands against the target account, one sentence for each domain controller.
        handed_out: state of the target account's generation that endpoints are given, None if there is none (yet).
        bad_passwords: wrong passwords counted for both accounts by all domain controllers.
        silent: endpoints that fetched a change, did nothing about it and are overdue with their check-in.
        waited_for: endpoints of released waves that were seen lately and have not done what is asked of them.
        uncovered: endpoints that use the old access and joined after the targets were listed.
        users: endpoints on record that use the account whose password would be set.
        holders: other rotations that have not finished with that account.
        others: other rotations under way for the same endpoints.
        next_key_at: when the next token key was published, 0 if there is none.
        restored_at: since when the server is known to have gone back in time, 0 if it has not.
        epoch: of the installation.
        nodes_behind: server processes that would refuse something it needs, one sentence each.
    """

    counts: tuple[Count, ...] = ()
    pending: int = 0
    trouble: str = ""
    account_faults: tuple[str, ...] = ()
    handed_out: GenerationState | None = None
    bad_passwords: int = 0
    silent: int = 0
    waited_for: int = 0
    uncovered: int = 0
    users: int = 0
    holders: tuple[str, ...] = ()
    others: tuple[str, ...] = ()
    next_key_at: int = 0
    restored_at: int = 0
    epoch: int = 1
    nodes_behind: tuple[str, ...] = ()

    def number(self, states: Iterable[C], *, upto: int | None = None) -> int:
        """Count forward changes in these states, of all waves or those up to ``upto``."""
        wanted = frozenset(states)
        return sum(
            found.number
            for found in self.counts
            if found.state in wanted and found.wave > 0 and (upto is None or found.wave <= upto)
        )

    @property
    def unmoved(self) -> int:
        """Endpoints that nobody waived and that have not committed to the new access."""
        return self.number(frozenset(C) - MOVED - LEFT_OUT)

    @property
    def not_back(self) -> int:
        """Endpoints that nobody waived and that have not committed to the old access again."""
        ended = MOVED | LEFT_OUT
        return sum(found.number for found in self.counts if found.wave == BACK and found.state not in ended)


class Impact(msgspec.Struct, frozen=True):
    """What a rotation would touch.

    Attributes:
        targets: endpoints that would move.
        seen_7d, seen_30d, seen_90d: of those, seen within so many days.
        offline: overdue with their check-in now.
        stranded: would have nothing that works, and no device key on record to recover with, if the old access were
            taken away today.
        recovering: would be refused today and come back by recovery with their device key.
        longest_gap_s: how long ago the one that was seen longest ago was seen.
        waves: endpoints of each wave.
    """

    targets: int
    seen_7d: int
    seen_30d: int
    seen_90d: int
    offline: int
    stranded: int
    recovering: int
    longest_gap_s: int
    waves: tuple[int, ...] = ()
