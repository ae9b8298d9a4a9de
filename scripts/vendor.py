"""Fetch the files of others that this tree carries, or check without a network that they are what is written down.

``vendor.py`` asks npm for the exact version of every package in each ``vendor.toml``, takes the files named there
out of the tarball, and writes those whose SHA-256 is the one written down. ``vendor.py --check`` only compares what
is here. For a new version: change the version, empty its hashes, run it with ``--trust``, read the difference.
Needs Python >= 3.11, and npm to fetch.
"""

import argparse
import hashlib
import subprocess
import sys
import tarfile
import tempfile
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
LISTS = (
    ROOT / "src" / "keyfast" / "api" / "console" / "static" / "vendor" / "vendor.toml",
    ROOT / "tests" / "vendor" / "vendor.toml",
)
NO_FILES = frozenset({"vendor.toml"})


def main() -> int:
    """Run the command; the exit code is 0 when every file is the one that is written down."""
    parser = argparse.ArgumentParser(description="fetch the files of others, or check them")
    parser.add_argument("--check", action="store_true", help="check only; no network, nothing written")
    parser.add_argument("--trust", action="store_true", help="write down the hash of a file that has none yet")
    options = parser.parse_args()
    if not options.check:
        for listed in LISTS:
            for package in read(listed):
                _fetch(listed, package, trust=options.trust)
    found = [fault for listed in LISTS for fault in faults(listed)]
    sys.stderr.writelines(f"{fault}\n" for fault in found)
    return 1 if found else 0


def read(listed: Path) -> list[dict[str, Any]]:
    """Return the packages of one list."""
    packages: list[dict[str, Any]] = tomllib.loads(listed.read_text("utf-8"))["package"]
    return packages


def faults(listed: Path) -> Iterator[str]:
    """Yield one line for every file beside a list that is missing, is another than written down, or is not listed."""
    known = {file["file"]: file["sha256"] for package in read(listed) for file in package["files"]}
    for name, sha256 in known.items():
        path = listed.with_name(name)
        if not path.is_file():
            yield f"{path}: missing; run scripts/vendor.py"
        elif hashlib.sha256(path.read_bytes()).hexdigest() != sha256:
            yield f"{path}: not the file that {listed.name} writes down"
    for path in sorted(listed.parent.iterdir()):
        if path.name not in known.keys() | NO_FILES:
            yield f"{path}: {listed.name} does not know it"


def _fetch(listed: Path, package: dict[str, Any], *, trust: bool) -> None:
    with tempfile.TemporaryDirectory() as folder:
        wanted = f"{package['name']}@{package['version']}"
        subprocess.run(["npm", "pack", wanted, "--silent", "--pack-destination", folder], check=True, cwd=folder)
        (tarball,) = Path(folder).glob("*.tgz")
        with tarfile.open(tarball) as opened:
            for file in package["files"]:
                member = opened.extractfile(f"package/{file['member']}")
                if member is None:
                    raise SystemExit(f"{wanted}: no file {file['member']}")
                _put(listed, file, member.read(), trust=trust)


def _put(listed: Path, file: dict[str, str], content: bytes, *, trust: bool) -> None:
    sha256 = hashlib.sha256(content).hexdigest()
    if not file["sha256"] and trust:
        empty = f'file = "{file["file"]}", member = "{file["member"]}", sha256 = ""'
        listed.write_text(listed.read_text("utf-8").replace(empty, empty.removesuffix('""') + f'"{sha256}"'), "utf-8")
    elif sha256 != file["sha256"]:
        raise SystemExit(f"{file['file']}: fetched a file with SHA-256 {sha256}; {listed.name} says otherwise")
    listed.with_name(file["file"]).write_bytes(content)


if __name__ == "__main__":
    sys.exit(main())
