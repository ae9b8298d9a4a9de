"""Small parts of the agent: the unit, the local machine, new keys."""

import shutil
import subprocess
import time
from pathlib import Path

import pytest
from msgspec.structs import replace
from tests.support.fake_agent import FakeClock, pass_time, rig_for
from tests.support.fake_server import FakeServer

from keyfast.agent.machine import MAX_INVENTORY_BYTES, LocalMachine, sendable
from keyfast.agent.service import NAME, install_service, remove_service
from keyfast.core.systemd_unit import unit_text
from keyfast.errors import ConflictError
from keyfast.trust.roles import Role
from keyfast.wire.messages import Encryption, Hardware, Inventory, Protection, Volume, inventory_bytes

FACTS = Inventory("host", "Test OS")
VOLUME = Volume("v", Encryption.ENCRYPTED, Protection.ON)


def machine(facts=lambda: FACTS, volumes=lambda: (VOLUME,), hardware=Hardware, user=lambda: "") -> LocalMachine:
    return LocalMachine(facts, volumes, hardware, FakeClock(), user)


def failing():
    raise RuntimeError("the tool ate a recovery password")


async def test_volumes_come_in_a_fixed_order():
    volumes = (
        Volume("b", Encryption.UNKNOWN, Protection.OFF),
        Volume("a", Encryption.UNKNOWN, Protection.OFF),
    )
    first = await machine(volumes=lambda: volumes).observe()
    second = await machine(volumes=lambda: volumes[::-1]).observe()
    assert inventory_bytes(first.inventory) == inventory_bytes(second.inventory)


async def test_volumes_that_cannot_be_read_are_unknown_and_the_reason_leaks_nothing():
    seen = (await machine(volumes=failing).observe()).inventory
    assert [volume.encryption for volume in seen.volumes] == [Encryption.UNKNOWN]
    assert "RuntimeError" in seen.volumes[0].detail
    assert "password" not in seen.volumes[0].detail


@pytest.mark.parametrize("facts", [failing, lambda: Inventory("\udcff", "x"), lambda: Inventory("h" * 300, "x")])
async def test_facts_that_cannot_be_read_or_sent_are_unknown(facts):
    seen = (await machine(facts=facts).observe()).inventory
    assert seen.hostname == "unknown"
    assert seen.volumes == (VOLUME,)


async def test_whoever_was_signed_in_is_told_until_somebody_else_is():
    seen = iter(["", "CORP\\Alice", "", "bob", "x" * 200])
    computer = machine(user=lambda: next(seen))
    told = [(await computer.observe()).inventory.user for _ in range(5)]
    assert told == ["", "CORP\\Alice", "CORP\\Alice", "bob", ""]
    assert (await machine(user=failing).observe()).inventory.volumes == (VOLUME,)


def test_hardware_that_cannot_be_read_is_empty():
    assert machine(hardware=failing).hardware() == Hardware()


@pytest.mark.parametrize("count", [257, 1000])
@pytest.mark.parametrize("detail", ["", "x" * 1000])
def test_an_inventory_always_fits(count, detail):
    one = VOLUME
    volumes = tuple(replace(one, id=f"v{number}", detail=detail) for number in range(count))
    cut = sendable(Inventory("host", "x", volumes=volumes))
    assert len(inventory_bytes(cut)) <= MAX_INVENTORY_BYTES
    assert len(cut.volumes) <= 256
    assert cut.volumes[0].id == "unknown" or cut.volumes[-1].id in {"unknown", "v99", "v999"}
    assert sum(volume.encryption is Encryption.UNKNOWN for volume in cut.volumes) == 1


async def test_rotated_keys_are_learned_by_the_check_in_that_needs_them():
    server = FakeServer()
    rig = rig_for(server)
    await rig.visit()
    server.keyset = server.keyset.rotate(Role.PROFILE, server.now).rotate(Role.COMMAND, server.now)
    server.change_profile(server.urls)
    command = server.queue(server.only, 1)
    pass_time(server, rig, 3600)
    await rig.visit()
    assert rig.agent.record.slots.current == server.profile
    assert [result.id for result in rig.agent.record.results] == [command]


async def test_a_change_of_root_is_followed_by_an_endpoint_that_slept_through_two():
    server = FakeServer()
    rig = rig_for(server)
    await rig.visit()
    for _ in range(2):
        server.keyset, _ = server.keyset.rotate_root(server.now)
    server.keyset = server.keyset.rotate(Role.PROFILE, server.now)
    server.change_profile(server.urls)
    pass_time(server, rig, 3600)
    await rig.visit()
    assert rig.agent.record.slots.current == server.profile
    rig.restart()
    pass_time(server, rig, 3600)
    await rig.visit()
    assert len(server.only.bodies) == 3


async def test_keys_of_a_stranger_are_not_learned():
    server, stranger = FakeServer(), FakeServer()
    rig = rig_for(server)
    await rig.visit()
    before = rig.agent.record.delegations
    stranger.change_profile(("https://evil.example.com",))
    server.profile, server.profile_seq, server.keyset = stranger.profile, 9, _with_published(server, stranger)
    pass_time(server, rig, 3600)
    await rig.visit()
    assert rig.agent.record.delegations == before


def _with_published(server, stranger):
    """The server's keys, and the stranger's published beside them."""

    class Mixed:
        def __getattr__(self, name):
            return getattr(own, name)

        def jwks(self):
            return {"keys": own.jwks()["keys"] + stranger.keyset.jwks()["keys"]}

    own = server.keyset
    return Mixed()


class Systemd:
    def __init__(self) -> None:
        self.calls: list[list[str]] = []

    def __call__(self, arguments) -> None:
        self.calls.append(list(arguments))


def test_the_service_is_installed_and_removed(tmp_path: Path):
    systemd = Systemd()
    install_service(Path("/usr/bin/keyfast-agent"), Path("/var/lib/x"), units=tmp_path, call=systemd)
    assert 'run --state-dir "/var/lib/x"' in (tmp_path / NAME).read_text()
    assert systemd.calls == [["daemon-reload"], ["enable", NAME], ["restart", NAME]]
    assert remove_service(units=tmp_path, call=systemd)
    assert not (tmp_path / NAME).exists()
    assert not remove_service(units=tmp_path, call=systemd)


def test_a_unit_that_cannot_be_written_says_so(tmp_path: Path):
    with pytest.raises(ConflictError, match="cannot write"):
        install_service(Path("/x"), Path("/y"), units=tmp_path / "none", call=Systemd())


def test_the_unit_is_one_that_systemd_understands(tmp_path: Path):
    tool = shutil.which("systemd-analyze")
    if tool is None:
        pytest.skip("missing systemd-analyze, package systemd")
    unit = tmp_path / NAME
    unit.write_text(unit_text("/bin/true", '/var/lib/odd "name" 100%'))
    done = subprocess.run([tool, "verify", str(unit)], capture_output=True, text=True, check=False)
    faults = [line for line in done.stderr.splitlines() if NAME in line and "Command 'man" not in line]
    assert faults == []


async def test_reading_the_disks_does_not_hold_up_the_loop():
    began = time.monotonic()
    await machine(volumes=lambda: (time.sleep(0.05), (VOLUME,))[1]).observe()
    assert time.monotonic() - began < 5
