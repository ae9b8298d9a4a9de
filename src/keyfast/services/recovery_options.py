"""A guided recovery: what broke, the ways out, carrying one out, and whether everybody is back.

All that it knows is on record: the account, the rotation that carries it out, the recovery window. It may
be begun, resumed and finished any number of times; whoever asks next goes on where the last one stopped.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

from sqlalchemy.ext.asyncio import AsyncConnection

from keyfast.core.account import AccountCondition
from keyfast.core.generation import GenerationState
from keyfast.core.mode import Mode
from keyfast.core.secret import Secret
from keyfast.core.way_out import Situation, Way, WayOut, is_shut, opens_window, sends_change, ways
from keyfast.core.window import WindowState, may_close
from keyfast.core.window_endpoint import Counts
from keyfast.errors import ConflictError, NotFoundError, UsageError
from keyfast.services.account import AccountService
from keyfast.services.live import LiveState
from keyfast.services.recovery_rotations import OAUTH, Rotations, UnderWay
from keyfast.services.recovery_window import RecoveryWindowService, account_named
from keyfast.store import recoveries, windows
from keyfast.store.database import Database
from keyfast.wire.admin import AccountView
from keyfast.wire.recovery import RecoveryFinish, RecoveryOrder, RecoveryStatus, SituationView, Stage, WayLine
from keyfast.wire.window import WindowClose, WindowLine, WindowOrder

SHOWN = 100
SILENT_SHOWN = 20
LARGE = 20_000
KEPT_SECONDS = 15
"""Whether so many were seen again is looked up so often, however many people watch."""
NOT_EVERYWHERE = frozenset({AccountCondition.LAGGING.value, AccountCondition.UNREADABLE.value})
"""Conditions in which some domain controller does not take the password, or was not asked."""


class Unseen(NamedTuple):
    """Names of some that were not seen again, and how many there are."""

    names: tuple[str, ...] = ()
    number: int = 0


class RecoveryOptionsService:
    """What ``keyfast recover`` asks of the server.

    Args:
        live: which modes are open.
        database: the store.
        accounts: proves passwords and judges accounts.
        windows: opens and closes the recovery window.
        rotations: carry changes to endpoints; None on a server that has none.
        always: endpoints may recover by their device key at any time (``recovery.device_key``).
        clock: unix seconds.
    """

    def __init__(
        self,
        live: LiveState,
        database: Database,
        accounts: AccountService,
        windows: RecoveryWindowService,
        rotations: Rotations | None,
        clock: Callable[[], float],
        *,
        always: bool = True,
    ) -> None:
        self._live = live
        self._database = database
        self._accounts = accounts
        self._windows = windows
        self._rotations = rotations
        self._clock = clock
        self._always = always
        self._unseen = ("", 0.0, Unseen())

    async def situations(self) -> list[SituationView]:
        """Every account that endpoints use, the most stranded first, with its ways out."""
        views = await self._looked()
        async with self._database.read() as conn:
            held = await recoveries.holders(conn)
            found = [(view, self._situation(view, views, held.get(view.account, {}))) for view in views]
            told = await self._views(conn, [pair for pair in found if pair[1].endpoints])
        return sorted(told, key=lambda view: (-view.stranded, view.account))

    async def situation(self, account: str) -> SituationView | None:
        """The situation of one account, which alone is looked at anew; None if no endpoint uses it, or it is gone."""
        others = [view for view in await self._accounts.views() if view.account != account]
        try:
            view = await self._accounts.check(account)
        except NotFoundError:
            return None
        async with self._database.read() as conn:
            held = (await recoveries.holders(conn)).get(account, {})
            found = self._situation(view, others, held)
            return (await self._views(conn, [(view, found)]))[0] if found.endpoints else None

    async def begin(self, order: RecoveryOrder, by: str) -> RecoveryStatus:
        """Take a way: verify what endpoints are to use, open a window if the way needs one, release the changes.

        Raises:
            UsageError: there is no such way, or something that it needs was not given.
            ConflictError: the way cannot be taken; the directory refuses the password; another recovery is under way.
            NotReadyError: the directory cannot be asked.
        """
        async with self._database.read() as conn:
            account = await account_named(conn, order.account)
        running = await self._under_way()
        if running is not None and running.account != account:
            raise ConflictError(f"the recovery of {running.account} is under way", repair="keyfast recover --resume")
        way = _way(order.way)
        situation = await self._situation_of(account)
        if running is None and (situation.stranded or way is not Way.RESTORE):
            _demand_available(account, way, situation)
        if way is Way.RESTORE:  # in the directory, where it may just have been done
            return await self.status(account)
        to = running.to if running else _target(way, account, order)
        if to != OAUTH and (running is None or order.password):
            to = await self._verified(to, order, by)
        if opens_window(way, always=self._always):
            await self._ensure_window(account, order, by)
        if sends_change(way):
            await self._carry_out(running, account, to, way, by)
        return await self.status(account)

    async def resume(self) -> RecoveryStatus:
        """Go on with the recovery that is under way, wherever it stopped.

        Raises:
            ConflictError: there is none.
        """
        running = await self._under_way()
        if running is None:
            raise ConflictError("no recovery is under way", repair="keyfast recover")
        if not running.started:
            await self._demand_rotations().start(running.rotation)
        return await self.status(running.account)

    async def status(self, account: str = "") -> RecoveryStatus:
        """How far it has come: the recovery under way, else the account named, else the one that broke."""
        running = await self._under_way()
        if running is not None:
            return await self._of_rotation(running)
        if account:
            async with self._database.read() as conn:
                account = await account_named(conn, account)
            return await self._of_account(await self._situation_of(account))
        broken = [found for found in await self.situations() if found.stranded]
        if not broken:
            return RecoveryStatus("", "idle", "no endpoint is stranded behind an account")
        if len(broken) > 1:
            names = ", ".join(found.account for found in broken)
            return RecoveryStatus("", "waiting", f"endpoints are stranded behind {names}; take one after the other")
        return await self._of_account(await self._situation_of(broken[0].account))

    async def finish(self, order: RecoveryFinish, by: str) -> RecoveryStatus:
        """Close the window and end the recovery, once everybody was seen again.

        Raises:
            ConflictError: endpoints are missing that the order gives up neither by name nor by number.
        """
        status = await self.status(order.account)
        if status.stage != "done":
            counts = Counts(unreached=status.missing_count)
            fault = may_close(counts, status.missing, order.waive, order.despite_unproven)
            if fault is not None:
                repair = f"keyfast recover --resume --despite-unproven {status.missing_count}"
                raise ConflictError(fault, repair=repair)
        if status.window is not None:
            close = WindowClose(status.window.id, order.waive)
            await self._windows.close(close, by, over_all=order.despite_unproven is not None)
        if status.rotation:
            rotations = self._demand_rotations()
            if status.stage != "done":
                names = None if order.despite_unproven is not None else order.waive
                await rotations.give_up(status.rotation, names, by)
            told = {"account": status.account, "missing": list(status.missing), "by": by}
            await rotations.finish(status.rotation, told)
        return RecoveryStatus(
            status.account, "done", f"the recovery of {status.account} is over", status.rotation, status.to
        )

    async def _verified(self, to: str, order: RecoveryOrder, by: str) -> str:
        """Make sure that what endpoints are to use is accepted everywhere; return the account's key."""
        if order.password:
            view = await self._accounts.add(to, Secret(order.password.encode()), order.despite, by)
        else:
            embedded = await self._accounts.embeddable(to)  # tried once more, as everything hangs on it
            view = await self._accounts.show(f"{embedded.domain}\\{embedded.name.lower()}")
        waived = set(order.despite)
        for finding in view.findings:
            if finding.condition in NOT_EVERYWHERE - waived:
                raise ConflictError(
                    f"{view.account} is not accepted by every domain controller yet: {finding.sentence}",
                    repair=f"wait for it to replicate, or take it as it is: --despite {finding.condition}",
                )
        return view.account

    async def _ensure_window(self, account: str, order: RecoveryOrder, by: str) -> None:
        async with self._database.read() as conn:
            row = await windows.not_closed(conn)
        if row is not None and row.window.account == account and row.window.deadline > self._clock():
            return
        await self._windows.open_(WindowOrder(order.reason, order.minutes, order.ranges, account), by)

    async def _carry_out(self, running: UnderWay | None, account: str, to: str, way: Way, by: str) -> None:
        rotations = self._demand_rotations()
        rotation = running.rotation if running else await rotations.plan_recovery(account, to, way.value, by)
        if running is None or not running.started:
            await rotations.start(rotation)

    async def _of_rotation(self, running: UnderWay) -> RecoveryStatus:
        rotations = self._demand_rotations()
        progress = await rotations.progress(running.rotation, SHOWN)
        missing, count, window = progress.missing, progress.awaited, await self._window(running.account)
        total = sum(progress.counts.values())
        stage: Stage = "running"
        told = f"{total - count:,} of {total:,} endpoints took the change"
        if not running.started:
            told = "planned, and not all released yet; if that stays so: keyfast recover --resume"
        elif total == 0:
            told = "no endpoint on record is to be given a change; end it: keyfast recover --despite-unproven 0"
        elif count == 0:
            missing, count = await self._not_seen_again(running.rotation, total)
            stage = "checking" if count else "done"
            told = (
                f"all took the change; {count:,} did not check in again after it yet"
                if count
                else "all are back and went on checking in"
            )
        elif is_shut(count, always=self._always, window_open=window is not None):
            stage = "waiting"
            told += "; the others need a recovery window, and none is open: keyfast recover --way window"
        return RecoveryStatus(
            account=running.account,
            stage=stage,
            sentence=told,
            rotation=running.rotation,
            to=running.to,
            started_at=running.created_at,
            counts={state.value: number for state, number in progress.counts.items() if number},
            missing=missing,
            missing_count=count,
            window=window,
        )

    async def _not_seen_again(self, rotation: str, total: int) -> "Unseen":
        """Return who did not check in after the change; of many endpoints what was found some seconds ago."""
        of, at, found = self._unseen
        if of != rotation or total <= LARGE or not 0 <= self._clock() - at < KEPT_SECONDS:
            async with self._database.read() as conn:
                names, count = await recoveries.not_seen_again(conn, rotation, limit=SHOWN)
            found = Unseen(tuple(names), count)
            self._unseen = (rotation, self._clock(), found)
        return found

    async def _of_account(self, situation: Situation) -> RecoveryStatus:
        account, window = situation.account, await self._window(situation.account)
        now = int(self._clock())
        view = await self._accounts.show(account)
        proven_at = max((line.judged_at for line in view.generations if line.generation == situation.proven), default=0)
        async with self._database.read() as conn:
            if situation.stranded:
                names, count = await recoveries.silent(conn, account, now=now, limit=SHOWN), situation.stranded
            else:
                names, count = await recoveries.unseen_since(conn, account, proven_at, limit=SHOWN)
            if not count:
                names = await recoveries.silent(conn, account, now=now, limit=SHOWN)
                count = len(names)
        stage: Stage = "waiting" if situation.stranded else "running" if count else "done"
        told = {
            "waiting": f"{count:,} endpoints hold what is not accepted: {view.summary}",
            "running": f"{account} works again; {count:,} endpoints were not seen since",
            "done": f"{account} works, and all its endpoints were seen since",
        }[stage]
        return RecoveryStatus(account, stage, told, missing=tuple(names), missing_count=count, window=window)

    async def _window(self, account: str) -> WindowLine | None:
        async with self._database.read() as conn:
            row = await windows.not_closed(conn)
        if row is None or row.window.account != account or row.state is not WindowState.OPEN:
            return None
        return (await self._windows.show(row.window.id)).line

    async def _under_way(self) -> UnderWay | None:
        return None if self._rotations is None else await self._rotations.under_way()

    def _demand_rotations(self) -> Rotations:
        if self._rotations is None:
            raise ConflictError("this server cannot send endpoints another access", repair="take restore or package")
        return self._rotations

    async def _looked(self) -> list[AccountView]:
        """Every account as the directory has it now: whoever asks does not wait for the watch."""
        return await self._accounts.check_all()

    async def _situation_of(self, account: str) -> Situation:
        views = await self._looked()
        async with self._database.read() as conn:
            held = await recoveries.holders(conn)
        return self._situation(next(view for view in views if view.account == account), views, held.get(account, {}))

    def _situation(self, view: AccountView, every: list[AccountView], held: Mapping[int, int]) -> Situation:
        return Situation(
            account=view.account,
            condition=AccountCondition(view.condition),
            holders=dict(held),
            proven=_proven(view),
            always=self._always,
            others=tuple(other.account for other in every if other.account != view.account and _works(other)),
            oauth=self._live.current.modes.anywhere(Mode.OAUTH),
        )

    async def _views(
        self, conn: AsyncConnection, found: Sequence[tuple[AccountView, Situation]]
    ) -> list[SituationView]:
        """Add who is silent and what was refused, where an account is broken.

        While nothing is broken hardly anybody is silent, and looking for some would read every endpoint.
        """
        now = int(self._clock())
        broken = [view.account for view, situation in found if situation.stranded > 0]
        refused = await recoveries.refusals(conn) if broken else {}
        silent = {key: await recoveries.silent(conn, key, now=now, limit=SILENT_SHOWN) for key in broken}
        return [
            self._view(
                view,
                situation,
                silent.get(view.account, []),
                refused.get(view.account, {}) if view.account in silent else {},
            )
            for view, situation in found
        ]

    def _view(
        self, view: AccountView, situation: Situation, silent: Sequence[str], refused: Mapping[str, int]
    ) -> SituationView:
        return SituationView(
            account=view.account,
            condition=view.condition,
            summary=view.summary,
            since=_since(view) if situation.stranded else 0,
            endpoints=situation.endpoints,
            stranded=situation.stranded,
            proven=situation.proven,
            silent=tuple(silent),
            refusals=dict(refused),
            ways=tuple(_way_line(out) for out in ways(situation)),
        )


def _way(text: str) -> Way:
    try:
        return Way(text)
    except ValueError:
        raise UsageError(f"no way '{text}'; ways: {', '.join(Way)}") from None


def _target(way: Way, account: str, order: RecoveryOrder) -> str:
    """Where endpoints move to, as it was named."""
    if way is Way.OAUTH:
        return OAUTH
    to = order.to if way is Way.ACCOUNT else account
    if not to:
        raise UsageError("to which account? say --to DOMAIN\\NAME")
    return to


def _demand_available(account: str, way: Way, situation: Situation) -> WayOut:
    found = next((out for out in ways(situation) if out.way is way), None)
    if found is None:
        raise ConflictError(f"no endpoint is stranded behind {account}", repair="keyfast recover --status")
    if not found.available:
        raise ConflictError(found.sentence, repair="keyfast recover --status")
    return found


def _way_line(out: WayOut) -> WayLine:
    return WayLine(out.way.value, out.endpoints, out.available, out.sentence, tuple(need.value for need in out.needs))


def _proven(view: AccountView) -> int:
    return max((g.generation for g in view.generations if g.state == GenerationState.PROVEN.value), default=0)


def _works(view: AccountView) -> bool:
    return _proven(view) > 0 and not any(finding.severity == "outage" for finding in view.findings)


def _since(view: AccountView) -> int:
    """When it broke: as the worst finding says, else when the newest lost generation was judged."""
    told = next((finding.at for finding in view.findings if finding.severity == "outage" and finding.at), 0)
    lost = (g.judged_at for g in view.generations if g.state != GenerationState.PROVEN.value)
    return told or max(lost, default=0)
