"""Which access a rotation wants for an endpoint, as changes and recoveries ask it."""

from sqlalchemy.ext.asyncio import AsyncConnection

from keyfast.core.access import Access, newest_proven
from keyfast.core.mode import Mode
from keyfast.services.live import LiveState
from keyfast.store import rotation_counts
from keyfast.store.endpoints import EndpointRow


class RotationTargets:
    """Implements ``services.change.Targets`` over the rotations on record."""

    def __init__(self, live: LiveState) -> None:
        self._live = live

    async def target(self, conn: AsyncConnection, endpoint: EndpointRow) -> Access | None:
        """Return the target of the rotation the endpoint is in, with the newest password of its account that works."""
        row = await rotation_counts.target_of(conn, endpoint.id)
        if row is None:
            return None
        live, mode = self._live.current, Mode(row.mode)
        # A rotation that names no account, such as one of the address, leaves everybody the own one.
        key = row.account_key or (endpoint.account_key if mode is Mode.WINDOWS else "")
        account = live.accounts.get(key)
        states = {number: known.state for number, known in account.generations.items()} if account else {}
        generation = newest_proven(states) or row.generation
        return Access(mode, row.profile_seq or live.profile(mode).seq, key, generation, row.rotation_id)
