"""Rotations of the kind ``recovery``, as a guided recovery needs them: a port, and what it speaks of."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from keyfast.core.command import CommandState

OAUTH = "oauth"
"""Where endpoints move to when they move to no account."""
NOT_AWAITED = (CommandState.APPLIED, CommandState.VERIFIED, CommandState.WAIVED, CommandState.SUPERSEDED)
"""States of a change whose endpoint is not missing."""


@dataclass(frozen=True, slots=True)
class UnderWay:
    """The recovery that is under way.

    Attributes:
        rotation: id of its rotation.
        account: key of the account that broke.
        to: key of the account that endpoints move to, or ``oauth``.
        started: every change that it is to bring is on record and released; ``progress`` counts them all from then on.
        created_at: unix seconds.
    """

    rotation: str
    account: str
    to: str
    started: bool
    created_at: int


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a rotation has come.

    Attributes:
        counts: endpoints by state of their change.
        missing: names of endpoints that did not take it yet, at most as many as were asked for.
    """

    counts: Mapping[CommandState, int] = field(default_factory=dict)
    missing: tuple[str, ...] = ()

    @property
    def awaited(self) -> int:
        """How many are missing still."""
        return sum(count for state, count in self.counts.items() if state not in NOT_AWAITED)


class Rotations(Protocol):
    """Rotations of the kind ``recovery``, as a guided recovery needs them. Every act may be repeated."""

    async def under_way(self) -> UnderWay | None:
        """Return the recovery that is neither finished nor abandoned; at most one is."""
        ...

    async def plan_recovery(self, account: str, to: str, way: str, by: str) -> str:
        """Plan a change for every endpoint of ``account``, to the account ``to`` or to ``oauth``; return its id.

        With it ``recovery_begun`` is told, neither twice nor never.
        """
        ...

    async def start(self, rotation: str) -> None:
        """Have every change released at once; that may take some time after this returns."""
        ...

    async def progress(self, rotation: str, names: int) -> Progress:
        """Say how far it has come, with at most so many names of the missing."""
        ...

    async def give_up(self, rotation: str, names: tuple[str, ...] | None, by: str) -> None:
        """Wait no longer for those of these names that are missing; None: for any that are."""
        ...

    async def finish(self, rotation: str, told: Mapping[str, Any]) -> None:
        """End it, as nobody is waited for any more; with it ``recovery_finished`` is told, with these particulars."""
        ...
