"""FileVault by fdesetup and diskutil."""

import plistlib

import pytest
from tests.support.runner import FakeRunner, fixture

from keyfast.disks import apfs, filevault
from keyfast.disks.filevault import FileVault
from keyfast.disks.macos import MacDisks, judge, parse_mounts, swap_state
from keyfast.disks.runner import MISSING, TIMED_OUT, Result
from keyfast.wire.messages import Encryption, Protection

MOUNT = Result(
    0,
    b"/dev/disk3s1s1 on / (apfs, sealed, local, read-only, journaled)\n"
    b"devfs on /dev (devfs, local, nobrowse)\n"
    b"/dev/disk3s5 on /System/Volumes/Data (apfs, local, journaled, nobrowse, protect)\n",
)
SWAP = Result(0, b"total = 2048.00M  used = 1024.00M  free = 1024.00M  (encrypted)\n")
UNKNOWN = (Encryption.UNKNOWN, Protection.UNKNOWN)
ENCRYPTED = (Encryption.ENCRYPTED, Protection.ON)
PLAIN = (Encryption.UNENCRYPTED, Protection.OFF)


def state(volume):
    return volume.encryption, volume.protection


def read(vault, listing, **answers):
    known = {"fdesetup": vault, "diskutil": listing, "mount": MOUNT, **answers}
    return MacDisks(FakeRunner(known)).volumes()


def status(name):
    return fixture(f"fdesetup-status-{name}.txt")


LISTING = fixture("diskutil-apfs-list-filevault.plist")
PLAIN_LISTING = fixture("diskutil-apfs-list-plain.plist")


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("on", FileVault(on=True)),
        ("off", FileVault(on=False)),
        ("deferred", FileVault(on=False)),
        ("encrypting", FileVault(on=True, change=Encryption.ENCRYPTING, percent=31.2)),
        ("encrypting-paused", FileVault(on=True, change=Encryption.ENCRYPTING)),
        ("decrypting", FileVault(on=False, change=Encryption.DECRYPTING, percent=27)),
    ],
)
def test_fdesetup(name, expected):
    assert filevault.parse(status(name).stdout) == expected
    assert filevault.parse(status(name).stdout.replace(b"Percent", b"percent")) == expected


@pytest.mark.parametrize("text", [b"", b"FileVault est active.\n", b"Error: FileVault is Off.", b"FileVault is Off"])
def test_what_fdesetup_did_not_say(text):
    assert filevault.parse(text) is None


def test_filevault_on():
    found = {volume.role if volume.role != "boot" else volume.id: volume for volume in read(status("on"), LISTING)}
    assert (found["os"].mount, found["os"].technology, *state(found["os"])) == ("/", "filevault", *ENCRYPTED)
    assert (found["data"].mount, *state(found["data"])) == ("/System/Volumes/Data", *ENCRYPTED)
    assert found["os"].size == 494384795648
    assert state(found["swap"]) == ENCRYPTED
    assert state(found["A667317B-3334-4229-A746-D4846C4C2759"]) == PLAIN


def test_a_change_concerns_the_system_only():
    volumes = read(status("encrypting"), LISTING)
    changing = [(volume.role, volume.percent) for volume in volumes if volume.encryption is Encryption.ENCRYPTING]
    assert changing == [("os", 31.2), ("data", 31.2)]


def test_filevault_off():
    mounts = Result(0, b"/dev/disk1s1 on / (apfs, local, journaled)\n")
    volumes = read(status("off"), PLAIN_LISTING, mount=mounts)
    assert [(volume.role, *state(volume)) for volume in volumes] == [
        ("os", *PLAIN),
        ("boot", *PLAIN),
        ("data", *ENCRYPTED),
    ]


def test_no_system_volume_is_unknown_and_not_passed_over():
    system, *_ = read(status("off"), PLAIN_LISTING, mount=Result(1))
    assert (system.role, *state(system)) == ("os", *UNKNOWN)


@pytest.mark.parametrize("result", [Result(MISSING), Result(TIMED_OUT), Result(1), Result(0), Result(0, b"garbage")])
@pytest.mark.parametrize(
    ("vault", "expected"),
    [
        (status("on"), ENCRYPTED),
        (status("off"), (Encryption.UNKNOWN, Protection.OFF)),
        (status("decrypting"), (Encryption.DECRYPTING, Protection.OFF)),
        (Result(1), UNKNOWN),
        (Result(0, b"FileVault est active."), UNKNOWN),
    ],
)
def test_without_diskutil(vault, expected, result):
    (volume,) = read(vault, result)
    assert (volume.role, *state(volume)) == ("os", *expected)
    assert "diskutil" in volume.detail


def one(**members):
    known = {"APFSVolumeUUID": "u", "DeviceIdentifier": "disk1s1", **members}
    ((volume, _),) = apfs.parse(plistlib.dumps({"Containers": [{"Volumes": [known]}]}))
    return volume


ON, OFF = FileVault(on=True), FileVault(on=False)


@pytest.mark.parametrize(
    ("members", "vault", "expected"),
    [
        ({}, OFF, UNKNOWN),
        ({}, None, UNKNOWN),
        ({"Locked": True}, None, ENCRYPTED),
        ({"Encryption": False}, None, PLAIN),
        ({"Encryption": False}, OFF, PLAIN),
        ({"Encryption": False}, ON, UNKNOWN),
        ({"Encryption": False, "FileVault": True}, None, UNKNOWN),
        ({"Encryption": True}, None, (Encryption.ENCRYPTED, Protection.UNKNOWN)),
        ({"Encryption": True}, ON, ENCRYPTED),
        ({"Encryption": True}, OFF, (Encryption.ENCRYPTED, Protection.OFF)),
        ({"Encryption": True, "FileVault": False}, None, (Encryption.ENCRYPTED, Protection.OFF)),
        ({"Encryption": True, "FileVault": True}, None, ENCRYPTED),
        ({"Encryption": True, "FileVault": True}, OFF, (Encryption.ENCRYPTED, Protection.UNKNOWN)),
        ({"Encryption": True, "CryptoMigrationOn": True}, ON, UNKNOWN),
    ],
)
def test_one_volume(members, vault, expected):
    assert state(judge(one(**members), vault)) == expected


def test_swap_is_encrypted_when_macos_says_so():
    assert state(swap_state(SWAP.stdout)) == ENCRYPTED
    assert swap_state(b"total = 0.00M\n") is None
    plain_swap = LISTING.stdout.replace(b"<true/>", b"<false/>")
    swap = [volume for volume in read(status("off"), Result(0, plain_swap), sysctl=SWAP) if volume.role == "swap"]
    assert [state(volume) for volume in swap] == [ENCRYPTED]


def test_mounts():
    assert parse_mounts(MOUNT.stdout) == {"disk3s1": "/", "disk3s5": "/System/Volumes/Data"}


@pytest.mark.parametrize(
    "output",
    [
        b"",
        b"<plist><dict><key>Containers</key></dict></plist>",
        b"<plist><date>x</date></plist>",
        b"<plist><array></plist>",
        LISTING.stdout[:-100],
        plistlib.dumps({"Containers": []}),
        plistlib.dumps({"Containers": [{"Volumes": [{"Encryption": False}]}]}),
        plistlib.dumps([]),
    ],
)
def test_what_is_no_listing(output):
    assert apfs.parse(output) is None
