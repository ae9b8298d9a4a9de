r"""What a large installation has gathered in its years: who is what follows from numbers, as in ``fleet``.

Half of the endpoints of Windows mode use one account, ``LOCAL\svc-00``, and its password was changed: they are silent.
"""

import hashlib
import uuid
from dataclasses import dataclass
from itertools import count

from benchmarks import fleet
from benchmarks.fleet import Trait
from keyfast.core.endpoint import EndpointState as S
from keyfast.core.mode import Mode

RINGS = 10
ACCOUNTS = 20
GENERATIONS = 5
BROKEN = r"LOCAL\svc-00"
DAY = 86_400
SILENT_S = 5400
_PENDING = 0.005
"""Share of endpoints that wait for approval: the newest, so that they are the last by name."""
_RARE = {7: S.CLONE_SUSPECT, 13: S.REVOKED, 17: S.REGISTERED, 23: S.RETIRED, 24: S.RETIRED, 25: S.RETIRED}
"""States by the last digits of a number."""
_OF_THOUSAND = 1000
_STRAY_EVERY = 50
"""One of so many is silent for reasons of its own."""
_SUBNETS = 6000


@dataclass(frozen=True, slots=True)
class Estate:
    """An installation by its numbers.

    Attributes:
        now: server time, unix seconds.
    """

    endpoints: int
    now: int

    @property
    def packages(self) -> int:
        """How many packages there are."""
        return max(20, min(2000, self.endpoints // 100))

    @property
    def people(self) -> int:
        """How many people may sign in."""
        return max(20, min(2000, self.endpoints // 100))

    @property
    def events(self) -> int:
        """How many events, beside those of the measurement itself."""
        return self.endpoints

    @property
    def acts(self) -> int:
        """How many records of the audit trail."""
        return max(200, self.endpoints // 3)

    @property
    def messages(self) -> int:
        """How many notifications."""
        return max(200, self.endpoints // 20)

    @property
    def windows(self) -> int:
        """How many recovery windows."""
        return 60

    @property
    def incidents(self) -> int:
        """How many incidents."""
        return 300

    def trait(self, n: int) -> Trait:
        """What endpoint ``n`` is."""
        p = n % self.packages
        mode, account, generation = embedded(p)
        state = _RARE.get(n % _OF_THOUSAND, S.ACTIVE)
        if n >= self.endpoints * (1 - _PENDING):
            state = S.PENDING
        stray = n % _STRAY_EVERY == 0
        site = n * 7 % _SUBNETS
        return Trait(
            ring=ring(p),
            account=account,
            generation=generation,
            mode=mode.value,
            package=number("package", p),
            state=state.value,
            silent_s=SILENT_S if account == BROKEN else 3 * DAY if stray else n % 800,
            address=f"10.{site // 250}.{site % 250}.{n % 253 + 1}",
            serial=serial(n),
        )

    def broken(self, n: int) -> bool:
        """Tell whether endpoint ``n`` is one of those whose account broke."""
        return embedded(n % self.packages)[1] == BROKEN


def embedded(p: int) -> tuple[Mode, str, int]:
    """Mode, account and credential generation of package ``p``."""
    if p % 10 >= 7:
        return Mode.OAUTH, "", 0
    which = 0 if p % 2 == 0 else p % ACCOUNTS
    return Mode.WINDOWS, account(which), 1 + p // 10 % GENERATIONS


def account(which: int) -> str:
    """Key of an account."""
    return rf"LOCAL\svc-{which:02d}"


def ring(p: int) -> str:
    """Ring of package ``p``."""
    return f"ring-{p // 10 % RINGS}"


def serial(n: int) -> str:
    """Serial number of the computer that endpoint ``n`` is."""
    return f"SN{n:08d}"


def person(which: int) -> str:
    """Name of a person."""
    return f"person-{which:05d}"


def number(what: str, n: int) -> bytes:
    """Id of a thing, 16 bytes that look random."""
    return hashlib.md5(b"%s %d" % (what.encode(), n), usedforsecurity=False).digest()


def text(what: str, n: int) -> str:
    """The same id in canonical text form."""
    return str(uuid.UUID(bytes=number(what, n)))


def endpoint(n: int) -> str:
    """Id of endpoint ``n`` in canonical text form."""
    return fleet.endpoint_text(n)


def of_package(estate: Estate, p: int) -> int:
    """How many endpoints came from package ``p``."""
    whole, rest = divmod(estate.endpoints, estate.packages)
    return whole + (p < rest)


def first(estate: Estate, state: S) -> int:
    """Number of the first endpoint in a state."""
    return next(n for n in count() if estate.trait(n).state == state.value)
