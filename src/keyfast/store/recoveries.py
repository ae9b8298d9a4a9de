"""What a guided recovery asks of the records: who is behind an account, who is silent, who was seen again."""

from collections.abc import Mapping

from sqlalchemy import ColumnElement, func, select
from sqlalchemy.ext.asyncio import AsyncConnection

from keyfast.core.command import CommandState
from keyfast.core.endpoint import WORKING
from keyfast.store.tables import command, credential_use, endpoint, enrolment_token, event, package, presence

MANY = 10_000
"""Counts of the missing are exact up to here: nobody reads the difference beyond."""
RECENT = 2000


async def holders(conn: AsyncConnection) -> Mapping[str, Mapping[int, int]]:
    """Count endpoints by account and credential generation, from the counters: no endpoint is read."""
    uses = func.coalesce(func.sum(enrolment_token.c.uses - enrolment_token.c.left), 0)
    packed = (
        select(package.c.account_key, package.c.generation, uses)
        .join(enrolment_token, enrolment_token.c.package_id == package.c.id)
        .where(package.c.account_key != "")
        .group_by(package.c.account_key, package.c.generation)
    )
    moved = select(credential_use.c.account_key, credential_use.c.generation, credential_use.c.endpoints)
    found: dict[str, dict[int, int]] = {}
    for counted in (packed, moved):
        for key, generation, count in await conn.execute(counted):
            of_account = found.setdefault(key, {})
            of_account[generation] = of_account.get(generation, 0) + int(count)
    return {key: {number: count for number, count in held.items() if count > 0} for key, held in found.items()}


async def silent(conn: AsyncConnection, account_key: str, *, now: int, limit: int) -> list[str]:
    """Return names of endpoints of an account that missed a check-in, in order of name.

    Walked by the index of names: while an account is broken the first are soon met.
    """
    missed = (presence.c.seen_at > 0) & (2 * presence.c.next_due - presence.c.seen_at < now)  # schedule.is_silent
    return await _names(conn, account_key, missed, limit)


async def unseen_since(conn: AsyncConnection, account_key: str, since: int, *, limit: int) -> tuple[list[str], int]:
    """Return names of endpoints of an account that did not check in since then, and how many, up to MANY."""
    missing = presence.c.seen_at <= since
    names = await _names(conn, account_key, missing, limit)
    if len(names) < limit:
        return names, len(names)
    some = (
        select(endpoint.c.id)
        .join(presence, presence.c.endpoint_id == endpoint.c.id)
        .where(*_of(account_key), missing)
        .limit(MANY)
    )
    return names, int(await conn.scalar(select(func.count()).select_from(some.subquery())) or 0)


async def not_seen_again(conn: AsyncConnection, rotation_id: str, *, limit: int) -> tuple[list[str], int]:
    """Return names of endpoints that took a rotation's change and did not check in after it, and how many, up to MANY.

    Those whose change is verified have checked in several times.
    """
    applied = (command.c.rotation_id == rotation_id) & (command.c.state == CommandState.APPLIED.value)
    unseen = (
        select(command.c.endpoint_id)
        .join_from(command, presence, presence.c.endpoint_id == command.c.endpoint_id)
        .where(applied, presence.c.seen_at <= command.c.updated_at)
    )
    found = list(await conn.scalars(unseen.limit(limit)))
    # Their names in a step of their own: nobody sorts all endpoints for some of their names.
    named = await conn.scalars(select(endpoint.c.name).where(endpoint.c.id.in_(found)).order_by(endpoint.c.name))
    if len(found) < limit:
        return list(named), len(found)
    return list(named), int(await conn.scalar(select(func.count()).select_from(unseen.limit(MANY).subquery())) or 0)


async def refusals(conn: AsyncConnection) -> Mapping[str, Mapping[str, int]]:
    """Count the refused logons of each account by reason, among the newest events."""
    newest = select(event.c.kind, event.c.detail).order_by(event.c.id.desc()).limit(RECENT)
    found: dict[str, dict[str, int]] = {}
    for kind, detail in await conn.execute(newest):
        if kind == "logon_refused":
            reasons = found.setdefault(detail["account"], {})
            reasons[detail["reason"]] = reasons.get(detail["reason"], 0) + detail["count"]
    return found


async def _names(conn: AsyncConnection, account_key: str, which: ColumnElement[bool], limit: int) -> list[str]:
    page = (
        select(endpoint.c.name)
        .join(presence, presence.c.endpoint_id == endpoint.c.id)
        .where(*_of(account_key), which)
        .order_by(endpoint.c.name, endpoint.c.id)
        .limit(limit)
    )
    return list(await conn.scalars(page))


def _of(account_key: str) -> tuple[ColumnElement[bool], ColumnElement[bool]]:
    return endpoint.c.account_key == account_key, presence.c.state.in_([state.value for state in WORKING])
