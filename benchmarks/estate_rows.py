"""What there is much of beside endpoints: commands, members of windows, events, the audit trail, packages."""

import hashlib
import json
from collections.abc import Callable, Iterator, Sequence
from itertools import islice

import msgspec

from benchmarks import estate as known
from benchmarks import fleet
from benchmarks.bulk import Bulk, Row
from benchmarks.estate import ACCOUNTS, DAY, GENERATIONS, Estate, number
from keyfast.core import audit as trail
from keyfast.core.audit import Act, Actor, Head, Via
from keyfast.core.command import CommandState as C
from keyfast.core.directory import AccountReading
from keyfast.core.generation import GenerationState
from keyfast.core.mode import Mode
from keyfast.core.window_endpoint import WindowEndpointState as W
from keyfast.store.rotation_targets import CHANGE, FAR
from keyfast.wire.renewal import RENEW_DEVICE_KEY

CHUNK = 50_000
STAMP = 133_000_000_000_000_000
ROLLING, DRAINING, RECOVERY, CHECKING = range(4)
"""Rotations with targets, by number: under way, about to retire, a recovery, and one whose targets all moved."""
CHATTY = 0
"""An endpoint with a long history."""
_STATEMENT = "eyJhbGciOiJFZERTQSJ9." + "c3RhdGVtZW50" * 40 + "." + "c2ln" * 20
_COMMAND = (
    *("endpoint_id", "seq", "id", "action", "statement", "state", "created_at", "expires_at", "updated_at"),
    *("detail", "rotation_id", "wave"),
)
_MIX = (
    *([C.VERIFIED] * 70 + [C.APPLIED] * 8 + [C.PROVEN] * 2 + [C.RECEIVED] * 4 + [C.OFFERED] * 5 + [C.QUEUED] * 6),
    *([C.FAILED] * 2 + [C.REVERTED] + [C.WAIVED] + [C.SUPERSEDED]),
)
"""How far endpoints of a released wave are, by their numbers."""


def put(into: Bulk, estate: Estate, installation: str, told: Callable[[int], None]) -> None:
    """Insert all of it; ``told`` hears how many rows more are in."""

    def insert(table: str, columns: Sequence[str], rows: Iterator[Row]) -> None:
        while part := list(islice(rows, CHUNK)):
            into.put(table, columns, part)
            told(len(part))

    as_id = into.as_id
    insert("command", _COMMAND, _commands(estate, as_id))
    insert("recovery_window_endpoint", ("window_id", "endpoint_id", "state", "since"), _members(estate, as_id))
    insert("event", ("at", "kind", "endpoint_id", "detail"), _events(estate, as_id))
    columns = ("number", "at", "actor", "role", "via", "action", "subject_kind", "subject", "detail", "outcome")
    insert("audit", (*columns, "request", "hash"), _acts(estate, installation))
    head = trail_end(estate, installation)
    into.put("audit_head", ("id", "number", "hash"), [(1, head.number, head.hash)])
    columns = ("at", "kind", "key", "title", "detail", "state", "reached", "tries", "due_at", "trouble")
    insert("outbox", columns, _messages(estate))
    insert("inventory_change", ("endpoint_id", "recorded_at", "digest", "document"), _changes(estate, as_id))
    insert("traffic", ("minute", "node", "check_ins", "refusals"), _traffic(estate))
    _put_packages(into, estate)
    _put_accounts(into, estate)


def _commands(estate: Estate, as_id: Callable[[bytes], object]) -> Iterator[Row]:
    """All endpoints renew their keys, those of Windows mode got another address, those who broke are recovered."""
    ids = [as_id(number("rotation", which)) for which in range(4)]

    def row(n: int, seq: int, action: str, state: C, which: int | None, wave: int) -> Row:
        raw = fleet.endpoint_bytes(n)
        at = estate.now - DAY + n % DAY
        statement = _STATEMENT if action == CHANGE and state not in {C.PLANNED, C.QUEUED} else ""
        detail = "its probe was refused: wrong_password" if state in {C.FAILED, C.REVERTED} else ""
        key = (as_id(raw), seq, as_id(bytes([seq]) + raw[1:]))
        return (*key, action, statement, state.value, at, FAR, at, detail, None if which is None else ids[which], wave)

    for n in range(estate.endpoints):
        wave, state = _wave(n), _MIX[n * 7 % len(_MIX)]
        yield row(n, 1, RENEW_DEVICE_KEY, state if wave < 4 else C.PLANNED, ROLLING, wave)
        if known.embedded(n % estate.packages)[0] is Mode.WINDOWS:
            ended = C.WAIVED if n % 100 == 1 else C.APPLIED if n % 100 == 3 else C.VERIFIED
            yield row(n, 2, CHANGE, ended, DRAINING, wave)
        if estate.broken(n):
            yield row(n, 3, CHANGE, state, RECOVERY, 1)
            yield row(n, 4, CHANGE, C.APPLIED, CHECKING, 1)
    for seq in range(5, 205):
        yield row(CHATTY, seq, "CheckInNow", C.APPLIED, None, 0)


def _wave(n: int) -> int:
    """In which wave endpoint ``n`` is: a canary, one in twenty, one in five, the others."""
    return 1 if n % 20_000 == 0 else 2 if n % 20 == 0 else 3 if n % 5 == 0 else 4


def _members(estate: Estate, as_id: Callable[[bytes], object]) -> Iterator[Row]:
    """The newest window and two before it hold everybody who broke, the others a thousand each."""
    broken = [as_id(fleet.endpoint_bytes(n)) for n in range(estate.endpoints) if estate.broken(n)]
    ids = [as_id(number("window", which)) for which in range(estate.windows)]
    early = (W.UNREACHED, W.REACHED, W.APPLIED, W.PROVEN)
    for which in range(3):
        for n, one in enumerate(broken):
            state = early[n % 4] if which == 0 else W.PROVEN if n % 50 else W.UNREACHED
            yield (ids[which], one, state.value, estate.now - 3600)
    for window in ids[3:]:
        for one in broken[:1000]:
            yield (window, one, W.PROVEN.value, estate.now - DAY)


def _events(estate: Estate, as_id: Callable[[bytes], object]) -> Iterator[Row]:
    kinds = ("endpoint_joined", "command_applied", "change_verified", "logon_refused", "rotation_acted")
    refused = json.dumps({"account": known.BROKEN, "reason": "wrong_password", "count": 17, "address": "10.0.0.1"})
    for index in range(estate.events):
        kind = kinds[index % len(kinds)]
        n = index * fleet.STRIDE % estate.endpoints if index % 10 else CHATTY
        who = as_id(fleet.endpoint_bytes(n)) if kind not in {"logon_refused", "rotation_acted"} else None
        detail = refused if kind == "logon_refused" else '{"by":"keyfast","package":"made-up","wave":3}'
        yield (estate.now - estate.events + index, kind, who, detail)


def _trail(estate: Estate, installation: str) -> Iterator[trail.Entry]:
    before = trail.genesis(installation)
    people = [Actor(known.person(which), Via.HTTPS, "administrator", f"r-{which}") for which in range(20)]
    actions = (("package_downloaded", "package"), ("command_queued", "endpoint"), ("endpoint_approved", "endpoint"))
    for index in range(estate.acts):
        action, kind = actions[index % len(actions)]
        subject = known.text("package", index % estate.packages)
        if kind == "endpoint":
            subject = known.endpoint(index * fleet.STRIDE % estate.endpoints)
        act = Act(estate.now - estate.acts + index, people[index % 20], action, kind, subject, {"command": "made-up"})
        entry = trail.appended(before, act)
        before = trail.end_of(entry)
        yield entry


def _acts(estate: Estate, installation: str) -> Iterator[Row]:
    for entry in _trail(estate, installation):
        record = entry.record
        detail = json.dumps(record.detail, separators=(",", ":"))
        named = (record.actor, record.role, record.via, record.action, record.subject_kind, record.subject)
        yield (record.number, record.at, *named, detail, record.outcome, record.request, entry.hash)


def trail_end(estate: Estate, installation: str) -> Head:
    """Return the end of the trail that was put on record."""
    end = trail.genesis(installation)
    for entry in _trail(estate, installation):
        end = trail.end_of(entry)
    return end


def _messages(estate: Estate) -> Iterator[Row]:
    for index in range(estate.messages):
        at, key = estate.now - estate.messages * 60 + index * 60, f"incident {index % 300}"
        yield (at, "incident_opened", key, f"Endpoints fell silent ({index})", "{}", "sent", '{"mail":true}', 1, at, "")


def _changes(estate: Estate, as_id: Callable[[bytes], object]) -> Iterator[Row]:
    for n in range(0, estate.endpoints, 10):
        document = fleet.inventory(n)
        digest = hashlib.sha256(document).digest()
        for back in range(100 if n == CHATTY else 1):
            yield (as_id(fleet.endpoint_bytes(n)), (estate.now - back * DAY) * 1000, digest, document)


def _traffic(estate: Estate) -> Iterator[Row]:
    last = estate.now // 60 * 60
    for minute in range(last - 7 * DAY, last + 60, 60):
        for node in ("alpha:8443", "beta:8443", "gamma:8443"):
            yield (minute, node, 22_000, '{"mode_closed":3,"retired_generation":40,"use_nonce":700}')


def _put_packages(into: Bulk, estate: Estate) -> None:
    packages: list[Row] = []
    tokens: list[Row] = []
    for p in range(estate.packages):
        me, (mode, account, generation) = into.as_id(number("package", p)), known.embedded(p)
        at = estate.now - (estate.packages - p) * 3600
        state, revoked_at = ("revoked", at + 60) if p % 50 == 49 else ("ready", None)
        file = (f"keyfast-{p}.json", hashlib.sha256(b"package %d" % p).hexdigest())
        begun = (me, at, known.person(p % 20), mode.value, known.ring(p), "auto", *file, revoked_at)
        packages.append((*begun, account, generation, "bundle", "0.1.0", 1, state, at, 4096))
        uses, ends_at = known.of_package(estate, p), estate.now + (p % 400 - 30) * DAY
        tokens.append((known.text("token", p), me, at, ends_at, 100_000, uses, revoked_at, uses // 100, at))
    columns = ("id", "created_at", "created_by", "mode", "ring", "admission", "file_name", "sha256", "revoked_at")
    more = ("account_key", "generation", "kind", "version", "policy_version", "state", "built_at", "size")
    into.put("package", (*columns, *more), packages)
    columns = ("jti", "package_id", "issued_at", "expires_at", "max_uses", "uses", "revoked_at", "left", "used_at")
    into.put("enrolment_token", columns, tokens)


def _put_accounts(into: Bulk, estate: Estate) -> None:
    """Of each account the newest generation is proven, but of the one that broke none."""
    keys = [known.account(which) for which in range(ACCOUNTS)]
    then = estate.now - 400 * DAY
    about = ("LOCAL", then, "person-00000", 0, 0)
    rows: list[Row] = [(key, key.partition("\\")[2], *about) for key in keys]
    into.put("account", ("key", "name", "domain", "added_at", "added_by", "read_at", "asked_at"), rows)
    rows = []
    for key in keys:
        for generation in range(1, GENERATIONS + 1):
            held = GenerationState.PROVEN if generation == GENERATIONS else GenerationState.RETIRED
            state = GenerationState.REFUSED if key == known.BROKEN and generation == GENERATIONS else held
            rows.append((key, generation, state.value, "made-up", STAMP, STAMP, 0, then, "person-00000", then))
    columns = ("account_key", "generation", "state", "password_sealed", "password_stamp", "seen_stamp")
    more = ("grace_ends_at", "created_at", "created_by", "judged_at")
    into.put("credential_generation", (*columns, *more), rows)
    rows = [(key, generation, 500) for key in keys for generation in range(1, GENERATIONS + 1)]
    into.put("credential_use", ("account_key", "generation", "endpoints"), rows)
    rows = [
        (key, "local", then + back * 3600, _reading(key, then + back * 3600)) for key in keys for back in range(1000)
    ]
    into.put("account_change", ("account_key", "server", "read_at", "document"), rows)


def _reading(key: str, at: int) -> str:
    read = AccountReading("local", at, exists=True, name=key.partition("\\")[2], password_stamp=STAMP)
    return msgspec.json.encode({"reading": read}, order="sorted").decode()
