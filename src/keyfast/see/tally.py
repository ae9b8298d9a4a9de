"""Clients counted by their account: as much memory for a hundred thousand machines as for a hundred."""

from collections import Counter
from dataclasses import dataclass, field
from typing import TypeVar

from keyfast.core.diagnosis.evidence import Clients
from keyfast.core.directory import account_key
from keyfast.see.client import Client

SAMPLE = 50
"""Names of machines that are kept of each group; every machine's own line is in the CSV output."""
MOST_GROUPS = 10_000
_MOST_KINDS = 64
SEEN_STEP = 3600
"""Seconds of one step in the history of last check-ins."""
_MOST_STEPS = 20_000
MORE = "(more accounts than can be told apart)"
Kind = TypeVar("Kind", str, int)
_TOKENS, _CAPABLE = (12, 0, 1), (11, 4)


@dataclass(slots=True)
class Group:
    """Machines that share an account.

    Attributes:
        account, domain: as the first of them has it; empty for clients without an account.
        machines: how many.
        names: of the first of them.
        versions: machines by client version, "" for not known.
        servers: machines by web address in their client database.
        others: names of other values in their client databases.
        seen: machines by the hour of their last check-in.
    """

    account: str
    domain: str
    machines: int = 0
    names: list[str] = field(default_factory=list)
    versions: Counter[str] = field(default_factory=Counter)
    servers: Counter[str] = field(default_factory=Counter)
    others: Counter[str] = field(default_factory=Counter)
    seen: Counter[int] = field(default_factory=Counter)

    @property
    def key(self) -> str:
        r"""``DOMAIN\name``, empty without an account."""
        return account_key(self.domain, self.account) if self.account else ""

    @property
    def clients(self) -> Clients:
        """Machines by what their version can do."""
        counts = {"tokens": 0, "capable": 0, "older": 0, "unknown": 0}
        for version, count in self.versions.items():
            counts[_ability(version)] += count
        return Clients(**counts)

    def add(self, client: Client) -> None:
        """Count a machine."""
        self.machines += 1
        if len(self.names) < SAMPLE:
            self.names.append(client.machine)
        _count(self.versions, client.version, otherwise="")
        if client.server:
            _count(self.servers, client.server)
        for name in client.others:
            _count(self.others, name)
        if client.seen_at:
            _count(self.seen, client.seen_at // SEEN_STEP, most=_MOST_STEPS)


class Tally:
    """Counts clients by account and domain."""

    def __init__(self) -> None:
        self._groups: dict[str, Group] = {}

    def add(self, client: Client) -> None:
        """Count a client."""
        self.group_of(client).add(client)

    def group_of(self, client: Client) -> Group:
        """The group that a client belongs to."""
        key = account_key(client.domain, client.account)
        if key not in self._groups:
            if len(self._groups) >= MOST_GROUPS:
                return self._groups.setdefault(MORE, Group(MORE, ""))
            self._groups[key] = Group(client.account, client.domain)
        return self._groups[key]

    @property
    def groups(self) -> tuple[Group, ...]:
        """All groups, the largest first."""
        return tuple(sorted(self._groups.values(), key=lambda group: (-group.machines, group.key)))


def numbers(version: str) -> tuple[int, ...] | None:
    """A version as numbers, None if it is none."""
    parts = version.split(".")
    if not all(part.isascii() and part.isdigit() and len(part) <= 9 for part in parts):  # noqa: PLR2004 - 32 bits
        return None
    return tuple(map(int, parts))


def _ability(version: str) -> str:
    found = numbers(version)
    if found is None:
        return "unknown"
    if found >= _TOKENS:
        return "tokens"
    return "capable" if found >= _CAPABLE else "older"


def _count(counter: Counter[Kind], key: Kind, *, otherwise: Kind | None = None, most: int = _MOST_KINDS) -> None:
    if key in counter or len(counter) < most:
        counter[key] += 1
    elif otherwise is not None:
        counter[otherwise] += 1
