"""A package that an installer left: taken and removed, or left as it is with the reason."""

import contextlib

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace
from tests.support.fake_agent import MemoryDatabase
from tests.support.fake_server import FakeServer

from keyfast.agent import package
from keyfast.agent.install import Seeded
from keyfast.core.package import BUNDLE_FILE, PackageRefusal
from keyfast.errors import ClientDatabaseError
from keyfast.wire.bundle import BundleAccount

ACCOUNT = BundleAccount("svc-see", "CORP", "Shared-Passw0rd-1", 1)


@pytest.fixture
def server():
    fake = FakeServer()
    fake.windows(ACCOUNT, "ntlm")
    fake.change_profile(fake.urls)
    return fake


def left(folder, content):
    file = folder / BUNDLE_FILE
    file.write_bytes(content)
    return file


def taken(database, folder):
    return package.take_left(database, database.load(), folder)


def test_where_nothing_lies_nothing_happens(tmp_path):
    assert taken(MemoryDatabase(), tmp_path) is None
    assert taken(MemoryDatabase(), tmp_path / "nowhere") is None


def test_a_package_is_stored_before_its_file_goes(server, tmp_path):
    bundle = server.bundle()
    file = left(tmp_path, msgspec.json.encode(bundle))
    database = MemoryDatabase()
    database.fail = lambda: "before"
    with pytest.raises(ClientDatabaseError):
        taken(database, tmp_path)
    assert file.exists()
    database.fail = lambda: ""
    verdict = taken(database, tmp_path)
    assert (verdict.done, verdict.package, verdict.told) == (Seeded.NEW, bundle.package, None)
    assert database.load().account_password == ACCOUNT.password
    assert not file.exists()


def test_a_file_is_overwritten_before_it_is_removed(tmp_path):
    file = left(tmp_path, b"secret")
    twin = tmp_path / "twin"
    twin.hardlink_to(file)
    seen = []
    package.erase(file, lambda _fd: seen.append(twin.read_bytes()))
    assert seen == [bytes(6)]
    assert (file.exists(), twin.read_bytes()) == (False, bytes(6))


def test_a_kill_between_storing_and_removing_costs_nothing(server, tmp_path):
    content = msgspec.json.encode(server.bundle())
    database = MemoryDatabase()
    left(tmp_path, content)
    taken(database, tmp_path)
    before = database.content
    file = left(tmp_path, content)
    assert taken(database, tmp_path).done is Seeded.KEPT
    assert (database.content, file.exists()) == (before, False)


def test_a_package_of_another_installation_is_left_and_named(server, tmp_path):
    database = MemoryDatabase()
    left(tmp_path, msgspec.json.encode(server.bundle()))
    taken(database, tmp_path)
    before = database.content
    other = replace(server.bundle(), installation="inst-other")
    file = left(tmp_path, msgspec.json.encode(other))
    verdict = taken(database, tmp_path)
    assert (verdict.fault, verdict.told.kind, verdict.told.package) == (
        PackageRefusal.FOREIGN,
        "foreign_installation",
        other.package,
    )
    assert "inst-other" in verdict.detail
    assert "uninstall" in verdict.repair
    assert (database.content, file.exists()) == (before, True)


@pytest.mark.parametrize("content", [b"", b"{}", b"\xff", b"[" * 5000, b"x" * (package.MAX_BUNDLE_BYTES + 1)])
def test_what_cannot_be_read_is_left(tmp_path, content):
    file = left(tmp_path, content)
    verdict = taken(MemoryDatabase(), tmp_path)
    assert (verdict.fault, verdict.package) == (PackageRefusal.UNREADABLE, "")
    assert file.exists()


CONTENT = FakeServer().bundle()


@given(st.data())
def test_no_changed_byte_is_ever_taken(tmp_path_factory, data):
    content = bytearray(msgspec.json.encode(CONTENT))
    place = data.draw(st.integers(0, len(content) - 1))
    content[place] ^= data.draw(st.integers(1, 255))
    folder = tmp_path_factory.mktemp("package")
    file = left(folder, bytes(content))
    database = MemoryDatabase()
    verdict = taken(database, folder)
    same = False
    with contextlib.suppress(msgspec.DecodeError, UnicodeDecodeError):
        same = msgspec.json.decode(content, type=type(CONTENT)) == CONTENT
    assert (verdict.fault is None) == same
    assert (database.load() is not None) == same == (not file.exists())
