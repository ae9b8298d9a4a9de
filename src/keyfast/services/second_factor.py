"""Second factors: a secret that a person's authenticator shares with this server, and each code used once."""

from collections.abc import Callable
from dataclasses import replace

from keyfast.core.secret import Secret
from keyfast.errors import ConflictError, NotFoundError, UsageError
from keyfast.store import events, people
from keyfast.store.database import Database
from keyfast.store.people import WAITING, PersonRow
from keyfast.trust.kek import Kek
from keyfast.trust.sign_in import code_step, code_uri, new_code_secret


def code_bound_to(person_id: str) -> str:
    """Return the place that a sealed secret is bound to."""
    return f"person/{person_id}/code"


class SecondFactors:
    """Makes, confirms and judges second factors.

    Args:
        database: the store.
        kek: opens the key that seals.
        clock: unix seconds.
    """

    def __init__(self, database: Database, kek: Callable[[], Kek], clock: Callable[[], float]) -> None:
        self._database = database
        self._kek = kek
        self._clock = clock

    async def begin(self, name: str) -> str:
        """Make a secret and return it as a URI, once; it is demanded as soon as a first code is confirmed.

        Raises:
            NotFoundError: there is no such person.
            ConflictError: there is one in force; a reset takes it away.
        """
        secret = new_code_secret()
        async with self._database.write() as conn:
            row = await people.by_name(conn, name, lock=True)
            if row is None:
                raise NotFoundError(f"no person {name}", repair="keyfast person list")
            if row.has_code:
                raise ConflictError("there is a second factor already", repair=f"keyfast person reset {name}")
            sealed = self._kek().seal(secret, bound_to=code_bound_to(row.id))
            await people.put(conn, replace(row, code_sealed=sealed, code_step=WAITING))
        return code_uri(secret, name)

    async def confirm(self, name: str, code: str, by: str) -> None:
        """Put a second factor in force by its first code.

        Raises:
            ConflictError: none waits for it.
            UsageError: the code is wrong.
        """
        async with self._database.read() as conn:
            row = await people.by_name(conn, name)
        if row is None or row.code_step != WAITING:
            raise ConflictError("no second factor waits for a code", repair=f"keyfast person second-factor {name}")
        step = self.step_of(row, code)
        if step is None or not await self.use(row, step):
            raise UsageError("the code is wrong; is the clock of the authenticator right?")
        async with self._database.write() as conn:
            detail = {"person": name, "by": by}
            await events.add(conn, at=int(self._clock()), kind="second_factor_set", endpoint_id=None, detail=detail)

    def step_of(self, row: PersonRow, code: str) -> int | None:
        """Return the step that a code belongs to, None for a wrong one; nothing is used up."""
        secret: Secret = self._kek().open(row.code_sealed, bound_to=code_bound_to(row.id))
        return code_step(secret, code, int(self._clock()))

    async def use(self, row: PersonRow, step: int) -> bool:
        """Use a step up, so that nobody who has seen its code can use it again; False if it was."""
        async with self._database.write() as conn:
            return await people.use_step(conn, row.id, step)
