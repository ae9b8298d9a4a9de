"""What machine this is: host name, operating system, running boot, hardware.

The module's functions speak of this machine; ``Host`` can be pointed elsewhere. Other systems than Linux
were not run for real yet.
"""

import functools
import platform as python_platform
import re
import socket
import sys
import uuid
from dataclasses import dataclass, field
from pathlib import Path

from keyfast.disks.decode import first_line, read_text
from keyfast.disks.runner import CommandRunner, SystemRunner
from keyfast.wire.messages import Hardware

_BOOT_COUNT = (
    "reg",
    "query",
    r"HKLM\SYSTEM\CurrentControlSet\Control\Session Manager\Memory Management\PrefetchParameters",
    "/v",
    "BootId",
)
_MACHINE_GUID = ("reg", "query", r"HKLM\SOFTWARE\Microsoft\Cryptography", "/v", "MachineGuid")
_SMBIOS = (
    *("powershell", "-NoProfile", "-NonInteractive", "-Command"),
    "(Get-CimInstance Win32_ComputerSystemProduct).UUID",
)
_SERIAL = (
    *("powershell", "-NoProfile", "-NonInteractive", "-Command"),
    "(Get-CimInstance Win32_BIOS).SerialNumber",
)
_LAST_USER = (
    "reg",
    "query",
    r"HKLM\SOFTWARE\Microsoft\Windows\CurrentVersion\Authentication\LogonUI",
    "/v",
    "LastLoggedOnUser",
)
_REG_VALUE = re.compile(r"REG_(?:SZ|DWORD)\s+(\S+)")
_REG_TEXT = re.compile(r"REG_SZ[ \t]+([^\r\n]+)")
_NOBODY = frozenset({"root", "_mbsetupuser", "loginwindow"})
"""Who owns the console of a Mac while nobody is signed in at it."""
_PLATFORM_UUID = re.compile(r'"IOPlatformUUID" = "([0-9A-Fa-f-]{36})"')
_PLATFORM_SERIAL = re.compile(r'"IOPlatformSerialNumber" = "([^"]{1,128})"')
_NO_SERIAL = frozenset(
    {"none", "0", "default string", "not specified", "system serial number", "to be filled by o.e.m."}
)
"""What boards without a serial number say instead."""
_ANY_UUID = re.compile(r"[0-9A-Fa-f]{8}(?:-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}")
_NAME_MAX = 253
_SHORT = 128
_ARCHITECTURE_MAX = 32


@dataclass(frozen=True, slots=True)
class OsFacts:
    """Host name and operating system, within the limits of the wire."""

    hostname: str
    os: str
    os_version: str
    architecture: str


@dataclass(frozen=True, slots=True)
class Host:
    """A machine to be read.

    Attributes:
        platform: as in ``sys.platform``.
        root: where ``/proc``, ``/sys`` and ``/etc`` are found.
        runner: runs tools where files do not tell.
    """

    platform: str = sys.platform
    root: Path = Path("/")
    runner: CommandRunner = field(default_factory=SystemRunner)

    def read(self) -> OsFacts:
        """Return host name and operating system."""
        name, version = self._system()
        return OsFacts(
            hostname=socket.gethostname()[:_NAME_MAX] or "unknown",
            os=name[:_SHORT],
            os_version=version[:_SHORT],
            architecture=python_platform.machine()[:_ARCHITECTURE_MAX],
        )

    def boot_id(self) -> str:
        """Return the id of the running boot; a new random one where no lasting one can be read."""
        if self.platform == "linux":
            found = first_line(self.root / "proc/sys/kernel/random/boot_id")
        elif self.platform == "darwin":
            found = self._say("sysctl", "-n", "kern.bootsessionuuid").strip()
        else:
            found = self._windows_boot()
        return found.lower() if _ANY_UUID.fullmatch(found) else str(uuid.uuid4())

    def hardware(self) -> Hardware:
        """Return ids of the machine, empty where they cannot be read."""
        if self.platform == "linux":
            board = self.root / "sys/class/dmi/id"
            return Hardware(
                _real_uuid(first_line(board / "product_uuid")),
                first_line(self.root / "etc/machine-id")[:_SHORT],
                _real_serial(first_line(board / "product_serial")),
            )
        if self.platform == "darwin":
            said = self._say("ioreg", "-rd1", "-c", "IOPlatformExpertDevice")
            found, serial = _PLATFORM_UUID.search(said), _PLATFORM_SERIAL.search(said)
            return Hardware(_real_uuid(found[1] if found else ""), "", _real_serial(serial[1] if serial else ""))
        if self.platform == "win32":
            return Hardware(
                _real_uuid(self._say(*_SMBIOS).strip()),
                self._registry(_MACHINE_GUID)[:_SHORT],
                _real_serial(self._say(*_SERIAL)),
            )
        return Hardware()

    def user(self) -> str:
        """Return who is signed in, or was last where the system remembers it; empty if nobody can be told."""
        if self.platform == "linux":
            return _first_word(self._say("who"))[:_SHORT]
        if self.platform == "darwin":
            owner = self._say("stat", "-f", "%Su", "/dev/console").strip()
            return "" if owner in _NOBODY else owner[:_SHORT]
        return self._registry_text(_LAST_USER)[:_SHORT]

    def _system(self) -> tuple[str, str]:
        if self.platform == "linux":
            return linux_release(self.root)
        if self.platform == "darwin":
            return "macOS", python_platform.mac_ver()[0]
        return f"{python_platform.system()} {python_platform.release()}", python_platform.version()

    def _windows_boot(self) -> str:
        machine, count = self._registry(_MACHINE_GUID), self._registry(_BOOT_COUNT)
        if not (machine and count):
            return ""
        return str(uuid.uuid5(uuid.NAMESPACE_OID, f"{machine} {count}"))

    def _registry(self, argv: tuple[str, ...]) -> str:
        found = _REG_VALUE.search(self._say(*argv))
        return found[1] if found else ""

    def _registry_text(self, argv: tuple[str, ...]) -> str:
        """A value with spaces in it; a name may have some."""
        found = _REG_TEXT.search(self._say(*argv))
        return found[1].strip() if found else ""

    def _say(self, *argv: str) -> str:
        result = self.runner.run(argv)
        return read_text(result.stdout) if result.code == 0 else ""


def linux_release(root: Path) -> tuple[str, str]:
    """Return name and version by ``os-release`` (os-release(5)), else the kernel's."""
    for place in ("etc/os-release", "usr/lib/os-release"):
        try:
            text = (root / place).read_text(encoding="utf-8", errors="replace")
        except OSError:
            continue
        said = {name: value.strip("\"'") for name, _, value in (line.partition("=") for line in text.splitlines())}
        name = said.get("PRETTY_NAME") or said.get("NAME") or "Linux"
        return name, said.get("VERSION_ID") or said.get("BUILD_ID") or python_platform.release()
    return "Linux", python_platform.release()


def read() -> OsFacts:
    """Return host name and operating system of this machine."""
    return Host().read()


@functools.cache
def boot_id() -> str:
    """Return the id of the running boot; the same for the whole life of a process."""
    return Host().boot_id()


def hardware() -> Hardware:
    """Return ids of this machine, empty where they cannot be read."""
    return Host().hardware()


def user() -> str:
    """Return who is signed in at this machine, or was last."""
    return Host().user()


def _first_word(text: str) -> str:
    return (text.split(maxsplit=1) or [""])[0]


def _real_uuid(text: str) -> str:
    """Return ``text`` in small letters; empty for what is no id and for what boards without one say."""
    plain = text.lower()
    return plain if _ANY_UUID.fullmatch(plain) and len(set(plain) - {"-"}) > 1 else ""


def _real_serial(text: str) -> str:
    """Return a serial number; empty for what boards without one say."""
    plain = text.strip()
    return "" if plain.lower() in _NO_SERIAL else plain[:_SHORT]
