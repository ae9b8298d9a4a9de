"""Who has seen a change, or holds the wrong key, moves nobody."""

from collections.abc import Callable

import pytest
from msgspec.structs import replace
from tests.support.fake_agent import MemoryDatabase, Rig, pass_time, rig_for
from tests.support.fake_changes import WEEK
from tests.support.fake_server import FakeServer, Known

from keyfast.agent.client_database import Record
from keyfast.agent.install import seed
from keyfast.core.refusal import Refusal, RefusalClass
from keyfast.trust import hpke, statement
from keyfast.trust.device import DeviceKey
from keyfast.trust.encoding import b64u, unb64u
from keyfast.trust.roles import CHANGE_TYP, COMMAND_TYP, KeyStatus, Role
from keyfast.wire import messages
from keyfast.wire.bundle import BundleAccount
from keyfast.wire.changes import ERASE, Change
from keyfast.wire.messages import Command

HOUR = 3600.0
ACCOUNT_A = BundleAccount("svc-a", "CORP", "first-Secret", 1)
ACCOUNT_B = BundleAccount("svc-b", "CORP", "second-Secret", 1)
NEW = ("https://new.example.com",)
ACCESS = (
    "slots", "mode", "profile_seq", "profile_epoch", "account_name", "account_password", "credential_generation",
    "previous_account", "device_key", "seal_key", "receipt", "endpoint_id",
)  # fmt: skip


def server() -> FakeServer:
    return FakeServer().windows(ACCOUNT_A, "basic")


async def enrolled(server: FakeServer) -> Rig:
    rig = rig_for(server)
    await rig.visit()
    return rig


async def hours(server: FakeServer, rig: Rig, count: int = 3) -> None:
    for _ in range(count):
        pass_time(server, rig, HOUR)
        await rig.visit()


def access(record: Record) -> dict[str, object]:
    return {name: getattr(record, name) for name in ACCESS}


def told(known: Known) -> set[tuple[str, str]]:
    """What the endpoint told the server of commands."""
    return {(result.state, result.detail) for result in known.results}


def deliver(known: Known, change: Change, text: str) -> None:
    known.commands = {change.id: text}
    known.change = (change.id, text)


async def unmoved(server: FakeServer, rig: Rig, known: Known, change: Change, text: str) -> None:
    """Offer it with a check-in and with a recovery; nothing moves, and the endpoint goes on checking in."""
    before = access(rig.agent.record)
    probes = len(server.probes)
    deliver(known, change, text)
    await hours(server, rig)
    server.say_instead = lambda path: Refusal(RefusalClass.MODE_CLOSED) if path.endswith("check-in") else None
    await hours(server, rig)
    server.say_instead = lambda _path: None
    assert server.recoveries
    await hours(server, rig)
    assert access(rig.agent.record) == before
    assert len(server.probes) == probes
    assert rig.agent.record.failures == 0


async def test_a_change_captured_from_another_endpoint_moves_nobody():
    fleet = server()
    victim = await enrolled(fleet)
    mine = fleet.only
    other = Rig(fleet, _seeded(fleet), number=7)
    await other.visit()
    theirs = next(known for known in fleet.by_id.values() if known.id != mine.id)
    captured = fleet.move(theirs, urls=NEW, account=ACCOUNT_B, offer=False)
    before = victim.agent.record.command_seq
    await unmoved(fleet, victim, mine, captured, theirs.change[1])
    assert victim.agent.record.command_seq == before
    assert ("failed", "it is for another endpoint") in told(mine)


def _seeded(fleet: FakeServer) -> MemoryDatabase:
    database = MemoryDatabase()
    seed(database, fleet.bundle())
    return database


async def test_an_account_sealed_for_another_endpoint_or_another_change_does_not_open():
    fleet = server()
    rig = await enrolled(fleet)
    known = fleet.only
    stolen = fleet.sealed(known, ACCOUNT_B, 1, 999)
    change = fleet.move(known, urls=NEW, account=ACCOUNT_B, offer=False)
    for sealed in (
        stolen,
        hpke.seal(
            DeviceKey.generate().public_jwk(),
            messages.encode(ACCOUNT_B),
            purpose="web access server",
            endpoint=known.id,
            reference=f"{change.epoch}.{change.seq}",
        ),
        "A",
        "",
        hpke.seal(
            known.seal_jwk,
            b"no account",
            purpose="web access server",
            endpoint=known.id,
            reference=f"{change.epoch}.{change.seq + 1}",
        ),
    ):
        change = replace(change, id=change.id[:-1] + "0", seq=change.seq + 1, account=sealed)
        await unmoved(fleet, rig, known, change, fleet.keyset.sign(CHANGE_TYP, change))
    assert {result.state for result in known.results} == {"failed"}


async def test_a_captured_change_is_of_no_use_once_it_has_expired():
    fleet = server()
    rig = await enrolled(fleet)
    change = fleet.move(fleet.only, urls=NEW, account=ACCOUNT_B, offer=False)
    text = fleet.only.change[1]
    fleet.now += WEEK
    rig.clock.pass_time(WEEK)
    await rig.visit()
    await unmoved(fleet, rig, fleet.only, change, text)
    assert "expired" in fleet.only.results[-1].detail


@pytest.mark.parametrize("wall", [0.0, 1_700_000_000.0])
async def test_a_clock_that_is_set_back_does_not_make_it_fresh_again(wall):
    fleet = server()
    rig = await enrolled(fleet)
    change = fleet.move(fleet.only, urls=NEW, account=ACCOUNT_B, offer=False)
    text = fleet.only.change[1]
    fleet.now += WEEK
    rig.clock.pass_time(WEEK)
    await rig.visit()
    rig.clock.set_wall(wall)
    await unmoved(fleet, rig, fleet.only, change, text)


@pytest.mark.parametrize("recorded", [True, False])
async def test_an_older_change_never_comes_back(recorded):
    fleet = server()
    rig = await enrolled(fleet)
    known = fleet.only
    old = fleet.move(known, urls=NEW, account=ACCOUNT_B, offer=recorded)
    text = known.change[1]
    if recorded:
        await hours(fleet, rig)
    fleet.move(known, urls=fleet.urls[:1], account=replace(ACCOUNT_A, generation=2))
    await hours(fleet, rig, 5)
    rig.restart()
    await hours(fleet, rig)
    assert rig.agent.record.credential == ("CORP\\svc-a", 2)
    await unmoved(fleet, rig, known, old, text)
    if not recorded:  # of one that it had obeyed it repeats what came of it
        assert any(state == "failed" and "is not above" in detail for state, detail in told(known))


@pytest.mark.parametrize("claims", [{"epoch": 0}, {"epoch": 1, "seq": 4}, {"profile_seq": 1}, {"profile_epoch": 0}])
async def test_an_order_that_goes_back_is_refused(claims):
    fleet = server()
    rig = await enrolled(fleet)
    fleet.queue(fleet.only, 5)
    await hours(fleet, rig)
    change = fleet.move(fleet.only, urls=NEW, account=ACCOUNT_B, offer=False, **claims)
    await unmoved(fleet, rig, fleet.only, change, fleet.only.change[1])


def _flipped(text: str, part: int, at: int) -> str:
    parts = text.split(".")
    raw = bytearray(unb64u(parts[part]))
    raw[at % len(raw)] ^= 1
    parts[part] = b64u(bytes(raw))
    return ".".join(parts)


@pytest.mark.parametrize("part", [0, 1, 2])
@pytest.mark.parametrize("at", [3, 40, 200, 1000])
async def test_an_altered_change_is_nothing(part, at):
    fleet = server()
    rig = await enrolled(fleet)
    change = fleet.move(fleet.only, urls=NEW, account=ACCOUNT_B, offer=False)
    await unmoved(fleet, rig, fleet.only, change, _flipped(fleet.only.change[1], part, at))
    assert rig.agent.record.command_seq == 0
    assert {detail.partition(":")[0] for _, detail in told(fleet.only)} == {"its signature does not hold"}
    assert change.id not in {result.id for result in fleet.only.results}


def _as_role(fleet: FakeServer, role: Role) -> Callable[[str, Change], str]:
    def sign(typ: str, change: Change) -> str:
        key = next(key for key in fleet.keyset.keys if key.role is role and key.status is KeyStatus.CURRENT)
        assert key.private is not None
        return statement.sign(DeviceKey.from_pem(key.private), typ, messages.encode(change))

    return sign


@pytest.mark.parametrize("role", [Role.COMMAND, Role.TOKEN, Role.RECEIPT, Role.ROOT])
async def test_a_change_signed_by_any_other_role_is_nothing(role):
    fleet = server()
    rig = await enrolled(fleet)
    change = fleet.move(fleet.only, urls=NEW, account=ACCOUNT_B, offer=False, sign=_as_role(fleet, role))
    await unmoved(fleet, rig, fleet.only, change, fleet.only.change[1])
    assert rig.agent.record.command_seq == 0


@pytest.mark.parametrize("action", ["ChangeWebAccessServer", ERASE])
async def test_a_routine_command_that_wants_to_move_an_endpoint_is_refused(action):
    fleet = server()
    rig = await enrolled(fleet)
    before = access(rig.agent.record)
    command = fleet.queue(fleet.only, 1, action=action)
    await hours(fleet, rig)
    assert fleet.states(command) == ["failed"]
    assert "may not move" in fleet.only.results[-1].detail
    assert access(rig.agent.record) == before


async def test_a_command_with_the_claims_of_a_change_moves_nobody():
    fleet = server()
    rig = await enrolled(fleet)
    change = fleet.move(fleet.only, urls=NEW, account=ACCOUNT_B, offer=False)
    await unmoved(fleet, rig, fleet.only, change, _as_role(fleet, Role.COMMAND)(COMMAND_TYP, change))
    # And the other way round: a command under the type of a change.
    command = Command("inst-test", change.id, fleet.only.id, 9, fleet.now, fleet.now + WEEK, "CheckInNow", 60)
    await unmoved(fleet, rig, fleet.only, change, fleet.keyset.sign(CHANGE_TYP, command))


async def test_another_installation_moves_nobody():
    fleet, stranger = server(), server()
    rig = await enrolled(fleet)
    change = stranger.move(fleet.only, urls=NEW, account=ACCOUNT_B, offer=False)
    await unmoved(fleet, rig, fleet.only, change, fleet.only.change[1])
    mixed = replace(change, profile=stranger.profile, account="", seq=5)
    await unmoved(fleet, rig, fleet.only, mixed, fleet.keyset.sign(CHANGE_TYP, mixed))


@pytest.mark.parametrize("action", ["", "Format", "x" * 4000])
async def test_an_action_of_another_version_is_said_to_be_unknown(action):
    fleet = server()
    rig = await enrolled(fleet)
    change = fleet.move(fleet.only, urls=NEW, account=ACCOUNT_B, action=action)
    await hours(fleet, rig)
    assert fleet.states(change.id) == ["failed"]
    assert rig.agent.record.account_name == "svc-a"


async def test_a_change_without_a_profile_is_refused():
    fleet = server()
    rig = await enrolled(fleet)
    change = fleet.move(fleet.only, profile="", account=ACCOUNT_B)
    await hours(fleet, rig)
    assert fleet.states(change.id) == ["failed"]


async def test_the_same_change_twice_is_one():
    fleet = server()
    rig = await enrolled(fleet)
    change = fleet.move(fleet.only, urls=NEW, account=ACCOUNT_B)
    text = fleet.only.change[1]
    await hours(fleet, rig)
    after = access(rig.agent.record)
    probes = len(fleet.probes)
    deliver(fleet.only, change, text)
    await hours(fleet, rig)
    assert access(rig.agent.record) == after
    assert len(fleet.probes) == probes
    assert fleet.states(change.id) == ["applied", "applied"]  # said once more, done once
