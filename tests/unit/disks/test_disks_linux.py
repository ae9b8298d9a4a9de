"""Linux volumes from what the tools say: fixtures of real layouts, and machines that were made up."""

import json

import pytest
from tests.support.runner import FakeRunner, fixture

from keyfast.disks.linux import LinuxDisks
from keyfast.disks.runner import MISSING, TIMED_OUT, Result
from keyfast.wire.messages import Encryption, Protection

LUKS_UUID = "11111111-2222-4333-8444-555555555555"
LUKS2 = fixture("luks2-dump-json-metadata.json")
LUKS1 = fixture("luks1-dump.txt")
STATUS = Result(0, b"/dev/mapper/x is active and is in use.\n  type:    PLAIN\n  cipher:  aes-cbc-essiv:sha256\n")
UNKNOWN = (Encryption.UNKNOWN, Protection.UNKNOWN)
ENCRYPTED = (Encryption.ENCRYPTED, Protection.ON)
PLAIN = (Encryption.UNENCRYPTED, Protection.OFF)


def lsblk(*devices):
    return Result(0, json.dumps({"blockdevices": devices}).encode())


def device(kname, *children, type_="disk", size=1000, **members):
    return {"name": kname, "kname": kname, "type": type_, "size": size, "children": list(children), **members}


def findmnt(*mounts):
    names = ("source", "target", "fstype", "maj:min")
    return Result(0, json.dumps({"filesystems": [dict(zip(names, mount, strict=False)) for mount in mounts]}).encode())


def read(tmp_path, answers, dm_uuids=()):
    for name, dm_uuid in dict(dm_uuids).items():
        folder = tmp_path / "sys/block" / name / "dm"
        folder.mkdir(parents=True)
        (folder / "uuid").write_text(dm_uuid + "\n")
    runner = FakeRunner(answers)
    volumes = LinuxDisks(runner, tmp_path).volumes()
    return {volume.mount or volume.role: volume for volume in volumes}


def state(volume):
    return volume.encryption, volume.protection


def only(tmp_path, tree, mount, answers=(), dm_uuids=()):
    found = read(tmp_path, {"findmnt": findmnt(mount), "lsblk": lsblk(*tree), **dict(answers)}, dm_uuids)
    assert list(found) == [mount[1]]
    return found[mount[1]]


def test_luks_below_lvm_protects_root_and_swap(tmp_path):
    mounts = findmnt(
        ("/dev/mapper/vg0-root", "/", "ext4"),
        ("/dev/nvme0n1p1", "/boot/efi", "vfat"),
        ("/dev/nvme0n1p2", "/boot", "ext4"),
    )
    answers = {"findmnt": mounts, "lsblk": fixture("lsblk-luks-lvm.json"), "cryptsetup luksDump": LUKS2}
    found = read(tmp_path, answers)
    assert {name: (volume.role, *state(volume)) for name, volume in found.items()} == {
        "/": ("os", *ENCRYPTED),
        "/boot": ("boot", *PLAIN),
        "/boot/efi": ("boot", *PLAIN),
        "swap": ("swap", *ENCRYPTED),
    }
    root = found["/"]
    assert (root.technology, root.method, root.percent) == ("luks2", "aes-xts-plain64", 100)
    assert root.protectors == ("slot 0: passphrase", "slot 1: systemd-recovery", "slot 7: keyfast-recovery")
    assert (root.id, root.size) == ("baa606a9-77ef-4717-a125-ecb7e6a13574", 480000000000)


def test_cryptsetup_is_asked_once_for_each_layer(tmp_path):
    runner = FakeRunner(
        {
            "findmnt": fixture("findmnt-root-luks.json"),
            "lsblk": fixture("lsblk-luks-lvm.json"),
            "cryptsetup luksDump": LUKS2,
        }
    )
    LinuxDisks(runner, tmp_path).volumes()
    asked = [line for line in runner.asked if line[0] == "cryptsetup"]
    assert asked == [("cryptsetup", "luksDump", "--dump-json-metadata", "/dev/nvme0n1p3")]


def test_subvolumes_are_one_volume_and_a_locked_disk_is_listed(tmp_path):
    source = f"/dev/mapper/luks-{LUKS_UUID}"
    mounts = findmnt((f"{source}[/home]", "/home", "btrfs", "0:31"), (f"{source}[/root]", "/", "btrfs", "0:31"))
    found = read(
        tmp_path,
        {
            "findmnt": mounts,
            "lsblk": fixture("lsblk-luks-btrfs.json"),
            "cryptsetup luksDump": LUKS1,
            "cryptsetup luksDump --dump-json-metadata": LUKS2,
        },
    )
    assert sorted(found) == ["/", "data"]
    assert (found["/"].technology, *state(found["/"])) == ("luks1", *ENCRYPTED)
    assert found["/"].id == LUKS_UUID, "the id is the container's, so that it is the same when locked"
    assert found["data"].id == "5b697f3e-4482-4bd1-a82b-9f243e7baf04"
    assert (found["data"].technology, *state(found["data"])) == ("luks2", *ENCRYPTED)


def test_the_fixture_of_a_btrfs_root_names_its_device(tmp_path):
    answers = {
        "findmnt": fixture("findmnt-root-btrfs-subvol.json"),
        "lsblk": fixture("lsblk-luks-btrfs.json"),
        "cryptsetup": LUKS1,
    }
    assert read(tmp_path, answers)["/"].technology == "luks1"


@pytest.mark.parametrize("name", ["lsblk-plain.json", "lsblk-no-udev.json"])
def test_a_mounted_file_system_without_encryption_is_plain(tmp_path, name):
    mounts = findmnt(("/dev/vda", "/", "ext4", "254:0"), ("tmpfs", "/tmp", "tmpfs", "0:25"))
    found = read(tmp_path, {"findmnt": mounts, "lsblk": fixture(name)})
    assert list(found) == ["/"]
    assert (found["/"].technology, found["/"].percent, *state(found["/"])) == ("plain", 0, *PLAIN)
    assert found["/"].size == 274877906944


def test_a_device_is_found_by_number_when_its_name_is_another(tmp_path):
    tree = (device("sda1", type_="part", **{"maj:min": "8:1"}),)
    assert state(only(tmp_path, tree, ("/dev/root", "/", "ext4", "8:1"))) == PLAIN


def test_a_crypt_layer_is_known_without_udev(tmp_path):
    tree = (device("sda", device("dm-0", type_="crypt")),)
    dm_uuids = {"dm-0": f"CRYPT-LUKS2-{LUKS_UUID.replace('-', '')}-root"}
    volume = only(tmp_path, tree, ("/dev/dm-0", "/", "ext4"), {"cryptsetup luksDump": LUKS2}, dm_uuids)
    assert (volume.id, volume.technology, *state(volume)) == (LUKS_UUID, "luks2", *ENCRYPTED)


@pytest.mark.parametrize("kind", ["VERITY", "INTEGRITY"])
def test_what_only_checks_data_does_not_encrypt_it(tmp_path, kind):
    tree = (device("sda", device("dm-0", type_="crypt")),)
    dm_uuids = {"dm-0": f"CRYPT-{kind}-{'0' * 32}-root"}
    assert state(only(tmp_path, tree, ("/dev/dm-0", "/", "ext4"), (), dm_uuids)) == PLAIN


def test_a_mapping_without_header_is_judged_by_its_cipher(tmp_path):
    tree = (device("sda", device("dm-0", type_="crypt")),)
    dm_uuids = {"dm-0": "CRYPT-PLAIN-root"}
    volume = only(tmp_path, tree, ("/dev/dm-0", "/", "ext4"), {"cryptsetup status": STATUS}, dm_uuids)
    assert (volume.technology, volume.method, *state(volume)) == (
        "dm-crypt",
        "aes-cbc-essiv:sha256",
        *ENCRYPTED,
    )


def test_a_detached_header_leaves_what_the_kernel_knows(tmp_path):
    tree = (device("sda", device("dm-0", type_="crypt")),)
    answers = {"cryptsetup luksDump": Result(1), "cryptsetup status": STATUS}
    volume = only(tmp_path, tree, ("/dev/dm-0", "/", "ext4"), answers, {"dm-0": "CRYPT-LUKS2-x"})
    assert (volume.technology, *state(volume)) == ("luks2", *ENCRYPTED)


@pytest.mark.parametrize(
    ("answer", "detail"),
    [
        (Result(1, stderr=b"Cannot open device: Permission denied"), "cryptsetup was denied access"),
        (Result(4), "cryptsetup failed with code 4"),
        (Result(TIMED_OUT), "cryptsetup did not finish in time"),
        (Result(MISSING), "cryptsetup is not installed"),
        (Result(0, b"{}"), "cryptsetup gave no answer that could be read"),
    ],
)
def test_an_encrypted_layer_nobody_may_read_is_unknown(tmp_path, answer, detail):
    answers = {
        "findmnt": fixture("findmnt-root-luks.json"),
        "lsblk": fixture("lsblk-luks-lvm.json"),
        "cryptsetup": answer,
    }
    root = read(tmp_path, answers)["/"]
    assert (root.technology, root.detail, *state(root)) == ("luks2", detail, *UNKNOWN)


@pytest.mark.parametrize(
    ("tree", "reason"),
    [
        (device("dm-0", type_="dm"), "a kind this version does not know: dm"),
        (device("dm-0", type_=""), "a kind this version does not know: none"),
        (device("dm-0", type_="crypt"), "could not be read"),
        (device("dm-0", type_="loop"), "a kind this version does not know: loop"),
        (device("dm-0", type_="part", fstype="crypto_LUKS"), "holds encrypted data"),
        (device("dm-0", device("dm-0")), "lie on each other"),
    ],
)
def test_what_proves_nothing_is_unknown(tmp_path, tree, reason):
    volume = only(tmp_path, (tree,), ("/dev/dm-0", "/", "ext4"))
    assert state(volume) == UNKNOWN
    assert reason in volume.detail


@pytest.mark.parametrize("fstype", ["bcachefs", "somethingfs", ""])
def test_a_file_system_that_may_encrypt_by_itself_is_unknown(tmp_path, fstype):
    assert state(only(tmp_path, (device("sda"),), ("/dev/sda", "/", fstype))) == UNKNOWN


@pytest.mark.parametrize("mount", [("overlay", "/", "overlay"), ("server:/export", "/", "nfs4"), ("x", "/", "tmpfs")])
def test_a_root_without_a_device_is_one_unknown_volume(tmp_path, mount):
    volume = only(tmp_path, (device("sda"),), mount)
    assert (volume.role, *state(volume)) == ("os", *UNKNOWN)
    assert mount[2] in volume.detail


def test_a_pool_is_one_unknown_volume(tmp_path):
    mounts = findmnt(("rpool/ROOT/debian", "/", "zfs"), ("rpool/home", "/home", "zfs"), ("tank/a", "/tank", "zfs"))
    found = read(tmp_path, {"findmnt": mounts, "lsblk": lsblk(device("sda"))})
    assert {name: (volume.id, *state(volume)) for name, volume in found.items()} == {
        "/": ("rpool", *UNKNOWN),
        "/tank": ("tank", *UNKNOWN),
    }


def test_files_discs_and_compressed_memory_are_no_volumes(tmp_path):
    mounts = findmnt(
        ("/dev/sda", "/", "ext4"),
        ("/dev/loop3", "/snap/x", "squashfs"),
        ("/dev/sr0", "/media/disc", "iso9660"),
        ("/dev/fuse", "/run/portal", "fuse"),
        ("/dev/mapper/file", "/mnt/file", "ext4"),
        ("server:/home", "/home", "nfs"),
    )
    tree = (
        device("sda"),
        device("zram0", mountpoint="[SWAP]"),
        device(
            "loop4",
            device("dm-9", type_="crypt", path="/dev/mapper/file"),
            type_="loop",
            fstype="crypto_LUKS",
        ),
    )
    assert list(read(tmp_path, {"findmnt": mounts, "lsblk": lsblk(*tree), "cryptsetup": LUKS2})) == ["/"]


def test_plain_swap_is_exposed(tmp_path):
    tree = (device("sda"), device("sdb", mountpoint="[SWAP]"))
    found = read(tmp_path, {"findmnt": findmnt(("/dev/sda", "/", "ext4")), "lsblk": lsblk(*tree)})
    assert (found["swap"].id, *state(found["swap"])) == ("/dev/sdb", *PLAIN)


@pytest.mark.parametrize("second", [device("sdb", type_="disk"), device("sdb", type_="part")])
def test_data_of_which_a_part_is_plain_is_not_protected(tmp_path, second):
    raid = {"type_": "raid1", "fstype": "ext4"}
    crypt = device("sda", device("dm-0", device("md0", **raid), type_="crypt"), fstype="crypto_LUKS", fsver="2")
    second["children"] = [device("md0", **raid)]
    volume = only(tmp_path, (crypt, second), ("/dev/md0", "/", "ext4"), {"cryptsetup": LUKS2})
    assert state(volume) == (Encryption.UNKNOWN, Protection.OFF)
    assert "only some" in volume.detail


def test_every_device_of_a_btrfs_counts(tmp_path):
    btrfs = {"fstype": "btrfs", "uuid": "b"}
    crypt = device("sda", device("dm-0", type_="crypt", **btrfs), fstype="crypto_LUKS", fsver="2")
    volume = only(tmp_path, (crypt, device("sdb", **btrfs)), ("/dev/dm-0", "/", "btrfs"), {"cryptsetup": LUKS2})
    assert state(volume) == (Encryption.UNKNOWN, Protection.OFF)
    assert (volume.id, volume.size) == ("b", 2000)


def raid_over_luks1_and_luks2():
    raid = device("md0", type_="raid0", fstype="ext4")
    return tuple(
        device(name, device(f"dm-{name}", raid, type_="crypt"), fstype="crypto_LUKS", fsver=version)
        for name, version in (("sda", "1"), ("sdb", "2"))
    )


def test_layers_that_differ_and_all_protect(tmp_path):
    answers = {"cryptsetup luksDump": LUKS1, "cryptsetup luksDump --dump-json-metadata": LUKS2}
    volume = only(tmp_path, raid_over_luks1_and_luks2(), ("/dev/md0", "/", "ext4"), answers)
    assert (volume.technology, volume.method, *state(volume)) == ("", "aes-xts-plain64", *ENCRYPTED)


def test_layers_that_differ_agree_on_the_weakest(tmp_path):
    tree = raid_over_luks1_and_luks2()
    answers = {"cryptsetup luksDump": LUKS1, "cryptsetup luksDump --dump-json-metadata": Result(1)}
    volume = only(tmp_path, tree, ("/dev/md0", "/", "ext4"), {**answers, "cryptsetup status": Result(4)})
    assert (volume.technology, *state(volume)) == ("", *UNKNOWN)


def test_an_open_and_idle_container_is_listed(tmp_path):
    tree = (
        device("sda"),
        device("sdb", device("dm-0", type_="crypt"), fstype="crypto_LUKS", fsver="2", uuid="u"),
    )
    answers = {"findmnt": findmnt(("/dev/sda", "/", "ext4")), "lsblk": lsblk(*tree), "cryptsetup": LUKS2}
    assert read(tmp_path, answers)["data"].id == "u"


def test_a_locked_bitlocker_disk_is_unknown(tmp_path):
    tree = (device("sda"), device("sdb", fstype="BitLocker"))
    volume = read(tmp_path, {"findmnt": findmnt(("/dev/sda", "/", "ext4")), "lsblk": lsblk(*tree)})["data"]
    assert (volume.technology, *state(volume)) == ("bitlocker", *UNKNOWN)


def test_without_udev_idle_devices_are_probed(tmp_path):
    tree = (device("sda", mountpoints=["/"]), device("sdb"), device("sdc", size=0), device("zram0"))
    runner = FakeRunner(
        {
            "findmnt": findmnt(("/dev/sda", "/", "ext4")),
            "lsblk": lsblk(*tree),
            "blkid": Result(0, b"DEVNAME=/dev/sdb\nVERSION=2\nUUID=u\nTYPE=crypto_LUKS\nUSAGE=crypto\n"),
            "cryptsetup luksDump --dump-json-metadata /dev/sdb": LUKS2,
        }
    )
    volumes = LinuxDisks(runner, tmp_path).volumes()
    assert [line[-1] for line in runner.asked if line[0] == "blkid"] == ["/dev/sdb"]
    assert [(volume.id, *state(volume)) for volume in volumes] == [("/dev/sda", *PLAIN), ("u", *ENCRYPTED)]


def test_an_old_lsblk_is_asked_in_its_own_words(tmp_path):
    old = json.dumps({"blockdevices": [{"name": "sda", "kname": "sda", "type": "disk", "size": "1000"}]}).encode()

    def answer(argv):
        return Result(1, stderr=b"unknown column") if "MOUNTPOINTS" in argv[-1] else Result(0, old)

    found = read(tmp_path, {"findmnt": findmnt(("/dev/sda", "/", "ext4")), "lsblk": answer})
    assert (found["/"].size, *state(found["/"])) == (1000, *PLAIN)


@pytest.mark.parametrize("result", [Result(MISSING), Result(TIMED_OUT), Result(1), Result(0), Result(0, b"garbage")])
def test_without_lsblk_mounts_are_unknown(tmp_path, result):
    found = read(
        tmp_path,
        {"findmnt": findmnt(("/dev/sda", "/", "ext4"), ("/dev/sdb", "/home", "xfs")), "lsblk": result},
    )
    assert {name: state(volume) for name, volume in found.items()} == {"/": UNKNOWN, "/home": UNKNOWN}
    assert all(volume.detail.startswith("lsblk ") for volume in found.values())


@pytest.mark.parametrize("result", [Result(MISSING), Result(TIMED_OUT), Result(1), Result(0), Result(0, b"garbage")])
def test_without_findmnt_the_system_is_unknown(tmp_path, result):
    found = read(tmp_path, {"findmnt": result, "lsblk": fixture("lsblk-plain.json")})
    assert {name: state(volume) for name, volume in found.items()} == {"/": UNKNOWN}
    assert found["/"].detail.startswith("findmnt ")


def test_of_mounts_over_each_other_the_topmost_counts(tmp_path):
    mounts = findmnt(("rootfs", "/", "rootfs"), ("/dev/sda", "/", "ext4"))
    assert state(read(tmp_path, {"findmnt": mounts, "lsblk": lsblk(device("sda"))})["/"]) == PLAIN


def test_an_open_bitlocker_disk_may_hold_a_clear_key(tmp_path):
    tree = (device("sda", device("dm-0", type_="crypt"), fstype="BitLocker"),)
    volume = only(tmp_path, tree, ("/dev/dm-0", "/", "ntfs3"), {"cryptsetup status": STATUS})
    assert (volume.technology, *state(volume)) == ("bitlocker", Encryption.ENCRYPTED, Protection.UNKNOWN)
