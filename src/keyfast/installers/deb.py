"""The Debian package, deb(5): control part and package file are made for each stamp, the agent is there already."""

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from keyfast import __version__
from keyfast.core.package import BUNDLE_FILE, LINUX, PackageKind
from keyfast.installers.agent_tree import linux_tree
from keyfast.installers.archives import END_OF_TAR, ar, begin, finish, squeeze, tar_piece
from keyfast.installers.base import base_artefact
from keyfast.installers.linux_scripts import deb_scripts
from keyfast.installers.stamp import Missing, Progress, Stamp
from keyfast.installers.tree import Entry, digest
from keyfast.installers.wheels import PYTHONS, Wheels

NAME = "keyfast-agent"
_DATA, _SUMS, _SIZE = "data.tar.gz", "md5sums", "size"

_CONTROL = """\
Package: {name}
Version: {version}
Architecture: all
Maintainer: Keyfast <keyfast@localhost>
Installed-Size: {size}
Depends: {pythons}, libc6 (>= 2.28)
Recommends: cryptsetup-bin
Section: admin
Priority: optional
Homepage: {server}
Description: Keyfast agent
 Keeps this computer checked in with its server, and reports how its disks are encrypted.
 .
 Package {package}, mode {mode}, of installation {installation}.
"""


@dataclass(frozen=True, slots=True)
class DebInstaller:
    """Builds .deb packages; nothing but the agent's libraries comes from outside (see ``Wheels``).

    Attributes:
        wheels: the agent's libraries.
        folder: keeps base artefacts.
    """

    wheels: Wheels
    folder: Path
    kind: ClassVar[PackageKind] = PackageKind.DEB

    def missing(self) -> tuple[Missing, ...]:
        """See ``Installer.missing``."""
        return self.wheels.missing()

    def base(self, told: Progress) -> Path:
        """See ``Installer.base``."""
        entries = linux_tree(self.wheels, told)
        place = self.folder / f"deb-{__version__}-{digest(entries)[:16]}"
        return base_artefact(place, lambda: _parts(entries), told)

    def stamp(self, base: Path, stamp: Stamp) -> bytes:
        """See ``Installer.stamp``."""
        # Nobody but root may read the secret file. Its digest is not in the list either: that list is for everybody.
        secret = Entry(f"{LINUX.package.lstrip('/')}/{BUNDLE_FILE}", 0o600, stamp.secret)
        data = finish((base / _DATA).read_bytes(), tar_piece([secret], stamp.built_at) + END_OF_TAR)
        control = squeeze(tar_piece(_control(base, stamp), stamp.built_at) + END_OF_TAR)
        members = (("debian-binary", b"2.0\n"), ("control.tar.gz", control), (_DATA, data))
        return ar(members, stamp.built_at)


def version_of(stamp: Stamp) -> str:
    """Return a package's version: the agent's, and when it was built, so that a later one replaces an earlier one."""
    return f"{__version__}+{stamp.built_at}"


def _parts(entries: tuple[Entry, ...]) -> dict[str, bytes]:
    files = [entry for entry in entries if entry.content is not None]
    sums = "".join(f"{_md5(entry.content or b'')}  {entry.path}\n" for entry in files)
    kib = sum(-(-len(entry.content or b"") // 1024) for entry in files) + len(entries) - len(files)
    return {_DATA: begin(tar_piece(entries, 0)), _SUMS: sums.encode(), _SIZE: str(kib).encode()}


def _md5(content: bytes) -> str:
    """Digest against damage, the one dpkg knows; not a protection."""
    return hashlib.md5(content, usedforsecurity=False).hexdigest()


def _control(base: Path, stamp: Stamp) -> list[Entry]:
    fields = _CONTROL.format(
        name=NAME,
        version=version_of(stamp),
        size=(base / _SIZE).read_text("ascii"),
        pythons=" | ".join(f"python{version}" for version in reversed(PYTHONS)),
        server=stamp.server_url,
        package=stamp.bundle.package,
        mode=stamp.mode,
        installation=stamp.bundle.installation,
    )
    return [
        Entry("control", 0o644, fields.encode()),
        Entry("md5sums", 0o644, (base / _SUMS).read_bytes()),
        *(Entry(name, 0o755, text.encode()) for name, text in deb_scripts(__version__).items()),
    ]
