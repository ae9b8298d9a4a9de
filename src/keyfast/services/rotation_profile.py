"""Access profiles that a rotation signs: the new content, or the old content under a new number to undo it."""

from collections.abc import Callable

from msgspec.structs import replace
from sqlalchemy.ext.asyncio import AsyncConnection

from keyfast.core.mode import Mode
from keyfast.core.rotation_plan import Kind
from keyfast.core.rotation_state import Rotation
from keyfast.errors import NotReadyError
from keyfast.services.live import LiveState
from keyfast.store import installations, profiles
from keyfast.store.profiles import AccessProfileRow
from keyfast.trust.roles import PROFILE_TYP
from keyfast.wire.messages import AccessProfile


class ProfileSigner:
    """Signs access profiles. They are not in force before ``profiles.put_in_force``.

    Args:
        live: keys.
        clock: unix seconds.
    """

    def __init__(self, live: LiveState, clock: Callable[[], float]) -> None:
        self._live = live
        self._clock = clock

    async def sign(self, conn: AsyncConnection, rotation: Rotation, *, back: bool) -> tuple[int, int, int]:
        """Sign and store; return its number, its epoch, and the number of the profile whose content it takes up.

        Raises:
            NotReadyError: the mode has no access profile yet.
        """
        plan, facts = rotation.plan, rotation.facts
        mode = Mode(plan.from_mode if back else plan.mode)
        in_force = (await profiles.in_force(conn)).get(mode)
        old = await profiles.get(conn, facts.old_seq) if plan.kind is Kind.ADDRESS and facts.old_seq else in_force
        installation = await installations.get(conn)
        if old is None or installation is None:
            raise NotReadyError(f"the mode {mode} has no access profile", repair=f"keyfast mode open {mode}")
        keyset = self._live.current.keyset
        claims = keyset.verify(old.statement, PROFILE_TYP, AccessProfile)
        seq, epoch = await profiles.next_seq(conn), installation.epoch
        if plan.kind is Kind.ADDRESS and not back:
            claims = replace(claims, urls=plan.urls or claims.urls, ca=plan.ca or claims.ca)
        statement = keyset.sign(PROFILE_TYP, replace(claims, seq=seq, epoch=epoch))
        await profiles.add(conn, AccessProfileRow(seq, int(self._clock()), statement, mode, in_force=False))
        return seq, epoch, old.seq
