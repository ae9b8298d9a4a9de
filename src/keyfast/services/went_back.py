"""A server that was restored from a backup finds out from its endpoints, and moves ahead of all that they know.

Endpoints remember the epoch, the number of their access profile and the credential generation they hold. One
who knows of something newer than is on record here was told so by this installation, before it went back in
time; so was one that is not on record at all and has a receipt. From then on nothing is destroyed until an
operator says that the recovery is over.
"""

from collections.abc import Callable

import msgspec
from msgspec.structs import replace
from sqlalchemy.ext.asyncio import AsyncConnection

from keyfast.errors import ConflictError
from keyfast.services.live import Live, LiveState
from keyfast.store import accounts, endpoints, events, installations, profiles
from keyfast.store.database import Database
from keyfast.store.profiles import AccessProfileRow
from keyfast.trust.roles import PROFILE_TYP
from keyfast.wire.messages import AccessProfile

PLAUSIBLE = 1000
"""Most epochs or access profiles that a backup can be behind; more is an endpoint that makes things up."""
PAUSE_SECONDS = 60
"""Time between two looks into the database because endpoints know more: one bad endpoint must not keep it busy."""


class Heard(msgspec.Struct, frozen=True):
    """What an endpoint whose device key was proven has heard from this installation.

    Attributes:
        epoch: of the installation, 0 if it says none.
        profile_seq: number of the access profile it uses.
        account: key of its account, empty if none.
        generation: credential generation of that account.
        receipt_epoch: epoch of its receipt if the key in it is not on record, although nothing ever takes one off it;
            else 0.
        receipt_key: thumbprint of that key.
    """

    epoch: int
    profile_seq: int
    account: str = ""
    generation: int = 0
    receipt_epoch: int = 0
    receipt_key: str = ""


class WentBack:
    """Compares what endpoints know with what is on record. One per process that answers endpoints.

    Args:
        live: what is in force, renewed after it changed here.
        database: the store.
        clock: unix seconds.
    """

    def __init__(self, live: LiveState, database: Database, clock: Callable[[], float]) -> None:
        self._live = live
        self._database = database
        self._clock = clock
        self._looked_at = 0

    async def hear(self, endpoint_id: str, heard: Heard) -> bool:
        """Compare; tell whether this server was found to have gone back in time. Costs nothing where it has not.

        Raises:
            NotReadyError: the store is down.
        """
        live, now = self._live.current, int(self._clock())
        if not _ahead(live, heard) or now < self._looked_at + PAUSE_SECONDS:
            return False
        self._looked_at = now
        async with self._database.write() as conn:
            changed = await self._move_ahead(conn, live, endpoint_id, heard, now)
        if changed:
            await self._live.refresh()
        return changed

    async def _move_ahead(self, conn: AsyncConnection, live: Live, endpoint_id: str, heard: Heard, now: int) -> bool:
        """Judge by the database, as another process may just have made what this one does not know yet."""
        row = await installations.lock(conn)
        if row is None:
            return False
        highest = await profiles.next_seq(conn) - 1
        above = heard.epoch > row.epoch or heard.profile_seq > highest
        late = heard.receipt_epoch < row.epoch
        forgotten = not late and await endpoints.by_thumbprint(conn, heard.receipt_key) is None
        if not above and (row.restored_at or not (forgotten or await _knows_newer_password(conn, heard))):
            return False
        news = not row.restored_at or heard.epoch > row.epoch
        epoch = max(row.epoch, heard.epoch) + 1 if news else row.epoch
        await installations.set_epoch(conn, epoch, row.restored_at or now)
        await self._sign_anew(conn, live, epoch, max(highest, heard.profile_seq), now)
        detail = msgspec.to_builtins(heard) | {"from": row.epoch, "to": epoch, "profiles": highest}
        await events.add(conn, at=now, kind="server_went_back", endpoint_id=endpoint_id or None, detail=detail)
        return True

    async def _sign_anew(self, conn: AsyncConnection, live: Live, epoch: int, above: int, now: int) -> None:
        """Sign the profiles in force under numbers above all that any endpoint is known to have.

        Where the profile key's private half is off this server they stay, and are refused by endpoints that
        have newer ones; these keep what they have.
        """
        for number, (mode, row) in enumerate(sorted((await profiles.in_force(conn)).items()), start=1):
            claims = live.keyset.verify(row.statement, PROFILE_TYP, AccessProfile)
            renewed = replace(claims, seq=above + number, epoch=epoch)
            try:
                statement = live.keyset.sign(PROFILE_TYP, renewed)
            except ConflictError:
                continue
            await profiles.add(conn, AccessProfileRow(renewed.seq, now, statement, mode))


class EndRecovery:
    """What an operator does once a restored server is complete again."""

    def __init__(self, live: LiveState, database: Database, clock: Callable[[], float]) -> None:
        self._live = live
        self._database = database
        self._clock = clock

    async def end(self, by: str) -> None:
        """Say that the recovery is over: destructive effects run again.

        Raises:
            ConflictError: this server is not known to have gone back in time.
        """
        async with self._database.write() as conn:
            row = await installations.lock(conn)
            if row is None or not row.restored_at:
                raise ConflictError("this server is not known to have gone back in time")
            await installations.set_epoch(conn, row.epoch, 0)
            detail = {"by": by, "since": row.restored_at}
            now = int(self._clock())
            await events.add(conn, at=now, kind="server_recovery_ended", endpoint_id=None, detail=detail)
        await self._live.refresh()


def _ahead(live: Live, heard: Heard) -> bool:
    epoch, highest = live.installation.epoch, live.highest_profile
    if heard.epoch > epoch + PLAUSIBLE or heard.profile_seq > highest + PLAUSIBLE:
        return False
    if heard.epoch > epoch or heard.profile_seq > highest:
        return True
    if live.installation.restored_at:
        return False
    account = live.accounts.get(heard.account)
    newer = account is not None and heard.generation > account.newest
    # An older receipt is that of one who comes late: the epoch was raised when this was noticed.
    return newer or heard.receipt_epoch >= epoch


async def _knows_newer_password(conn: AsyncConnection, heard: Heard) -> bool:
    numbers = [row.generation for row in await accounts.generations(conn) if row.account_key == heard.account]
    known = await accounts.get(conn, heard.account) is not None
    return known and heard.generation > max(numbers, default=0)
