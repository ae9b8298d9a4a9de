"""The roll call: who is expected, who is silent, counted by everything that silent endpoints may have in common.

One pass over the endpoints fills one ``RollCall``. It keeps counts and a few names, never the endpoints, and at most
``MOST_GROUPS`` groups. Times are unix seconds.
"""

import re
from collections.abc import Container, Iterable, Mapping
from enum import StrEnum
from ipaddress import ip_address, ip_network

import msgspec

from keyfast.core import schedule
from keyfast.core.protection import Disks

MOST_GROUPS = 4096
MOST_NAMES = 10
STEP = 300
"""Seconds of one step of the counts of missed check-ins."""
HORIZON_STEPS = 2016
"""A week: what was missed before counts as missed then."""
OTHERS = "(others)"


class Kind(StrEnum):
    """What a group has in common, the most telling first: of two that explain a silence alike, the first is named."""

    CREDENTIAL = "credential"
    PROFILE = "profile"
    PACKAGE = "package"
    MODE = "mode"
    SITE = "site"
    RING = "ring"
    VERSION = "version"
    REFUSAL = "refusal"
    EVERYBODY = "everybody"


Key = tuple[Kind, str]
EVERYBODY: Key = (Kind.EVERYBODY, "")
NO_END = 2**62
"""Later than any check-in."""


class Line(msgspec.Struct, frozen=True):
    """One endpoint, as its record has it.

    Attributes:
        seen_at: its last check-in, 0 for none.
        next_due: when it was told to check in next.
    """

    name: str
    seen_at: int
    next_due: int
    package: str = ""
    account: str = ""
    generation: int = 0
    mode: str = ""
    ring: str = ""
    profile_seq: int = 0
    address: str = ""
    version: str = ""
    refusal: str = ""
    disks: str = Disks.UNKNOWN.value


class Explained(msgspec.Struct, frozen=True):
    """What an incident explains: check-ins that members of its group missed in a time."""

    key: Key
    since: int
    until: int = NO_END


class Group(msgspec.Struct, omit_defaults=True):
    """Counts of one group.

    Attributes:
        endpoints: that are expected to check in.
        silent: of these, those that missed a whole check-in.
        never: of these, those that never checked in.
        explained: of the silent, those whom an incident explains.
        own: of these, those whom the group's own incident explains.
        missed: silent ones that nothing explains, by the step (see ``STEP``) in which the check-in was due.
        names: of some of the silent.
    """

    endpoints: int = 0
    silent: int = 0
    never: int = 0
    explained: int = 0
    own: int = 0
    missed: dict[int, int] = {}
    names: list[str] = []

    @property
    def unexplained(self) -> int:
        """The silent whom nothing explains yet."""
        return self.silent - self.explained

    @property
    def judged(self) -> int:
        """The endpoints that can be judged: all but those whose silence is explained."""
        return self.endpoints - self.explained

    @property
    def elsewhere(self) -> int:
        """The silent whom incidents of other groups explain."""
        return self.explained - self.own


def credential_name(account: str, generation: int) -> str:
    r"""Name the group of those that hold one generation of an account's password: ``DOMAIN\name #3``."""
    return f"{account} #{generation}" if account else ""


def credential_of(name: str) -> tuple[str, int]:
    """Return account and generation of such a group."""
    account, _, number = name.rpartition(" #")
    return account, int(number)


_PLAIN = re.compile(r"(\d{1,3}\.\d{1,3}\.\d{1,3})\.\d{1,3}\Z", re.ASCII)


def site_of(address: str) -> str:
    """Return the subnet of an address as a server writes it down: /24 of IPv4, /64 of IPv6; empty if it is none."""
    plain = _PLAIN.match(address)  # nearly all are, and a million times the library's parser is most of the time
    if plain is not None:
        return f"{plain[1]}.0/24"
    try:
        found = ip_address(address)
    except ValueError:
        return ""
    mapped = getattr(found, "ipv4_mapped", None)
    return site_of(str(mapped)) if mapped else str(ip_network((found, 64), strict=False))


def keys_of(line: Line) -> tuple[Key, ...]:
    """Return the groups that an endpoint belongs to, but for its site."""
    named = (
        (Kind.CREDENTIAL, credential_name(line.account, line.generation)),
        (Kind.PROFILE, str(line.profile_seq) if line.profile_seq else ""),
        (Kind.PACKAGE, line.package),
        (Kind.MODE, line.mode),
        (Kind.RING, line.ring),
        (Kind.VERSION, line.version),
        (Kind.REFUSAL, line.refusal),
    )
    return (*((kind, name) for kind, name in named if name), EVERYBODY)


class RollCall:
    """Counts of one pass: ``groups`` by what endpoints have in common, ``disks`` by whether theirs are protected.

    Args:
        now: when the pass began: everybody is judged by the same time.
        explained: what incidents that have not ended explain. Of several the newest that had begun by then counts,
            and whoever is explained explains nothing else.
        most: how many groups are kept; what does not fit is counted as ``(others)`` of its kind.
    """

    def __init__(self, now: int, explained: Iterable[Explained] = (), most: int = MOST_GROUPS) -> None:
        self._now = now
        self._first = now // STEP - HORIZON_STEPS
        self._explained = sorted(explained, key=lambda one: -one.since)
        # Groups of incidents are kept, however many others there are.
        self.groups: dict[Key, Group] = {key: Group() for key in (EVERYBODY, *(one.key for one in self._explained))}
        self._most = most
        self.disks: dict[str, int] = {word.value: 0 for word in Disks}
        self._alike: dict[tuple[object, ...], tuple[tuple[Key, Group], ...]] = {}

    def count(self, lines: Iterable[Line]) -> None:
        """Count endpoints."""
        now, is_silent, disks = self._now, schedule.is_silent, self.disks
        for line in lines:
            disks[line.disks] += 1
            groups = self._groups(line)
            if is_silent(line.seen_at, line.next_due, now):
                self._count_silent(line, groups)
                continue
            never = line.seen_at == 0
            for _, group in groups:
                group.endpoints += 1
                group.never += never

    def _count_silent(self, line: Line, groups: tuple[tuple[Key, Group], ...]) -> None:
        culprit = self._culprit({key for key, _ in groups}, line.next_due) if self._explained else None
        step = max(line.next_due // STEP, self._first)
        for key, group in groups:
            group.endpoints += 1
            group.silent += 1
            if len(group.names) < MOST_NAMES:
                group.names.append(line.name)
            if culprit is not None:
                group.explained += 1
                group.own += key == culprit
            else:
                group.missed[step] = group.missed.get(step, 0) + 1

    def _culprit(self, mine: Container[Key], due: int) -> Key | None:
        return next((one.key for one in self._explained if one.since <= due <= one.until and one.key in mine), None)

    def _groups(self, line: Line) -> tuple[tuple[Key, Group], ...]:
        """Find the groups of an endpoint; most endpoints are like one before, so all but the site is kept."""
        like = (
            line.account,
            line.generation,
            line.profile_seq,
            line.package,
            line.mode,
            line.ring,
            line.version,
            line.refusal,
        )
        found = self._alike.get(like)
        if found is None:
            found = tuple(self._group(key) for key in keys_of(line))
            if len(self._alike) < self._most:
                self._alike[like] = found
        site = site_of(line.address)
        return (*found, self._group((Kind.SITE, site))) if site else found

    def _group(self, key: Key) -> tuple[Key, Group]:
        if key not in self.groups and len(self.groups) >= self._most:
            key = (key[0], OTHERS)
        group = self.groups.get(key)
        if group is None:
            group = self.groups[key] = Group()
        return key, group


def everybody(groups: Mapping[Key, Group]) -> Group:
    """Return the counts of all endpoints together."""
    return groups.get(EVERYBODY, Group())
