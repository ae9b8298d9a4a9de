"""People who may sign in, with what proves who they are."""

from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import ColumnElement, Row, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from keyfast.core.person import Person
from keyfast.core.person_life import PersonState
from keyfast.core.role import Role
from keyfast.errors import ConflictError
from keyfast.store.person_accounts import AccountLink
from keyfast.store.tables import person, person_account

WAITING = -1
"""``code_step`` while a second factor waits for its first code."""

_ALL = select(person, person_account.c.sid, person_account.c.group_name, person_account.c.read_at).outerjoin(
    person_account, person_account.c.person_id == person.c.id
)
"""Somebody, with the account of the directory by which they come if they do."""


@dataclass(frozen=True, slots=True)
class PersonRow:
    """Somebody (times in unix seconds).

    Attributes:
        rings: empty for all.
        password_hash: Argon2id in its usual text form, empty for none.
        code_sealed: secret of the second factor under the KEK, bound to ``person/<id>/code``; empty for none.
        code_step: the last step that was used of it, ``WAITING`` until the first.
        subject: who it is for the identity provider, empty until they came by it.
        invitation: SHA-256 of the code of an invitation that is open.
        account: of the directory, by which they come; None for somebody who was added here.
    """

    id: str
    name: str
    role: Role
    state: PersonState
    created_at: int
    created_by: str
    rings: tuple[str, ...] = ()
    password_hash: str = field(default="", repr=False)
    code_sealed: str = field(default="", repr=False)
    code_step: int = 0
    subject: str = ""
    invitation: bytes | None = field(default=None, repr=False)
    invited_until: int = 0
    signed_in_at: int = 0
    account: AccountLink | None = None

    @property
    def person(self) -> Person:
        """Who it is, without what proves it."""
        return Person(self.id, self.name, self.role, self.rings)

    @property
    def is_somebody(self) -> bool:
        """Tell whether they are anything here: who comes by the directory has to be in one of the groups."""
        return self.account is None or bool(self.account.group)

    @property
    def has_code(self) -> bool:
        """Tell whether a code of the second factor is demanded."""
        return bool(self.code_sealed) and self.code_step != WAITING


async def add(conn: AsyncConnection, row: PersonRow) -> None:
    """Put somebody on record.

    Raises:
        ConflictError: the name is taken.
    """
    if await by_name(conn, row.name) is not None:
        raise ConflictError(f"there is a person {row.name} already")
    await conn.execute(insert(person).values(_values(row)))


async def put(conn: AsyncConnection, row: PersonRow) -> None:
    """Store somebody in place of what was on record; in the transaction that read it."""
    await conn.execute(update(person).where(person.c.id == row.id).values(_values(row)))


async def use_step(conn: AsyncConnection, person_id: str, step: int) -> bool:
    """Use a step of the second factor; False if it or a later one was used before."""
    used = await conn.execute(
        update(person).where(person.c.id == person_id, person.c.code_step < step).values(code_step=step)
    )
    return used.rowcount == 1


async def signed_in(conn: AsyncConnection, person_id: str, at: int, password_hash: str) -> None:
    """Note a sign-in, and the hash of the password by today's cost."""
    changed = {"signed_in_at": at, "password_hash": password_hash}
    await conn.execute(update(person).where(person.c.id == person_id).values(changed))


async def by_name(conn: AsyncConnection, name: str, *, lock: bool = False) -> PersonRow | None:
    """Return the person of that name (lower case); ``lock`` it until the transaction ends."""
    return await _found(conn, person.c.name == name, lock=lock)


async def get(conn: AsyncConnection, person_id: str, *, lock: bool = False) -> PersonRow | None:
    """Return the person of that id; ``lock`` it until the transaction ends."""
    return await _found(conn, person.c.id == person_id, lock=lock)


async def by_account(conn: AsyncConnection, sid: str, *, lock: bool = False) -> PersonRow | None:
    """Return who comes by an account of the directory; ``lock`` them until the transaction ends."""
    return await _found(conn, person_account.c.sid == sid, lock=lock)


async def by_invitation(conn: AsyncConnection, digest: bytes, *, lock: bool = False) -> PersonRow | None:
    """Return whom an invitation is for; ``lock`` them until the transaction ends."""
    return await _found(conn, person.c.invitation == digest, lock=lock)


async def list_page(conn: AsyncConnection, *, after: str, limit: int) -> list[PersonRow]:
    """Return people in order of name, beginning after a name."""
    page = _ALL.where(person.c.name > after).order_by(person.c.name).limit(limit)
    return [_row(row) for row in await conn.execute(page)]


async def with_code(conn: AsyncConnection) -> list[PersonRow]:
    """Return everybody with a sealed secret; there are as many as people."""
    return [_row(row) for row in await conn.execute(_ALL.where(person.c.code_sealed != ""))]


def _values(row: PersonRow) -> dict[str, Any]:
    names = [column.name for column in person.columns]
    found = {name: getattr(row, name) for name in names}
    return found | {"role": row.role.value, "state": row.state.value, "rings": {"rings": list(row.rings)}}


async def _found(conn: AsyncConnection, who: ColumnElement[bool], *, lock: bool) -> PersonRow | None:
    found = _ALL.where(who)
    row = (await conn.execute(found.with_for_update(of=person) if lock else found)).one_or_none()
    return None if row is None else _row(row)


def _row(row: Row[Any]) -> PersonRow:
    found = {column.name: getattr(row, column.name) for column in person.columns}
    account = None if row.sid is None else AccountLink(row.sid, row.group_name, row.read_at)
    typed = {"role": Role(row.role), "state": PersonState(row.state), "rings": tuple(row.rings["rings"])}
    return PersonRow(**(found | typed), account=account)
