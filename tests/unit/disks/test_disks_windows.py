"""BitLocker by its cmdlet and, as a last resort, by manage-bde; recovery passwords stay where they are."""

import re

import pytest
from tests.support.runner import FIXTURES, FakeRunner, fixture

from keyfast.disks import bitlocker, bitlocker_json, manage_bde
from keyfast.disks.runner import MISSING, TIMED_OUT, Result, why
from keyfast.disks.windows import WindowsDisks
from keyfast.wire.messages import Encryption, Protection

RECOVERY_PASSWORD = re.compile(r"\d{6}-\d{6}")
UNKNOWN = (Encryption.UNKNOWN, Protection.UNKNOWN)
ENCRYPTED = (Encryption.ENCRYPTED, Protection.ON)


def state(volume):
    return volume.encryption, volume.protection


@pytest.mark.parametrize("name", ["single", "enum-strings", "utf16-bom"])
def test_a_protected_system_volume(name):
    (volume,) = bitlocker_json.parse(fixture(f"get-bitlockervolume-{name}.json").stdout)
    assert (volume.id, volume.mount, volume.role, *state(volume)) == ("C:", "C:", "os", *ENCRYPTED)
    assert (volume.technology, volume.method, volume.percent) == ("bitlocker", "XtsAes256", 100)
    assert volume.protectors == ("Tpm", "RecoveryPassword")
    assert volume.size == int(475.686 * 2**30)


def test_several_volumes():
    system, data, stick = bitlocker_json.parse(fixture("get-bitlockervolume-array.json").stdout)
    assert (system.role, *state(system)) == ("os", *ENCRYPTED)
    assert (data.percent, *state(data)) == (43, Encryption.ENCRYPTING, Protection.OFF)
    assert data.protectors == ("Password", "RecoveryPassword", "ExternalKey")
    assert (stick.technology, *state(stick)) == ("plain", Encryption.UNENCRYPTED, Protection.OFF)


def test_a_locked_volume_is_unknown():
    (volume,) = bitlocker_json.parse(fixture("get-bitlockervolume-locked.json").stdout)
    assert (volume.technology, volume.detail, *state(volume)) == (
        "bitlocker",
        "the volume is locked",
        *UNKNOWN,
    )


@pytest.mark.parametrize("path", sorted(FIXTURES.glob("get-bitlocker*")), ids=lambda path: path.stem)
def test_no_recovery_password_gets_through(path):
    output = path.read_bytes()
    volumes = bitlocker_json.parse(output)
    assert volumes
    assert not RECOVERY_PASSWORD.search(repr(volumes))
    assert not RECOVERY_PASSWORD.search(repr(Result(0, output, output)))
    assert not RECOVERY_PASSWORD.search(why("Get-BitLockerVolume", Result(1, output, output)))


def test_recovery_passwords_are_not_even_asked_for():
    asked = bitlocker_json.COMMAND
    assert "RecoveryPassword" not in asked
    assert "Select-Object KeyProtectorType" in asked


@pytest.mark.parametrize(
    "protectors",
    ['[{"KeyProtectorType":1}]', '{"KeyProtectorType":1}', '{"value":[{"KeyProtectorType":1}],"Count":1}'],
)
def test_lists_as_powershell_writes_them(protectors):
    text = f'{{"MountPoint":"C:","VolumeStatus":1,"ProtectionStatus":1,"KeyProtector":{protectors}}}'
    assert bitlocker_json.parse(text.encode())[0].protectors == ("Tpm",)


def test_a_share_that_is_no_number_is_unknown():
    text = b'{"MountPoint":"C:","VolumeStatus":2,"ProtectionStatus":0,"EncryptionPercentage":"viel"}'
    (volume,) = bitlocker_json.parse(text)
    assert (volume.percent, volume.encryption) == (None, Encryption.ENCRYPTING)


def test_a_protector_of_the_future_is_named_unknown():
    protectors = b'[{"KeyProtectorType":99},"509663-477928",{"KeyProtectorType":"x"}]'
    text = b'{"MountPoint":"C:","KeyProtector":' + protectors + b"}"
    (volume,) = bitlocker_json.parse(text)
    assert (volume.protectors, *state(volume)) == ((), *UNKNOWN)
    text = text.replace(b'"C:"', b'"C:","VolumeStatus":1')
    assert bitlocker_json.parse(text)[0].protectors == ("Unknown",) * 3


@pytest.mark.parametrize(
    ("facts", "expected"),
    [
        (("FullyEncrypted", "Off"), (Encryption.ENCRYPTED, Protection.OFF)),
        (("FullyEncrypted", ""), (Encryption.ENCRYPTED, Protection.UNKNOWN)),
        (("FullyEncryptedWipePaused", "On"), ENCRYPTED),
        (("EncryptionPaused", "Off"), (Encryption.ENCRYPTING, Protection.OFF)),
        (("DecryptionPaused", "Off"), (Encryption.DECRYPTING, Protection.OFF)),
        (("FullyDecrypted", "Off"), (Encryption.UNENCRYPTED, Protection.OFF)),
        (("FullyDecrypted", "On"), UNKNOWN),
        (("FullyDecrypted", ""), UNKNOWN),
        (("FullyDecrypted", "Off", "", 50.0), UNKNOWN),
        (("", "Off"), UNKNOWN),
        (("Something", "On"), UNKNOWN),
    ],
)
def test_doubt_is_unknown(facts, expected):
    assert state(bitlocker.judge(bitlocker.Facts(*facts))) == expected


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"null",
        b"[]",
        b"{}",
        b'{"MountPoint":null}',
        b'{"MountPoint":"509663-477928"}',
        b"Access denied",
        b"\xff\xfe\x00",
    ],
)
def test_what_is_no_answer(text):
    assert bitlocker_json.parse(text) is None


def bde(name):
    return manage_bde.parse(fixture(f"manage-bde-status-{name}.txt").stdout)


def test_manage_bde_protected():
    (volume,) = bde("os-protected")
    assert (volume.mount, volume.role, volume.method, *state(volume)) == ("C:", "os", "XtsAes256", *ENCRYPTED)
    assert (volume.percent, volume.protectors) == (100, ("Tpm", "RecoveryPassword"))


def test_all_data_encrypted_with_a_clear_key_is_not_protected():
    (volume,) = bde("used-space-unprotected")
    assert (volume.percent, volume.protectors) == (100, ())
    assert state(volume) == (Encryption.ENCRYPTED, Protection.OFF)


def test_manage_bde_decrypted():
    (volume,) = bde("decrypted")
    assert (volume.technology, *state(volume)) == ("plain", Encryption.UNENCRYPTED, Protection.OFF)


def test_manage_bde_with_numbers_of_the_user():
    system, data = bde("mixed-decimal-comma")
    assert (system.percent, *state(system)) == (42.7, Encryption.ENCRYPTING, Protection.OFF)
    assert (data.role, data.size, *state(data)) == ("data", int(931.5 * 2**30), *ENCRYPTED)
    assert data.protectors == ("Password", "RecoveryPassword", "ExternalKey")


def test_manage_bde_locked():
    (volume,) = bde("locked")
    assert (volume.technology, *state(volume)) == ("bitlocker", *UNKNOWN)


@pytest.mark.parametrize("name", ["localised", "not-elevated"])
def test_manage_bde_that_cannot_be_read(name):
    assert bde(name) is None


def test_manage_bde_protectors_hold_passwords_and_give_no_state():
    volumes = manage_bde.parse(fixture("manage-bde-protectors-get.txt").stdout)
    assert [state(volume) for volume in volumes] == [UNKNOWN]
    assert not RECOVERY_PASSWORD.search(repr(volumes))


@pytest.mark.parametrize("name", ["decrypted", "os-protected", "used-space-unprotected"])
def test_manage_bde_cut_short_is_not_believed(name):
    output = fixture(f"manage-bde-status-{name}.txt").stdout
    for end in range(output.index(b"Key Protectors")):
        for volume in manage_bde.parse(output[:end]) or ():
            assert volume.protection is Protection.UNKNOWN


def test_the_cmdlet_is_asked_first():
    runner = FakeRunner({"powershell": fixture("get-bitlockervolume-single.json")})
    assert [volume.mount for volume in WindowsDisks(runner).volumes()] == ["C:"]
    assert [line[0] for line in runner.asked] == ["powershell"]


@pytest.mark.parametrize("result", [Result(1), Result(0), Result(MISSING), Result(TIMED_OUT), Result(0, b"garbage")])
def test_then_manage_bde(result):
    answers = {"powershell": result, "manage-bde": fixture("manage-bde-status-os-protected.txt")}
    assert [state(volume) for volume in WindowsDisks(FakeRunner(answers)).volumes()] == [ENCRYPTED]


def test_a_list_without_the_system_volume_does_not_pass_it_over():
    locked = fixture("get-bitlockervolume-locked.json")
    system, data = WindowsDisks(FakeRunner({"powershell": locked})).volumes()
    assert (system.id, system.role, *state(system)) == ("C:", "os", *UNKNOWN)
    assert data.id == "F:"


def test_without_rights_the_system_volume_is_unknown():
    refused = Result(0x80041003, fixture("manage-bde-status-not-elevated.txt").stdout)
    answers = {"powershell": Result(1, stderr=b"Access denied"), "manage-bde": refused}
    (volume,) = WindowsDisks(FakeRunner(answers)).volumes()
    assert (volume.id, volume.role, *state(volume)) == ("C:", "os", *UNKNOWN)
    assert volume.detail == "Get-BitLockerVolume was denied access; manage-bde was denied access"
