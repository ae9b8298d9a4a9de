"""People who come by an account of the directory.

Who they are is proved there, and what they are here follows from the groups they are in: nobody adds them, and nobody
changes their role by hand. They are known by the account's security identifier, so whoever is called something else
stays who they are, and a new account of an old name is somebody else. While they are here the directory is asked again
now and then.
"""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import replace

import msgspec
from sqlalchemy.ext.asyncio import AsyncConnection

from keyfast.core import ids
from keyfast.core.account import unusable
from keyfast.core.audit import Actor, Via
from keyfast.core.directory import Logon
from keyfast.core.logon import SENTENCES
from keyfast.core.person_groups import (
    LOOK_EVERY,
    PASSWORD_WAS_RIGHT,
    DomainNames,
    GroupDirectory,
    GroupRole,
    Loss,
    Member,
    former_name,
    loss,
    strongest,
)
from keyfast.core.person_life import PersonState
from keyfast.core.secret import Secret
from keyfast.core.visible import visible
from keyfast.errors import ForbiddenError, NotReadyError, UsageError
from keyfast.services.people import happened, person_name
from keyfast.services.tries import ShownTries
from keyfast.store import approvals, events, people, person_accounts, sessions
from keyfast.store.acts import acting
from keyfast.store.database import Database
from keyfast.store.people import PersonRow
from keyfast.store.person_accounts import AccountLink

LOOK_SECONDS = 5
"""How long a page waits for the directory at most, when it is asked again about somebody who is here."""
MAX_NAME = 128
DIRECTORY = "directory"
"""Who did it, on record: who it was there, only the directory knows."""
_ITSELF = Actor(DIRECTORY, Via.SERVER)
_APPROVALS_LIVE = 2 * 86_400


class Proof(msgspec.Struct, frozen=True):
    """What the directory says to a password.

    Attributes:
        member: whose it was to be.
        granted: it is right, and the account may be used.
        pause: seconds until the directory is shown another; nothing was shown.
    """

    member: Member
    granted: bool = False
    pause: int = 0


class DirectoryPeople:
    """Knows people by the directory.

    Args:
        database: the store.
        directory: where accounts and groups are.
        groups: what members of groups are here, as the settings have it.
        names: what its domain is called.
        clock: unix seconds.
        entropy: random bytes.
    """

    def __init__(
        self,
        database: Database,
        directory: GroupDirectory,
        groups: Sequence[GroupRole],
        names: DomainNames,
        clock: Callable[[], float],
        entropy: Callable[[int], bytes],
    ) -> None:
        self._database = database
        self._directory = directory
        self.groups = groups
        self.names = names
        self._clock = clock
        self._entropy = entropy
        self._shown = ShownTries(database, clock)

    def group_of(self, member: Member) -> GroupRole | None:
        """Return the group that counts for a member, None for a member of none."""
        return strongest(self.groups, member.groups)

    def refusal(self, member: Member) -> str:
        """Say why the directory lets an account not in here, even with the right password; empty if it does."""
        if not member.reading.exists:
            return "the directory has no such account"
        state = unusable(member.reading, int(self._clock()))
        if state is not None:
            return SENTENCES[state]
        return "" if self.group_of(member) else "the account is in none of the groups"

    async def member(self, *, name: str = "", sid: str = "") -> Member:
        """Ask the directory about an account, by its logon name or its identifier.

        Raises:
            NotReadyError: it cannot be asked.
        """
        try:
            return await self._directory.member([group.name for group in self.groups], name=name, sid=sid)
        except NotReadyError as cause:
            raise _unreachable() from cause

    async def prove(self, password: Secret, *, name: str = "", sid: str = "") -> Proof:
        """Show the directory a password of an account, unless it might be one too many.

        An account that is in none of the groups, or does not exist, is asked about like any other.

        Raises:
            NotReadyError: it cannot be asked. If it may have seen the password, that counts as a wrong one.
        """
        member = await self.member(name=name, sid=sid)
        if not password.reveal():  # a bind without one is anonymous, and succeeds (RFC 4513 section 5.1.2)
            return Proof(member)
        if pause := await self._shown.count(member.sid, name):
            return Proof(member, pause=pause)
        try:
            said = await self._directory.verify(member.reading.name or name, password)
        except NotReadyError as cause:
            raise _unreachable() from cause
        if member.sid and (said is Logon.GRANTED or said in PASSWORD_WAS_RIGHT):
            await self._shown.take_back(member.sid, right=said is Logon.GRANTED)
        return Proof(member, granted=bool(member.sid) and said is Logon.GRANTED)

    async def arrive(self, conn: AsyncConnection, member: Member) -> PersonRow | None:
        """Put on record who has proved to be a member: added, renamed, with the role that the groups give them now.

        Args:
            conn: a transaction in which nobody else arrives.
            member: whose password was granted.

        Returns:
            The person; None for somebody who is in none of the groups, or is switched off here.

        Raises:
            ForbiddenError: the account's name cannot be a person's, or belongs to somebody who was added here.
        """
        row = await people.by_account(conn, member.sid, lock=True)
        group = self.group_of(member)
        if group is not None:
            name = await self._name_for(conn, member)
            if row is None:
                return await self._added(conn, name, member.sid, group)
            if row.name != name:
                row = await self._renamed(conn, row, name)
        return None if row is None else await self.stand(conn, row, member)

    async def stand(self, conn: AsyncConnection, row: PersonRow, member: Member) -> PersonRow | None:
        """Put on record what somebody is by their groups now; None for nobody any more, or switched off here.

        Whoever is somebody else than before has to sign in anew.
        """
        on_record = await people.get(conn, row.id, lock=True)
        with acting(_ITSELF):  # whoever's request it was that found out
            return None if on_record is None else await self._stands(conn, on_record, member)

    async def _stands(self, conn: AsyncConnection, row: PersonRow, member: Member) -> PersonRow | None:
        now, group, known = int(self._clock()), self.group_of(member), row.account
        why = loss(member, group, now)
        if why is not None or group is None:
            await self._dropped(conn, row, why or Loss.NO_GROUP)
            return None
        link = AccountLink(_sid(row), group.name, now)
        after = replace(row, role=group.role, rings=_rings(group), account=link)
        await person_accounts.put(conn, row.id, link)
        if after.person != row.person:
            await people.put(conn, after)
            await sessions.end_all(conn, row.id)
        if after.person != row.person or known is None or known.group != group.name:
            await happened(conn, "person_changed", after, DIRECTORY, now)
        return None if row.state is PersonState.DISABLED else after

    async def ask_now(self, row: PersonRow) -> PersonRow | None:
        """Ask the directory about somebody who signs in without its password; None if they are not to come in.

        Raises:
            NotReadyError: it cannot be asked.
        """
        member = await self.member(sid=_sid(row))
        async with self._database.write() as conn:
            known = await self.stand(conn, row, member)
        return None if self.refusal(member) else known

    async def standing(self, row: PersonRow) -> PersonRow | None:
        """Return somebody as they are by the directory, None for nobody any more.

        It is asked at most every ``LOOK_EVERY`` seconds, and by one request; while it cannot be asked, what it last
        said holds.
        """
        now, known = int(self._clock()), row.account
        if known is None:
            return row
        as_known = row if known.group else None
        if known.read_at <= now < known.read_at + LOOK_EVERY:
            return as_known
        async with self._database.write() as conn:
            if not await person_accounts.claim(conn, known, now):
                return as_known
        try:
            async with asyncio.timeout(LOOK_SECONDS):
                member = await self.member(sid=known.sid)
        except (NotReadyError, TimeoutError):
            return as_known
        async with self._database.write() as conn:
            return await self.stand(conn, row, member)

    async def _name_for(self, conn: AsyncConnection, member: Member) -> str:
        """Return the name of an account's person; whoever had it by another account gives it up."""
        wanted = self.names.person_of(member.reading.name)
        try:
            name = person_name(wanted, MAX_NAME)
        except UsageError as cause:
            raise ForbiddenError(f"{visible(wanted, MAX_NAME)} cannot sign in here: {cause.message}") from cause
        holder = await people.by_name(conn, name, lock=True)
        if holder is not None and holder.account is None:
            raise ForbiddenError(
                f"the name {name} belongs to somebody who was added here",
                repair="sign in as they do, with what is yours",
            )
        if holder is not None and _sid(holder) != member.sid:
            await self._renamed(conn, holder, former_name(name, _sid(holder)))
        return name

    async def _added(self, conn: AsyncConnection, name: str, sid: str, group: GroupRole) -> PersonRow:
        now = int(self._clock())
        row = PersonRow(
            ids.endpoint_id(self._entropy(16)),
            name,
            group.role,
            PersonState.INVITED,
            now,
            DIRECTORY,
            _rings(group),
            account=AccountLink(sid, group.name, now),
        )
        await people.add(conn, row)
        await person_accounts.put(conn, row.id, AccountLink(sid, group.name, now))
        await happened(conn, "person_added", row, DIRECTORY, now)
        return row

    async def _renamed(self, conn: AsyncConnection, row: PersonRow, name: str) -> PersonRow:
        now, after = int(self._clock()), replace(row, name=name)
        await people.put(conn, after)
        await approvals.rename(conn, row.name, name, asked_since=now - _APPROVALS_LIVE)
        detail = {"person": name, "formerly": row.name, "by": DIRECTORY}
        await events.add(conn, at=now, kind="person_renamed", endpoint_id=None, detail=detail)
        return after

    async def _dropped(self, conn: AsyncConnection, row: PersonRow, why: Loss) -> None:
        now, group = int(self._clock()), "" if row.account is None else row.account.group
        await person_accounts.put(conn, row.id, AccountLink(_sid(row), "", now))
        await sessions.end_all(conn, row.id)
        if group:
            detail = {"person": row.name, "group": group, "cause": why.value, "by": DIRECTORY}
            await events.add(conn, at=now, kind="person_dropped", endpoint_id=None, detail=detail)


async def standing_of(row: PersonRow, there: DirectoryPeople | None) -> PersonRow | None:
    """Return somebody as they are now, None for nobody any more; people who were added here need no directory."""
    if row.account is None:
        return row
    return None if there is None else await there.standing(row)


def _sid(row: PersonRow) -> str:
    return "" if row.account is None else row.account.sid


def _rings(group: GroupRole) -> tuple[str, ...]:
    return tuple(sorted(set(group.rings)))


def _unreachable() -> NotReadyError:
    # Said to strangers: neither which server nor what is wrong with it.
    return NotReadyError("the directory cannot be asked now; nothing was decided, try again")
