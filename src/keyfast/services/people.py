"""People: add, invite, change, reset, switch off. Whatever takes something from somebody ends their sessions."""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import replace

from sqlalchemy.ext.asyncio import AsyncConnection

from keyfast.core import ids, person_life
from keyfast.core.person_life import PersonEvent, PersonState
from keyfast.core.secret import Secret
from keyfast.core.visible import visible
from keyfast.errors import ConflictError, NotFoundError, UsageError
from keyfast.store import api_tokens, events, passkeys, people, sessions
from keyfast.store.database import Database
from keyfast.store.people import PersonRow
from keyfast.trust.sign_in import INVITATION_PREFIX, Passwords, digest, new_token, password_fault
from keyfast.wire.people import Invited, PersonChange, PersonLine, PersonOrder

INVITED_SECONDS = 3 * 86_400
MAX_NAME = 64
MAX_RINGS = 64
MAX_CODE_CHARS = 200

E = PersonEvent


class PeopleService:
    """Administers people.

    Args:
        database: the store.
        passwords: hashes them.
        clock: unix seconds.
        entropy: random bytes.
    """

    def __init__(
        self,
        database: Database,
        passwords: Passwords,
        clock: Callable[[], float],
        entropy: Callable[[int], bytes],
    ) -> None:
        self._database = database
        self._passwords = passwords
        self._clock = clock
        self._entropy = entropy

    async def list_(self, after: str, limit: int) -> list[PersonLine]:
        """One page of people in order of name."""
        async with self._database.read() as conn:
            return [_line(row) for row in await people.list_page(conn, after=after, limit=limit)]

    async def show(self, name: str) -> PersonLine:
        """One person.

        Raises:
            NotFoundError: there is none of this name.
        """
        async with self._database.read() as conn:
            return _line(await _demand(conn, name))

    async def add(self, order: PersonOrder, by: str) -> Invited:
        """Put somebody on record: with a password, or with an invitation by which they choose it.

        Raises:
            UsageError: name, rings or password are none.
            ConflictError: the name is taken.
        """
        name, now = person_name(order.name), int(self._clock())
        row = PersonRow(
            ids.endpoint_id(self._entropy(16)), name, order.role, PersonState.INVITED, now, by, _rings(order.rings)
        )
        code = None
        if order.password:
            row = await self._joined(row, Secret(order.password.encode()))
        else:
            row, code = self._invited(row)
        async with self._database.write() as conn:
            await people.add(conn, row)
            await self._happened(conn, "person_added", row, by)
        return _told(row, code)

    async def change(self, name: str, change: PersonChange, by: str) -> PersonLine:
        """Change role and rings; whoever loses anything signs in anew.

        Raises:
            NotFoundError: there is none of this name.
            ConflictError: what they are follows from a group of the directory.
        """
        async with self._database.write() as conn:
            row = await _demand(conn, name, lock=True)
            if row.account is not None:
                raise ConflictError(
                    f"role and rings of {row.name} follow from their groups in the directory",
                    repair="change who is in the groups, or what they give: [[directory.group]] in server.toml",
                )
            after = replace(
                row,
                role=row.role if change.role is None else change.role,
                rings=row.rings if change.rings is None else _rings(change.rings),
            )
            if after != row:
                await people.put(conn, after)
                await sessions.end_all(conn, row.id)
                await self._happened(conn, "person_changed", after, by)
        return _line(after)

    async def reset(self, name: str, by: str) -> Invited:
        """Void password, second factor, sessions and API tokens, and invite again.

        Who comes by the directory needs no invitation: they sign in anew.

        Raises:
            NotFoundError: there is none of this name.
            TransitionError: they are switched off.
        """
        return await self._invite(name, E.RESET, "person_reset", by)

    async def enable(self, name: str, by: str) -> Invited:
        """Let somebody back in, by an invitation.

        Raises:
            NotFoundError: there is none of this name.
            TransitionError: they are not switched off.
        """
        return await self._invite(name, E.ENABLED, "person_enabled", by)

    async def disable(self, name: str, by: str) -> PersonLine:
        """Switch somebody off, at once: password, sessions and API tokens are void.

        Raises:
            NotFoundError: there is none of this name.
            TransitionError: they are off already.
        """
        async with self._database.write() as conn:
            row = await _demand(conn, name, lock=True)
            after = _void(row, person_life.step(row.state, E.DISABLED))
            await self._take(conn, after)
            await self._happened(conn, "person_disabled", after, by)
        return _line(after)

    async def join(self, code: str, password: Secret) -> PersonLine:
        """Take up an invitation: the code is used up, and the password is the person's.

        Raises:
            NotFoundError: the code is wrong, used or too old; which of them is not told.
            UsageError: the password is none.
        """
        key = digest(Secret(code.strip()[:MAX_CODE_CHARS].encode("utf-8", "replace")))
        async with self._database.read() as conn:
            invited = self._demand_open(await people.by_invitation(conn, key))
        joined = await self._joined(invited, password)
        async with self._database.write() as conn:
            row = self._demand_open(await people.by_invitation(conn, key, lock=True))
            after = replace(
                row, state=joined.state, password_hash=joined.password_hash, invitation=None, invited_until=0
            )
            await people.put(conn, after)
            await self._happened(conn, "person_joined", after, row.name)
        return _line(after)

    async def _invite(self, name: str, event: PersonEvent, kind: str, by: str) -> Invited:
        async with self._database.write() as conn:
            row = await _demand(conn, name, lock=True)
            after, code = _void(row, person_life.step(row.state, event)), None
            if row.account is None:
                after, code = self._invited(after)
            await self._take(conn, after)
            await self._happened(conn, kind, after, by)
        return _told(after, code)

    def _invited(self, row: PersonRow) -> tuple[PersonRow, Secret | None]:
        code = new_token(INVITATION_PREFIX)
        until = int(self._clock()) + INVITED_SECONDS
        return replace(row, invitation=digest(code), invited_until=until), code

    def _demand_open(self, row: PersonRow | None) -> PersonRow:
        if row is None or int(self._clock()) >= row.invited_until:
            raise NotFoundError(
                "the invitation is wrong, used or too old", repair="ask an administrator: keyfast person reset NAME"
            )
        return row

    async def _joined(self, row: PersonRow, password: Secret) -> PersonRow:
        if fault := password_fault(password, row.name):
            raise UsageError(fault)
        state = person_life.step(row.state, E.JOINED)
        hashed = await asyncio.to_thread(self._passwords.hash, password)
        return replace(row, state=state, password_hash=hashed, invitation=None, invited_until=0)

    async def _take(self, conn: AsyncConnection, row: PersonRow) -> None:
        """Store somebody from whom everything is taken by which they came in."""
        await people.put(conn, row)
        await sessions.end_all(conn, row.id)
        await api_tokens.revoke_all(conn, row.id, int(self._clock()))
        await passkeys.remove_all(conn, row.id)

    async def _happened(self, conn: AsyncConnection, kind: str, row: PersonRow, by: str) -> None:
        await happened(conn, kind, row, by, int(self._clock()))


async def happened(conn: AsyncConnection, kind: str, row: PersonRow, by: str, at: int) -> None:
    """Tell that something happened to somebody, with what they are now."""
    detail = {"person": row.name, "role": row.role.value, "rings": list(row.rings), "by": by}
    if row.account is not None:
        detail["group"] = row.account.group
    await events.add(conn, at=at, kind=kind, endpoint_id=None, detail=detail)


def person_name(text: str, most: int = MAX_NAME) -> str:
    """Return a name as it is kept.

    Args:
        text: as given.
        most: characters at most.

    Raises:
        UsageError: it is none.
    """
    name = text.strip().lower()
    plain = visible(name) == name and not set(name) & set("/\\ ?#%")
    if not (0 < len(name) <= most and plain):
        raise UsageError(f"a name has 1 to {most} visible characters, without spaces and / \\ ? # %")
    return name


async def _demand(conn: AsyncConnection, name: str, *, lock: bool = False) -> PersonRow:
    row = await people.by_name(conn, name.strip().lower(), lock=lock)
    if row is None:
        raise NotFoundError(f"no person {visible(name)}", repair="keyfast person list")
    return row


def _void(row: PersonRow, state: PersonState) -> PersonRow:
    return replace(
        row, state=state, password_hash="", code_sealed="", code_step=0, subject="", invitation=None, invited_until=0
    )


def _rings(rings: Sequence[str]) -> tuple[str, ...]:
    if len(rings) > MAX_RINGS or not all(ring.strip() for ring in rings):
        raise UsageError(f"at most {MAX_RINGS} rings, and none without a name")
    return tuple(sorted(set(rings)))


def _told(row: PersonRow, code: Secret | None) -> Invited:
    return Invited(_line(row), "" if code is None else code.reveal().decode("ascii"))


def _line(row: PersonRow) -> PersonLine:
    return PersonLine(
        name=row.name,
        role=row.role.value,
        rings=row.rings,
        state=row.state.value,
        second_factor=row.has_code,
        created_at=row.created_at,
        created_by=row.created_by,
        signed_in_at=row.signed_in_at,
        invited_until=row.invited_until,
        source="local" if row.account is None else "directory",
        group="" if row.account is None else row.account.group,
    )
