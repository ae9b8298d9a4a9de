"""What a rotation is to do, as decided before it starts. Times are unix seconds, durations seconds.

Every hold is a value of the plan, so that a site of ten endpoints and a test need not wait for months.
"""

from enum import StrEnum

import msgspec

from keyfast.core.mode import Mode

DAY = 86_400


class Kind(StrEnum):
    """What is rotated."""

    ACCOUNT = "account"
    PASSWORD = "password"  # noqa: S105 - a name: the account's partner of a pair gets a new password
    OAUTH = "oauth"
    ADDRESS = "address"
    TOKEN_KEY = "token_key"  # noqa: S105 - a name: the key that signs access tokens
    RECOVERY = "recovery"
    DEVICE_KEY = "device_key"


class Waves(msgspec.Struct, frozen=True):
    """In which portions endpoints are moved.

    Attributes:
        canary_percent, canary_most: size of the first wave, which has at least one endpoint.
        percents: how many per cent have been released with the second wave, the third ...; one more takes the rest.
        rate_per_minute: at most so many endpoints are released a minute.
        soak_s: seconds between a wave that was released and the next.
        restart_proof: the canary must have been restarted, too.
        active_s: endpoints seen within that time are waited for; later ones come while draining.
    """

    canary_percent: float = 1.0
    canary_most: int = 50
    percents: tuple[float, ...] = (5.0, 20.0)
    rate_per_minute: int = 6000
    soak_s: int = 3600
    restart_proof: bool = True
    active_s: int = 7 * DAY


class Holds(msgspec.Struct, frozen=True):
    """How long what is to be taken away is kept.

    Attributes:
        publish_s: a key is published so long before it is used.
        drain_s: nobody used the old access for so long (or twice the longest gap of a target) before it is refused.
        refused_s: it is refused, and can be trusted again, for so long before it is destroyed.
        backup_s: age of the oldest backup that may still be restored.
    """

    publish_s: int = DAY
    drain_s: int = 30 * DAY
    refused_s: int = 90 * DAY
    backup_s: int = 30 * DAY


class Limits(msgspec.Struct, frozen=True):
    """What a rotation bears before it pauses by itself.

    Attributes:
        failure_percent: changes that failed, of those that ended.
        reverts: endpoints that went back by themselves.
        bad_passwords: wrong passwords counted more than when it began.
        silent_percent: endpoints that fetched a change and are overdue, of those that fetched one.
    """

    failure_percent: float = 5.0
    reverts: int = 0
    bad_passwords: int = 5
    silent_percent: float = 5.0


class Plan(msgspec.Struct, frozen=True):
    r"""A rotation as planned.

    Attributes:
        ring: only the endpoints of this ring; empty for all.
        mode: authentication mode of its targets afterwards; empty for ``token_key``, and for ``device_key`` of all.
        source: account (``DOMAIN\name``) that they move away from; empty where they have none, or for all of them.
        target: account that they move to (Windows mode).
        urls, ca: new address (kind ``address``); an empty ``ca`` keeps the authority.
        sets_password: Keyfast itself sets the target account's password (kind ``password``).
        hasty: the old access is compromised: no soak, all waves at once. Proof is never skipped.
        approvals: persons who must agree before it starts, 1 or 2.
    """

    kind: Kind
    ring: str = ""
    mode: str = ""
    source: str = ""
    target: str = ""
    urls: tuple[str, ...] = ()
    ca: str = ""
    sets_password: bool = False
    hasty: bool = False
    approvals: int = 1
    waves: Waves = Waves()
    holds: Holds = Holds()
    limits: Limits = Limits()

    @property
    def from_mode(self) -> str:
        """Authentication mode that its targets have before; empty for any."""
        return self.mode if self.kind in {Kind.ADDRESS, Kind.DEVICE_KEY} else Mode.WINDOWS.value

    @property
    def has_targets(self) -> bool:
        """Whether endpoints must do something at all."""
        return self.kind is not Kind.TOKEN_KEY

    @property
    def moves_access(self) -> bool:
        """Whether its targets get another access, and keep the one before until they are told to erase it."""
        return self.has_targets and self.kind is not Kind.DEVICE_KEY

    @property
    def uses_account(self) -> bool:
        """Whether its targets log on with the target account afterwards."""
        return bool(self.target)

    @property
    def own_profile(self) -> bool:
        """Whether it signs an access profile of its own; otherwise the one in force of the mode is used."""
        return self.kind is Kind.ADDRESS or (self.moves_access and self.mode != self.from_mode)

    @property
    def retires(self) -> bool:
        """Whether there is something to refuse afterwards."""
        return self.kind in {Kind.ACCOUNT, Kind.PASSWORD, Kind.OAUTH, Kind.ADDRESS}

    @property
    def at_once(self) -> bool:
        """Whether all its targets are released together."""
        return self.hasty or self.kind is Kind.RECOVERY


def cuts(plan: Plan, targets: int) -> tuple[int, ...]:
    """Say how many targets have been released with each wave; the last number is all of them."""
    if targets <= 0:
        return ()
    if plan.at_once:
        return (targets,)
    waves = plan.waves
    canary = min(max(1, round(targets * waves.canary_percent / 100)), max(1, waves.canary_most), targets)
    steps = sorted(round(targets * percent / 100) for percent in waves.percents)
    return (canary, *sorted({step for step in steps if canary < step < targets}), *((targets,) * (targets > canary)))


def portion(rate_per_minute: int, elapsed_s: float, chance: float) -> int:
    """Say how many endpoints to release now, ``elapsed_s`` after the last time; 0 if it is too early for one.

    Args:
        rate_per_minute: never more than so many in a minute.
        elapsed_s: seconds since the last portion.
        chance: 0 to 1; half of what is allowed to all of it.
    """
    allowed = rate_per_minute * min(max(elapsed_s, 0.0), 60.0) / 60
    return min(int(allowed), max(1, int(allowed * (0.5 + chance / 2))))
