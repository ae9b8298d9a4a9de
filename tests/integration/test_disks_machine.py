"""This very machine, by its real tools, and real LUKS headers on files."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from tests.support.require import require

from keyfast.disks import blkid, factory, findmnt, lsblk, luks, os_facts
from keyfast.disks.lsblk import Device
from keyfast.disks.runner import Result, SystemRunner
from keyfast.wire import messages
from keyfast.wire.messages import Encryption, Inventory, Protection

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="reads a Linux machine")

PASSPHRASE = b"correct horse battery staple"
CHEAP = ("--pbkdf", "pbkdf2", "--pbkdf-force-iterations", "1000")
MIB = 2**20


class Luks:
    """A file with a LUKS header, changed by the real cryptsetup."""

    def __init__(self, folder: Path, size: int) -> None:
        self.cryptsetup = require("cryptsetup", "cryptsetup-bin")
        self.file, self.key = folder / "disk", folder / "key"
        self.key.write_bytes(PASSPHRASE)
        with self.file.open("wb") as file:
            file.truncate(size)

    def change(self, *arguments: str) -> None:
        line = (self.cryptsetup, "--batch-mode", "--key-file", str(self.key), *arguments)
        done = subprocess.run(line, capture_output=True, check=False, stdin=subprocess.DEVNULL)
        assert done.returncode == 0, done.stderr

    def dump(self, *options: str) -> Result:
        return SystemRunner().run((self.cryptsetup, "luksDump", *options, str(self.file)))


@pytest.fixture
def disk(tmp_path):
    return Luks(tmp_path, 64 * MIB)


def test_luks2_from_format_to_erase(disk):
    disk.change("luksFormat", "--type", "luks2", *CHEAP, str(disk.file))
    disk.change("luksAddKey", "--new-key-slot", "7", *CHEAP, str(disk.file), str(disk.key))
    token = json.dumps({"type": "keyfast-recovery", "keyslots": ["7"]})
    subprocess.run([disk.cryptsetup, "token", "import", str(disk.file)], input=token.encode(), check=True)
    found = luks.parse_luks2(disk.dump("--dump-json-metadata").stdout)
    assert (found.encryption, found.protection) == (Encryption.ENCRYPTED, Protection.ON)
    assert (found.method, found.percent) == ("aes-xts-plain64", 100)
    assert found.protectors == ("slot 0: passphrase", "slot 7: keyfast-recovery")
    disk.change("luksErase", str(disk.file))
    erased = luks.parse_luks2(disk.dump("--dump-json-metadata").stdout)
    assert (erased.encryption, erased.protectors) == (Encryption.ENCRYPTED, ())


def test_luks1(disk):
    disk.change("luksFormat", "--type", "luks1", *CHEAP, str(disk.file))
    found = luks.parse_luks1(disk.dump().stdout)
    assert (found.encryption, found.protection) == (Encryption.ENCRYPTED, Protection.ON)
    assert (found.method, found.protectors) == ("aes-xts-plain64", ("slot 0: passphrase",))
    refused = disk.dump("--dump-json-metadata")
    assert refused.code != 0 or luks.parse_luks2(refused.stdout) is None


def test_a_plain_file_that_is_being_encrypted(disk):
    disk.change(
        *("reencrypt", "--encrypt", "--type", "luks2", "--init-only", "--force-offline-reencrypt"),
        *("--reduce-device-size", "32M", *CHEAP, str(disk.file)),
    )
    found = luks.parse_luks2(disk.dump("--dump-json-metadata").stdout)
    assert (found.encryption, found.protection) == (Encryption.ENCRYPTING, Protection.OFF)
    disk.change("reencrypt", "--resume-only", "--force-offline-reencrypt", str(disk.file))
    found = luks.parse_luks2(disk.dump("--dump-json-metadata").stdout)
    assert (found.encryption, found.protection) == (Encryption.ENCRYPTED, Protection.ON)


def test_a_file_without_header_is_not_luks(disk):
    result = disk.dump()
    assert result.code != 0
    assert luks.parse_luks1(result.stdout) is None


@pytest.mark.parametrize("version", ["1", "2"])
def test_blkid_knows_a_header(disk, version):
    disk.change("luksFormat", "--type", f"luks{version}", *CHEAP, str(disk.file))
    probe = (require("blkid", "util-linux"), "-p", "-o", "export", str(disk.file))
    told = blkid.told(Device("sdb", "sdb", ("/dev/sdb",)), SystemRunner().run(probe).stdout)
    assert (told.fstype, told.fsver, len(told.uuid)) == ("crypto_LUKS", version, 36)


def test_the_tools_of_this_machine_are_understood():
    require("findmnt", "mount")
    require("lsblk", "util-linux")
    mounts = findmnt.parse(SystemRunner().run(findmnt.ARGV).stdout)
    assert "/" in [mount.target for mount in mounts]
    parsed = [lsblk.parse(SystemRunner().run(("lsblk", "-J", "-b", "-o", columns)).stdout) for columns in lsblk.COLUMNS]
    assert any(parsed)


def test_the_volumes_of_this_machine():
    require("findmnt", "mount")
    volumes = factory.for_this_machine(SystemRunner()).volumes()
    (system,) = [volume for volume in volumes if volume.role == "os"]
    assert system.mount == "/"
    assert system.encryption is not Encryption.UNKNOWN or system.detail
    facts = os_facts.read()
    inventory = Inventory(facts.hostname, facts.os, facts.os_version, facts.architecture, volumes)
    again = factory.for_this_machine(SystemRunner()).volumes()
    assert messages.inventory_bytes(inventory).count(b'"id"') == len(again), "two looks see the same"
    assert again == volumes


def test_a_mounted_ext4_on_a_bare_disk_is_plain_also_without_udev():
    require("findmnt", "mount")
    mounts = findmnt.parse(SystemRunner().run(findmnt.ARGV).stdout)
    (root,) = [mount for mount in mounts if mount.target == "/"]
    devices = lsblk.parse(SystemRunner().run(("lsblk", "-J", "-b", "-o", lsblk.COLUMNS[0])).stdout) or {}
    under = [device for device in devices.values() if root.source in device.names]
    if root.fstype != "ext4" or not under or under[0].kind not in {"disk", "part"}:
        pytest.skip(f"the root of this machine is {root.fstype} on {root.source}, not ext4 on a bare disk")
    (system,) = [volume for volume in factory.for_this_machine(SystemRunner()).volumes() if volume.role == "os"]
    assert (system.encryption, system.protection) == (Encryption.UNENCRYPTED, Protection.OFF)


def test_this_boot_and_this_machine():
    assert os_facts.boot_id() == Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    assert os_facts.boot_id() == os_facts.boot_id()
    assert isinstance(os_facts.hardware(), messages.Hardware)
