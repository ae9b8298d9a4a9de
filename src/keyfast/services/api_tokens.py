"""API tokens: what programs and the command line elsewhere speak to the admin API with.

A token never allows more than its person may do now: what was taken from them is taken from it.
"""

from collections.abc import Callable

from keyfast.core import ids
from keyfast.core.caller import Caller, WayIn
from keyfast.core.person_life import PersonState
from keyfast.core.role import NAMED, Permission
from keyfast.core.secret import Secret
from keyfast.core.visible import visible
from keyfast.errors import NotFoundError, UsageError
from keyfast.services.directory_people import MAX_NAME as LONGEST_PERSON
from keyfast.services.directory_people import DirectoryPeople, standing_of
from keyfast.services.people import person_name
from keyfast.store import api_tokens, events, people
from keyfast.store.api_tokens import ApiTokenRow
from keyfast.store.database import Database
from keyfast.trust.sign_in import API_PREFIX, digest, new_token
from keyfast.wire.people import TokenLine, TokenMade, TokenOrder

DAY = 86_400
MAX_DAYS = 366
MAX_NAME = 100


class ApiTokenService:
    """Makes, judges and revokes API tokens.

    Args:
        database: the store.
        clock: unix seconds.
        entropy: random bytes.
        there: knows people by the directory; None where nobody comes by it.
    """

    def __init__(
        self,
        database: Database,
        clock: Callable[[], float],
        entropy: Callable[[int], bytes],
        there: DirectoryPeople | None = None,
    ) -> None:
        self._database = database
        self._clock = clock
        self._entropy = entropy
        self._there = there

    async def caller_of(self, token: Secret) -> Caller | None:
        """Return who a token belongs to, None for one that is unknown, revoked or expired."""
        key, now = digest(token), int(self._clock())
        async with self._database.read() as conn:
            found = await api_tokens.get(conn, key)
        if found is None:
            return None
        row, owner = found
        if row.revoked_at is not None or now >= row.expires_at or owner.state is not PersonState.ACTIVE:
            return None
        known_as = await standing_of(owner, self._there)
        if known_as is None:
            return None
        if now // DAY != row.used_at // DAY:
            async with self._database.write() as conn:
                await api_tokens.note_use(conn, key, now)
        known = frozenset(NAMED[scope] for scope in row.scopes if scope in NAMED)
        return Caller(known_as.person, WayIn.TOKEN, scopes=known, credential=row.id)

    async def create(self, order: TokenOrder, by: str) -> TokenMade:
        """Make a token; its text is told once.

        Raises:
            NotFoundError: there is no such person.
            UsageError: name, days or scopes are none, or the person may not do what the scopes allow.
        """
        now, name = int(self._clock()), order.name.strip()
        if not 0 < len(name) <= MAX_NAME or visible(name) != name:
            raise UsageError(f"a token's name has 1 to {MAX_NAME} visible characters: say what it is for")
        if not 0 < order.days <= MAX_DAYS:
            raise UsageError(f"a token lives for 1 to {MAX_DAYS} days")
        scopes = _scopes(order.scopes)
        token = new_token(API_PREFIX)
        async with self._database.write() as conn:
            owner = await people.by_name(conn, person_name(order.person, LONGEST_PERSON))
            if owner is None or owner.state is not PersonState.ACTIVE or not owner.is_somebody:
                raise NotFoundError(f"nobody called {visible(order.person)} is active", repair="keyfast person list")
            if beyond := scopes - owner.person.permissions:
                raise UsageError(f"{owner.name} ({owner.role}) may not: {', '.join(sorted(beyond))}")
            row = ApiTokenRow(
                digest(token),
                ids.endpoint_id(self._entropy(16)),
                owner.id,
                name,
                tuple(sorted(scopes)),
                now,
                now + order.days * DAY,
            )
            await api_tokens.add(conn, row)
            detail = {"token": row.id, "name": name, "person": owner.name, "scopes": list(row.scopes), "by": by}
            await events.add(conn, at=now, kind="api_token_created", endpoint_id=None, detail=detail)
        return TokenMade(_line(row, owner.name), token.reveal().decode("ascii"))

    async def list_(self, after: str, limit: int, person: str = "") -> list[TokenLine]:
        """One page of tokens, revoked and expired ones too; of one person, or of all."""
        async with self._database.read() as conn:
            owner = await people.by_name(conn, person) if person else None
            if person and owner is None:
                return []
            rows = await api_tokens.list_page(
                conn, after=after, limit=limit, person_id="" if owner is None else owner.id
            )
        return [_line(row, name) for row, name in rows]

    async def revoke(self, token_id: str, by: str, person_id: str = "") -> None:
        """Revoke a token, at once; ``person_id`` where it has to be theirs.

        Raises:
            NotFoundError: there is none of this id that is not revoked.
        """
        now = int(self._clock())
        async with self._database.write() as conn:
            if not await api_tokens.revoke(conn, token_id, now, person_id):
                raise NotFoundError(f"no API token {visible(token_id)} that works", repair="keyfast token list")
            detail = {"token": token_id, "by": by}
            await events.add(conn, at=now, kind="api_token_revoked", endpoint_id=None, detail=detail)


def _scopes(names: tuple[str, ...]) -> frozenset[Permission]:
    unknown = [name for name in names if name not in NAMED]
    if unknown or not names:
        raise UsageError(
            f"no permission '{visible(', '.join(unknown))}'; permissions: {', '.join(Permission)}"
            if unknown
            else "a token needs at least one permission"
        )
    return frozenset({Permission.SELF, *(NAMED[name] for name in names)})


def _line(row: ApiTokenRow, person: str) -> TokenLine:
    return TokenLine(
        row.id, person, row.name, row.scopes, row.created_at, row.expires_at, row.used_at, row.revoked_at or 0
    )
