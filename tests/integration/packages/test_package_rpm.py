"""The RPM package, checked and installed into a folder by the real rpm, and the agent in it really run."""

import gzip
import hashlib
import shutil
import stat
from pathlib import Path

import pytest
import rpm_rs
from tests.support import packages
from tests.support.packages import AT, InstalledAgent, run, stamp
from tests.support.require import require

from keyfast.core.package import BUNDLE_FILE
from keyfast.errors import ConflictError, KeyFileError, TrustError
from keyfast.installers import rpm_key
from keyfast.installers.rpm import SLOT

LATER = AT + 60
ENABLED = "etc/systemd/system/multi-user.target.wants/keyfast-agent.service"
SECRET = f"etc/keyfast-agent/package/{BUNDLE_FILE}"


@pytest.fixture
def package(rpm, tmp_path):
    """Stamp a package into a file."""

    def make(what):
        file = tmp_path / f"{what.built_at}-{what.bundle.package}.rpm"
        file.write_bytes(rpm.stamp(rpm.base(packages.told), what))
        return file

    return make


@pytest.fixture
def call(root, rpm, tmp_path):
    """Run rpm on the root folder, which trusts our key."""
    require("rpm", "rpm")
    key = tmp_path / "public.asc"
    key.write_bytes(rpm.public_key(rpm.base(packages.told)))

    def do(*arguments, **how):
        return run(["rpm", f"--root={root}", *map(str, arguments)], **how)

    do("--initdb")
    do("--import", key)
    return do


def with_shell(root):
    """Scripts of rpm run inside the root: give it a shell and systemctl, with what they load."""
    for program in ("/bin/sh", "/usr/bin/systemctl"):
        needed = run(["ldd", program]).split()
        for path in (program, *(word for word in needed if word.startswith("/"))):
            target = root / path.lstrip("/")
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(Path(path).resolve(), target)
    (root / "dev").mkdir()
    (root / "dev/null").touch()


def install(call, *files, scripts=False, **how):
    # Python is the machine's, which this root does not have.
    return call("-U", "--nodeps", *([] if scripts else ["--noscripts"]), *files, **how)


def test_signature_and_digests_hold(call, package):
    said = call("-Kv", package(stamp(packages.bundle())))
    assert "RSA/SHA256 Signature" in said
    assert said.count(": OK") == 4
    assert "BAD" not in said


@pytest.mark.parametrize("where", [0.0005, 0.004, 0.5, 0.9999], ids=["head", "header", "payload", "secret"])
def test_a_changed_byte_fails(call, package, where):
    file = package(stamp(packages.bundle()))
    data = bytearray(file.read_bytes())
    data[int(len(data) * where)] ^= 0x55
    file.write_bytes(data)
    call("-K", file, fails=True)


def test_another_installations_key_does_not_do(call, package, rpm, tmp_path):
    other = rpm.__class__(rpm.wheels, rpm.folder, tmp_path / "other.asc")
    file = tmp_path / "foreign.rpm"
    file.write_bytes(other.stamp(other.base(packages.told), stamp(packages.bundle())))
    assert "NOT OK" in call("-K", file, fails=True)


def test_fields_say_what_it_is(call, package):
    file = package(stamp(packages.bundle()))
    form = "%{NAME} %{VERSION} %{RELEASE} %{ARCH} %{BUILDTIME} %{PAYLOADCOMPRESSOR}"
    assert call("-qp", "--qf", form, file) == f"keyfast-agent 0.1.0 {AT} noarch {AT} gzip"
    assert "/usr/bin/python3.11" in call("-qp", "--requires", file)


def test_the_digest_of_the_unpacked_payload_holds(package):
    """rpm looks at it only where the packed one is of no use, and rpm-rs computes another one."""
    data = package(stamp(packages.bundle())).read_bytes()
    metadata = rpm_rs.Package.from_bytes(data).metadata
    offsets = metadata.package_segment_offsets()
    plain = hashlib.sha256(gzip.decompress(data[offsets.payload :])).hexdigest().encode()
    assert plain in data[offsets.header : offsets.payload]


def test_installed_files_belong_to_root_and_the_secret_to_nobody_else(call, package, root):
    content = stamp(packages.bundle())
    install(call, package(content))
    assert (root / SECRET).read_bytes() == content.secret.ljust(SLOT)
    assert stat.S_IMODE((root / SECRET).stat().st_mode) == 0o600
    for folder in ("etc/keyfast-agent", "etc/keyfast-agent/package"):
        assert stat.S_IMODE((root / folder).stat().st_mode) == 0o700
    program = root / "usr/lib/keyfast-agent"
    assert {(path.lstat().st_uid, path.lstat().st_gid) for path in program.rglob("*")} == {(0, 0)}
    assert not [path for path in program.rglob("*") if path.stat().st_mode & 0o7022]
    assert call("-V", "--nodeps", "keyfast-agent") == ""
    (root / SECRET).unlink()  # the agent took it, and that is in order
    assert call("-V", "--nodeps", "keyfast-agent") == ""


def test_folders_of_the_system_stay_the_systems(call, package):
    listed = call("-qlp", package(stamp(packages.bundle()))).splitlines()
    assert not {"/etc", "/usr", "/usr/bin", "/usr/lib", "/usr/lib/systemd"} & set(listed)
    assert "/usr/lib/keyfast-agent" in listed


def test_the_installed_agent_enrols_and_checks_in(call, package, root, real_stamp, checked_in):
    install(call, package(real_stamp()))
    checked_in(root)
    assert not (root / SECRET).exists()


def test_the_installed_agent_says_its_version(call, package, root, tmp_path):
    install(call, package(stamp(packages.bundle())))
    assert InstalledAgent(root, tmp_path / "state").do("--version").stdout == "0.1.0\n"


def test_scripts_enable_the_unit_and_take_it_back(call, package, root):
    require("systemctl", "systemd")
    with_shell(root)
    install(call, package(stamp(packages.bundle())), scripts=True)
    assert (root / ENABLED).is_symlink()
    install(call, package(stamp(packages.bundle(2), LATER)), scripts=True)
    assert (root / ENABLED).is_symlink()
    state = root / "var/lib/keyfast-agent"
    state.mkdir(parents=True)
    said = call("-e", "keyfast-agent")
    assert "the server could not be told" in said  # this root has no Python
    assert not (root / ENABLED).is_symlink()
    assert state.is_dir()
    assert not (root / "usr/lib/keyfast-agent").exists()


def test_a_later_package_of_the_same_version_replaces_and_an_older_one_does_not(call, package, root):
    first, second = stamp(packages.bundle(1)), stamp(packages.bundle(2), LATER)
    install(call, package(first))
    (root / SECRET).unlink()
    install(call, package(second))
    assert (root / SECRET).read_bytes() == second.secret.ljust(SLOT)
    assert str(LATER) in call("-q", "keyfast-agent")
    assert "already installed" in install(call, package(first), fails=True)


def test_same_stamp_same_bytes(rpm):
    base, what = rpm.base(packages.told), stamp(packages.bundle())
    assert rpm.stamp(base, what) == rpm.stamp(base, what)


def test_a_bundle_without_room_is_refused(rpm):
    large = packages.bundle()
    with pytest.raises(ConflictError, match="room"):
        rpm.stamp(rpm.base(packages.told), stamp(type(large)(**{**fields(large), "profile": "p" * SLOT})))


def fields(bundle):
    return {name: getattr(bundle, name) for name in bundle.__struct_fields__}


def test_the_key_is_made_once_and_is_nobody_elses(rpm, tmp_path):
    rpm.base(packages.told)
    assert stat.S_IMODE(rpm.key.stat().st_mode) == 0o600
    assert rpm_key.ensure(rpm.key) == rpm_key.ensure(rpm.key)
    assert b"PRIVATE" not in rpm_key.public(rpm_key.ensure(rpm.key))
    copy = tmp_path / "copy.asc"
    shutil.copy(rpm.key, copy)
    copy.chmod(0o644)
    with pytest.raises(KeyFileError, match="read by others"):
        rpm_key.ensure(copy)


@pytest.mark.parametrize("content", [b"", b"-----BEGIN PGP PRIVATE KEY BLOCK-----\n\nnonsense\n"])
def test_what_is_no_key_is_refused(rpm, tmp_path, content):
    file = tmp_path / "bad.asc"
    file.touch(mode=0o600)
    file.write_bytes(content)
    with pytest.raises(KeyFileError):
        rpm.__class__(rpm.wheels, tmp_path / "bases", file).base(packages.told)


def test_a_key_that_was_exchanged_under_a_base_is_noticed(rpm, tmp_path):
    own = rpm.__class__(rpm.wheels, rpm.folder, tmp_path / "own.asc")
    base = rpm.base(packages.told)
    rpm_key.ensure(own.key)
    with pytest.raises(TrustError, match="signature does not verify"):
        own.stamp(base, stamp(packages.bundle()))
