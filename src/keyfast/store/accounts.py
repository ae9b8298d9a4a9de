"""Client authentication accounts, their credential generations, and what the directory said of them."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from sqlalchemy import delete, func, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from keyfast.core.generation import GenerationState
from keyfast.core.package_life import PackageState
from keyfast.errors import ConflictError
from keyfast.store.statements import insert_once, upsert
from keyfast.store.tables import (
    account,
    account_change,
    account_reading,
    credential_generation,
    credential_use,
    enrolment_token,
    package,
)

KEEP_CHANGES = 1000
"""Changes kept per account."""


@dataclass(frozen=True, slots=True)
class AccountRow:
    r"""An account.

    Attributes:
        key: ``DOMAIN\\name``, the domain in upper and the name in lower case.
        added_at, read_at, asked_at: unix seconds; when the watch last read it, and when somebody last asked it to.
    """

    key: str
    name: str
    domain: str
    added_at: int
    added_by: str
    read_at: int = 0
    asked_at: int = 0


@dataclass(frozen=True, slots=True)
class GenerationRow:
    """One credential generation.

    Attributes:
        password_sealed: sealed under the KEK, bound to ``credential_generation/<account>/<generation>``.
        password_stamp: the directory's stamp of the password it was last proven against.
        seen_stamp: the stamp its state is about.
        grace_ends_at: until when its password may still be granted over NTLM and Basic, 0 for not at all.
        created_at, judged_at: unix seconds; when its state last changed.
    """

    account_key: str
    generation: int
    state: GenerationState
    password_sealed: str
    password_stamp: int
    seen_stamp: int
    grace_ends_at: int
    created_at: int
    created_by: str
    judged_at: int


@dataclass(frozen=True, slots=True)
class ReadingRow:
    """What a domain controller said (``read_at`` in unix seconds)."""

    account_key: str
    server: str
    read_at: int
    document: dict[str, Any]


@dataclass(frozen=True, slots=True)
class BuiltRow:
    """A package built with an account, and how many endpoints use the credential that it brought them.

    ``package`` is empty, and ``created_at`` 0, for endpoints that came to a generation by a command.
    """

    package: str
    account_key: str
    generation: int
    created_at: int
    endpoints: int


async def load(conn: AsyncConnection) -> list[AccountRow]:
    """Return every account, ordered by key; there are a handful."""
    return [AccountRow(*row) for row in await conn.execute(select(account).order_by(account.c.key))]


async def get(conn: AsyncConnection, key: str) -> AccountRow | None:
    """Return an account."""
    row = (await conn.execute(select(account).where(account.c.key == key))).one_or_none()
    return None if row is None else AccountRow(*row)


async def add(conn: AsyncConnection, row: AccountRow) -> bool:
    """Put an account on record; False if it is already."""
    return await insert_once(conn, account, asdict(row))


async def remove(conn: AsyncConnection, key: str) -> bool:
    """Remove an account, its generations and readings; its history stays. Tell whether there was one."""
    for table in (credential_generation, account_reading):
        await conn.execute(delete(table).where(table.c.account_key == key))
    return (await conn.execute(delete(account).where(account.c.key == key))).rowcount == 1


async def generations(conn: AsyncConnection, key: str | None = None) -> list[GenerationRow]:
    """Return every generation of an account, or of every account, oldest first."""
    ordered = select(credential_generation).order_by("account_key", "generation")
    if key is not None:
        ordered = ordered.where(credential_generation.c.account_key == key)
    return [_generation(tuple(row)) for row in await conn.execute(ordered)]


async def add_generation(conn: AsyncConnection, row: GenerationRow) -> None:
    """Put a new generation on record.

    Raises:
        ConflictError: its number is taken.
    """
    if not await insert_once(conn, credential_generation, asdict(row) | {"state": row.state.value}):
        raise ConflictError(f"{row.account_key} has a credential generation {row.generation} already")


async def set_generation(conn: AsyncConnection, row: GenerationRow, new: GenerationRow) -> bool:
    """Replace what is known of a generation if it is still ``row``; tell whether it was."""
    columns = credential_generation.c
    changed = await conn.execute(
        update(credential_generation)
        .where(
            columns.account_key == row.account_key,
            columns.generation == row.generation,
            columns.state == row.state.value,
            columns.seen_stamp == row.seen_stamp,
        )
        .values(asdict(new) | {"state": new.state.value})
    )
    return changed.rowcount == 1


async def claim(conn: AsyncConnection, key: str, *, now: int, interval: int) -> bool:
    """Take the turn to read an account, if it is due or somebody asked; of several nodes one wins."""
    columns = account.c
    due = (columns.read_at <= now - interval) | (columns.asked_at > columns.read_at)
    claimed = await conn.execute(update(account).where(columns.key == key, due).values(read_at=now))
    return claimed.rowcount == 1


async def ask(conn: AsyncConnection, key: str, *, now: int) -> None:
    """Ask the watch to read an account now."""
    await conn.execute(update(account).where(account.c.key == key).values(asked_at=now + 1))


async def readings(conn: AsyncConnection, key: str | None = None) -> list[ReadingRow]:
    """Return the newest reading of an account, or of every account, by every domain controller."""
    ordered = select(account_reading).order_by("account_key", "server")
    if key is not None:
        ordered = ordered.where(account_reading.c.account_key == key)
    return [ReadingRow(*row) for row in await conn.execute(ordered)]


async def save_readings(conn: AsyncConnection, rows: Sequence[ReadingRow], changed: Mapping[str, bool]) -> None:
    """Save the readings of one account; those of servers in ``changed`` also go into its history.

    Domain controllers that are not in ``rows`` are no longer asked, and what they said last is forgotten.
    """
    if not rows:
        return
    key, columns = rows[0].account_key, account_reading.c
    gone = columns.server.not_in([row.server for row in rows])
    await conn.execute(delete(account_reading).where(columns.account_key == key, gone))
    await upsert(conn, account_reading, [asdict(row) for row in rows])
    news = [asdict(row) for row in rows if changed.get(row.server)]
    if news:
        await conn.execute(insert(account_change), news)
        await _forget_old_changes(conn, key)


async def _forget_old_changes(conn: AsyncConnection, key: str) -> None:
    columns = account_change.c
    kept = select(columns.id).where(columns.account_key == key).order_by(columns.id.desc()).offset(KEEP_CHANGES)
    oldest = (await conn.execute(kept.limit(1))).scalar_one_or_none()
    if oldest is not None:
        await conn.execute(delete(account_change).where(columns.account_key == key, columns.id <= oldest))


async def history(conn: AsyncConnection, key: str, *, limit: int) -> list[ReadingRow]:
    """Return the changes of an account, newest first."""
    columns = account_change.c
    found = select(columns.account_key, columns.server, columns.read_at, columns.document)
    newest = found.where(columns.account_key == key).order_by(columns.id.desc()).limit(limit)
    return [ReadingRow(*row) for row in await conn.execute(newest)]


async def built(conn: AsyncConnection, key: str | None = None) -> list[BuiltRow]:
    """Return the packages built with an account, newest first, then what endpoints came to by a command.

    Without a key of all accounts, each account's in that order.
    """
    uses = func.coalesce(func.max(enrolment_token.c.uses - enrolment_token.c.left), 0)
    found = (
        select(package.c.id, package.c.account_key, package.c.generation, package.c.created_at, uses)
        .join(enrolment_token, enrolment_token.c.package_id == package.c.id, isouter=True)
        .where(package.c.account_key != "" if key is None else package.c.account_key == key)
        .where(package.c.state != PackageState.FAILED.value)
        .group_by(package.c.id, package.c.account_key, package.c.generation, package.c.created_at)
        .order_by(package.c.created_at.desc(), package.c.id)
    )
    packages = [BuiltRow(*row) for row in await conn.execute(found)]
    used = credential_use.c
    moved = select(used.account_key, used.generation, used.endpoints).where(
        used.account_key != "" if key is None else used.account_key == key, used.endpoints > 0
    )
    return packages + [
        BuiltRow("", row.account_key, row.generation, 0, row.endpoints)
        for row in await conn.execute(moved.order_by(used.generation))
    ]


def _generation(row: tuple[Any, ...]) -> GenerationRow:
    key, generation, state, *rest = row
    return GenerationRow(key, generation, GenerationState(state), *rest)
