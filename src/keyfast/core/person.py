"""People who run the installation, and the port through which they sign in. Times are unix seconds."""

from typing import Protocol

import msgspec

from keyfast.core.role import Permission, Role, permissions
from keyfast.core.secret import Secret


class Person(msgspec.Struct, frozen=True):
    """Somebody who may sign in.

    Attributes:
        name: unique, lower case; what is typed at sign-in and what audit entries say.
        rings: the rings somebody answers for; empty for all of them and the installation itself.
    """

    id: str
    name: str
    role: Role
    rings: tuple[str, ...] = ()

    @property
    def permissions(self) -> frozenset[Permission]:
        """What this person may do, somewhere at least."""
        return permissions(self.role, ringed=bool(self.rings))

    def may(self, permission: Permission, ring: str | None = None) -> bool:
        """Tell whether a permission is there; ``ring`` if it is about an endpoint or a package of that ring."""
        return permission in self.permissions and (ring is None or self.answers_for(ring))

    def answers_for(self, ring: str) -> bool:
        """Tell whether a ring is among this person's."""
        return not self.rings or ring in self.rings


class Session(msgspec.Struct, frozen=True):
    """A session that has just begun.

    Attributes:
        token: for the cookie; told once, only its hash is kept.
        ends_at: when it ends at the latest, however busy.
    """

    id: str
    token: Secret
    person: Person
    ends_at: int


class SignInRefusal(msgspec.Struct, frozen=True):
    """A sign-in that failed. It never says what was wrong: name, password and code look the same from outside.

    Attributes:
        retry_after: seconds until the next try is looked at; 0 for at once.
    """

    retry_after: int = 0

    @property
    def sentence(self) -> str:
        """What is shown."""
        if self.retry_after:
            return f"too many tries; try again in {self.retry_after} seconds"
        return "name, password or code is wrong"


class SignedIn(msgspec.Struct, frozen=True):
    """Who speaks in a session.

    Attributes:
        signed_in_at: when it began.
        proved_at: when the person last proved who they are, at sign-in or since.
    """

    person: Person
    session_id: str
    signed_in_at: int
    proved_at: int


class SignIn(Protocol):
    """How a browser's user becomes a person. Every token is checked against the store at every call."""

    async def begin(self, name: str, password: Secret, code: str, address: str) -> Session | SignInRefusal:
        """Sign in.

        Args:
            name: as typed.
            password: as typed.
            code: of the second factor, empty where the person has none.
            address: where the request comes from.

        Raises:
            ForbiddenError: they have proved who they are in the directory, and are nobody here.
            NotReadyError: the directory cannot be asked; they have not failed.
        """
        ...

    async def person_of(self, token: str, *, watching: bool = False) -> SignedIn | None:
        """Return who a session's cookie belongs to, None for one that is unknown, ended, idle or too old.

        So ends a session of somebody who is nobody in the directory any more; it is asked now and then.

        Args:
            token: what is in the cookie.
            watching: a page asks by itself, nobody did anything: that keeps no session alive.
        """
        ...

    async def prove_again(self, token: str, password: Secret, code: str) -> bool:
        """Prove again who one is, before a dangerous act; False if password or code is wrong.

        Raises:
            NotReadyError: the directory cannot be asked; they have not failed.
        """
        ...

    async def end(self, token: str) -> None:
        """Sign out; a session that is not there is none to end."""
        ...
