"""The agent's libraries, unpacked for other computers than this one: wheels only, every file checked against the lock.

pip or uv fetches them from wherever this site has told it, or from a folder that was carried in. Markers of the
lock are judged here, for the computer that is meant: pip judges them for the one it runs on.
"""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256
from importlib.util import find_spec
from pathlib import Path

from keyfast.errors import MissingToolError, NotReadyError, TrustError
from keyfast.installers.base import made_once
from keyfast.installers.lock import LOCK, requirements
from keyfast.installers.stamp import Missing

PYTHONS = ("3.11", "3.12", "3.13", "3.14")
"""Versions of Python that an agent runs on."""

VARIABLE = "KEYFAST_WHEELS"
"""Names a folder of wheels to take instead of asking an index."""

TIMEOUT_S = 900
_MISMATCH = re.compile(r"hash(es)? (mismatch|do not match)|do not match the hashes", re.IGNORECASE)
_USER_INFO = re.compile(r"(?<=://)[^/@\s]+@")
# Written by the installer about itself; of no use on an endpoint, and not the same in two runs.
_NOTES = ("RECORD", "INSTALLER", "REQUESTED", "WHEEL", "direct_url.json", "uv_cache.json", "uv_build.json")


@dataclass(frozen=True, slots=True)
class Target:
    """A kind of computer.

    Attributes:
        name: as a folder is called.
        tags: platform tags of wheels that run there (PEP 425), most wanted first.
        uv: what uv calls it.
        markers: values of environment markers (PEP 508) that are not those of this computer.
    """

    name: str
    tags: tuple[str, ...]
    uv: str
    markers: Mapping[str, str]


def _linux(machine: str) -> Target:
    glibc = ("manylinux_2_28", "manylinux_2_24", "manylinux_2_17", "manylinux2014")
    tags = tuple(f"{tag}_{machine}" for tag in glibc)
    markers = {"os_name": "posix", "sys_platform": "linux", "platform_system": "Linux", "platform_machine": machine}
    return Target(f"linux-{machine}", tags, f"{machine}-manylinux_2_28", markers)


LINUX_X86_64 = _linux("x86_64")
LINUX_AARCH64 = _linux("aarch64")
MACOS_ARM64 = Target(
    "macos-arm64",
    tuple(f"macosx_{version}_0_{kind}" for version in range(14, 10, -1) for kind in ("arm64", "universal2")),
    "aarch64-apple-darwin",
    {"os_name": "posix", "sys_platform": "darwin", "platform_system": "Darwin", "platform_machine": "arm64"},
)
"""The one kind of Mac that all libraries of the lock have wheels for."""

WINDOWS_X86_64 = Target(
    "windows-x86_64",
    ("win_amd64",),
    "x86_64-pc-windows-msvc",
    {"os_name": "nt", "sys_platform": "win32", "platform_system": "Windows", "platform_machine": "AMD64"},
)


@dataclass(frozen=True, slots=True)
class Wheels:
    """Fetches and keeps unpacked libraries.

    Attributes:
        cache: folder that keeps them; made when needed. One folder for each target, version of Python and lock.
        local: folder of wheels to take instead of asking an index.
        lock: requirements with hashes.
    """

    cache: Path
    local: Path | None = None
    lock: Path = LOCK

    def missing(self) -> tuple[Missing, ...]:
        """Return what must be installed before anything can be fetched."""
        return () if _pip() or _on_path("uv") else (Missing("pip or uv", "python3-pip"),)

    def tree(self, target: Target, python: str) -> Path:
        """Return the folder ``site-packages`` for ``target`` and ``python`` (``3.12``); fetched at the first call.

        Raises:
            MissingToolError: neither pip nor uv is here.
            NotReadyError: a wheel cannot be had: no network, or not in the folder given.
            TrustError: a wheel is not the one of the lock.
        """
        wanted = requirements(self.lock.read_text("utf-8"), target.markers, python)
        known = sha256(repr((wanted, _NOTES)).encode()).hexdigest()[:16]
        tree = self.cache / f"{target.name}-{python}-{known}"
        if not tree.is_dir():
            with made_once(tree) as made:
                self._fetch(target, python, wanted, made)
        return tree

    def _fetch(self, target: Target, python: str, wanted: str, tree: Path) -> None:
        file = tree.with_name("requirements.txt")
        file.write_text(wanted, "utf-8")
        command = [*_tool(target), "--target", str(tree), "--python-version", python, "--requirement", str(file)]
        if self.local is not None:
            command += ["--no-index", "--find-links", str(self.local.resolve())]
        what = f"the agent's libraries for {target.name} and Python {python}"
        try:
            done = subprocess.run(
                command,
                capture_output=True,
                text=True,
                errors="replace",
                timeout=TIMEOUT_S,
                check=False,
                env=_environment(tree.parent),
            )
        except subprocess.TimeoutExpired as cause:
            raise NotReadyError(f"{what} were not fetched within {TIMEOUT_S} s") from cause
        if done.returncode:
            raise self._fault(what, done.stderr)
        _clean(tree)

    def _fault(self, what: str, said: str) -> TrustError | NotReadyError:
        lines = [line.strip() for line in said.splitlines() if line.strip()]
        errors = [line for line in lines if "error" in line.lower()]
        told = _USER_INFO.sub("", (errors or lines or ["no reason given"])[-1])
        if _MISMATCH.search(said):
            return TrustError(f"a file among {what} is not the one of the lock; nothing was taken")
        where = f"in {self.local}" if self.local else "from the index"
        return NotReadyError(
            f"cannot get {what} {where}: {told[:300]}",
            repair=f"give this computer a way to its Python index, or a folder of wheels in {VARIABLE}",
        )


def _tool(target: Target) -> list[str]:
    """Return the command that installs for ``target``: pip, which knows this site's index, else uv."""
    common = ["--no-deps", "--only-binary", ":all:", "--require-hashes", "--quiet"]
    if pip := _pip():
        tags = [word for tag in target.tags for word in ("--platform", tag)]
        quiet = ["--no-compile", "--no-input", "--disable-pip-version-check", "--no-warn-script-location"]
        return [*pip, "install", *common, *quiet, "--implementation", "cp", *tags]
    if uv := _on_path("uv"):
        # Installing by copy: hard links into uv's cache would change there what is cleaned here.
        return [*uv, "pip", "install", *common, "--link-mode", "copy", "--python-platform", target.uv]
    raise MissingToolError(
        "pip or uv is needed to fetch the agent's libraries, and neither is installed",
        repair="apt-get install python3-pip",
    )


def _pip() -> list[str]:
    return [sys.executable, "-m", "pip"] if find_spec("pip") else _on_path("pip3", "pip")


def _on_path(*names: str) -> list[str]:
    return next(([found] for name in names if (found := shutil.which(name))), [])


def _environment(folder: Path) -> dict[str, str]:
    """The tools find their index and proxies in the environment; what is ours there is not their business."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(("KEYFAST", "PYTHON"))}
    return {**inherited, "TMPDIR": str(folder)}


def _clean(tree: Path) -> None:
    shutil.rmtree(tree / "bin", ignore_errors=True)
    (tree / ".lock").unlink(missing_ok=True)
    for notes in tree.glob("*.dist-info"):
        for name in _NOTES:
            (notes / name).unlink(missing_ok=True)
    for cache in [*tree.rglob("__pycache__")]:
        shutil.rmtree(cache)


def local_folder(environment: Mapping[str, str]) -> Path | None:
    """Return the folder of wheels that ``environment`` names, if it names one."""
    return Path(environment[VARIABLE]) if environment.get(VARIABLE) else None
