"""The macOS package, taken apart by programs that are not ours. None of this is an installation on a Mac."""

import gzip
import plistlib
import subprocess
from xml.etree import ElementTree as ET

import pytest
from tests.support import packages
from tests.support.packages import AT, run, stamp
from tests.support.require import require

from keyfast.core.package import BUNDLE_FILE, MACOS
from keyfast.installers.macos_pkg import PLIST


@pytest.fixture
def parts(pkg, tmp_path):
    """The parts of a package as bsdtar takes them out."""
    bsdtar = require("bsdtar", "libarchive-tools")
    file, folder = tmp_path / "a.pkg", tmp_path / "parts"
    file.write_bytes(pkg.stamp(pkg.base(packages.told), stamp(packages.bundle())))
    folder.mkdir()
    run([bsdtar, "-xf", file, "-C", folder])
    return folder


@pytest.fixture
def unpacked(parts, tmp_path):
    """The payload as cpio unpacks it."""
    cpio, folder = require("cpio", "cpio"), tmp_path / "unpacked"
    folder.mkdir()
    data = gzip.decompress((parts / "Payload").read_bytes())
    done = subprocess.run(
        [cpio, "-idm", "--no-absolute-filenames"], input=data, cwd=folder, capture_output=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return folder


def test_it_has_the_parts_of_a_flat_package(parts):
    assert {path.name for path in parts.iterdir()} == {"Bom", "Payload", "Scripts", "PackageInfo"}
    info = ET.parse(parts / "PackageInfo").getroot()  # noqa: S314 - our own
    assert info.tag == "pkg-info"
    assert info.get("version") == f"0.1.0.{AT}"
    assert info.find("scripts/postinstall").get("file") == "./postinstall"


def test_file_and_7z_know_it(parts):
    assert "bill of materials" in run([require("file", "file"), parts / "Bom"])
    assert "Everything is Ok" in run([require("7z", "p7zip-full"), "t", parts.with_name("a.pkg")])


def test_the_secret_is_roots_alone(unpacked):
    secret = unpacked / MACOS.package.lstrip("/") / BUNDLE_FILE
    assert secret.read_bytes() == stamp(packages.bundle()).secret
    assert secret.stat().st_mode & 0o777 == 0o600
    assert secret.parent.stat().st_mode & 0o777 == 0o700


def test_the_daemon_is_kept_alive(unpacked):
    daemon = plistlib.loads((unpacked / PLIST).read_bytes())
    assert daemon["KeepAlive"] is True
    assert daemon["ProgramArguments"][0] == f"{MACOS.program}/keyfast-agent"
    assert (unpacked / MACOS.program.lstrip("/") / "keyfast-agent").stat().st_mode & 0o111
    run(["sh", "-n", unpacked / MACOS.program.lstrip("/") / "keyfast-agent"])


def test_every_file_of_the_payload_is_in_the_bill(parts, unpacked):
    names = [path.relative_to(unpacked).as_posix() for path in unpacked.rglob("*")]
    bill = (parts / "Bom").read_bytes()
    assert len(names) > 500
    assert all(name.rsplit("/", 1)[-1].encode() + b"\0" in bill for name in names)


def test_libraries_are_for_apple_silicon(unpacked):
    library = unpacked / MACOS.program.lstrip("/") / "lib/cryptography/hazmat/bindings/_rust.abi3.so"
    assert "arm64" in run([require("file", "file"), library])


def test_same_stamp_same_bytes(pkg):
    base, what = pkg.base(packages.told), stamp(packages.bundle())
    assert pkg.stamp(base, what) == pkg.stamp(base, what)
