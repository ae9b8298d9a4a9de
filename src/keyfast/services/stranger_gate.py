"""Keeps strangers from locking a client authentication account through this server.

A check-in is proven by a device key before the account's password is looked at; a probe is not. So of those
who have proven nothing one at a time may try an account, the account is read before the next one may, and
nobody may once few wrong passwords are left before the lockout.
"""

from collections.abc import Callable

from keyfast.core.directory import AccountReading
from keyfast.core.logon import SPARE_TRIES
from keyfast.core.refusal import Refusal, RefusalClass
from keyfast.services.known_account import KnownAccount

SOON, LATER = 5, 1800


class StrangerGate:
    """One per check-in process.

    Args:
        clock: unix seconds.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._trying: set[str] = set()
        self._refused_at: dict[str, int] = {}

    async def enter(self, account: KnownAccount) -> Refusal | None:
        """Let a stranger try a password of an account, or say when to come back; who was let in must ``leave``."""
        if any(_near_lockout(reading) for reading in account.readings):
            return _later("few wrong passwords are left before the account is locked", LATER)
        since = self._refused_at.get(account.key)
        read_at = max((reading.read_at for reading in account.readings), default=0)
        if since is not None and read_at <= since:
            return _later("a password was just refused, and the account is being read", SOON)
        if account.key in self._trying:
            return _later("somebody else is trying the account", SOON)
        self._trying.add(account.key)
        return None

    def leave(self, account: KnownAccount, *, refused: bool) -> None:
        """Say what the directory answered."""
        self._trying.discard(account.key)
        if refused:
            self._refused_at[account.key] = int(self._clock())
        else:
            self._refused_at.pop(account.key, None)


def _near_lockout(reading: AccountReading) -> bool:
    """Whether too few wrong passwords are left; a threshold that could not be read is taken for a low one."""
    threshold = reading.lockout_threshold
    if threshold == 0:
        return False
    return reading.bad_passwords > (0 if threshold is None else max(threshold - SPARE_TRIES, 0))


def _later(why: str, seconds: int) -> Refusal:
    return Refusal(RefusalClass.NOT_READY, why, retry_after=seconds)
