"""Recovery windows: open, watch over, close. Every opening, first call and closing is an event."""

import secrets
import uuid
from collections import defaultdict
from collections.abc import Callable

import msgspec
from sqlalchemy.ext.asyncio import AsyncConnection

from keyfast.core import ids
from keyfast.core.window import (
    MAX_NAMED,
    Window,
    WindowEvent,
    WindowState,
    banner,
    canonical_range,
    is_closing,
    is_over,
    may_close,
    opening_fault,
)
from keyfast.core.window_endpoint import Counts, WindowEndpointEvent, WindowEndpointState, derived
from keyfast.errors import ConflictError, NotFoundError, UsageError
from keyfast.services.follow import follow
from keyfast.services.live import LiveState
from keyfast.services.window_counts import KeptCounts
from keyfast.store import accounts, events, windows
from keyfast.store.database import Database
from keyfast.store.windows import MemberRow, WindowRow
from keyfast.wire.window import WindowClose, WindowCounts, WindowLine, WindowMember, WindowOrder, WindowView

TICK_SECONDS = 1.0
PAGE = 1000
PAGES_A_TICK = 5
"""Endpoints judged per tick: 5,000, so that a million are gone through in minutes and a thousand in a second."""
SHOWN = 100
"""Missing endpoints in a view and in an event."""
S = WindowEndpointState
MISSING = (S.UNREACHED, S.REACHED, S.APPLIED)
"""States of endpoints that are missing still, in the order in which they are shown."""


class RecoveryWindowService:
    """What administrators do with recovery windows, and the job that watches over the open one.

    Args:
        live: read anew after a window was opened or closed.
        database: the store.
        clock: unix seconds.
        page: endpoints that are judged at a time.
        counts: how far endpoints are, for who looks.
    """

    def __init__(
        self,
        live: LiveState,
        database: Database,
        clock: Callable[[], float],
        page: int = PAGE,
        counts: KeptCounts | None = None,
    ) -> None:
        self._counts = counts or KeptCounts(clock)
        self._live = live
        self._database = database
        self._clock = clock
        self._page = page
        self._after = ""
        self._warned_of = ""

    async def open_(self, order: WindowOrder, by: str) -> WindowView:
        """Open a window.

        Raises:
            UsageError: it breaks a rule of ``core.window``, or holds no endpoint.
            NotFoundError: there is no such account.
            ConflictError: one is open already.
        """
        now = int(self._clock())
        async with self._database.write() as conn:
            window = Window(
                id=str(uuid.UUID(bytes=secrets.token_bytes(16), version=4)),
                opened_at=now,
                opened_by=by,
                deadline=now + 60 * order.minutes,
                reason=order.reason.strip(),
                ranges=tuple(canonical_range(text.strip()) or text for text in order.ranges),
                account=await account_named(conn, order.account) if order.account else "",
                ring=order.ring,
                endpoints=tuple(dict.fromkeys(order.endpoints)),
            )
            fault = opening_fault(window)
            if fault is not None:
                raise UsageError(fault)
            count = await windows.open_(conn, window)
            if count == 0:
                raise UsageError("no endpoint that checks in is in that set", repair="keyfast endpoint list")
            detail = {"window": window.id, "reason": window.reason, "deadline": window.deadline, "by": by}
            told = detail | {
                "endpoints": count,
                "ranges": list(window.ranges),
                "account": window.account,
                "ring": window.ring,
            }
            await events.add(conn, at=now, kind="window_opened", endpoint_id=None, detail=told)
        self._after = ""
        await self._live.refresh()
        return await self.show(window.id)

    async def list_(self, limit: int) -> list[WindowLine]:
        """Windows, newest first."""
        async with self._database.read() as conn:
            rows = await windows.list_page(conn, limit=limit)
            return [_line(row, await self._counts.of(conn, row)) for row in rows]

    async def show(self, window_id: str) -> WindowView:
        """One window with who is missing; an empty id means the newest."""
        async with self._database.read() as conn:
            row = await self._found(conn, window_id)
            missing = await windows.members(conn, row.window.id, MISSING, limit=SHOWN)
            return WindowView(
                _line(row, await self._counts.of(conn, row)),
                tuple(WindowMember(found.endpoint_id, found.name, found.state.value, found.since) for found in missing),
            )

    async def close(self, order: WindowClose, by: str, *, over_all: bool = False) -> WindowView:
        """Close a window, unless endpoints are missing that the order does not give up by name or by number.

        Args:
            order: which, and over whom.
            by: who closes it.
            over_all: the administrator gave up all that are missing, by a number that was checked elsewhere.

        Raises:
            NotFoundError: there is no such window.
            ConflictError: it is closed already, or endpoints are missing.
        """
        async with self._database.read() as conn:
            row = await self._found(conn, order.window)
        if row.state is not WindowState.OPEN:
            raise ConflictError(f"the recovery window {row.window.id} is {row.state} already")
        await self.settle(row.window)
        now = int(self._clock())
        async with self._database.write() as conn:
            counts = await windows.counts(conn, row.window.id)
            missing = await windows.members(conn, row.window.id, MISSING, limit=MAX_NAMED)
            waived = set(order.waive)
            typed = counts.unproven if over_all else order.despite_unproven
            fault = may_close(counts, [_called(found, waived) for found in missing], waived, typed)
            if fault is not None:
                raise ConflictError(fault, repair=_ways_to_close(row.window, counts.unproven))
            if await windows.end(conn, row, WindowEvent.CLOSED, at=now, by=by):
                detail = {"window": row.window.id, "by": by, "proven": counts.proven, "unproven": counts.unproven}
                told = detail | {"missing": [found.name for found in missing[:SHOWN]]}
                await events.add(conn, at=now, kind="window_closed", endpoint_id=None, detail=told)
        await self._live.refresh()
        return await self.show(row.window.id)

    async def follow(self, failed: Callable[[Exception], None]) -> None:
        """Watch over the open window for ever."""
        await follow(self.tick, TICK_SECONDS, failed)

    async def tick(self) -> None:
        """Judge some endpoints of the open window by what is on record; let it expire at its deadline.

        Raises:
            NotReadyError: the store is down.
        """
        async with self._database.read() as conn:
            row = await windows.not_closed(conn)
        if row is None:
            return
        now = int(self._clock())
        if is_over(row.window, now):
            await self._expire(row)
            return
        if is_closing(row.window, now) and self._warned_of != row.window.id:
            await self._warn(row, now)
        for _ in range(PAGES_A_TICK):
            self._after = await self._settle_page(row.window, self._after)
            if not self._after:
                break
        async with self._database.read() as conn:
            await self._counts.keep(conn, row)

    async def settle(self, window: Window) -> None:
        """Judge every endpoint of a window by what is on record of it."""
        after = await self._settle_page(window, "")
        while after:
            after = await self._settle_page(window, after)

    async def _settle_page(self, window: Window, after: str) -> str:
        """Judge a page of endpoints; return after which to go on, empty when all were judged."""
        async with self._database.read() as conn:
            rows = await windows.signs(conn, window, after=after, limit=self._page)
        happened: dict[WindowEndpointEvent, list[str]] = defaultdict(list)
        for row in rows:
            event = derived(row.sign, window.opened_at)
            if event is not None:
                happened[event].append(row.endpoint_id)
        if happened:
            now = int(self._clock())
            async with self._database.write() as conn:
                for event, who in happened.items():
                    await windows.tell(conn, window.id, who, event, at=now)
        return rows[-1].endpoint_id if len(rows) == self._page else ""

    async def _warn(self, row: WindowRow, now: int) -> None:
        """Tell that the deadline is near; told again by a server that is started anew before it."""
        async with self._database.write() as conn:
            counts = await windows.counts(conn, row.window.id)
            detail = {"window": row.window.id, "deadline": row.window.deadline, "unproven": counts.unproven}
            await events.add(conn, at=now, kind="window_closing", endpoint_id=None, detail=detail)
        self._warned_of = row.window.id

    async def _expire(self, row: WindowRow) -> None:
        """Callers are refused since the deadline; put the end on record, with who is missing."""
        await self.settle(row.window)
        now = int(self._clock())
        async with self._database.write() as conn:
            if await windows.end(conn, row, WindowEvent.EXPIRED, at=now, by=""):
                counts = await windows.counts(conn, row.window.id)
                missing = await windows.members(conn, row.window.id, MISSING, limit=SHOWN)
                detail = {"window": row.window.id, "proven": counts.proven, "unproven": counts.unproven}
                told = detail | {"missing": [found.name for found in missing]}
                await events.add(conn, at=now, kind="window_expired", endpoint_id=None, detail=told)
        await self._live.refresh()

    async def _found(self, conn: AsyncConnection, window_id: str) -> WindowRow:
        row = (
            next(iter(await windows.list_page(conn, limit=1)), None)
            if not window_id
            else await windows.get(conn, window_id)
            if ids.parse_endpoint_id(window_id)
            else None
        )
        if row is None:
            named = f" {window_id}" if window_id else ""
            raise NotFoundError(f"no recovery window{named}", repair="keyfast window list")
        return row

    def banner(self) -> str:
        """What is told with every answer of the admin API, empty for nothing."""
        live = self._live.current
        return banner(live.window, live.installation.restored_at, int(self._clock()))


async def account_named(conn: AsyncConnection, text: str) -> str:
    r"""Return the key of the account that ``DOMAIN\name``, ``name@domain`` or ``name`` means.

    Raises:
        NotFoundError: there is none on record.
    """
    domain, _, name = text.rpartition("\\")
    if not domain:
        name, _, domain = text.partition("@")
    wanted = domain.partition(".")[0].upper(), name.lower()
    rows = await accounts.load(conn)
    found = [row.key for row in rows if row.name.lower() == wanted[1] and wanted[0] in ("", row.domain.upper())]
    if len(found) != 1:
        raise NotFoundError(f"{text} is not a client authentication account", repair="keyfast account list")
    return found[0]


def _called(found: MemberRow, waived: set[str]) -> str:
    return found.endpoint_id if found.endpoint_id in waived else found.name


def _ways_to_close(window: Window, unproven: int) -> str:
    return f"keyfast window close {window.id} --waive NAME (for each), or --despite-unproven {unproven}"


def _line(row: WindowRow, counts: Counts) -> WindowLine:
    window = row.window
    return WindowLine(
        id=window.id,
        state=row.state.value,
        reason=window.reason,
        opened_at=window.opened_at,
        opened_by=window.opened_by,
        deadline=window.deadline,
        closed_at=row.closed_at or 0,
        closed_by=row.closed_by,
        ranges=window.ranges,
        account=window.account,
        ring=window.ring,
        endpoints=len(window.endpoints),
        counts=msgspec.convert(counts, WindowCounts, from_attributes=True),
    )
