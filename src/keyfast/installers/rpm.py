"""The RPM package: rpm-rs writes one with placeholders, a stamp puts values of the same length in their places.

Compressing the agent takes as long as a thousand signatures, so it is done once: the payload is kept compressed,
without the secret file, which each stamp appends (``archives``). In the headers five things change,
all of fixed length: the release, the build time, and the digests of the secret file, of the payload and of the header.
"""

import gzip
import hashlib
import json
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import ClassVar

import rpm_rs

from keyfast import __version__
from keyfast.core.package import BUNDLE_FILE, LINUX, PackageKind
from keyfast.errors import ConflictError, TrustError
from keyfast.installers import newc, rpm_key
from keyfast.installers.agent_tree import LINUX_GIVEN, linux_tree
from keyfast.installers.archives import LEVEL, begin, begun_with, ending, open_end
from keyfast.installers.base import base_artefact
from keyfast.installers.linux_scripts import rpm_scripts
from keyfast.installers.stamp import Missing, Progress, Stamp
from keyfast.installers.tree import Entry, digest
from keyfast.installers.wheels import PYTHONS, Wheels

NAME = "keyfast-agent"
SECRET = f"{LINUX.package}/{BUNDLE_FILE}"
SLOT = 64 * 1024
"""Bytes of the secret file; JSON may end in any number of spaces."""

_BLANK = b" " * SLOT
_RELEASE = "9999999999"
_DATE = 0x0EADBEEF  # a time in the past whose bytes are in no text
_FRONT, _PAYLOAD, _DIGESTS, _PUBLIC = "front", "payload.gz", "digests.json", "public.asc"


@dataclass(frozen=True, slots=True)
class RpmInstaller:
    """Builds and signs .rpm packages.

    Attributes:
        wheels: the agent's libraries.
        folder: keeps base artefacts.
        key: file with the armoured OpenPGP secret key; made if there is none.
    """

    wheels: Wheels
    folder: Path
    key: Path
    kind: ClassVar[PackageKind] = PackageKind.RPM

    def missing(self) -> tuple[Missing, ...]:
        """See ``Installer.missing``."""
        return (*self.wheels.missing(), *rpm_key.missing())

    def base(self, told: Progress) -> Path:
        """See ``Installer.base``."""
        entries = linux_tree(self.wheels, told)
        secret_key = rpm_key.ensure(self.key)
        known = hashlib.sha256(digest(entries).encode() + secret_key).hexdigest()
        place = self.folder / f"rpm-{__version__}-{known[:16]}"
        return base_artefact(place, lambda: {**_parts(entries), _PUBLIC: rpm_key.public(secret_key)}, told)

    def stamp(self, base: Path, stamp: Stamp) -> bytes:
        """See ``Installer.stamp``."""
        return self._signed(base, _unsigned(_load(base), stamp), stamp.built_at)

    def public_key(self, base: Path) -> bytes:
        """Return what endpoints give to ``rpm --import``."""
        return (base / _PUBLIC).read_bytes()

    def _signed(self, base: Path, unsigned: bytes, at: int) -> bytes:
        package = rpm_rs.Package.from_bytes(unsigned)
        try:
            package.sign(rpm_rs.Signer(rpm_key.ensure(self.key)), at)
            package.verify_signature(rpm_rs.Verifier(self.public_key(base)))
        except Exception as cause:
            raise TrustError("the RPM package could not be signed, or its signature does not verify") from cause
        return bytes(package.to_bytes())


@dataclass(frozen=True, slots=True)
class _Loaded:
    """A base artefact in memory; the two digests have read the payload as far as it goes."""

    front: bytes
    header: int
    payload: bytes
    packed: "hashlib._Hash"
    plain: "hashlib._Hash"
    old_packed: str
    old_plain: str


@lru_cache(maxsize=1)
def _load(base: Path) -> _Loaded:
    kept = json.loads((base / _DIGESTS).read_bytes())
    payload = (base / _PAYLOAD).read_bytes()
    return _Loaded(
        front=(base / _FRONT).read_bytes(),
        header=kept["header"],
        payload=payload,
        packed=hashlib.sha256(open_end(payload)),
        plain=hashlib.sha256(begun_with(payload)),
        old_packed=kept["packed"],
        old_plain=kept["plain"],
    )


def _unsigned(base: _Loaded, stamp: Stamp) -> bytes:
    if len(stamp.secret) > SLOT:
        raise ConflictError(f"the bundle has {len(stamp.secret)} bytes; an RPM package has room for {SLOT}")
    secret = stamp.secret.ljust(SLOT)
    plain = newc.member(f".{SECRET}", secret, 0o600, stamp.built_at) + newc.END
    packed = ending(base.payload, plain)
    front = _replaced(
        base.front,
        (_RELEASE.encode(), f"{stamp.built_at:010d}".encode()),
        (_DATE.to_bytes(4), stamp.built_at.to_bytes(4)),
        (_hex(_BLANK), _hex(secret)),
        (base.old_packed.encode(), _after(base.packed, packed)),
        (base.old_plain.encode(), _after(base.plain, plain)),
    )
    old, new = base.front[base.header :], front[base.header :]
    front = _replaced(front, *((_hex(old, name), _hex(new, name)) for name in ("sha1", "sha256")))
    return b"".join((front, open_end(base.payload), packed))


def _replaced(text: bytes, *pairs: tuple[bytes, bytes]) -> bytes:
    for old, new in pairs:
        if old not in text or len(old) != len(new):
            raise ConflictError("the base of the RPM package has not the form that stamps expect")
        text = text.replace(old, new)
    return text


def _hex(content: bytes, name: str = "sha256") -> bytes:
    return hashlib.new(name, content, usedforsecurity=False).hexdigest().encode()


def _after(started: "hashlib._Hash", rest: bytes) -> bytes:
    total = started.copy()
    total.update(rest)
    return total.hexdigest().encode()


def _parts(entries: tuple[Entry, ...]) -> dict[str, bytes]:
    """Let rpm-rs write a package with placeholders, and take it apart."""
    whole = bytes(_built(entries).to_bytes())
    offsets = rpm_rs.Package.from_bytes(whole).metadata.package_segment_offsets()
    payload = whole[offsets.payload :]
    plain = gzip.decompress(payload)
    kept = newc.without(plain, f".{SECRET}")
    digests = {
        "header": offsets.header,
        "packed": hashlib.sha256(payload).hexdigest(),
        "plain": hashlib.sha256(plain).hexdigest(),
    }
    return {
        _FRONT: whole[: offsets.payload],
        _PAYLOAD: begin(kept),
        _DIGESTS: json.dumps(digests).encode(),
    }


def _built(entries: tuple[Entry, ...]) -> rpm_rs.Package:
    builder = rpm_rs.PackageBuilder(NAME, __version__, "Apache-2.0", "noarch", "Keyfast agent")
    # What RHEL 8 reads; the library's own choice is newer.
    builder.using_config(
        rpm_rs.BuildConfig(
            format=rpm_rs.RpmFormat.V4,
            compression=rpm_rs.CompressionType.Gzip,
            compression_level=LEVEL,
            source_date=_DATE,
        )
    )
    builder.release(_RELEASE)
    builder.description("Keeps this computer checked in with its server, and reports how its disks are encrypted.")
    flags = rpm_rs.DependencyFlags
    builder.requires("rpmlib(RichDependencies)", "4.12.0-1", flags.RPMLIB | flags.LESS | flags.EQUAL)
    builder.requires(f"({' or '.join(f'/usr/bin/python{version}' for version in reversed(PYTHONS))})")
    scripts = rpm_scripts()
    builder.post_install_script(scripts["post"])
    builder.pre_uninstall_script(scripts["preun"])
    builder.post_uninstall_script(scripts["postun"])
    for entry in entries:
        _add(builder, entry)
    builder.with_file_contents(_BLANK, rpm_rs.FileOptions.new(SECRET, permissions=0o600, missingok=True))
    return builder.build()


def _add(builder: rpm_rs.PackageBuilder, entry: Entry) -> None:
    path, options = f"/{entry.path}", rpm_rs.FileOptions
    if entry.link:
        builder.with_symlink(options.symlink(path, entry.link))
    elif entry.content is not None:
        builder.with_file_contents(entry.content, options.new(path, permissions=entry.mode))
    elif entry.path not in LINUX_GIVEN:
        builder.with_dir_entry(options.dir(path, permissions=entry.mode))
