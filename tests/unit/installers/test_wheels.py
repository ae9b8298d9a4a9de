"""Libraries come from a folder or an index, are the ones of the lock, and lie there once."""

import hashlib
import shutil
import sys
import zipfile
from importlib.util import find_spec

import pytest
from tests.support.require import require

from keyfast.errors import MissingToolError, NotReadyError, TrustError
from keyfast.installers.wheels import LINUX_X86_64, VARIABLE, Wheels, local_folder

TAG = "py3-none-any"


def make_wheel(folder, name, content=b"value = 1\n"):
    folder.mkdir(exist_ok=True)
    path = folder / f"{name}-1.0-{TAG}.whl"
    notes = f"{name}-1.0.dist-info"
    with zipfile.ZipFile(path, "w") as wheel:
        wheel.writestr(f"{name}.py", content)
        wheel.writestr(f"{notes}/METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
        wheel.writestr(f"{notes}/WHEEL", f"Wheel-Version: 1.0\nGenerator: t\nRoot-Is-Purelib: true\nTag: {TAG}\n")
        wheel.writestr(f"{notes}/RECORD", f"{name}.py,,\n{notes}/METADATA,,\n{notes}/WHEEL,,\n{notes}/RECORD,,\n")
    return path


@pytest.fixture
def tool():
    if not shutil.which("uv") and not find_spec("pip"):
        require("pip3", "python3-pip")


@pytest.fixture
def wheels(tool, tmp_path):
    path = make_wheel(tmp_path / "carried", "sample")
    lock = tmp_path / "lock"
    lock.write_text(f"sample==1.0 \\\n    --hash=sha256:{hashlib.sha256(path.read_bytes()).hexdigest()}\n")
    return Wheels(tmp_path / "cache", path.parent, lock)


def test_libraries_from_a_folder_are_unpacked_once(wheels):
    tree = wheels.tree(LINUX_X86_64, "3.12")
    assert sorted(path.relative_to(tree).as_posix() for path in tree.rglob("*") if path.is_file()) == [
        "sample-1.0.dist-info/METADATA",
        "sample.py",
    ]
    shutil.rmtree(wheels.local)
    assert wheels.tree(LINUX_X86_64, "3.12") == tree
    assert wheels.missing() == ()


def test_another_file_of_the_same_name_is_refused(wheels):
    make_wheel(wheels.local, "sample", b"value = 2\n")
    with pytest.raises(TrustError, match="not the one of the lock"):
        wheels.tree(LINUX_X86_64, "3.12")
    assert list(wheels.cache.iterdir()) == []


def test_a_folder_without_it_is_named(wheels):
    for path in wheels.local.iterdir():
        path.unlink()
    with pytest.raises(NotReadyError, match=str(wheels.local)) as caught:
        wheels.tree(LINUX_X86_64, "3.12")
    assert VARIABLE in caught.value.repair


def test_a_source_archive_is_never_built(wheels):
    (path,) = wheels.local.iterdir()
    path.rename(path.with_name("sample-1.0.tar.gz"))
    with pytest.raises(NotReadyError):
        wheels.tree(LINUX_X86_64, "3.12")


def test_without_pip_and_uv_the_package_is_named(wheels, monkeypatch):
    if find_spec("pip"):
        pytest.skip("pip is part of this Python")
    monkeypatch.setenv("PATH", str(wheels.cache))
    assert [tool.package for tool in wheels.missing()] == ["python3-pip"]
    with pytest.raises(MissingToolError) as caught:
        wheels.tree(LINUX_X86_64, "3.12")
    assert "python3-pip" in caught.value.repair


def test_uv_does_as_well(wheels, monkeypatch, tmp_path):
    if find_spec("pip"):
        pytest.skip("pip is part of this Python and comes first")
    uv = shutil.which("uv") or shutil.which("uv", path=f"{sys.prefix}/../.uv/bin")
    if not uv:
        pytest.skip("uv is not on PATH")
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "uv").symlink_to(uv)
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    assert (wheels.tree(LINUX_X86_64, "3.12") / "sample.py").is_file()


def test_the_variable_names_a_folder(tmp_path):
    assert local_folder({}) is None
    assert local_folder({VARIABLE: str(tmp_path)}) == tmp_path
