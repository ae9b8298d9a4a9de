"""No parser of a tool's output raises, and nothing broken or made up is ever called unencrypted."""

import json

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.support.runner import FIXTURES, FakeRunner

from keyfast.disks.linux import LinuxDisks
from keyfast.disks.macos import MacDisks
from keyfast.disks.runner import Result
from keyfast.disks.windows import WindowsDisks
from keyfast.wire import messages
from keyfast.wire.messages import Encryption, Inventory

WORDS = st.sampled_from(
    [
        *(
            b"FileVault is Off.",
            b"Volume C: [x]\n",
            b"    Conversion Status:    Fully Decrypted\n",
            b"    Key Protectors:",
        ),
        *(
            b'{"blockdevices":[',
            b'{"filesystems":[',
            b'"kname":"sda"',
            b'"MountPoint":"C:"',
            b'"VolumeStatus":0',
            b"}",
            b"]}",
        ),
        *(
            b"<plist>",
            b"<dict>",
            b"<key>Containers</key>",
            b"<array>",
            b"Version:       \t1\n",
            b"Cipher name:   \tx\n",
        ),
        *(b"\xff\xfe", b"\xef\xbb\xbf", b"\r\n", b"[" * 3000, b'{"children":[' * 1500),
    ]
)
GARBAGE = st.binary(max_size=200) | st.lists(WORDS | st.binary(max_size=8), max_size=12).map(b"".join)
JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)
MACHINES = {
    "linux": (LinuxDisks, ("findmnt", "lsblk", "blkid", "cryptsetup")),
    "windows": (WindowsDisks, ("powershell", "manage-bde")),
    "macos": (MacDisks, ("fdesetup", "diskutil", "mount", "sysctl")),
}
ENCRYPTED = {
    "windows-cmdlet": (WindowsDisks, {"powershell": "get-bitlockervolume-single.json"}),
    "windows-locked": (WindowsDisks, {"powershell": "get-bitlockervolume-locked.json"}),
    "windows-bde": (WindowsDisks, {"manage-bde": "manage-bde-status-os-protected.txt"}),
    "windows-clear-key": (WindowsDisks, {"manage-bde": "manage-bde-status-used-space-unprotected.txt"}),
    "linux-luks2": (
        LinuxDisks,
        {
            "findmnt": "findmnt-root-btrfs-subvol.json",
            "lsblk": "lsblk-luks-btrfs.json",
            "cryptsetup luksDump --dump-json-metadata": "luks2-dump-json-metadata.json",
            "cryptsetup luksDump": "luks1-dump.txt",
        },
    ),
}


def fits_the_wire(volumes):
    sent = messages.inventory_bytes(Inventory("host", "os", volumes=volumes))
    return msgspec.json.decode(sent, type=Inventory).volumes == volumes


def encryptions(volumes):
    return {volume.encryption for volume in volumes}


@pytest.mark.parametrize("machine", MACHINES)
@given(data=st.data())
def test_garbage_makes_the_system_unknown(machine, data):
    disks, tools = MACHINES[machine]
    volumes = disks(FakeRunner({tool: Result(0, data.draw(GARBAGE)) for tool in tools})).volumes()
    assert fits_the_wire(volumes)
    assert Encryption.UNENCRYPTED not in encryptions(volumes)
    assert any(volume.role == "os" for volume in volumes)


@pytest.mark.parametrize("case", ENCRYPTED)
@given(data=st.data())
def test_an_answer_cut_short_never_turns_encrypted_into_unencrypted(case, data):
    disks, names = ENCRYPTED[case]
    outputs = {tool: (FIXTURES / name).read_bytes() for tool, name in names.items()}
    cut = data.draw(st.sampled_from(sorted(outputs)))
    outputs[cut] = outputs[cut][: data.draw(st.integers(0, len(outputs[cut])))]
    volumes = disks(FakeRunner({tool: Result(0, output) for tool, output in outputs.items()})).volumes()
    assert fits_the_wire(volumes)
    assert Encryption.UNENCRYPTED not in encryptions(volumes)


@pytest.mark.parametrize("case", ENCRYPTED)
@given(data=st.data())
def test_a_flipped_bit_is_survived(case, data):
    disks, names = ENCRYPTED[case]
    outputs = {tool: bytearray((FIXTURES / name).read_bytes()) for tool, name in names.items()}
    hit = outputs[data.draw(st.sampled_from(sorted(outputs)))]
    hit[data.draw(st.integers(0, len(hit) - 1))] ^= 1 << data.draw(st.integers(0, 7))
    volumes = disks(FakeRunner({tool: Result(0, bytes(output)) for tool, output in outputs.items()})).volumes()
    assert volumes
    assert fits_the_wire(volumes)


NAMES = st.sampled_from(["sda", "sda1", "dm-0", "md0", "loop0"])
DEVICES = st.recursive(
    st.fixed_dictionaries({"name": NAMES, "kname": NAMES}),
    lambda inner: st.fixed_dictionaries(
        {"name": NAMES, "kname": NAMES},
        optional={
            "type": st.sampled_from(["disk", "part", "crypt", "lvm", "raid1", "loop", "dm"]) | JSON_VALUES,
            "fstype": st.sampled_from(["ext4", "crypto_LUKS", "btrfs", "BitLocker"]) | JSON_VALUES,
            "size": st.integers(),
            "uuid": st.text(max_size=300),
            "mountpoints": st.lists(st.none() | st.sampled_from(["/", "[SWAP]"]), max_size=2),
            "children": st.lists(inner, max_size=3),
        },
    ),
    max_leaves=6,
)
MOUNTS = st.fixed_dictionaries(
    {"target": st.sampled_from(["/", "/home", "/boot"]) | st.text(max_size=300)},
    optional={
        "source": NAMES.map("/dev/{}".format) | st.text(max_size=300),
        "fstype": st.sampled_from(["ext4", "zfs"]),
    },
)


@given(trees=st.lists(DEVICES, max_size=3), mounts=st.lists(MOUNTS, max_size=4))
def test_any_machine_gives_volumes_that_fit_the_wire(trees, mounts):
    answers = {
        "lsblk": Result(0, json.dumps({"blockdevices": trees}).encode()),
        "findmnt": Result(0, json.dumps({"filesystems": mounts}).encode()),
    }
    volumes = LinuxDisks(FakeRunner(answers)).volumes()
    assert fits_the_wire(volumes)
    assert sum(volume.role == "os" for volume in volumes) >= 1


KNOWN = st.fixed_dictionaries(
    {
        "MountPoint": st.sampled_from(
            ["C:", "D:\\mount", "\\\\?\\Volume{" + "0" * 8 + "-0000-0000-0000-" + "0" * 12 + "}\\"]
        )
    },
    optional={
        name: st.integers(-1, 12) | JSON_VALUES
        for name in (
            *("VolumeStatus", "ProtectionStatus", "LockStatus", "EncryptionPercentage", "EncryptionMethod"),
            *("VolumeType", "CapacityGB", "KeyProtector"),
        )
    },
)


@given(entries=KNOWN | st.lists(KNOWN, max_size=4))
def test_any_bitlocker_answer_is_read_or_refused(entries):
    volumes = WindowsDisks(FakeRunner({"powershell": Result(0, json.dumps(entries).encode())})).volumes()
    assert volumes
    assert fits_the_wire(volumes)
    for volume in volumes:
        if volume.encryption is Encryption.UNENCRYPTED:
            told = [
                entry
                for entry in ([entries] if isinstance(entries, dict) else entries)
                if entry.get("MountPoint") == volume.mount
            ]
            assert any((entry.get("VolumeStatus"), entry.get("ProtectionStatus")) == (0, 0) for entry in told)
