"""Seals on the audit trail: somebody who can write to the database alone cannot make a trail that has them.

The hashes of the chain need no key, so that whoever writes to the database can change a record and make every later
hash anew. Every now and then the server puts a record on the trail that holds the end of the trail so far, sealed
under its KEK, which is in no database. One good seal vouches for everything before it.
"""

from collections.abc import Callable, Iterable, Sequence

from keyfast.core.audit import Act, Actor, Broken, Entry, Fault, Head, Via, end_of
from keyfast.core.audit_actions import KEYFAST, SEALED
from keyfast.core.audit_keep import Start, said
from keyfast.errors import TrustError
from keyfast.services.follow import follow
from keyfast.store import acts, audit
from keyfast.store.database import Database
from keyfast.trust.kek import Kek

SEAL_SECONDS = 600.0
_PLACE = "audit trail"
BEGINNING_PLACE = "audit trail beginning"
"""Another place than that of other seals: what was once the end is not taken for the beginning."""
_FIELD = "seal"


class Seals:
    """Makes seals and looks through them.

    Args:
        kek: returns the KEK in force.
    """

    def __init__(self, kek: Callable[[], Kek]) -> None:
        self._kek = kek

    def act(self, head: Head, at: int) -> Act:
        """Return the record that seals everything up to ``head``."""
        sealed = self._kek().seal(_said(head), bound_to=_PLACE)
        return Act(at, Actor(KEYFAST, Via.SERVER), SEALED, "trail", str(head.number), {_FIELD: sealed})

    def beginning(self, start: Start) -> str:
        """Seal where the trail begins from now on."""
        return self._kek().seal(said(start), bound_to=BEGINNING_PLACE)

    def is_beginning(self, start: Start, sealed: str) -> bool:
        """Tell whether the server sealed that the trail begins there."""
        try:
            return self._kek().open(sealed, bound_to=BEGINNING_PLACE).reveal() == said(start)
        except TrustError:
            return False

    def upto(self, before: Head, entries: Iterable[Entry]) -> int | Broken:
        """Return the last record that a seal among these vouches for, 0 if none does; or where one contradicts.

        Args:
            before: what the first of them is chained to.
            entries: verified already.
        """
        found = 0
        for entry in entries:
            said = self._opened(entry) if entry.record.action == SEALED else None
            if said is not None and said != _said(before):
                return Broken(before.number, Fault.NOT_AS_SEALED)
            found = found if said is None else before.number
            before = end_of(entry)
        return found

    def _opened(self, entry: Entry) -> bytes | None:
        """Open a seal; one that cannot be opened (made up, or under a KEK that was replaced) vouches for nothing."""
        try:
            return self._kek().open(entry.record.detail.get(_FIELD, ""), bound_to=_PLACE).reveal()
        except TrustError:
            return None


class TrailSealer:
    """Seals the trail for ever.

    Args:
        database: the store.
        seals: makes seals.
        clock: unix seconds.
    """

    def __init__(self, database: Database, seals: Seals, clock: Callable[[], float]) -> None:
        self._database = database
        self._seals = seals
        self._clock = clock

    async def follow(self, failed: Callable[[Exception], None]) -> None:
        """Seal what is new, every ten minutes."""
        await follow(self.tick, SEAL_SECONDS, failed)

    async def tick(self) -> None:
        """Seal the trail, unless nothing was done since it was sealed last.

        Raises:
            NotReadyError: the store is down.
        """
        async with self._database.read() as conn:
            if _is_sealed(await audit.list_page(conn, before=None, limit=1)):
                return
        async with self._database.write() as conn:
            head = await audit.held_head(conn)
            if not _is_sealed(await audit.list_page(conn, before=None, limit=1)):
                acts.note(conn, self._seals.act(head, int(self._clock())))


def _is_sealed(newest: Sequence[Entry]) -> bool:
    return not newest or newest[0].record.action == SEALED


def _said(head: Head) -> bytes:
    return f"{head.number}:{head.hash}".encode("ascii")
