"""Records sealed at rest: by real vaults where there are any, by ones that fail, and with every byte changed."""

import ctypes
import os
import subprocess

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.support.fake_registry import Died, FakeRegistry
from tests.support.require import require

from keyfast.agent.client_database import Record, Slots, encode_record
from keyfast.agent.dpapi import DpapiVault
from keyfast.agent.file_database import FILE_NAME, FileDatabase, files, read_record
from keyfast.agent.frames import read_frames
from keyfast.agent.registry_database import SLOTS, RegistryDatabase
from keyfast.agent.vault import Safe, is_sealed
from keyfast.agent.vaults import FileVault, KeychainVault, SystemdVault, key_files
from keyfast.errors import ClientDatabaseError, VaultError

SECRET = "-----BEGIN PRIVATE KEY-----"


def record(seq=0, installation="inst"):
    return Record(installation, "{}", ("d",), Slots("f", "c"), device_key=SECRET, seq=seq)


class MemoryVault:
    """Keeps keys in a dictionary, until it is told to lose them; ``log`` hears the order of acts."""

    def __init__(self, name="memory"):
        self.name = name
        self.keys = {}
        self.works = True
        self.opened = 0

    def seal(self, key):
        self._demand()
        self.keys[name := bytes([len(self.keys)])] = key
        return name

    def open(self, sealed):
        self._demand()
        self.opened += 1
        if sealed not in self.keys:
            raise VaultError("the key is gone", repair="bring it back")
        return self.keys[sealed]

    def _demand(self):
        if not self.works:
            raise VaultError(f"{self.name} does not work")


class Forgetful(MemoryVault):
    """Takes keys and gives back others."""

    def open(self, sealed):
        return bytes(32)


def stored(directory, safe, *records):
    database = FileDatabase(directory, safe=safe)
    for one in records:
        database.store(one)
    database.close()


def test_a_sealed_database_holds_no_secret_and_opens_after_a_restart(tmp_path):
    vault = MemoryVault()
    stored(tmp_path, Safe([vault]), record(1), record(2))
    content = (tmp_path / FILE_NAME).read_bytes()
    assert SECRET.encode() not in content
    assert all(key not in content for key in vault.keys.values())
    safe = Safe([vault])
    assert read_record(tmp_path, safe) == record(2)
    assert (safe.vault, len(vault.keys)) == ("memory", 1)


def test_the_vault_is_asked_once_a_start_however_often_is_stored(tmp_path):
    vault = MemoryVault()
    stored(tmp_path, Safe([vault]), *map(record, range(20)))
    assert (len(vault.keys), vault.opened) == (1, 1)
    database = FileDatabase(tmp_path, safe=Safe([vault]))
    for seq in range(20):
        database.load()
        database.store(record(seq))
    assert (len(vault.keys), vault.opened) == (1, 2)
    database.close()


def test_a_database_that_was_never_sealed_is_taken_over_and_leaves_nothing_in_the_clear(tmp_path):
    stored(tmp_path, None, record(1), record(2))
    vault = MemoryVault()
    database = FileDatabase(tmp_path, safe=Safe([vault]))
    assert database.load() == record(2)
    assert SECRET.encode() in (tmp_path / FILE_NAME).read_bytes()
    database.store(record(3))
    database.close()
    content = (tmp_path / FILE_NAME).read_bytes()
    assert SECRET.encode() not in content
    assert is_sealed(read_frames(content).newest.payload)
    assert read_record(tmp_path, Safe([vault])) == record(3)


def test_both_values_of_the_registry_are_sealed_by_the_first_store():
    registry = FakeRegistry()
    plain = RegistryDatabase(registry)
    plain.store(record(1))
    plain.store(record(2))
    vault = MemoryVault()
    database = RegistryDatabase(registry, Safe([vault]))
    assert database.load() == record(2)
    database.store(record(3))
    held = [database._value(name) for name in SLOTS]
    assert all(held)
    assert all(SECRET.encode() not in value for value in held)
    assert RegistryDatabase(registry, Safe([vault])).load() == record(3)


def test_a_vault_that_lost_its_key_costs_nothing_until_it_comes_back(tmp_path):
    vault = MemoryVault()
    stored(tmp_path, Safe([vault]), record(7))
    before = (tmp_path / FILE_NAME).read_bytes()
    kept, vault.keys = vault.keys, {}
    database = FileDatabase(tmp_path, safe=Safe([vault]))
    with pytest.raises(VaultError, match="the key is gone") as caught:
        database.load()
    assert caught.value.repair == "bring it back"
    assert (tmp_path / FILE_NAME).read_bytes() == before
    vault.keys = kept
    assert database.load() == record(7)
    database.close()


@pytest.mark.parametrize("times", [1, 3])
def test_what_cannot_be_opened_is_kept_aside_and_the_new_record_has_a_key_of_its_own(tmp_path, times):
    vault = MemoryVault()
    for number in range(times):
        stored(tmp_path, Safe([vault]), record(number))
        database = FileDatabase(tmp_path, safe=Safe([vault]))
        database.set_aside()
        assert database.load() is None
        database.close()
    aside = [path for path in files(tmp_path) if ".sealed-" in path.name]
    assert len(aside) == times
    for number, path in enumerate(aside):
        sealed = read_frames(path.read_bytes()).newest.payload
        assert Safe([vault]).open(sealed) == encode_record(record(number))


@pytest.mark.parametrize("die_at", range(5))
def test_dying_while_a_registry_is_sealed_or_set_aside_loses_nothing(die_at):
    registry, vault = FakeRegistry(), MemoryVault()
    plain = RegistryDatabase(registry)
    plain.store(record(1))
    plain.store(record(2))
    database = RegistryDatabase(registry, Safe([vault]))
    database.load()
    registry.die_at = registry.changes + die_at
    try:
        database.store(record(3))
        database.set_aside()
    except Died:
        pass
    registry.die_at = -1
    held = RegistryDatabase(registry, Safe([vault])).load()
    aside = {name for name in registry.values if name.startswith("Sealed")}
    assert held in (record(2), record(3)) or len(aside) == len(SLOTS)


def test_registry_set_aside_keeps_the_sealed_values():
    registry, vault = FakeRegistry(), MemoryVault()
    database = RegistryDatabase(registry, Safe([vault]))
    database.store(record(1))
    value = database._value("StateB")
    database.set_aside()
    assert database.load() is None
    assert database._value("SealedStateB") == value


def test_the_first_vault_that_gives_a_key_back_is_taken_and_stays(tmp_path):
    broken, forgetful, good = MemoryVault("broken"), Forgetful("forgetful"), MemoryVault("good")
    broken.works = False
    vaults = [broken, forgetful, good]
    safe = Safe(vaults)
    stored(tmp_path, safe, record(1))
    assert safe.vault == "good"
    broken.works = True
    again = Safe(vaults)
    database = FileDatabase(tmp_path, safe=again)
    database.load()
    database.store(record(2))
    database.close()
    assert again.vault == "good"


def test_no_vault_at_all_is_told_with_every_reason():
    broken = MemoryVault("broken")
    broken.works = False
    with pytest.raises(VaultError, match=r"broken: broken does not work"):
        Safe([broken]).seal(b"{}", "inst")
    with pytest.raises(VaultError, match="there is none"):
        Safe([]).seal(b"{}", "inst")


def test_a_record_whose_vault_is_not_here_says_which_it_is(tmp_path):
    stored(tmp_path, Safe([MemoryVault("tpm")]), record(1))
    with pytest.raises(VaultError, match="sealed by tpm"):
        read_record(tmp_path, Safe([MemoryVault("other")]))
    with pytest.raises(ClientDatabaseError):
        read_record(tmp_path)


def test_a_new_installation_gets_a_new_key():
    vault = MemoryVault()
    safe = Safe([vault])
    one, two = safe.seal(b"{}", "one"), safe.seal(b"{}", "two")
    assert len(vault.keys) == 2
    assert (safe.open(one), safe.open(two)) == (b"{}", b"{}")


VAULT = MemoryVault()
SEALED = Safe([VAULT]).seal(b'{"secret":1}', "inst")


@given(st.integers(0, len(SEALED) - 1), st.integers(1, 255))
def test_no_changed_byte_of_a_sealed_record_is_ever_believed(place, change):
    changed = bytearray(SEALED)
    changed[place] ^= change
    if not is_sealed(bytes(changed)):
        assert Safe([VAULT]).open(bytes(changed)) == bytes(changed), "JSON comes next, and refuses it"
        return
    with pytest.raises(VaultError):
        Safe([VAULT]).open(bytes(changed))


@given(st.binary(max_size=200))
def test_whatever_lies_there_is_opened_or_refused(rest):
    with pytest.raises(VaultError):
        Safe([VAULT]).open(b"KFS1" + rest)


def test_the_key_file_is_private_durable_and_named_for_its_key(tmp_path):
    vault = FileVault(tmp_path)
    sealed = vault.seal(b"k" * 32)
    (file,) = key_files(tmp_path)
    assert (file.stat().st_mode & 0o777, vault.open(sealed)) == (0o600, b"k" * 32)
    assert file in files(tmp_path)
    file.chmod(0o640)
    with pytest.raises(VaultError, match="open to other users") as caught:
        vault.open(sealed)
    assert caught.value.repair == f"chmod 600 {file}"
    file.chmod(0o600)
    file.write_bytes(b"x" * 32)
    with pytest.raises(VaultError, match="does not hold the key"):
        vault.open(sealed)
    file.unlink()
    with pytest.raises(VaultError, match="cannot read"):
        vault.open(sealed)


def test_systemd_creds_seals_and_nobody_else_opens(tmp_path):
    require("systemd-creds", "systemd")
    if os.geteuid():
        pytest.skip("the key of this system is root's")
    vault = SystemdVault()
    sealed = vault.seal(b"k" * 32)
    assert b"k" * 32 not in sealed
    assert vault.open(sealed) == b"k" * 32
    with pytest.raises(VaultError, match="cannot decrypt"):
        vault.open(sealed[:-12] + b"AAAAAAAAAAA\n")
    other = subprocess.run(
        ["systemd-creds", "encrypt", "--name=another", "-", "-"], input=b"k", capture_output=True, check=True
    )
    with pytest.raises(VaultError):
        vault.open(other.stdout)


def test_keys_reach_programs_through_their_input_alone():
    calls, key, text = [], b"k3y!", b"azN5IQ"

    def run(arguments, given):
        calls.append((" ".join(arguments).encode(), given))
        return 0, text if b"find-generic-password" in calls[-1][0] else b"sealed", ""

    SystemdVault(run).seal(key)
    keychain = KeychainVault(run)
    assert keychain.open(keychain.seal(key)) == key
    assert all(key not in arguments and text not in arguments for arguments, _ in calls)
    assert [given for _, given in calls if key in given or text in given] == [calls[0][1], calls[1][1]]


@pytest.mark.parametrize("vault", [SystemdVault, KeychainVault])
def test_a_program_that_fails_is_told_without_the_key(vault):
    with pytest.raises(VaultError) as caught:
        vault(lambda _arguments, _given: (1, b"", "no TPM")).seal(b"secret-key")
    assert "no TPM" in caught.value.message
    assert "secret-key" not in str(caught.value)


def test_a_missing_program_names_its_package(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(VaultError) as caught:
        SystemdVault().seal(b"key")
    assert caught.value.repair == "apt install systemd"


class Crypt32:
    """DPAPI's calls on this machine: what is sealed is turned around behind its entropy."""

    def __init__(self):
        self.works = True
        self.kept = []

    def _answer(self, result, content):
        buffer = ctypes.create_string_buffer(content, len(content))
        self.kept.append(buffer)
        result._obj.size, result._obj.data = len(content), ctypes.cast(buffer, ctypes.POINTER(ctypes.c_char))
        return 1 if self.works else 0

    def _read(self, blob):
        return ctypes.string_at(blob._obj.data, blob._obj.size)

    def CryptProtectData(self, source, name, entropy, reserved, prompt, flags, result):  # noqa: N802
        assert (name, reserved, prompt, flags) == (None, None, None, 5)
        return self._answer(result, self._read(entropy) + self._read(source)[::-1])

    def CryptUnprotectData(self, source, name, entropy, reserved, prompt, flags, result):  # noqa: N802
        assert flags == 1
        content = self._read(source)
        return self._answer(result, content.removeprefix(self._read(entropy))[::-1])


class Kernel32:
    def __init__(self):
        self.freed = 0

    def LocalFree(self, pointer):  # noqa: N802
        self.freed += 1


def test_dpapi_is_called_with_entropy_and_its_answers_are_freed():
    crypt32, kernel32 = Crypt32(), Kernel32()
    vault = DpapiVault(crypt32, kernel32)
    sealed = vault.seal(b"key")
    assert sealed.endswith(b"yek")
    assert sealed != b"yek"
    assert vault.open(sealed) == b"key"
    assert kernel32.freed == 2
    crypt32.works = False
    with pytest.raises(VaultError, match="DPAPI cannot open the key"):
        vault.open(sealed)
