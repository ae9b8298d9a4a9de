"""What holds for every test: hypothesis profiles, loopback only, and no silent skip in CI.

Fakes and real peers live in ``tests.support``; fixtures of one room live in that room's ``conftest.py``.
"""

import ipaddress
import os
import socket
import sys
import time
from collections.abc import Generator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

CI = os.environ.get("CI") == "true"
STARTED = time.time()

# How long an example takes is up to the machine: time is judged by the timeout of the test, not per example.
settings.register_profile("dev", max_examples=100, deadline=None)
settings.register_profile(
    "ci", max_examples=200, deadline=None, print_blob=True, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("ci" if CI else "dev")


def _is_loopback(host: object) -> bool:
    if host in (None, "", b"", "localhost", b"localhost"):
        return True
    text = host.decode("ascii", "replace") if isinstance(host, bytes) else str(host)
    if text.endswith(".localhost"):
        return True
    try:
        address = ipaddress.ip_address(text.partition("%")[0])
    except ValueError:
        return False
    return address.is_loopback or address.is_unspecified


def _refuse_foreign_hosts(event: str, args: tuple[object, ...]) -> None:
    """Audit hook: no test leaves this machine. Names under .invalid never resolve (RFC 6761 section 6.4)."""
    if event == "socket.getaddrinfo":
        host = args[0]
        if isinstance(host, str) and host.endswith(".invalid"):
            raise socket.gaierror(socket.EAI_NONAME, "names under .invalid never resolve")
    elif event in ("socket.connect", "socket.sendto"):
        address = args[1]
        if not isinstance(address, tuple):  # a unix socket, or a family without hosts
            return
        host = address[0]
    else:
        return
    if not _is_loopback(host):
        raise RuntimeError(f"tests talk to this machine only; {event} was asked for {host!r}")


def pytest_configure() -> None:
    """Close the network before anything is imported; an audit hook holds for the life of the process."""
    sys.addaudithook(_refuse_foreign_hosts)


def _forbid_missing(report: pytest.TestReport | pytest.CollectReport) -> None:
    if not (CI and report.skipped and isinstance(report.longrepr, tuple)):
        return
    reason = report.longrepr[2].removeprefix("Skipped: ")
    if reason.startswith("missing"):
        report.outcome = "failed"
        report.longrepr = f"{reason}\n(under CI=true nothing may be missing)"


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Under CI=true a test that is skipped because something is missing has failed."""
    report = yield
    _forbid_missing(report)
    return report


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report() -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    """The same for a whole module that is skipped while it is collected."""
    report = yield
    _forbid_missing(report)
    return report


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol() -> Generator[None, object, object]:
    """A server that a test founded within its process leaves no umask behind."""
    before = os.umask(0o022)
    os.umask(before)
    try:
        return (yield)
    finally:
        os.umask(before)


def _has_support() -> bool:
    """Whether ``tests.support`` is there: what holds for every test holds without the others, too."""
    return Path(__file__).with_name("support").is_dir()


def pytest_sessionfinish() -> None:
    """Remove what the tests of this process shared."""
    if not _has_support():
        return
    from tests.support.shared import UNTIL_THE_SESSION_ENDS  # noqa: PLC0415 - see above

    UNTIL_THE_SESSION_ENDS.close()


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say where the pictures are that browsers took."""
    if not _has_support():
        return
    from tests.support import pictures  # noqa: PLC0415 - see above

    for folder in pictures.taken_since(STARTED):
        terminalreporter.write_line(f"pictures: {folder}")
