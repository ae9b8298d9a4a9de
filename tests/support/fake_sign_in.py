"""Implements ``SignIn`` with people who are made up; passwords are their names."""

import secrets

from msgspec.structs import replace

from keyfast.core.person import Person, Session, SignedIn, SignInRefusal
from keyfast.core.role import Role
from keyfast.core.secret import Secret
from keyfast.errors import NotReadyError

PEOPLE = (
    Person("1", "ada", Role.ADMINISTRATOR),
    Person("2", "olga", Role.OPERATOR),
    Person("3", "hugo", Role.HELPDESK),
    Person("4", "anna", Role.AUDITOR),
    Person("5", "rita", Role.OPERATOR, ("berlin",)),
)
LASTS = 8 * 3600


class FakeSignIn:
    """Sessions in memory, and who used theirs.

    ``throttled`` makes every sign-in wait so many seconds; while it is ``down`` nobody can be recognised.
    """

    def __init__(self, clock, people=PEOPLE):
        self.clock = clock
        self.people = {person.name: person for person in people}
        self.sessions: dict[str, SignedIn] = {}
        self.throttled = 0
        self.down = False
        self.used: list[str] = []

    async def begin(self, name, password, code, address):
        """See ``SignIn``."""
        if self.down:
            raise NotReadyError("the database is out of reach")
        person = self.people.get(name)
        if self.throttled or person is None or password.reveal() != name.encode():
            return SignInRefusal(self.throttled)
        token = secrets.token_urlsafe(32)
        now = int(self.clock())
        self.sessions[token] = SignedIn(person, token[:8], now, now)
        return Session(token[:8], Secret(token.encode()), person, now + LASTS)

    async def person_of(self, token, *, watching=False):
        """See ``SignIn``."""
        who = self.sessions.get(token)
        if who is not None and not watching:
            self.used.append(who.person.name)
        return who

    async def prove_again(self, token, password, code):
        """See ``SignIn``."""
        who = self.sessions.get(token)
        if who is None or password.reveal() != who.person.name.encode():
            return False
        self.sessions[token] = replace(who, proved_at=int(self.clock()))
        return True

    async def end(self, token):
        """See ``SignIn``."""
        self.sessions.pop(token, None)
