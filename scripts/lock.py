"""Write the locks of the server, of development and of the agent, or check without a network that they are current.

``lock.py [--upgrade]`` resolves pyproject.toml for all platforms with uv and writes the locks: exact versions
with hashes, no index and no download host (docs/adr/0003-lock-without-hosts.md). ``lock.py --check`` compares
the digest of the declarations each lock was made from with pyproject.toml, and demands a hash for every
requirement. Needs Python >= 3.11 and nothing else.
"""

import argparse
import hashlib
import json
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
RUN = ROOT / "requirements.lock"
DEV = ROOT / "requirements-dev.lock"
AGENT = ROOT / "src" / "keyfast" / "installers" / "agent.lock"
"""What is packed with an agent: a part of the server's lock, and data of the program that builds packages."""
UV = ROOT / "scripts" / "uv.lock"
INPUTS = "# inputs sha256: "
EDITABLE = "editables"
"""What hatchling asks for when it installs a tree in editable form."""

_PINNED = re.compile(r"[A-Za-z0-9._-]+==\S+")


def main() -> int:
    """Run the command; the exit code is 0 when the locks are written or current."""
    parser = argparse.ArgumentParser(description="write the locks, or check them")
    parser.add_argument("--check", action="store_true", help="check only; no network, nothing written")
    parser.add_argument("--upgrade", action="store_true", help="move to the newest versions allowed")
    options = parser.parse_args()
    declared = tomllib.loads((ROOT / "pyproject.toml").read_text())
    if options.check:
        found = [fault for lock in (RUN, DEV, AGENT, UV) for fault in faults(lock, declared)]
        sys.stderr.writelines(f"{fault}\n" for fault in found)
        return 1 if found else 0
    build = [*declared["build-system"]["requires"], EDITABLE]
    same = ["--constraints", str(RUN)]
    extras = ("server", "directory", "kerberos", "see")
    everything = [*(word for extra in extras for word in ("--extra", extra)), "--group", "dev"]
    _write(RUN, declared, ["--extra", "server"], build, upgrade=options.upgrade)
    _write(DEV, declared, [*everything, *same], build, upgrade=options.upgrade)
    _write(AGENT, declared, same, [], upgrade=options.upgrade)
    return 0


def inputs_digest(declared: dict[str, Any]) -> str:
    """Digest (hex) of all that decides the content of a lock: what pyproject.toml declares it needs."""
    project = declared["project"]
    inputs = [
        project["requires-python"],
        project["dependencies"],
        project["optional-dependencies"],
        declared["dependency-groups"],
        declared["build-system"]["requires"],
    ]
    return hashlib.sha256(json.dumps(inputs, sort_keys=True).encode()).hexdigest()


def _write(lock: Path, declared: dict[str, Any], extra: list[str], beside: list[str], *, upgrade: bool) -> None:
    command = [
        str(ROOT / "scripts" / "uv"),
        "pip",
        "compile",
        "pyproject.toml",
        "-",
        *extra,
    ]
    command += [
        "--universal",
        "--generate-hashes",
        "--no-emit-index-url",
        "--no-header",
        "--no-annotate",
        "--quiet",
    ]
    command += ["--python-version", "3.11", "--output-file", str(lock)]
    subprocess.run(
        [*command, *(["--upgrade"] if upgrade else [])],
        input="\n".join(beside),
        text=True,
        check=True,
        cwd=ROOT,
    )
    head = f"# Written by `make lock`; do not edit.\n{INPUTS}{inputs_digest(declared)}\n"
    lock.write_text(head + lock.read_text())


def faults(lock: Path, declared: dict[str, Any]) -> Iterator[str]:
    """Yield one line for everything wrong with ``lock``, given what pyproject.toml declares."""
    if not lock.exists():
        yield f"{lock.name}: missing; run `make lock`"
        return
    text = lock.read_text()
    if lock != UV and f"{INPUTS}{inputs_digest(declared)}\n" not in text:
        yield f"{lock.name}: pyproject.toml has changed since it was written; run `make lock`"
    if "://" in text or re.search(r"^--(index|extra-index|find-links)", text, re.MULTILINE):
        yield f"{lock.name}: names a host; see docs/adr/0003-lock-without-hosts.md"
    for block in re.split(r"\n(?=\S)", text):
        if block.startswith("#"):
            continue
        if not _PINNED.match(block) or "--hash=sha256:" not in block:
            yield f"{lock.name}: not pinned with a hash: {block.splitlines()[0]}"


if __name__ == "__main__":
    sys.exit(main())
