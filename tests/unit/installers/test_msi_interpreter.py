"""Where a Windows Python comes from, and what is refused."""

import io
import struct
import sys
import zipfile
from hashlib import sha256

import pytest

from keyfast.errors import NotFoundError, TrustError
from keyfast.installers.msi import interpreter
from keyfast.installers.msi.interpreter import from_embeddable, machine, standard_library

AMD64, I386 = 0x8664, 0x14C


def image(kind=AMD64):
    """The first bytes of a Windows DLL."""
    return b"MZ".ljust(0x3C, b"\0") + struct.pack("<I", 0x40) + b"PE\0\0" + struct.pack("<H", kind) + bytes(64)


def embeddable(tmp_path, **changed):
    files = {
        "python312.dll": image(),
        "python3.dll": image(),
        "vcruntime140.dll": image(),
        "_ssl.pyd": image(),
        "_socket.pyd": image(),
        "_ctypes.pyd": image(),
        "_overlapped.pyd": image(),
        "python312.zip": b"zip",
        "python312._pth": b"python312.zip\n.\n",
        "python.exe": image(),
        "LICENSE.txt": b"license",
    }
    files |= {name.replace("__", "."): content for name, content in changed.items()}
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, content in files.items():
            if content is not None:
                archive.writestr(name, content)
    path = tmp_path / "python-3.12.1-embed-amd64.zip"
    path.write_bytes(buffer.getvalue())
    return path, sha256(buffer.getvalue()).hexdigest()


def test_the_embeddable_zip_gives_all_but_its_own_programs_and_path_file(tmp_path):
    found = from_embeddable(*embeddable(tmp_path))
    assert (found.version, found.stem) == ("3.12", "python312")
    assert "LICENSE.txt" in found.files
    assert not {"python.exe", "python312._pth"} & set(found.files)


def test_another_file_than_the_one_with_the_digest_is_refused(tmp_path):
    path, digest = embeddable(tmp_path)
    with pytest.raises(TrustError, match="SHA-256"):
        from_embeddable(path, digest[::-1])


def test_a_file_that_is_not_there_is_named(tmp_path):
    with pytest.raises(NotFoundError, match=r"nothing\.zip"):
        from_embeddable(tmp_path / "nothing.zip", "0" * 64)


def test_what_is_no_zip_is_refused(tmp_path):
    path = tmp_path / "x.zip"
    path.write_bytes(b"not a zip")
    with pytest.raises(TrustError, match="not a zip"):
        from_embeddable(path, sha256(b"not a zip").hexdigest())


@pytest.mark.parametrize("lost", ["python312.dll", "python312.zip", "_ssl.pyd", "vcruntime140.dll", "python3.dll"])
def test_a_zip_that_lacks_something_is_refused(tmp_path, lost):
    with pytest.raises(TrustError):
        from_embeddable(*embeddable(tmp_path, **{lost: None}))


def test_a_zip_for_another_processor_is_refused(tmp_path):
    with pytest.raises(TrustError, match="x86-64"):
        from_embeddable(*embeddable(tmp_path, **{"_ssl.pyd": image(I386)}))


def test_names_that_lead_elsewhere_are_not_taken(tmp_path):
    found = from_embeddable(*embeddable(tmp_path, **{"../../evil.dll": image(), "sub/evil.dll": image()}))
    assert not any("evil" in name for name in found.files)


@pytest.mark.parametrize("content", [b"", b"MZ", b"MZ" + bytes(100), image()[:0x43], b"\x7fELF" + bytes(100)])
def test_what_is_no_program_of_windows_has_no_machine(content):
    assert machine(content) == 0


def test_the_standard_library_is_bytecode_and_the_same_every_time(tmp_path):
    for name in ("os.py", "json/__init__.py", "test/test_os.py", "tkinter/__init__.py"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("x = 1\n")
    first = standard_library(tmp_path)
    assert first == standard_library(tmp_path)
    with zipfile.ZipFile(io.BytesIO(first)) as archive:
        assert archive.namelist() == ["json/__init__.pyc", "os.pyc"]


@pytest.mark.skipif(sys.version_info[:2] == (3, 11), reason="this Python is the one that the wheels carry")
def test_wheels_need_their_own_version_of_python(tmp_path):
    with pytest.raises(interpreter.UsageError, match="--python-embed"):
        interpreter.from_wheels(tmp_path)
