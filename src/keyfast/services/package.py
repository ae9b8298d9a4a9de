"""Packages: build an installer for a set of endpoints, with an enrolment token of its own inside.

The record is written before the artefact, and the enrolment token after it: whatever dies in between, no
token works whose package is not whole, and the next start ends what was under way.
"""

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from msgspec import structs

from keyfast.core.mode import Mode
from keyfast.core.package_life import PackageEvent, PackageState, step
from keyfast.core.serials import listed
from keyfast.errors import ConflictError, KeyfastError, NotFoundError, NotReadyError, UsageError
from keyfast.services.account import AccountService
from keyfast.services.live import LiveState
from keyfast.services.modes import ModeService
from keyfast.services.package_account import Embedded, proven
from keyfast.services.package_build import Prepared, Workshop, prepare
from keyfast.store import events, packages
from keyfast.store.database import Database
from keyfast.store.packages import PackageRow
from keyfast.wire.admin import FindingView, PackageOrder

MAX_DAYS = 730
MAX_USES = 10_000_000
MAX_RING = 64
RETRY_SECONDS = 5
_log = logging.getLogger(__name__)
_CUT_OFF = "the server was stopped while it was being built"


@dataclass(frozen=True, slots=True)
class Begun:
    """A build that is under way.

    Attributes:
        package: its id.
        task: ends with None, or with the fault that ended the build; it raises nothing.
        warnings: about the account inside.
    """

    package: str
    task: "asyncio.Task[KeyfastError | None]"
    warnings: tuple[FindingView, ...] = ()


@dataclass(slots=True)
class Work:
    """What is being done of a build, and how far that is, from 0 to 1."""

    doing: str = ""
    share: float = 0.0

    def told(self, doing: str, share: float) -> None:
        """See ``installers.stamp.Progress``; called from a thread."""
        self.doing, self.share = doing, share


class PackageService:
    """Builds and revokes packages. One per admin process.

    Args:
        live: keys, policy and profiles in force.
        database: the store.
        workshop: builds artefacts and keeps them.
        accounts: proves accounts.
        modes: makes sure that a package's mode has a profile.
        clock: unix seconds.
        entropy: returns that many random bytes.
        retry_s: seconds before the end of a build is written down again, when the store is down.
    """

    def __init__(
        self,
        live: LiveState,
        database: Database,
        workshop: Workshop,
        accounts: AccountService,
        modes: ModeService,
        clock: Callable[[], float],
        entropy: Callable[[int], bytes],
        *,
        retry_s: float = RETRY_SECONDS,
    ) -> None:
        self._live = live
        self._database = database
        self._workshop = workshop
        self._accounts = accounts
        self._modes = modes
        self._clock = clock
        self._entropy = entropy
        self._retry_s = retry_s
        self._works: dict[str, Work] = {}
        self._tasks: set[asyncio.Task[KeyfastError | None]] = set()

    async def resume(self) -> None:
        """End every build that an earlier process left in the middle. May be done again.

        Raises:
            NotReadyError: the store is down.
        """
        await asyncio.to_thread(self._workshop.files.forget_old_bases)
        async with self._database.read() as conn:
            cut_off = await packages.building(conn)
        for row in cut_off:
            if row.id not in self._works:
                await self._end(row, _CUT_OFF)

    async def begin(self, order: PackageOrder, by: str) -> Begun:
        """Put a package on record and begin to build it; whatever can be refused is refused before.

        Raises:
            UsageError: the order makes no sense.
            MissingToolError: a program is missing; the repair names its package.
            ConflictError: the account is not fit to be embedded.
            NotReadyError: store or directory are down; nothing was written.
        """
        _check(order)
        order = structs.replace(order, serials=listed(order.serials))
        self._workshop.demand(order.kind)
        embedded = await self._embedded(order) if order.mode == "windows" else None
        account, warnings = (embedded.account, embedded.warnings) if embedded else (None, ())
        await self._modes.ensure_profile(Mode(order.mode))
        made = prepare(self._live.current, order, account, by, int(self._clock()), self._entropy)
        async with self._database.write() as conn:
            await packages.create(conn, made.row, serials=order.serials)
        work = self._works[made.row.id] = Work()
        task = asyncio.create_task(self._build(made, work, [found.condition for found in warnings]))
        self._tasks.add(task)  # nobody else may hold it until it ends
        task.add_done_callback(self._tasks.discard)
        return Begun(made.row.id, task, warnings)

    async def create(self, order: PackageOrder, by: str) -> PackageRow:
        """Build a package to its end.

        Raises:
            KeyfastError: it cannot be built; see ``begin``.
        """
        begun = await self.begin(order, by)
        fault = await begun.task
        if fault is not None:
            raise fault
        return await self.get(begun.package)

    async def get(self, package_id: str) -> PackageRow:
        """Return a package.

        Raises:
            NotFoundError: there is none of this id.
        """
        async with self._database.read() as conn:
            row = await packages.get(conn, package_id)
        if row is None:
            raise NotFoundError(f"no package {package_id}", repair="keyfast package list")
        return row

    def work(self, package_id: str) -> Work:
        """How far a build of this process is."""
        return self._works.get(package_id, Work())

    async def revoke(self, package_id: str, by: str) -> None:
        """Revoke a package's enrolment token, then remove its file; endpoints that enrolled are not touched.

        Raises:
            NotFoundError: there is no such package.
            TransitionError: it was never finished.
        """
        row, now = await self.get(package_id), int(self._clock())
        step(row.state, PackageEvent.REVOKED)
        if row.state is not PackageState.REVOKED:
            async with self._database.write() as conn:
                await packages.revoke(conn, package_id, at=now)
                detail = {"package": package_id, "by": by}
                await events.add(conn, at=now, kind="package_revoked", endpoint_id=None, detail=detail)
        await asyncio.to_thread(self._workshop.files.remove, row.file_name)

    async def artefact(self, package_id: str, by: str) -> tuple[PackageRow, Path]:
        """Return a package and its file, for a download; who took it is noted, as it holds secrets.

        Raises:
            NotFoundError: there is no such package, or its file is not on this server.
            ConflictError: it is not ready.
        """
        row = await self.get(package_id)
        if row.state is not PackageState.READY:
            raise ConflictError(f"package {package_id} is {row.state}: {row.reason}".removesuffix(": "))
        path = self.path(row)
        if not path.is_file():
            raise NotFoundError(
                f"the file of package {package_id} is not on this server any more", repair="keyfast package create"
            )
        async with self._database.write() as conn:
            detail = {"package": package_id, "by": by}
            await events.add(conn, at=int(self._clock()), kind="package_downloaded", endpoint_id=None, detail=detail)
        return row, path

    def path(self, row: PackageRow) -> Path:
        """Where the artefact is."""
        return self._workshop.files.path(row.file_name)

    async def _embedded(self, order: PackageOrder) -> Embedded:
        if not order.account:
            raise UsageError(
                "a package in Windows mode embeds a client authentication account",
                repair="keyfast package create --mode windows --account DOMAIN\\NAME",
            )
        return await proven(self._accounts, order.account, order.despite)

    async def _build(self, made: Prepared, work: Work, warnings: list[str]) -> KeyfastError | None:
        """Build what is on record, and record what came of it; return what ended it, if something did."""
        row = made.row
        try:
            sha256, size = await self._workshop.make(row, made.stamp, work.told)
            await self._finish(made, sha256, size, warnings)
        except KeyfastError as fault:
            await self._give_up(row, fault.message)
            return fault
        except Exception as cause:  # noqa: BLE001 - whatever it is, the record must not go on saying that it is built
            _log.exception("package %s could not be built", row.id)
            await self._give_up(row, f"the server failed: {type(cause).__name__}; its log says why")
            return KeyfastError(f"package {row.id} could not be built", repair="the server's log says why")
        finally:
            self._works.pop(row.id, None)
        return None

    async def _finish(self, made: Prepared, sha256: str, size: int, warnings: list[str]) -> None:
        row, now = made.row, int(self._clock())
        ready = replace(row, state=step(row.state, PackageEvent.BUILT), built_at=now, sha256=sha256, size=size)
        async with self._database.write() as conn:
            if not await packages.finish(conn, ready, made.token):
                raise ConflictError("another server process has ended this build", repair="build it again")
            detail = {
                "package": row.id,
                "kind": row.kind.value,
                "mode": row.mode,
                "ring": row.ring,
                "by": row.created_by,
                "warnings": warnings,
            }
            await events.add(conn, at=now, kind="package_created", endpoint_id=None, detail=detail)

    async def _give_up(self, row: PackageRow, reason: str) -> None:
        """Record that a build came to nothing, as soon as the store can take it."""
        while True:
            try:
                await self._end(row, reason)
            except NotReadyError:
                await asyncio.sleep(self._retry_s)
            else:
                return

    async def _end(self, row: PackageRow, reason: str) -> None:
        """Remove what was written of an artefact, then record that it failed. May be done again."""
        await asyncio.to_thread(self._workshop.files.remove, row.file_name)
        now = int(self._clock())
        async with self._database.write() as conn:
            failed = replace(row, state=step(row.state, PackageEvent.FAILED), reason=reason[:1000])
            if await packages.finish(conn, failed):
                await packages.forget_list(conn, row.id)
                detail = {"package": row.id, "kind": row.kind.value, "by": row.created_by, "reason": reason[:1000]}
                await events.add(conn, at=now, kind="package_failed", endpoint_id=None, detail=detail)


def _check(order: PackageOrder) -> None:
    if not 1 <= order.days <= MAX_DAYS:
        raise UsageError(f"the enrolment token lives for 1 to {MAX_DAYS} days")
    if not 1 <= order.max_uses <= MAX_USES:
        raise UsageError(f"the use ceiling lies between 1 and {MAX_USES:,}")
    if not 1 <= len(order.ring) <= MAX_RING:
        raise UsageError(f"a ring has a name of 1 to {MAX_RING} characters")
