"""What there is little of, put on record as the server does it: rotations, windows, incidents, people, a roll call."""

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import msgspec
from sqlalchemy import Table, insert
from sqlalchemy.ext.asyncio import AsyncConnection

from benchmarks import estate as known
from benchmarks.estate import ACCOUNTS, BROKEN, DAY, GENERATIONS, Estate, person, text
from benchmarks.estate_rows import CHECKING, DRAINING, RECOVERY, ROLLING, STAMP
from keyfast.core.approval import Approval, ApprovalState
from keyfast.core.incident import Incident, IncidentState, Point
from keyfast.core.mode import Mode
from keyfast.core.node import Accepts, Node
from keyfast.core.person_life import PersonState
from keyfast.core.role import Permission, Role
from keyfast.core.roll_call import Kind as GroupKind
from keyfast.core.roll_call import RollCall, credential_name
from keyfast.core.rotation_plan import Kind, Plan
from keyfast.core.rotation_state import Facts, Rotation, RotationState
from keyfast.core.secret import Secret
from keyfast.core.usual import HOURS
from keyfast.core.window import Window, WindowState
from keyfast.directory.local import LocalAccount, make_verifier
from keyfast.services.roll_call import BATCH
from keyfast.services.rotation_ledger import changed_row
from keyfast.store import api_tokens, incidents, local_accounts, nodes, roll_calls, rotations, sessions, tables
from keyfast.store.api_tokens import ApiTokenRow
from keyfast.store.database import Database
from keyfast.store.incidents import IncidentRow
from keyfast.store.people import PersonRow
from keyfast.store.roll_calls import Counted
from keyfast.store.rotations import RotationRow
from keyfast.store.sessions import SessionRow
from keyfast.trust.sign_in import API_PREFIX, SESSION_PREFIX, digest, new_token

EARLIER = 60
"""Rotations that are over, with nobody in them any more."""
PASSKEYS = 3
SESSIONS, TOKENS, APPROVALS = 2, 2, 10
"""How many there are for each person."""
RINGED = ("ring-3", "ring-4")
_COST = 16
_USUAL = (20,) * HOURS


@dataclass(frozen=True, slots=True)
class Visitor:
    """Somebody who looks at pages: what is in their cookie, and an API token of theirs."""

    session: Secret
    token: Secret


async def put(database: Database, estate: Estate) -> None:
    """Put all of it on record."""
    async with database.write() as conn:
        await _put_accounts(conn)
        await _put_rotations(conn, estate)
        await _put_windows(conn, estate)
        await _put_incidents(conn, estate)
        await _put_people(conn, estate)
        for name in ("alpha", "beta", "gamma"):
            await nodes.tell(conn, Node(f"{name}:8443", estate.now - DAY, estate.now, Accepts(1)))
    await _roll_call(database, estate)


async def visitor(database: Database, estate: Estate, role: Role, rings: Sequence[str] = ()) -> Visitor:
    """Put somebody on record who has signed in, and an API token with all that they may do."""
    who = PersonRow(
        text("visitor", len(rings)), f"visitor-{len(rings)}", role, PersonState.ACTIVE, estate.now, "", tuple(rings)
    )
    session, token, now = new_token(SESSION_PREFIX), new_token(API_PREFIX), estate.now
    scopes = tuple(sorted(who.person.permissions))
    async with database.write() as conn:
        await _insert(conn, tables.person, [_person(who)])
        row = SessionRow(digest(session), text("visit", len(rings)), who.id, now, now, now, "127.0.0.1")
        await sessions.add(conn, row)
        made = ApiTokenRow(digest(token), text("key", len(rings)), who.id, "measure", scopes, now, now + DAY)
        await api_tokens.add(conn, made)
    return Visitor(session, token)


async def set_state(database: Database, which: int, state: RotationState) -> None:
    """Let a rotation be in another phase."""
    async with database.write() as conn:
        row = await rotations.get(conn, text("rotation", which))
        assert row is not None
        document = row.document | {"state": state.value}
        await rotations.save(conn, RotationRow(row.id, row.kind, row.ring, state, 0, "", row.updated_at, document))


async def _put_accounts(conn: AsyncConnection) -> None:
    verifier = make_verifier(Secret(b"made-up"), _COST)
    for which in range(ACCOUNTS):
        name = known.account(which).partition("\\")[2]
        stored = LocalAccount(name, verifier, STAMP, max_age_s=400 * DAY)
        await local_accounts.put(conn, name, msgspec.to_builtins(stored))


async def _put_rotations(conn: AsyncConnection, estate: Estate) -> None:
    renewal = Plan(Kind.DEVICE_KEY)
    address = Plan(Kind.ADDRESS, mode=Mode.WINDOWS.value, urls=("https://elsewhere.example",))
    recovery = Plan(Kind.RECOVERY, mode=Mode.WINDOWS.value, source=BROKEN, target=known.account(1))
    some = Facts(targets=estate.endpoints, waves=4, longest_gap_s=30 * DAY, generation=GENERATIONS)
    under_way = {
        ROLLING: Rotation(renewal, RotationState.ROLLING, estate.now - DAY, wave=3, facts=some),
        DRAINING: Rotation(address, RotationState.DRAINING, estate.now - 40 * DAY, wave=4, facts=some),
        RECOVERY: Rotation(recovery, RotationState.EMERGENCY, estate.now - 3600, wave=1, facts=some),
        CHECKING: Rotation(recovery, RotationState.DONE, estate.now - 7200, wave=1, facts=some),
    }
    over = Rotation(renewal, RotationState.DONE, estate.now - 100 * DAY, wave=4, facts=some)
    for which in range(len(under_way) + EARLIER):
        found = under_way.get(which, over)
        at = estate.now - (DAY if which in under_way else 100 * DAY) - which
        kind = found.plan.kind.value
        blank = RotationRow(text("rotation", which), kind, "", found.state, at, person(0), at, {})
        await rotations.create(conn, changed_row(blank, found, at))
    await rotations.journal(conn, text("rotation", ROLLING), [("release", {"limit": 500})] * 500, estate.now - DAY)
    done = tables.rotation_effect
    await conn.execute(done.update().values(done_at=estate.now - DAY))


async def _put_windows(conn: AsyncConnection, estate: Estate) -> None:
    rows = []
    for which in range(estate.windows):
        at = estate.now - 3600 - which * DAY
        window = Window(
            text("window", which), at, person(0), at + 7 * DAY, "their password was changed", ("any",), BROKEN
        )
        told = msgspec.to_builtins(window) | {"state": (WindowState.CLOSED if which else WindowState.OPEN).value}
        document = {
            name: value for name, value in told.items() if name not in {"id", "opened_at", "opened_by", "deadline"}
        }
        ended = {"closed_at": at + 3600, "closed_by": person(1)} if which else {"closed_at": None, "closed_by": ""}
        begun = {"id": window.id, "opened_at": at, "opened_by": window.opened_by, "deadline": window.deadline}
        rows.append(begun | ended | {"document": document})
    await _insert(conn, tables.recovery_window, rows)


async def _put_incidents(conn: AsyncConnection, estate: Estate) -> None:
    """One is open, about the password that was changed."""
    name = credential_name(BROKEN, GENERATIONS)
    for which in range(estate.incidents):
        at = estate.now - 5400 - which * DAY
        course = tuple(Point(at + step * 60, 1000 * step) for step in range(200))
        state = IncidentState.RESOLVED if which else IncidentState.OPEN
        names = tuple(f"laptop-{n:07d}.corp.example" for n in range(10))
        counts = (estate.endpoints, estate.endpoints // 4, estate.endpoints // 3, 10)
        found = Incident(
            *(text("incident", which), GroupKind.CREDENTIAL, name, state, at, 60, at, at, *counts),
            names=names,
            course=course,
        )
        await incidents.put(conn, IncidentRow(found))


async def _put_people(conn: AsyncConnection, estate: Estate) -> None:
    roles, now = tuple(Role), estate.now
    people = [
        PersonRow(text("person", n), person(n), roles[n % len(roles)], PersonState.ACTIVE, now - 90 * DAY, person(0))
        for n in range(estate.people)
    ]
    await _insert(conn, tables.person, [_person(who) for who in people])
    opened = [
        SessionRow(_hash("session", n), text("session", n), who.id, now - n % 40_000, now, now, "10.0.0.1")
        for n, who in enumerate(people * SESSIONS)
    ]
    await _insert(conn, tables.person_session, [_columns(tables.person_session, row) for row in opened])
    made = [
        ApiTokenRow(_hash("api token", n), text("api token", n), who.id, "backup job", ("read",), now - DAY, now + DAY)
        for n, who in enumerate(people * TOKENS)
    ]
    shaped = [_columns(tables.api_token, row) | {"scopes": {"scopes": ["read"]}} for row in made]
    await _insert(conn, tables.api_token, shaped)
    keys = [
        {"credential": _hash("passkey", n), "id": text("passkey", n), "person_id": who.id, "name": "a key", "uses": 3}
        | {"public_key": b"made-up", "created_at": now - DAY, "used_at": now}
        for n, who in enumerate(people * PASSKEYS)
    ]
    await _insert(conn, tables.passkey, keys)
    asked = [
        Approval(
            *(
                text("approval", n),
                now - n * 60,
                who.name,
                Permission.KEY_MOVE,
                "POST /admin/v1/keys/export",
                "a backup",
            ),
            state=ApprovalState.USED if n else ApprovalState.ASKED,
        )
        for n, who in enumerate(people * APPROVALS)
    ]
    told = [msgspec.to_builtins(row) | {"digest_sealed": "made-up"} for row in asked]
    await _insert(conn, tables.approval, told)


async def _roll_call(database: Database, estate: Estate) -> None:
    """Walk the whole fleet as roll calls do, and keep as many groups as they keep."""
    counts, after = RollCall(estate.now), ""
    while True:
        async with database.read() as conn:
            lines, after = await roll_calls.page(conn, after, BATCH)
        counts.count(lines)
        if not after:
            break
    found = {key: Counted(group, _USUAL, estate.now) for key, group in counts.groups.items()}
    async with database.write() as conn:
        await roll_calls.put_groups(conn, found)


def _person(who: PersonRow) -> dict[str, object]:
    typed = {"role": who.role.value, "state": who.state.value, "rings": {"rings": list(who.rings)}}
    return _columns(tables.person, who) | typed


def _columns(table: Table, row: object) -> dict[str, object]:
    return {column.name: getattr(row, column.name) for column in table.columns}


def _hash(what: str, n: int) -> bytes:
    return hashlib.sha256(f"{what} {n}".encode()).digest()


async def _insert(conn: AsyncConnection, table: Table, rows: Iterable[dict[str, object]]) -> None:
    await conn.execute(insert(table), list(rows))
