"""Views and orders of rotations in the admin API. Times are unix seconds; nothing here is a secret."""

import msgspec

from keyfast.wire.admin import View


class RotationOrder(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    r"""What to rotate.

    Attributes:
        kind: ``account``, ``password``, ``oauth``, ``address``, ``token_key``, ``device_key`` or ``recovery``.
        ring: only the endpoints of this ring; empty for all.
        source: account (``DOMAIN\name``) to move away from.
        target: account to move to.
        mode: for ``address`` whose address, for ``recovery`` the mode afterwards.
        urls, ca: the new address.
        by_hand: an administrator sets the password in the directory, not Keyfast.
        hasty: the old access is compromised: all at once, without soak; never without proof.
        approvals: persons who must agree, 1 or 2.
        canary_percent, canary_most, percents, rate_per_minute, soak_s, restart_proof, active_s: the waves.
        publish_s, drain_s, refused_s, backup_s: the holds.
        failure_percent, reverts, bad_passwords, silent_percent: what pauses it. None everywhere means the default.
    """

    kind: str
    ring: str = ""
    source: str = ""
    target: str = ""
    mode: str = ""
    urls: tuple[str, ...] = ()
    ca: str = ""
    by_hand: bool = False
    hasty: bool = False
    approvals: int = 1
    canary_percent: float | None = None
    canary_most: int | None = None
    percents: tuple[float, ...] | None = None
    rate_per_minute: int | None = None
    soak_s: int | None = None
    restart_proof: bool | None = None
    active_s: int | None = None
    publish_s: int | None = None
    drain_s: int | None = None
    refused_s: int | None = None
    backup_s: int | None = None
    failure_percent: float | None = None
    reverts: int | None = None
    bad_passwords: int | None = None
    silent_percent: float | None = None


class Reason(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Why something is done."""

    reason: str = ""


class Approval(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Who agrees; the socket cannot tell administrators apart, so the name is what they say."""

    name: str


class Waiver(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Endpoints (ids, or names that only one has) that are not waited for, and why."""

    endpoints: tuple[str, ...]
    reason: str


class Waived(View, frozen=True):
    """Ids of the endpoints that are waived now."""

    endpoints: tuple[str, ...]


class RotationLine(View, frozen=True):
    """One rotation in a list."""

    id: str
    kind: str
    ring: str
    state: str
    paused: str
    created_at: int
    created_by: str
    targets: int
    moved: int


class PreviewView(View, frozen=True):
    """What a rotation would touch; see ``core.rotation_evidence.Impact``."""

    kind: str
    source: str
    target: str
    mode: str
    sets_password: bool
    targets: int
    seen_7d: int
    seen_30d: int
    seen_90d: int
    offline: int
    recovering: int
    stranded: int
    waves: tuple[int, ...]
    against: tuple[str, ...]


class StepView(View, frozen=True):
    """A step that is possible in this phase, and everything that stands against it now."""

    step: str
    by_itself: bool
    against: tuple[str, ...]


class ActView(View, frozen=True):
    """One act of the journal; ``trouble`` is why it could not be done."""

    number: int
    act: str
    decided_at: int
    done_at: int
    trouble: str


class WaveView(View, frozen=True):
    """One wave: endpoints by the state of their change. The wave -1 undoes the rotation."""

    wave: int
    states: dict[str, int]


class MissingView(View, frozen=True):
    """An endpoint that has not done what is asked of it, and that nobody waived."""

    id: str
    name: str
    wave: int
    state: str
    detail: str
    seen_at: int


class RotationView(View, frozen=True):
    """Everything about one rotation."""

    id: str
    kind: str
    ring: str
    state: str
    since: int
    paused: str
    created_at: int
    created_by: str
    source: str
    target: str
    mode: str
    urls: tuple[str, ...]
    approvals: tuple[str, ...]
    approvals_needed: int
    targets: int
    moved: int
    verified: int
    waived: int
    wave: int
    waves: tuple[WaveView, ...]
    steps: tuple[StepView, ...]
    acts: tuple[ActView, ...]
    missing: tuple[MissingView, ...]
    finished: bool
