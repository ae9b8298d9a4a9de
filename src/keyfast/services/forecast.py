"""The forecast: collects what will end. Endpoints come from counters and the last roll call; none is read."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy.ext.asyncio import AsyncConnection

from keyfast.core.account import DAY, newest
from keyfast.core.directory import AccountReading
from keyfast.core.forecast import AccountFacts, CertificateEnd, Facts, Thing, TokenEnd, WindowEnd, forecast
from keyfast.core.generation import GONE
from keyfast.core.roll_call import EVERYBODY
from keyfast.core.window import WindowState
from keyfast.errors import TrustError
from keyfast.services.known_account import outcomes
from keyfast.services.window_counts import KeptCounts
from keyfast.store import accounts, packages, recoveries, roll_calls, windows
from keyfast.store.accounts import AccountRow, GenerationRow, ReadingRow
from keyfast.store.database import Database
from keyfast.trust import tls
from keyfast.wire.incident import EndingLine, ForecastView

MOST_TOKENS = 200
HISTORY = 100
FOR_EVER = 100 * 365
"""Days that stand for all of them."""


@dataclass(frozen=True, slots=True)
class CertificateFile:
    """A certificate that this server uses: what it is for, its file, and the file without which it is not renewed."""

    thing: Thing
    path: Path
    renewed_with: Path | None = None


class ForecastService:
    """What will end, for administrators.

    Args:
        database: the store.
        certificates: that may end; one whose file is not there is left out.
        clock: unix seconds.
        counts: how far the endpoints of recovery windows are.
    """

    def __init__(
        self,
        database: Database,
        certificates: Iterable[CertificateFile],
        clock: Callable[[], float],
        counts: KeptCounts | None = None,
    ) -> None:
        self._counts = counts or KeptCounts(clock)
        self._database = database
        self._certificates = tuple(certificates)
        self._clock = clock

    async def forecast(self, days: int | None) -> ForecastView:
        """Everything that ends, the first first; with ``days`` only what ends within so many."""
        now = int(self._clock())
        until = now + (FOR_EVER if days is None else days) * DAY
        async with self._database.read() as conn:
            every = await roll_calls.group(conn, EVERYBODY)
            facts = Facts(
                every.group.endpoints if every else 0,
                await self._accounts(conn),
                tuple(_read(self._certificates)),
                await _tokens(conn, now, until),
                await self._window(conn),
            )
        lines = tuple(
            EndingLine(
                found.thing.value, found.name, found.at, found.days(now), found.strands, found.sentence, found.command
            )
            for found in forecast(facts, now, days)
        )
        return ForecastView(now, every.counted_at if every else 0, facts.endpoints, lines)

    async def _accounts(self, conn: AsyncConnection) -> tuple[AccountFacts, ...]:
        rows, held = await accounts.load(conn), await recoveries.holders(conn)
        generations, readings = await accounts.generations(conn), await accounts.readings(conn)
        return tuple([await _account(conn, row, generations, readings, held.get(row.key, {})) for row in rows])

    async def _window(self, conn: AsyncConnection) -> WindowEnd | None:
        row = await windows.not_closed(conn)
        if row is None or row.state is not WindowState.OPEN:
            return None
        counts = await self._counts.of(conn, row)
        return WindowEnd(row.window.id, row.window.deadline, counts.unproven)


async def _account(
    conn: AsyncConnection,
    row: AccountRow,
    generations: Iterable[GenerationRow],
    readings: Iterable[ReadingRow],
    held: Mapping[int, int],
) -> AccountFacts:
    found = outcomes(reading for reading in readings if reading.account_key == row.key)
    reading = newest(reading for reading in found if isinstance(reading, AccountReading))
    history: tuple[AccountReading, ...] = ()
    if reading is not None:
        earlier = [
            kept for kept in await accounts.history(conn, row.key, limit=HISTORY) if kept.server == reading.server
        ]
        read = (outcome for outcome in outcomes(reversed(earlier)) if isinstance(outcome, AccountReading))
        history = tuple(outcome for outcome in read if outcome.read_at < reading.read_at)
    grace = {
        found.generation: found.grace_ends_at
        for found in generations
        if found.account_key == row.key and found.state not in GONE and found.grace_ends_at
    }
    return AccountFacts(row.key, reading, history, dict(held), grace)


def _read(files: Iterable[CertificateFile]) -> Iterable[CertificateEnd]:
    for file in files:
        try:
            ends_at = tls.facts(file.path.read_bytes()).ends_at
        except (OSError, TrustError):
            continue
        renewed = file.renewed_with is not None and file.renewed_with.exists()
        yield CertificateEnd(file.thing, str(file.path), ends_at, renewed)


async def _tokens(conn: AsyncConnection, now: int, until: int) -> tuple[TokenEnd, ...]:
    rows = await packages.ending(conn, now=now, until=until, limit=MOST_TOKENS)
    return tuple(TokenEnd(row.package_id, row.expires_at, row.max_uses - row.uses, row.uses) for row in rows)
