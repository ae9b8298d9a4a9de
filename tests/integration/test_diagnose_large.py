"""A hundred thousand machines and a gigabyte of log, in the memory of a small site, with a progress bar."""

import csv
import json
import os
import pty
import subprocess
import sys
import threading
import time
from datetime import UTC, datetime
from pathlib import Path

import pytest
from tests.support.see_site import FIELDS, check_in, refused

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

MACHINES = 100_000
GIGABYTE = 1 << 30
START = 1_790_000_000 // 60 * 60
MINUTES = 14 * 1440
CHANGE = 10 * 1440
"""Minute of the log at which the account is cut off."""
MEGABYTES = 200
"""What the whole process may need at its peak."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    made = tmp_path_factory.mktemp("large")
    yield made
    for path in made.iterdir():
        path.unlink()


def write_inventory(path: Path) -> None:
    with path.open("w", encoding="utf-16", newline="") as file:
        file.write("Computer Name;Account Name;Account Domain;Client Version;Last Check-in\n")
        for number in range(MACHINES):
            account = "svc-see" if number % 10 else "svc-old"
            version = ("11.1.2", "11.4.0", "12.0.1", "")[number % 4]
            file.write(f"PC-{number:06};{account};CORP;{version};2026-09-2{number % 9} 08:00\n")
            if number % 1000 == 0:
                file.write("damaged\n")


def write_log(path: Path) -> int:
    """Write a gigabyte; return how many lines of it are damaged."""
    good, bad = (
        "".join(line[19:] + "\n" for number in range(87) for line in kind(START, number))
        for kind in (lambda at, n: check_in(at, "CORP\\svc-see", n), lambda at, n: refused(at, 1326, n))
    )
    good, bad = ("".join(f"@{line}\n" for line in text.splitlines()) for text in (good, bad))
    damaged = 0
    with path.open("w", encoding="utf-8") as file:
        file.write(f"#Fields: {FIELDS}\n")
        minute = 0
        while file.tell() < GIGABYTE or minute < MINUTES:
            for _ in range(2):
                stamp = datetime.fromtimestamp(START + 60 * minute, UTC).strftime("%Y-%m-%d %H:%M:%S")
                file.write((good if minute < CHANGE else bad).replace("@", stamp))
            if minute % 100 == 0:
                file.write("half a line\n")
                damaged += 1
            minute += 1
    return damaged


MARK = "\npeak in KiB: "
MEASURED = f"""
import resource, subprocess, sys
code = subprocess.call(sys.argv[1:])
sys.stdout.write({MARK!r} + str(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss))
sys.exit(code)
"""
"""A small process in between: a child's peak begins with its parent's, and that of the tests may be large."""


def run(*arguments: str) -> tuple[str, int, str]:
    """Run the command with a terminal for its progress; return output, peak in bytes, and what the terminal saw."""
    ours, theirs = pty.openpty()
    seen: list[bytes] = []

    def watch() -> None:
        try:
            while chunk := os.read(ours, 65536):
                seen.append(chunk)
        except OSError:
            return

    watcher = threading.Thread(target=watch)
    watcher.start()
    command = [sys.executable, "-c", MEASURED, sys.executable, "-m", "keyfast.cli.main", "diagnose", "see", *arguments]
    environment = os.environ | {"TERM": "xterm", "COLUMNS": "120"}
    done = subprocess.run(
        command, stdout=subprocess.PIPE, stderr=theirs, text=True, env=environment, check=False, timeout=600
    )
    os.close(theirs)
    watcher.join()
    os.close(ours)
    assert done.returncode == 0, b"".join(seen)[-2000:]
    output, _, peak = done.stdout.rpartition(MARK)
    return output, int(peak) * 1024, b"".join(seen).decode("utf-8", "replace")


def test_a_large_site(folder):
    inventory, log, out = folder / "inventory.csv", folder / "u_ex.log", folder / "machines.csv"
    write_inventory(inventory)
    damaged = write_log(log)
    assert log.stat().st_size >= GIGABYTE
    began = time.monotonic()
    output, peak, terminal = run("--csv", str(inventory), "--iis", str(log), "--json", "--csv-out", str(out))
    took = time.monotonic() - began
    report = json.loads(output)
    print(f"\n{MACHINES:,} machines, {log.stat().st_size:,} bytes of log: {took:.0f} s, peak {peak / 2**20:.0f} MiB")  # noqa: T201
    assert peak < MEGABYTES * 2**20
    assert {source["kind"]: source["damaged"] for source in report["sources"]} == {
        "inventory": MACHINES // 1000,
        "web server log": damaged,
    }
    assert {group["account"]: group["machines"] for group in report["groups"]} == {
        "CORP\\svc-see": 90_000,
        "CORP\\svc-old": 10_000,
    }
    (first,) = (group for group in report["groups"] if group["account"] == "CORP\\svc-see")
    (cut,) = (point["at"] for point in first["timeline"] if point["what"] == "the silence began")
    assert abs(cut - (START + 60 * CHANGE)) <= 3600
    assert "log" in terminal
    assert "GB" in terminal
    with out.open(encoding="utf-8-sig", newline="") as file:
        assert sum(1 for _ in csv.DictReader(file)) == MACHINES
