"""One request of somebody who has signed in."""

from dataclasses import dataclass, field

from starlette.requests import Request

from keyfast.api.acts import request_id
from keyfast.api.console.forms import Form
from keyfast.core.caller import Caller, WayIn
from keyfast.core.person import Person, SignedIn
from keyfast.core.role import Permission


@dataclass(frozen=True, slots=True)
class Visit:
    """Who asks for what.

    Attributes:
        form: what was sent; empty for a page that is looked at.
        fresh: the person proved again a moment ago who they are.
        number: everything that this request does goes on record with it.
    """

    request: Request
    who: SignedIn
    form: Form = field(default_factory=Form)
    fresh: bool = False
    number: str = field(default_factory=request_id)

    @property
    def person(self) -> Person:
        """Who asks."""
        return self.who.person

    @property
    def caller(self) -> Caller:
        """Who asks, as the admin API knows callers."""
        return Caller(self.person, WayIn.SESSION, proved_at=self.who.proved_at, credential=self.who.session_id)

    @property
    def by(self) -> str:
        """The name under which an act goes on record."""
        return self.who.person.name

    def may(self, permission: Permission, ring: str | None = None) -> bool:
        """Tell whether this person may do something; ``ring`` if it is about something of that ring."""
        return self.who.person.may(permission, ring)

    def query(self, name: str) -> str:
        """Return a word of the query."""
        return self.request.query_params.get(name, "").strip()

    def path(self, name: str) -> str:
        """Return a part of the path."""
        found: str = self.request.path_params[name]
        return found
