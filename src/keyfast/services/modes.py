"""Authentication modes: open and close them at run time; every change is an event."""

from collections.abc import Callable

from keyfast.core.mode import Mechanism, Mode, Modes
from keyfast.errors import ConflictError, UsageError
from keyfast.services.live import Live, LiveState
from keyfast.store import events, modes, packages, profiles, uses
from keyfast.store.database import Database
from keyfast.store.modes import ModeRow
from keyfast.store.profiles import AccessProfileRow
from keyfast.trust.roles import PROFILE_TYP
from keyfast.wire.admin import ModeLine
from keyfast.wire.messages import AccessProfile


class ModeService:
    """Opens and closes modes.

    Args:
        live: keys that sign access profiles.
        database: the store.
        mechanisms: what this server is configured for.
        ca: PEM of the authority that endpoints are told to trust.
        clock: unix seconds.
    """

    def __init__(
        self,
        live: LiveState,
        database: Database,
        mechanisms: tuple[Mechanism, ...],
        ca: Callable[[], str],
        clock: Callable[[], float],
    ) -> None:
        self._live = live
        self._database = database
        self._mechanisms = mechanisms
        self._ca = ca
        self._clock = clock

    async def list_(self) -> list[ModeLine]:
        """Every open mode."""
        async with self._database.read() as conn:
            rows = await modes.load(conn)
        return [ModeLine(row.ring, row.mode.value, row.since, row.opened_by) for row in rows]

    async def open_(self, mode: Mode, ring: str, by: str) -> None:
        """Open a mode for a ring, or for all that have none of their own.

        A ring that gets its first mode keeps those that were open for it until now.

        Raises:
            ConflictError: the mode cannot be opened on this server.
        """
        self._demand_possible(mode)
        now = int(self._clock())
        async with self._database.write() as conn:
            rows = await modes.load(conn)
            before = Modes(frozenset((row.ring, row.mode) for row in rows)).open_for(ring)
            opened = [await modes.open_(conn, ModeRow(ring, kept, now, by)) for kept in sorted({*before, mode})]
            if any(opened):
                detail = {"mode": mode.value, "ring": ring, "by": by}
                await events.add(conn, at=now, kind="mode_opened", endpoint_id=None, detail=detail)
        await self.ensure_profile(mode)
        await self._live.refresh()

    async def close(self, mode: Mode, ring: str, by: str, *, despite_endpoints: bool) -> None:
        """Close a mode.

        Raises:
            UsageError: it is not open, or the last one open.
            ConflictError: endpoints use it.
        """
        now = int(self._clock())
        async with self._database.write() as conn:
            own = {row.mode for row in await modes.load(conn) if row.ring == ring}
            if mode not in own:
                raise UsageError(f"the mode {mode.value} is not open{_for(ring)}", repair="keyfast mode list")
            if own == {mode}:
                raise UsageError(f"{mode.value} is the last mode open{_for(ring)}; open another one first")
            used = await packages.enrolled(conn, mode.value, ring)
            used += 0 if ring else await uses.by_command(conn, mode)
            if used and not despite_endpoints:
                raise ConflictError(
                    f"{used} endpoints enrolled in the mode {mode.value}{_for(ring)} and would go silent",
                    repair=f"keyfast mode close {mode.value} --despite-endpoints",
                )
            await modes.close(conn, ring, mode)
            detail = {"mode": mode.value, "ring": ring, "by": by, "endpoints": used}
            await events.add(conn, at=now, kind="mode_closed", endpoint_id=None, detail=detail)
        await self._live.refresh()

    async def ensure_profile(self, mode: Mode) -> None:
        """Sign an access profile for a mode that has none, or whose mechanisms are not those configured now."""
        live, now = self._live.current, int(self._clock())
        async with self._database.write() as conn:
            in_force = await profiles.in_force(conn)
            offered = tuple(found.value for found in self._mechanisms) if mode is Mode.WINDOWS else ()
            if mode in in_force and _offers(live, in_force[mode]) == offered:
                return
            # Above every one there ever was: a rotation may have signed one that is not in force.
            seq = await profiles.next_seq(conn)
            epoch = live.installation.epoch
            claims = AccessProfile(live.installation.id, seq, mode.value, live.urls, self._ca(), offered, epoch)
            await profiles.add(conn, AccessProfileRow(seq, now, live.keyset.sign(PROFILE_TYP, claims), mode))
        await self._live.refresh()

    async def follow_settings(self) -> None:
        """Tell endpoints in Windows mode when the server's mechanisms are others than before."""
        if Mode.WINDOWS in self._live.current.profiles:
            await self.ensure_profile(Mode.WINDOWS)

    def _demand_possible(self, mode: Mode) -> None:
        if mode is Mode.ANONYMOUS:
            raise ConflictError("anonymous is only ever opened by a recovery window, for a time and for recovery")
        if mode is Mode.WINDOWS and not self._mechanisms:
            raise ConflictError(
                "this server can authenticate no Windows logon: neither keytab, winbind nor a directory is configured",
                repair="see docs/operate/windows-authentication.md",
            )


def _offers(live: Live, profile: AccessProfileRow) -> tuple[str, ...]:
    return live.keyset.verify(profile.statement, PROFILE_TYP, AccessProfile).mechanisms


def _for(ring: str) -> str:
    return f" for the ring {ring}" if ring else ""
