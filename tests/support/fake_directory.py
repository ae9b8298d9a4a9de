"""Domain controllers in memory that do what services depend on: stamps, lag, outages, lockout, the old password."""

from collections.abc import Callable
from dataclasses import dataclass, field

from msgspec.structs import replace

from keyfast.core.account import unusable
from keyfast.core.directory import AccountReading, Logon, Unreachable
from keyfast.core.secret import Secret
from keyfast.errors import ConflictError, NotFoundError, NotReadyError

TICKS = 10_000_000
EPOCH = 11_644_473_600


@dataclass
class FakeAccount:
    """What is true of an account; ``previous`` is still granted by ``verify``, as Active Directory does it."""

    password: bytes
    previous: bytes = b""
    reading: AccountReading = field(default_factory=lambda: AccountReading("", 0, exists=True))


class FakeDirectory:
    """Implements ``core.directory.Directory``; ``tried`` lists every password it was shown."""

    domain = "CORP"
    grace_s = 3600

    def __init__(self, clock: Callable[[], float], *servers: str) -> None:
        self.clock = clock
        self.servers = list(servers or ("dc1",))
        self.down: set[str] = set()
        self.lagging: dict[str, AccountReading] = {}
        self.accounts: dict[str, FakeAccount] = {}
        self.tried: list[tuple[str, str, bytes]] = []
        self.unsure = False
        self.reads = 0
        self.denied = False
        self.resets = 0

    def set_password(self, name: str, password: str) -> None:
        """Set a password now, as an administrator does."""
        known = self.accounts.get(name)
        now = int(self.clock())
        reading = known.reading if known else AccountReading("", 0, exists=True, name=name, never_expires=True)
        stamped = replace(
            reading,
            password_stamp=(now + EPOCH) * TICKS,
            password_set_at=now,
            lockout_threshold=reading.lockout_threshold or 0,
        )
        self.accounts[name] = FakeAccount(password.encode(), known.password if known else b"", stamped)

    can_reset_password = True

    async def reset_password(self, name: str, password: Secret) -> None:
        """See ``PasswordDirectory.reset_password``; ``denied`` lacks the right, ``resets`` counts."""
        self.resets += 1
        if self.down >= set(self.servers):
            raise NotReadyError("no domain controller answers")
        if self.denied:
            raise ConflictError(f"this server may not set the password of {name}")
        if name not in self.accounts:
            raise NotFoundError(f"no account {name!r}")
        self.set_password(name, password.reveal().decode())

    def alter(self, name: str, **changes: object) -> None:
        """Change attributes of an account."""
        known = self.accounts[name]
        known.reading = replace(known.reading, **changes)

    def lag(self, server: str, name: str) -> None:
        """Let a domain controller keep what it has now, until it is taken out of ``lagging``."""
        self.lagging[server] = self.accounts[name].reading

    async def read(self, name: str) -> tuple[AccountReading | Unreachable, ...]:
        """See ``Directory.read``."""
        self.reads += 1
        return tuple(self._read(server, name) for server in self.servers)

    def _read(self, server: str, name: str) -> AccountReading | Unreachable:
        now = int(self.clock())
        if server in self.down:
            return Unreachable(server, now, "it cannot be reached")
        known = self.accounts.get(name)
        if known is None:
            return AccountReading(server, now, exists=False)
        return replace(self.lagging.get(server, known.reading), server=server, read_at=now)

    async def verify(self, name: str, password: Secret) -> Logon:
        """See ``Directory.verify``."""
        return self._judged("verify", name, password, old=True)

    async def prove(self, name: str, password: Secret) -> Logon:
        """See ``Directory.prove``; ``unsure`` is a directory that cannot tell the current password from the old."""
        if self.unsure:
            raise NotReadyError("no KDC can be asked")
        return self._judged("prove", name, password, old=False)

    async def close(self) -> None:
        """Nothing is held."""

    def _judged(self, how: str, name: str, password: Secret, *, old: bool) -> Logon:
        if self.down >= set(self.servers):
            raise NotReadyError("no domain controller answers")
        self.tried.append((how, name, password.reveal()))
        known = self.accounts.get(name)
        taken = {known.password, known.previous} - {b""} if known and old else {known.password} if known else set()
        if known is None or password.reveal() not in taken:
            if known is not None:
                known.reading = replace(known.reading, bad_passwords=known.reading.bad_passwords + 1)
            return Logon.WRONG_PASSWORD
        return unusable(known.reading, int(self.clock())) or Logon.GRANTED
