"""Messages of the admin API about a guided recovery."""

from typing import Literal

import msgspec

from keyfast.wire.admin import View
from keyfast.wire.window import WindowLine


class WayLine(View, frozen=True):
    """A way out; see ``core.way_out.WayOut``."""

    way: str
    endpoints: int
    available: bool
    sentence: str
    needs: tuple[str, ...]


class SituationView(View, frozen=True):
    r"""An account, who is stranded behind it, and what can be done.

    Attributes:
        account: ``DOMAIN\name``.
        condition, summary: how it stands.
        since: when it broke (unix seconds), 0 if that is not known.
        endpoints: how many authenticate with it.
        stranded: how many of them hold what is not accepted.
        proven: newest credential generation that works, 0 for none.
        silent: names of some that missed a check-in; not looked for while none is stranded.
        refusals: refused logons by reason, as far as they are recent.
        ways: in the order in which they are recommended; empty if nothing is broken.
    """

    account: str
    condition: str
    summary: str
    since: int
    endpoints: int
    stranded: int
    proven: int
    silent: tuple[str, ...]
    refusals: dict[str, int]
    ways: tuple[WayLine, ...]


class RecoveryOrder(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Which way to take.

    Attributes:
        account: the account that broke.
        way: see ``core.way_out.Way``.
        to: for the way ``account``, the other one.
        password: of the account that endpoints are to use, where it is not on record; proven first.
        despite: conditions in which that account is taken all the same.
        reason, minutes, ranges: of the recovery window, where the way needs one.
    """

    account: str
    way: str
    to: str = ""
    password: str = ""
    despite: tuple[str, ...] = ()
    reason: str = ""
    minutes: int = 240
    ranges: tuple[str, ...] = ()

    def __repr__(self) -> str:
        """Never the password."""
        return f"RecoveryOrder({self.account!r}, {self.way!r})"


class RecoveryFinish(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """End a recovery; over endpoints that are missing only if each is named, or their number is typed."""

    account: str = ""
    waive: tuple[str, ...] = ()
    despite_unproven: int | None = None


Stage = Literal["idle", "waiting", "running", "checking", "done"]


class RecoveryStatus(View, frozen=True):
    r"""How far a recovery has come.

    Attributes:
        account: the account that broke, empty if none did.
        stage: ``idle`` nothing is broken or under way; ``waiting`` for somebody to act in the directory, to
            install a package or to open a recovery window; ``running``; ``checking`` whether all go on checking
            in; ``done``.
        sentence: the same for a person.
        rotation: id of the rotation that carries it out, empty without one.
        to: where endpoints move to.
        started_at: unix seconds.
        counts: endpoints by state of their change.
        missing: names of some that are missing still, at most 100.
        missing_count: how many they are; counted up to 10,000 where no rotation counts them.
        window: the recovery window that is open for it.
    """

    account: str
    stage: Stage
    sentence: str
    rotation: str = ""
    to: str = ""
    started_at: int = 0
    counts: dict[str, int] = msgspec.field(default_factory=dict)
    missing: tuple[str, ...] = ()
    missing_count: int = 0
    window: WindowLine | None = None
