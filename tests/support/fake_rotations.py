"""Rotations of the kind ``recovery`` in memory, over real command rows: what a guided recovery needs of them."""

import uuid
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from sqlalchemy import func, insert, select, update

from keyfast.core.command import CommandState
from keyfast.core.mode import Mode
from keyfast.services.recovery_rotations import NOT_AWAITED, OAUTH, Progress, UnderWay
from keyfast.store import endpoints, events
from keyfast.store.database import Database
from keyfast.store.statements import insert_once
from keyfast.store.tables import (
    command,
    credential_generation,
    credential_use,
    endpoint,
    enrolment_token,
    presence,
)


class PowerCutError(Exception):
    """The process ends here."""


@dataclass
class FakeRotations:
    """Implements ``services.recovery_rotations.Rotations``; ``cut`` names the act at which the process dies."""

    database: Database
    now: int
    running: UnderWay | None = None
    finished: list[str] = field(default_factory=list)
    cut: str = ""

    async def under_way(self) -> UnderWay | None:
        """See ``Rotations``."""
        return self.running

    async def plan_recovery(self, account: str, to: str, way: str, by: str) -> str:
        """See ``Rotations``."""
        self._may_die("plan")
        rotation = str(uuid.uuid4())
        async with self.database.write() as conn:
            for endpoint_id in await conn.scalars(select(endpoint.c.id).where(endpoint.c.account_key == account)):
                row = {"endpoint_id": endpoint_id, "seq": 1, "id": str(uuid.uuid4()), "statement": "", "wave": 1}
                fixed = {"action": "ChangeWebAccessServer", "rotation_id": rotation, "state": CommandState.PLANNED}
                times = {"created_at": self.now, "expires_at": self.now + 9999, "updated_at": self.now}
                await conn.execute(insert(command).values(**row, **fixed, **times))
            detail = {"account": account, "way": way, "to": to, "rotation": rotation, "by": by}
            await events.add(conn, at=self.now, kind="recovery_begun", endpoint_id=None, detail=detail)
        self.running = UnderWay(rotation, account, to, started=False, created_at=self.now)
        return rotation

    async def start(self, rotation: str) -> None:
        """See ``Rotations``."""
        self._may_die("start")
        assert self.running is not None
        assert self.running.rotation == rotation
        self.running = replace(self.running, started=True)
        async with self.database.write() as conn:
            planned = (command.c.rotation_id == rotation) & (command.c.state == CommandState.PLANNED)
            await conn.execute(update(command).where(planned).values(state=CommandState.QUEUED))

    async def progress(self, rotation: str, names: int) -> Progress:
        """See ``Rotations``."""
        found = select(command.c.state, endpoint.c.name).join_from(
            command, endpoint, endpoint.c.id == command.c.endpoint_id
        )
        async with self.database.read() as conn:
            rows = list(await conn.execute(found.where(command.c.rotation_id == rotation).order_by(endpoint.c.name)))
        counts = Counter(CommandState(row.state) for row in rows)
        return Progress(counts, tuple(row.name for row in rows if row.state not in NOT_AWAITED)[:names])

    async def give_up(self, rotation: str, names: tuple[str, ...] | None, by: str) -> None:
        """See ``Rotations``."""
        named = select(endpoint.c.id)
        if names is not None:
            named = named.where(endpoint.c.name.in_(names))
        missing = (command.c.rotation_id == rotation) & command.c.state.not_in(NOT_AWAITED)
        async with self.database.write() as conn:
            who = list(await conn.scalars(named))
            waived = update(command).where(missing, command.c.endpoint_id.in_(who))
            await conn.execute(waived.values(state=CommandState.WAIVED))

    async def finish(self, rotation: str, told: Mapping[str, Any]) -> None:
        """See ``Rotations``."""
        self._may_die("finish")
        assert (await self.progress(rotation, 0)).awaited == 0
        async with self.database.write() as conn:
            detail = {**told, "rotation": rotation}
            await events.add(conn, at=self.now, kind="recovery_finished", endpoint_id=None, detail=detail)
        self.finished.append(rotation)
        self.running = None

    async def take(self, endpoint_id: str, *, at: int, again_at: int = 0) -> None:
        """An endpoint takes its change and checks in with it, and once more later unless ``again_at`` is 0.

        It is counted with what it uses now; there is one package in these tests.
        """
        assert self.running is not None
        to = self.running.to if self.running.to != OAUTH else ""
        of_it = command.c.endpoint_id == endpoint_id
        async with self.database.write() as conn:
            await conn.execute(update(command).where(of_it).values(state=CommandState.APPLIED, updated_at=at))
            seen = {"seen_at": again_at or at, "next_due": (again_at or at) + 900}
            await conn.execute(update(presence).where(presence.c.endpoint_id == endpoint_id).values(**seen))
            if await conn.scalar(select(endpoint.c.generation).where(endpoint.c.id == endpoint_id)) == 1:
                newest = select(func.max(credential_generation.c.generation))
                number = await conn.scalar(newest.where(credential_generation.c.account_key == to)) or 0
                await insert_once(conn, credential_use, {"account_key": to, "generation": number, "endpoints": 0})
                uses, left = credential_use.c, enrolment_token.c.left
                here = (uses.account_key == to) & (uses.generation == number)
                await conn.execute(update(credential_use).where(here).values(endpoints=uses.endpoints + 1))
                await conn.execute(update(enrolment_token).values(left=left + 1))
                await endpoints.set_access(conn, endpoint_id, Mode.WINDOWS if to else Mode.OAUTH, to, number)

    def _may_die(self, act: str) -> None:
        if self.cut == act:
            self.cut = ""
            raise PowerCutError(act)
