"""MSIs made by the real tools from a small tree: what is in them, who signed them, what a changed byte does."""

import datetime as dt
import re
import stat
from dataclasses import replace

import pytest
from tests.support.msi import PASSWORD, TOKEN, VERSION, stamp, tree
from tests.support.require import require

from keyfast.errors import KeyFileError, MissingToolError, TrustError
from keyfast.installers.msi import base, inspect, tools
from keyfast.installers.msi.installer import MsiInstaller
from keyfast.installers.msi.interpreter import Interpreter, machine
from keyfast.installers.msi.runtime import compile_launcher
from keyfast.installers.msi.signing import own_signer, verify
from keyfast.installers.wheels import Wheels

NOW = dt.datetime.now(dt.UTC)


@pytest.fixture(scope="module")
def workshop(tmp_path_factory):
    """A builder whose base was made from a small tree."""
    for tool in tools.TOOLS:
        require(tool.program, tool.package)
    folder = tmp_path_factory.mktemp("msi")
    signer = own_signer(folder / "signing", "Keyfast of a test", NOW)

    def no_interpreter() -> Interpreter:
        raise AssertionError("the base is there")

    installer = MsiInstaller(folder / "bases", Wheels(folder / "wheels"), signer, no_interpreter, "none", VERSION)
    made = folder / "bases" / "small.msi"
    base.build(tree(folder / "tree"), VERSION, made)
    return installer, made


@pytest.fixture
def package(workshop, tmp_path):
    """One package, and what it was made from."""
    installer, made = workshop
    made_from = stamp(name="svc-[k]'ey", password=PASSWORD)
    file = tmp_path / "agent.msi"
    file.write_bytes(installer.stamp(made, made_from))
    return file, made_from


def test_a_package_is_all_that_it_should_be(package):
    file, made_from = package
    assert inspect.faults(inspect.read(file), made_from, VERSION) == []


def test_a_package_without_an_account_is_too(workshop, tmp_path):
    installer, made = workshop
    made_from = stamp(mode="oauth")
    (tmp_path / "agent.msi").write_bytes(installer.stamp(made, made_from))
    assert inspect.faults(inspect.read(tmp_path / "agent.msi"), made_from, VERSION) == []


def test_texts_are_utf_8_and_say_so(workshop, tmp_path):
    installer, made = workshop
    made_from = stamp(name="Müller-Lüdenscheidt")
    file = tmp_path / "agent.msi"
    file.write_bytes(installer.stamp(made, made_from))
    assert inspect.faults(inspect.read(file), made_from, VERSION) == []
    assert b"65001" in tools.run(["msiinfo", "export", str(file), "_ForceCodepage"])


def test_every_secret_is_in_the_package_once(package):
    file, _ = package
    content = file.read_bytes()
    assert content.count(PASSWORD.encode()) <= 1, "sectors may cut it in two, but there is no second one"
    assert content.count(TOKEN.encode()) <= 1


def test_inspection_finds_what_is_wrong(package):
    file, made_from = package
    contents = inspect.read(file)

    def faults(**changed):
        return " / ".join(inspect.faults(replace(contents, **changed), made_from, VERSION))

    def without(table):
        return {name: rows for name, rows in contents.tables.items() if name != table}

    logged = {"Registry": "x", "Key": "SOFTWARE", "Name": "Password", "Value": PASSWORD, "Component_": "c", "Root": "2"}
    assert "a secret is in the table Registry" in faults(tables=contents.tables | {"Registry": (logged,)})
    assert "stream agent.cab" in faults(streams=contents.streams | {"agent.cab": b"..." + TOKEN.encode()})
    assert "summary" in faults(summary=contents.summary + PASSWORD)
    assert "not what the package was made from" in faults(streams={})
    assert "the service is not installed" in faults(tables=without("ServiceInstall"))
    assert "not started" in faults(tables=without("ServiceControl"))
    assert "does not replace" in faults(tables=without("Upgrade"))
    assert "over a newer version" in faults(tables=without("LaunchCondition"))
    assert "anybody may read PACKAGEFOLDER" in faults(tables=without("MsiLockPermissionsEx"))
    assert "ProductCode" in faults(tables=without("Property"))
    assert "transaction" in faults(tables=without("InstallExecuteSequence"))
    other = stamp()
    assert len(inspect.faults(contents, other, VERSION)) > 3


@pytest.mark.timeout(900)
@pytest.mark.parametrize("count", [20, pytest.param(1000, marks=pytest.mark.slow)])
def test_packages_share_nothing_that_is_secret_and_no_code(workshop, tmp_path, count):
    installer, made = workshop
    codes, file = set(), tmp_path / "agent.msi"
    for number in range(count):
        one = stamp(password=f"password-{number:04d}-of-many")
        content = installer.stamp(made, one)
        assert re.findall(rb"password-\d{4}-of", content) == [f"password-{number:04d}-of".encode()]
        file.write_bytes(content)
        properties = tools.run(["msiinfo", "export", str(file), "Property"]).decode()
        codes.add(re.search(r"ProductCode\t(\S+)", properties)[1])
        codes.add(re.search(r"UUID\): (\S+)", tools.run(["msiinfo", "suminfo", str(file)]).decode())[1])
        if number % 100 == 0:
            assert inspect.faults(inspect.read(file), one, VERSION) == []
    assert len(codes) == 2 * count, "a product code and a package code for each"


def test_the_signature_verifies_and_a_changed_byte_fails(workshop, package, tmp_path):
    installer, _ = workshop
    file, _ = package
    verify(file, installer.signer.trusted)
    content = bytearray(file.read_bytes())
    at = content.index(b"svc-")
    content[at] ^= 1
    changed = tmp_path / "changed.msi"
    changed.write_bytes(content)
    with pytest.raises(TrustError, match="does not verify"):
        verify(changed, installer.signer.trusted)


def test_another_installations_signature_and_none_at_all_do_not_verify(workshop, package, tmp_path):
    _, made = workshop
    file, _ = package
    other = own_signer(tmp_path / "other", "Somebody else", NOW)
    with pytest.raises(TrustError):
        verify(file, other.trusted)
    with pytest.raises(TrustError):
        verify(made, other.trusted)


def test_the_signing_key_is_private_and_made_once(workshop, tmp_path):
    first = own_signer(tmp_path / "signing", "Keyfast", NOW)
    key = first.key.read_bytes()
    assert stat.S_IMODE(first.key.stat().st_mode) == 0o600
    assert own_signer(tmp_path / "signing", "Keyfast", NOW).key.read_bytes() == key
    assert sorted(path.name for path in (tmp_path / "signing").iterdir()) == [
        "authority.pem",
        "signer.key",
        "signer.pem",
    ], "the authority's key is gone"
    first.key.chmod(0o640)
    with pytest.raises(KeyFileError, match="chmod 600"):
        raise_repair(lambda: first.sign(workshop[1], tmp_path / "signed.msi"))


def raise_repair(act):
    """The repair is part of what a person is told."""
    try:
        act()
    except KeyFileError as fault:
        raise KeyFileError(f"{fault.message}; {fault.repair}") from fault


def test_nothing_is_left_behind(workshop):
    _, made = workshop
    assert [path.name for path in made.parent.iterdir()] == ["small.msi"]


def test_a_missing_program_is_named_with_its_package(workshop, monkeypatch, tmp_path):
    installer, made = workshop
    monkeypatch.setenv("PATH", str(tmp_path))
    assert {tool.package for tool in installer.missing()} == {
        "wixl",
        "msitools",
        "osslsigncode",
        "gcc-mingw-w64-x86-64-win32",
    }
    with pytest.raises(MissingToolError) as caught:
        installer.stamp(made, stamp())
    assert "apt-get install" in caught.value.repair
    assert "osslsigncode" in caught.value.message


def test_the_launcher_compiles_without_a_warning_and_the_same_every_time(tmp_path):
    require(tools.COMPILER, "gcc-mingw-w64-x86-64-win32")
    first, second = tmp_path / "first.exe", tmp_path / "second.exe"
    compile_launcher(first, "python311.dll")
    compile_launcher(second, "python311.dll")
    assert machine(first.read_bytes()) == 0x8664
    assert first.read_bytes() == second.read_bytes()
    assert "python311.dll".encode("utf-16-le") in first.read_bytes()
