"""What the server knows of its client authentication accounts, from the watch's readings alone."""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

import msgspec
from sqlalchemy.ext.asyncio import AsyncConnection

from keyfast.core.account import unusable
from keyfast.core.directory import AccountReading, Logon, Unreachable
from keyfast.core.generation import GONE
from keyfast.core.logon import GenerationStanding
from keyfast.store import accounts
from keyfast.store.accounts import BuiltRow, GenerationRow, ReadingRow

Outcome = AccountReading | Unreachable


@dataclass(frozen=True, slots=True)
class KnownAccount:
    r"""An account.

    Attributes:
        key: ``DOMAIN\name``, the domain in upper and the name in lower case.
        generations: what is known of each credential generation on record.
        readings: the last reading of each domain controller.
        name, domain: as the administrator spelled them.
    """

    key: str
    generations: Mapping[int, GenerationRow] = field(default_factory=dict)
    readings: tuple[AccountReading, ...] = ()
    name: str = ""
    domain: str = ""

    @property
    def password_stamps(self) -> tuple[int, ...]:
        """When the password was set, as each domain controller has it."""
        return tuple(reading.password_stamp for reading in self.readings)

    @property
    def newest(self) -> int:
        """The newest generation on record, 0 without any."""
        return max(self.generations, default=0)

    @property
    def password_set_at(self) -> int:
        """When the password was set last, unix seconds."""
        return max((reading.password_set_at for reading in self.readings), default=0)

    @property
    def retired(self) -> bool:
        """Whether every generation was refused by decision."""
        return bool(self.generations) and all(row.state in GONE for row in self.generations.values())

    def unusable(self, now: int) -> Logon | None:
        """What every domain controller would say to the right password; None if one would grant it."""
        said = [unusable(reading, now) for reading in self.readings]
        return said[0] if said and all(said) else None

    def standing(self, generation: int, now: int) -> GenerationStanding:
        """What is known of a generation that an endpoint holds."""
        known = self.generations.get(generation)
        return GenerationStanding(
            account=self.key,
            generation=generation,
            newest=self.newest,
            state=known.state if known else None,
            grace_ends_at=known.grace_ends_at if known else 0,
            unusable=self.unusable(now),
        )


def bound_to(key: str, number: int) -> str:
    """What the sealed password of a generation is bound to."""
    return f"credential_generation/{key}/{number}"


class _Stored(msgspec.Struct, frozen=True, omit_defaults=True):
    """What is kept of one domain controller: its last reading, and its outage since."""

    reading: AccountReading | None = None
    unreachable: Unreachable | None = None


OfAccount = TypeVar("OfAccount", GenerationRow, ReadingRow, BuiltRow)


def by_account(rows: Iterable[OfAccount]) -> Mapping[str, list[OfAccount]]:
    """Sort rows by their accounts; an account without any has an empty list."""
    found: dict[str, list[OfAccount]] = defaultdict(list)
    for row in rows:
        found[row.account_key].append(row)
    return found


def outcomes(rows: Iterable[ReadingRow]) -> tuple[Outcome, ...]:
    """Decode stored readings, as ``core.account_events.remembered`` made them."""
    stored = [msgspec.convert(row.document, _Stored) for row in rows]
    return tuple(found for kept in stored for found in (kept.reading, kept.unreachable) if found is not None)


def reading_rows(key: str, kept: Iterable[Outcome], now: int) -> list[ReadingRow]:
    """Encode what is to be remembered, one row per domain controller."""
    by_server: dict[str, dict[str, Any]] = {}
    for found in kept:
        member = "reading" if isinstance(found, AccountReading) else "unreachable"
        by_server.setdefault(found.server, {})[member] = msgspec.to_builtins(found)
    return [ReadingRow(key, server, now, document) for server, document in by_server.items()]


async def known_accounts(conn: AsyncConnection) -> dict[str, KnownAccount]:
    """Read what is known of every account."""
    rows = await accounts.load(conn)
    if not rows:
        return {}
    generations = await accounts.generations(conn)
    readings = await accounts.readings(conn)
    return {
        row.key: KnownAccount(
            key=row.key,
            generations={found.generation: found for found in generations if found.account_key == row.key},
            readings=tuple(
                found
                for found in outcomes(kept for kept in readings if kept.account_key == row.key)
                if isinstance(found, AccountReading)
            ),
            name=row.name,
            domain=row.domain,
        )
        for row in rows
    }
