"""Facts about machines that were made up; this very one is in the integration tests."""

import uuid

import pytest
from tests.support.runner import FakeRunner

from keyfast.disks.os_facts import Host, linux_release
from keyfast.disks.runner import Result
from keyfast.wire.messages import Hardware

BOOT = "2a25896c-a17d-40aa-9806-c17192fd711d"
REG = "\r\nHKEY_LOCAL_MACHINE\\SOFTWARE\\X\r\n    {}    {}    {}\r\n\r\n"


def reg(name, kind, value):
    return Result(0, REG.format(name, kind, value).encode())


def place(root, path, text):
    (root / path).parent.mkdir(parents=True, exist_ok=True)
    (root / path).write_text(text)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            'PRETTY_NAME="Debian GNU/Linux 12 (bookworm)"\nVERSION_ID="12"\n',
            ("Debian GNU/Linux 12 (bookworm)", "12"),
        ),
        ("NAME=Gentoo\nVERSION_ID=2.15\n", ("Gentoo", "2.15")),
        ("NAME='Arch Linux'\nBUILD_ID=rolling\n", ("Arch Linux", "rolling")),
    ],
)
def test_linux_release(tmp_path, text, expected):
    place(tmp_path, "usr/lib/os-release", text)
    assert linux_release(tmp_path) == expected


def test_a_linux_without_a_name(tmp_path):
    name, version = linux_release(tmp_path)
    assert name == "Linux"
    assert version


def test_linux_ids(tmp_path):
    place(tmp_path, "proc/sys/kernel/random/boot_id", BOOT + "\n")
    place(tmp_path, "sys/class/dmi/id/product_uuid", BOOT.upper() + "\n")
    place(tmp_path, "sys/class/dmi/id/product_serial", "5CG 1234\n")
    place(tmp_path, "etc/machine-id", "3d1219c7c4c5404aaa1f6d2a48adfda4\n")
    host = Host("linux", tmp_path, FakeRunner({}))
    assert host.boot_id() == BOOT
    assert host.hardware() == Hardware(BOOT, "3d1219c7c4c5404aaa1f6d2a48adfda4", "5CG 1234")


@pytest.mark.parametrize(
    "told",
    ["", "Not Settable", "0" * 8 + "-0000-0000-0000-" + "0" * 12, "ffffffff-ffff-ffff-ffff-ffffffffffff"],
)
def test_a_board_without_an_id(tmp_path, told):
    place(tmp_path, "sys/class/dmi/id/product_uuid", told)
    assert Host("linux", tmp_path, FakeRunner({})).hardware() == Hardware()


@pytest.mark.parametrize(
    "told", ["", "None", "To Be Filled By O.E.M.", "Default string", "0", " System Serial Number "]
)
def test_a_board_without_a_serial_number(tmp_path, told):
    place(tmp_path, "sys/class/dmi/id/product_serial", told)
    assert Host("linux", tmp_path, FakeRunner({})).hardware().serial == ""


@pytest.mark.parametrize("platform", ["linux", "darwin", "win32", "freebsd14"])
def test_a_boot_that_cannot_be_told_is_a_new_one(tmp_path, platform):
    host = Host(platform, tmp_path, FakeRunner({}))
    assert uuid.UUID(host.boot_id()) != uuid.UUID(host.boot_id())
    assert host.hardware() == Hardware()


def test_mac_ids(tmp_path):
    ioreg = f'  | "IOPlatformSerialNumber" = "C0"\n  | "IOPlatformUUID" = "{BOOT.upper()}"\n'.encode()
    host = Host(
        "darwin",
        tmp_path,
        FakeRunner({"sysctl": Result(0, BOOT.upper().encode() + b"\n"), "ioreg": Result(0, ioreg)}),
    )
    assert (host.boot_id(), host.hardware()) == (BOOT, Hardware(smbios_uuid=BOOT, serial="C0"))


POWERSHELL = "powershell -NoProfile -NonInteractive -Command"


def windows(tmp_path, count):
    answers = {
        "reg query HKLM\\SYSTEM\\CurrentControlSet\\Control\\Session": reg("BootId", "REG_DWORD", count),
        "reg query HKLM\\SOFTWARE": reg("MachineGuid", "REG_SZ", "f41fcb28-e1ec"),
        f"{POWERSHELL} (Get-CimInstance Win32_ComputerSystemProduct)": Result(0, BOOT.upper().encode() + b"\r\n"),
        f"{POWERSHELL} (Get-CimInstance Win32_BIOS)": Result(0, b"5CG1234\r\n"),
    }
    runner = FakeRunner({})
    return Host("win32", tmp_path, _ByLine(answers, runner))


class _ByLine:
    """Answers by the beginning of the whole line: registry keys hold blanks."""

    def __init__(self, answers, fallback):
        self._answers, self._fallback = answers, fallback

    def run(self, argv, *, timeout=20):
        line = " ".join(argv)
        found = [answer for start, answer in self._answers.items() if line.startswith(start)]
        return found[0] if found else self._fallback.run(argv, timeout=timeout)


def test_windows_ids(tmp_path):
    host = windows(tmp_path, "0x1a")
    assert host.hardware() == Hardware(BOOT, "f41fcb28-e1ec", "5CG1234")
    assert host.boot_id() == windows(tmp_path, "0x1a").boot_id()
    assert host.boot_id() != windows(tmp_path, "0x1b").boot_id()


@pytest.mark.parametrize(("platform", "name"), [("linux", "Linux"), ("darwin", "macOS"), ("win32", "")])
def test_every_system_has_a_host_name(tmp_path, platform, name):
    facts = Host(platform, tmp_path, FakeRunner({})).read()
    assert facts.hostname
    assert facts.os.startswith(name)


@pytest.mark.parametrize(
    ("platform", "tool", "said", "user"),
    [
        ("linux", "who", b"alice    tty2         2026-11-26 08:12 (tty2)\nbob pts/0 x\n", "alice"),
        ("linux", "who", b"", ""),
        ("darwin", "stat", b"alice\n", "alice"),
        ("darwin", "stat", b"root\n", ""),
        ("darwin", "stat", b"_mbsetupuser\n", ""),
        ("win32", "reg", b"\r\n    LastLoggedOnUser    REG_SZ    CORP\\Alice Smith\r\n", "CORP\\Alice Smith"),
        ("win32", "reg", b"ERROR: nothing\r\n", ""),
        ("freebsd14", "nothing", b"", ""),
    ],
)
def test_who_is_signed_in(tmp_path, platform, tool, said, user):
    assert Host(platform, tmp_path, FakeRunner({tool: Result(0, said)})).user() == user
