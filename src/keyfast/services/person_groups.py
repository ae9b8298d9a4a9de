"""What somebody would be here by the groups they are in, without their password."""

from keyfast.core.person_groups import Member
from keyfast.core.person_life import PersonState
from keyfast.errors import ConflictError
from keyfast.services.directory_people import DirectoryPeople
from keyfast.store import people
from keyfast.store.database import Database
from keyfast.store.people import PersonRow
from keyfast.wire.people import GroupLine, GroupMember, GroupsView


class PersonGroups:
    """Asks the directory about groups.

    Args:
        database: the store.
        there: people of the directory; None where no group of it is anything here.
    """

    def __init__(self, database: Database, there: DirectoryPeople | None) -> None:
        self._database = database
        self._there = there

    async def show(self, name: str) -> GroupsView:
        """Return what groups give, and what they would give an account; ``name`` is empty for none.

        Raises:
            ConflictError: there are no groups.
            NotReadyError: the directory cannot be asked.
        """
        there = self._there
        if there is None:
            if not name:
                return GroupsView(())
            raise ConflictError("no group of a directory is anything here", repair="see [[directory.group]]")
        account = there.names.account_of(name) or name.strip()
        member = await there.member(name=account)
        lines = tuple(
            GroupLine(group.name, group.role.value, group.rings, known=group.name not in member.unknown)
            for group in there.groups
        )
        return GroupsView(lines, await self._line(there, account, member) if account else None)

    async def _line(self, there: DirectoryPeople, account: str, member: Member) -> GroupMember:
        name, group = there.names.person_of(member.reading.name or account), there.group_of(member)
        async with self._database.read() as conn:
            holder = await people.by_name(conn, name)
            known = await people.by_account(conn, member.sid) if member.sid else None
        return GroupMember(
            name=name,
            refused=there.refusal(member) or _refused_here(holder, known),
            groups=tuple(found.name for found in there.groups if found.name in member.groups),
            group=group.name if group else "",
            role=group.role.value if group else "",
            rings=group.rings if group else (),
        )


def _refused_here(holder: PersonRow | None, known: PersonRow | None) -> str:
    if holder is not None and holder.account is None:
        return "the name belongs to somebody who was added here"
    if known is not None and known.state is PersonState.DISABLED:
        return f"{known.name} is switched off here"
    return ""
