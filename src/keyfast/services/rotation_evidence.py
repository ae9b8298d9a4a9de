"""Collect what a rotation's decisions rest on, from the store alone."""

from collections.abc import Iterable

from sqlalchemy.ext.asyncio import AsyncConnection

from keyfast.core.account import unusable
from keyfast.core.command import CommandState
from keyfast.core.directory import AccountReading, Unreachable
from keyfast.core.generation import GenerationState
from keyfast.core.logon import SENTENCES
from keyfast.core.node import lacking
from keyfast.core.rotation_evidence import MOVED, Evidence
from keyfast.core.rotation_plan import Kind, Plan
from keyfast.core.rotation_state import ENDED, EXCLUSIVE, OFFERING, Rotation, RotationState
from keyfast.services.known_account import Outcome, outcomes
from keyfast.store import accounts, installations, keys, nodes, rotation_counts, rotations
from keyfast.store.rotation_targets import Scope
from keyfast.store.rotations import RotationRow
from keyfast.trust.roles import KeyStatus, Role

OVERDUE_SECONDS = 900
"""A check-in that is so much late is missed; the server chose when it was due."""


def scope_of(plan: Plan) -> Scope:
    """Whom a rotation is about."""
    return Scope(plan.from_mode, plan.ring, plan.source)


async def collect(conn: AsyncConnection, row: RotationRow, rotation: Rotation, now: int) -> Evidence:
    """Collect the evidence for the steps that are possible in a rotation's phase."""
    plan, state = rotation.plan, rotation.state
    installation = await installations.get(conn)
    undone = await rotations.effects(conn, row.id, undone=True)
    readings = await accounts.readings(conn)
    read = {
        key: outcomes(found for found in readings if found.account_key == key)
        for key in (plan.source, plan.target)
        if key
    }
    offering = state in OFFERING
    since = now - plan.waves.active_s
    draft = state is RotationState.DRAFT
    next_key = await _next_key(conn)
    return Evidence(
        counts=await rotation_counts.counts(conn, row.id),
        pending=len(undone),
        trouble=next((str(found.document["trouble"]) for found in undone if found.document.get("trouble")), ""),
        account_faults=tuple(faults(plan.target, read.get(plan.target, ()), now)) if plan.target else (),
        handed_out=await _handed_out(conn, rotation),
        bad_passwords=sum(
            found.bad_passwords for told in read.values() for found in told if isinstance(found, AccountReading)
        ),
        silent=await rotation_counts.silent(conn, row.id, overdue_before=now - OVERDUE_SECONDS) if offering else 0,
        waited_for=await rotation_counts.waited_for(
            conn, row.id, upto=rotation.wave, since=since, besides=_wanted(rotation)
        )
        if offering
        else 0,
        uncovered=await rotation_counts.uncovered(conn, row.id, scope_of(plan))
        if plan.retires and state in {RotationState.DRAINING, RotationState.EMERGENCY}
        else 0,
        users=await rotation_counts.users(conn, plan.target) if draft and plan.sets_password else 0,
        holders=await _holders(conn, row, plan) if draft and plan.sets_password else (),
        others=await _others(conn, row, plan) if draft and plan.has_targets else (),
        next_key_at=next_key.created_at if next_key else 0,
        restored_at=installation.restored_at if installation else 0,
        epoch=installation.epoch if installation else 1,
        nodes_behind=await _nodes_behind(conn, rotation, next_key.kid if next_key else ""),
    )


def faults(account: str, read: Iterable[Outcome], now: int) -> Iterable[str]:
    """Say what stands against an account, one sentence for each domain controller that has something to say."""
    known = list(read)
    if not known:
        yield f"{account} has not been read yet"
    newest = max((found.password_stamp for found in known if isinstance(found, AccountReading)), default=0)
    for found in known:
        if isinstance(found, Unreachable):
            yield f"{account} cannot be read at {found.server}: {found.reason}"
        elif not found.exists:
            yield f"{account} does not exist at {found.server}"
        elif found.password_stamp != newest:
            yield f"{found.server} has not got the newest password of {account} yet"
        elif (logon := unusable(found, now)) is not None:
            yield f"{account} at {found.server}: {SENTENCES[logon]}"


async def newest_proven(conn: AsyncConnection, account: str) -> accounts.GenerationRow | None:
    """Return the newest credential generation of an account that is proven."""
    held = await accounts.generations(conn, account)
    return next((found for found in reversed(held) if found.state is GenerationState.PROVEN), None)


async def _handed_out(conn: AsyncConnection, rotation: Rotation) -> GenerationState | None:
    given = rotation.plan.target, rotation.facts.generation
    held = await accounts.generations(conn) if all(given) else []
    return next((found.state for found in held if (found.account_key, found.generation) == given), None)


def _wanted(rotation: Rotation) -> frozenset[CommandState]:
    """What the endpoints of the waves so far must have reached."""
    canary = rotation.state is RotationState.CANARY and rotation.plan.waves.restart_proof
    return frozenset({CommandState.VERIFIED}) if canary else MOVED


async def _others(conn: AsyncConnection, row: RotationRow, plan: Plan) -> tuple[str, ...]:
    """Rotations under way that touch endpoints of the same rings; a recovery waits for no renewal of keys."""
    beside = {Kind.TOKEN_KEY} | ({Kind.DEVICE_KEY} if plan.kind is Kind.RECOVERY else set())
    found = [other for other in await rotations.under_way(conn) if other.id != row.id and other.state in EXCLUSIVE]
    return tuple(
        other.id
        for other in found
        if other.kind not in beside and (not other.ring or not plan.ring or other.ring == plan.ring)
    )


async def _holders(conn: AsyncConnection, row: RotationRow, plan: Plan) -> tuple[str, ...]:
    """Rotations that began and have not finished with the account whose password would be set."""
    skipped = ENDED | {RotationState.DRAFT}
    return tuple(
        other.id
        for other in await rotations.under_way(conn)
        if other.id != row.id
        and other.state not in skipped
        and plan.target in {other.document["plan"].get("source"), other.document["plan"].get("target")}
    )


async def _next_key(conn: AsyncConnection) -> keys.SigningKeyRow | None:
    found = (row for row in await keys.load(conn) if row.role == Role.TOKEN and row.status == KeyStatus.NEXT)
    return max(found, key=lambda row: row.created_at, default=None)


async def _nodes_behind(conn: AsyncConnection, rotation: Rotation, next_key: str) -> tuple[str, ...]:
    """What stands against each node before anything is offered; nobody asks later."""
    if rotation.state not in {RotationState.PREPARED, RotationState.TRUSTED}:
        return ()
    judged = ((node, lacking(node.accepts, rotation, next_key)) for node in await nodes.load(conn))
    return tuple(
        f"server {node.name} does not accept {what} yet; if it serves no more: keyfast server forget-node {node.name}"
        for node, what in judged
        if what
    )
