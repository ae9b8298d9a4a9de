"""Services of people over one store, with the cheapest passwords there are and a clock in a test's hands."""

import os
from collections.abc import Sequence
from urllib.parse import quote

from tests.support.authenticator import code_of
from tests.support.databases import NOW
from tests.support.fake_groups import FakeGroups

from keyfast.core.person import Session
from keyfast.core.person_groups import DomainNames, GroupDirectory, GroupRole
from keyfast.core.role import Role
from keyfast.core.secret import Secret
from keyfast.services.api_tokens import ApiTokenService
from keyfast.services.directory_people import DirectoryPeople
from keyfast.services.people import PeopleService
from keyfast.services.second_factor import SecondFactors, code_bound_to
from keyfast.services.sessions import SessionService
from keyfast.services.sign_in import SignInService
from keyfast.store import events, people
from keyfast.store.database import Database
from keyfast.trust.kek import Kek
from keyfast.trust.sign_in import CHEAPEST, Passwords
from keyfast.wire.people import PersonOrder

RIGHT = Secret(b"correct horse battery")
WRONG = Secret(b"correct horse batteries")
HOME = "192.0.2.1"
ADMINS, BERLIN = GroupRole("kf admins", Role.ADMINISTRATOR), GroupRole("kf berlin", Role.OPERATOR, ("berlin",))
PASSWORD = RIGHT.reveal().decode()
DORA, PERSON = "CORP\\dora", "dora@corp.example.test"


class Office:
    """Services of people over one store, and the clock in our hands."""

    def __init__(
        self, database: Database, groups: Sequence[GroupRole] = (), directory: GroupDirectory | None = None
    ) -> None:
        self.now = NOW
        self.database = database
        self.directory = FakeGroups(self.clock)
        self.there = self._there(directory or self.directory, groups) if groups else None
        self.kek = Kek("kf-test", "k", {"k": Secret(bytes(32))})
        self.passwords = Passwords(CHEAPEST)
        self.people = PeopleService(database, self.passwords, self.clock, os.urandom)
        self.codes = SecondFactors(database, lambda: self.kek, self.clock)
        self.tokens = ApiTokenService(database, self.clock, os.urandom, self.there)
        self.sessions = SessionService(database, self.clock)
        self.sign_in = SignInService(database, self.codes, self.passwords, self.clock, os.urandom, self.there)

    def _there(self, directory: GroupDirectory, groups: Sequence[GroupRole]) -> DirectoryPeople:
        names = DomainNames("CORP", "CORP.EXAMPLE.TEST")
        return DirectoryPeople(self.database, directory, groups, names, self.clock, os.urandom)

    def clock(self) -> float:
        return float(self.now)

    async def hire(self, name: str = "alice", role: Role = Role.OPERATOR) -> None:
        await self.people.add(PersonOrder(name, role, (), RIGHT.reveal().decode()), "test")

    async def enter(self, name: str = "alice", password: Secret = RIGHT, code: str = "", address: str = HOME):
        return await self.sign_in.begin(name, password, code, address)

    async def token(self, **how: str) -> str:
        session = await self.enter(**how)
        assert isinstance(session, Session)
        return session.token.reveal().decode()

    async def kinds(self) -> list[str]:
        async with self.database.read() as conn:
            rows = await events.list_page(conn, endpoint_id=None, before=None, limit=1000)
        return [row.kind for row in reversed(rows)]

    async def authenticator(self, name: str = "alice"):
        """What a person's authenticator shows at a moment."""
        uri = await self.codes.begin(name)
        async with self.database.read() as conn:
            row = await people.by_name(conn, name)
        secret = self.kek.open(row.code_sealed, bound_to=code_bound_to(row.id))
        assert quote(name) in uri
        return lambda at: code_of(secret.reveal(), at)


def directory_office(database: Database) -> Office:
    """An office whose people come by the directory too; Dora is one of Berlin's operators there."""
    made = Office(database, (BERLIN, ADMINS))
    made.directory.hire("dora", PASSWORD, "kf berlin")
    made.directory.groups["kf admins"] = set()
    return made
