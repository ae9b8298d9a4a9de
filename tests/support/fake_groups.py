"""A directory in memory with groups: accounts have identifiers, are renamed, and go."""

import itertools
from collections.abc import Sequence

from msgspec.structs import replace
from tests.support.fake_directory import FakeDirectory

from keyfast.core.directory import AccountReading
from keyfast.core.person_groups import Member
from keyfast.errors import NotReadyError


class FakeGroups(FakeDirectory):
    """Implements ``core.person_groups.GroupDirectory``; ``looks`` counts what it was asked about accounts.

    Attributes:
        groups: names of accounts by name of group.
    """

    def __init__(self, clock, *servers: str) -> None:
        super().__init__(clock, *servers)
        self.groups: dict[str, set[str]] = {}
        self.sids: dict[str, str] = {}
        self.looks = 0
        self._numbers = itertools.count(1105)

    def hire(self, name: str, password: str, *groups: str) -> None:
        """Add an account, and put it into groups."""
        self.set_password(name, password)
        self.sids[name] = f"S-1-5-21-1-2-3-{next(self._numbers)}"
        for group in groups:
            self.groups.setdefault(group, set()).add(name)

    def rename(self, former: str, name: str) -> None:
        """Give an account another name; it stays in its groups."""
        self.accounts[name], self.sids[name] = self.accounts.pop(former), self.sids.pop(former)
        known = self.accounts[name]
        known.reading = replace(known.reading, name=name)
        for members in self.groups.values():
            if former in members:
                members.symmetric_difference_update({former, name})

    def delete(self, name: str) -> None:
        """Delete an account."""
        del self.accounts[name], self.sids[name]
        for members in self.groups.values():
            members.discard(name)

    async def member(self, groups: Sequence[str], *, name: str = "", sid: str = "") -> Member:
        """See ``GroupDirectory.member``."""
        self.looks += 1
        if self.down >= set(self.servers):
            raise NotReadyError("dc1 cannot be reached")
        unknown = frozenset(groups) - self.groups.keys()
        known = {number: account for account, number in self.sids.items()}
        found = known.get(sid, "") if sid else name.lower()
        if found not in self.accounts:
            return Member(AccountReading("dc1", int(self.clock()), exists=False), unknown=unknown)
        held = frozenset(group for group in groups if found in self.groups.get(group, ()))
        reading = replace(self.accounts[found].reading, server="dc1")
        return Member(reading, self.sids[found], held, unknown)
