"""The Debian package, installed into a folder by the real dpkg, and the agent in it really run."""

import stat

import pytest
from tests.support import packages
from tests.support.packages import AT, InstalledAgent, run, stamp
from tests.support.require import require

from keyfast.core.package import BUNDLE_FILE

LATER = AT + 60
ENABLED = "etc/systemd/system/multi-user.target.wants/keyfast-agent.service"
SECRET = f"etc/keyfast-agent/package/{BUNDLE_FILE}"


@pytest.fixture
def dpkg(root):
    """Run dpkg on the root folder; its scripts run outside of it and are told where it is."""
    require("dpkg", "dpkg")
    database = root / "var/lib/dpkg"
    for folder in ("info", "updates"):
        (database / folder).mkdir(parents=True)
    for file in ("status", "available"):
        (database / file).touch()

    def call(*arguments, **how):
        # Python and libc are the machine's, which this root does not have.
        command = ("dpkg", f"--root={root}", "--force-script-chrootless", "--force-depends", "--log=/dev/null")
        return run([*command, *map(str, arguments)], DPKG_MAINTSCRIPT_DEBUG="", **how)

    return call


@pytest.fixture
def package(deb, tmp_path):
    """Stamp a package into a file."""
    require("dpkg-deb", "dpkg")

    def make(what):
        file = tmp_path / f"{what.built_at}-{what.bundle.package}.deb"
        file.write_bytes(deb.stamp(deb.base(packages.told), what))
        return file

    return make


def modes(root):
    return {
        path.relative_to(root).as_posix(): stat.S_IMODE(path.lstat().st_mode)
        for top in ("etc", "usr")
        for path in (root / top).rglob("*")
        if not path.is_symlink()
    }


def test_dpkg_deb_reads_what_we_write(package):
    file = package(stamp(packages.bundle()))
    fields = run(["dpkg-deb", "-f", file, "Package", "Version", "Architecture", "Depends"])
    assert f"Version: 0.1.0+{AT}\n" in fields
    assert "python3.11" in fields
    listed = run(["dpkg-deb", "-c", file]).splitlines()
    assert all(line.split()[1] == "root/root" for line in listed)
    assert any(line.startswith("-rw------- ") and line.endswith(f"./{SECRET}") for line in listed)


def test_nothing_about_the_secret_is_in_the_part_that_stays_readable(package, tmp_path):
    file = package(stamp(packages.bundle()))
    run(["dpkg-deb", "-e", file, tmp_path / "control"])
    texts = {path.name: path.read_text() for path in (tmp_path / "control").iterdir()}
    assert BUNDLE_FILE not in texts["md5sums"]
    assert not any("secret-" in text for text in texts.values())


def test_scripts_are_sound_shell(package, tmp_path):
    run(["dpkg-deb", "-e", package(stamp(packages.bundle())), tmp_path / "control"])
    for name in ("preinst", "postinst", "prerm", "postrm"):
        run(["sh", "-n", tmp_path / "control" / name])


def test_installed_files_belong_to_root_and_the_secret_to_nobody_else(dpkg, package, root):
    content = stamp(packages.bundle())
    dpkg("-i", package(content))
    found = modes(root)
    assert found[SECRET] == 0o600
    assert found["etc/keyfast-agent"] == found["etc/keyfast-agent/package"] == 0o700
    assert found["usr/bin/keyfast-agent"] == 0o755
    assert not {path for path, mode in found.items() if mode & 0o7022}
    owners = {(path.lstat().st_uid, path.lstat().st_gid) for path in root.rglob("*")}
    assert owners == {(0, 0)}
    assert (root / SECRET).read_bytes() == content.secret
    assert dpkg("-V", "keyfast-agent") == ""


def test_the_unit_is_enabled_and_systemd_understands_it(dpkg, package, root):
    dpkg("-i", package(stamp(packages.bundle())))
    assert (root / ENABLED).is_symlink()
    unit = (root / "usr/lib/systemd/system/keyfast-agent.service").read_text()
    assert 'ExecStart="/usr/bin/keyfast-agent" run --state-dir "/var/lib/keyfast-agent"' in unit
    assert "StateDirectoryMode=0700" in unit
    require("systemd-analyze", "systemd")
    # What the unit starts is not on this machine but in the folder.
    copy = root / "keyfast-agent.service"
    copy.write_text(unit.replace("/usr/bin/keyfast-agent", "/bin/true").replace("man:keyfast-agent(8)", "man:true(1)"))
    said = run(["systemd-analyze", "verify", "--man=no", copy])
    assert "keyfast-agent.service" not in said


@pytest.mark.parametrize("python", packages.pythons(), ids=str)
def test_the_installed_agent_runs_on_every_python_here(dpkg, package, root, tmp_path, python):
    dpkg("-i", package(stamp(packages.bundle())))
    agent = InstalledAgent(root, tmp_path / "state", python)
    assert agent.do("--version").stdout == "0.1.0\n"
    done = agent.do("status", "--state-dir", str(agent.state))
    assert "not installed" in done.stdout
    assert not list((root / "usr/lib/keyfast-agent").rglob("__pycache__"))


def test_the_installed_agent_enrols_and_checks_in(dpkg, package, root, real_stamp, checked_in):
    dpkg("-i", package(real_stamp()))
    checked_in(root)
    assert not (root / SECRET).exists()


def test_an_enrolled_agent_takes_a_later_package_and_stays_who_it_is(
    dpkg, package, root, server, real_stamp, checked_in
):
    dpkg("-i", package(real_stamp()))
    before = checked_in(root).status()
    dpkg("-i", package(real_stamp(LATER)))
    agent = checked_in(root)
    assert not (root / SECRET).exists()
    assert agent.status()["endpoint"] == before["endpoint"]
    # What the script before a removal calls, once the unit has stopped.
    checked_in.stop()
    done = agent.do("uninstall", "--keep-state", "--state-dir", str(agent.state))
    assert "the server was told" in done.stdout
    assert list(agent.state.iterdir())


def test_a_later_package_of_the_same_version_replaces_and_brings_its_secret(dpkg, package, root):
    dpkg("-i", package(stamp(packages.bundle(1))))
    (root / SECRET).unlink()  # the agent took it
    state = root / "var/lib/keyfast-agent"
    state.mkdir()
    (state / "kept").write_text("identity")
    newer = stamp(packages.bundle(2), LATER)
    dpkg("-i", package(newer))
    assert (root / SECRET).read_bytes() == newer.secret
    assert stat.S_IMODE((root / SECRET).stat().st_mode) == 0o600
    assert f"0.1.0+{LATER}" in dpkg("-s", "keyfast-agent")
    assert (state / "kept").read_text() == "identity"


def test_a_newer_agent_is_not_replaced_by_an_older_one(dpkg, package, root):
    dpkg("-i", package(stamp(packages.bundle())))
    status = root / "var/lib/dpkg/status"
    status.write_text(status.read_text().replace("Version: 0.1.0+", "Version: 0.2.0+"))
    said = dpkg("-i", package(stamp(packages.bundle(2), LATER)), fails=True)
    assert "is installed and newer than 0.1.0" in said
    assert "Version: 0.2.0+" in dpkg("-s", "keyfast-agent")


def test_remove_keeps_the_identity_and_purge_does_not(dpkg, package, root):
    file = package(stamp(packages.bundle()))
    dpkg("-i", file)
    state = root / "var/lib/keyfast-agent"
    state.mkdir()
    (state / "kept").touch()
    dpkg("-r", "keyfast-agent")
    assert (state / "kept").exists()
    assert not (root / SECRET).exists()
    assert not (root / ENABLED).is_symlink()
    assert not (root / "usr").exists()
    dpkg("-i", file)
    assert (root / ENABLED).is_symlink()
    dpkg("-P", "keyfast-agent")
    assert not state.exists()
    assert not (root / "etc/keyfast-agent").exists()


def test_a_changed_byte_is_noticed(dpkg, package, root):
    file = package(stamp(packages.bundle()))
    data = bytearray(file.read_bytes())
    data[len(data) // 2] ^= 0x55
    file.write_bytes(data)
    dpkg("-i", file, fails=True)
    assert not (root / SECRET).exists()


def test_same_stamp_same_bytes(deb):
    base, what = deb.base(packages.told), stamp(packages.bundle())
    assert deb.stamp(base, what) == deb.stamp(base, what)
    assert deb.base(packages.told) == base
