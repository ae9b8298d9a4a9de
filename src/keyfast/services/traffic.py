"""Traffic: check-ins and refusals of each minute, counted in memory and written now and then.

A check-in so costs no write more, and a minute one row. What is counted when a process ends without a last flush is
lost: it is a picture of the load, and no account of it.
"""

from collections.abc import Callable
from dataclasses import dataclass, field

from keyfast.core.refusal import RefusalClass
from keyfast.services.follow import follow
from keyfast.store import traffic
from keyfast.store.database import Database
from keyfast.store.traffic import MINUTE, Minute

FLUSH_SECONDS = 5.0
KEEP_SECONDS = 8 * 86_400
"""A week, and a day to compare it with."""
_FORGET_SECONDS = 3600
_UNCOUNTED = frozenset({RefusalClass.USE_NONCE})
"""What every first request of an endpoint is told."""
_MOST_MINUTES = 60
"""Minutes kept while the store is down; the oldest are lost first."""


@dataclass(slots=True)
class _Counts:
    check_ins: int = 0
    refusals: dict[str, int] = field(default_factory=dict)
    changed: bool = True


class TrafficCounter:
    """Counts of one process.

    Args:
        database: the store.
        name: of the process; two that count at the same time have different ones.
        clock: unix seconds.
    """

    def __init__(self, database: Database, name: str, clock: Callable[[], float]) -> None:
        self._database = database
        self._name = name
        self._clock = clock
        self._minutes: dict[int, _Counts] = {}
        self._forgot_at = 0.0

    def checked_in(self) -> None:
        """Count a check-in that was accepted."""
        self._now().check_ins += 1

    def refused(self, kind: RefusalClass) -> None:
        """Count a refusal."""
        if kind not in _UNCOUNTED:
            refusals = self._now().refusals
            refusals[kind.value] = refusals.get(kind.value, 0) + 1

    def _now(self) -> _Counts:
        minute = int(self._clock()) // MINUTE * MINUTE
        counts = self._minutes.get(minute)
        if counts is None:
            counts = self._minutes[minute] = _Counts()
            while len(self._minutes) > _MOST_MINUTES:
                del self._minutes[min(self._minutes)]
        counts.changed = True
        return counts

    async def follow(self, failed: Callable[[Exception], None]) -> None:
        """Write for ever; what cannot be written now is written later."""
        await follow(self.flush, FLUSH_SECONDS, failed)

    async def flush(self) -> None:
        """Write what was counted since the last time, and forget what is old.

        Raises:
            NotReadyError: the store is down; everything is kept for the next time.
        """
        now = self._clock()
        due = {at: counts for at, counts in self._minutes.items() if counts.changed}
        forget = self._forgot_at <= now - _FORGET_SECONDS
        if not due and not forget:
            return
        written = [Minute(at, counts.check_ins, dict(counts.refusals)) for at, counts in due.items()]
        for counts in due.values():  # check-ins go on being counted while this is written
            counts.changed = False
        try:
            async with self._database.write() as conn:
                for minute in written:
                    await traffic.put(conn, self._name, minute)
                if forget:
                    await traffic.forget(conn, int(now) - KEEP_SECONDS)
        except BaseException:
            for counts in due.values():
                counts.changed = True
            raise
        self._forgot_at = now if forget else self._forgot_at
        for at in [at for at in self._minutes if at + MINUTE <= now and not self._minutes[at].changed]:
            del self._minutes[at]
