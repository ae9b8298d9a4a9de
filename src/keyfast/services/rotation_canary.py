"""Put a rotation's canary on record: a sample of its targets in which every kind of endpoint goes first."""

from collections.abc import Sequence

import msgspec
from sqlalchemy.ext.asyncio import AsyncConnection

from keyfast.core.rotation_canary import Candidate, canary
from keyfast.store import endpoints, rotation_targets
from keyfast.store.rotation_targets import Scope

SAMPLE = 2000
"""Endpoints that are looked at; they are met in a random order, so that what is not rare is among them."""


class _Os(msgspec.Struct):
    os: str = ""


_os = msgspec.json.Decoder(_Os)


async def chosen_canary(
    conn: AsyncConnection, rotation_id: str, scope: Scope, cuts: Sequence[int], action: str, chance: float, now: int
) -> int:
    """Plan the commands of the first wave; return how many there are, 0 where all targets go at once.

    Args:
        conn: a transaction that writes.
        rotation_id: the rotation; it has no targets yet.
        scope: whom it is about.
        cuts: see ``core.rotation_plan.cuts``.
        action: of the commands.
        chance: 0 to 1.
        now: unix seconds.
    """
    if len(cuts) < 2:  # noqa: PLR2004 - one wave is no canary
        return 0
    listed = await rotation_targets.sample(conn, rotation_id, scope, limit=max(SAMPLE, cuts[0]))
    known = await endpoints.inventories(conn, [found.id for found in listed])
    candidates = [
        Candidate(found.id, _os.decode(known[found.id]).os if found.id in known else "", found.ring, found.seen_at)
        for found in listed
    ]
    first = canary(candidates, cuts[0], chance, now)
    return await rotation_targets.add_chosen(conn, rotation_id, first, action, now=now)
