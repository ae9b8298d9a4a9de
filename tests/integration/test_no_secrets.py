"""No password, and nothing made of one, is in anything that a full run writes."""

import base64
import contextlib
import hashlib
import logging
import os
import signal
import stat
import subprocess
import tarfile
from collections.abc import Iterable, Iterator
from pathlib import Path

import psutil
import pytest
from spnego._ntlm_raw.crypto import ntowfv1
from tests.support import processes
from tests.support.agent import RealAgent
from tests.support.samba import READER_PASSWORD, Account, Domain
from tests.support.windows import WindowsServer, down, kinit

NEW = "Changed-Passw0rd-77"
WRONG = "Never-Right-Passw0rd-78"


def forms(account: Account, password: str) -> Iterator[bytes]:
    """A password as it may slip out: itself in several encodings, Basic credentials, hashes, keys."""
    names = (account.logon, account.name, account.upn, f"CORP\\{account.name}".lower())
    texts = [password, *(f"{name}:{password}" for name in names)]
    for text in texts:
        yield text.encode()
        yield text.encode("utf-16-le")
        # Whatever stands before it, two thirds of its base64 are the same.
        for before in range(3):
            encoded = base64.b64encode(b"x" * before + text.encode())
            yield encoded[4 if before else 0 : -4]
    raw = (ntowfv1(password), password.encode(), hashlib.sha256(password.encode()).digest())
    for digest in raw:
        yield digest.hex().encode()
        yield digest.hex().upper().encode()
        yield base64.b64encode(digest)
    yield ntowfv1(password)


def leaks(content: bytes, needles: Iterable[bytes]) -> bool:
    return any(needle in content for needle in needles)


class Run:
    """One server and one agent, and everything they said."""

    def __init__(self, folder: Path, domain: Domain, account: Account) -> None:
        self.folder, self.account = folder, account
        self.server = WindowsServer(folder / "server", domain)
        self.said: dict[str, bytes] = {}
        self.agents: list[RealAgent] = []

    def keyfast(self, *arguments: str, stdin: str = "", code: int = 0) -> None:
        done = processes.run("keyfast.cli.main", *arguments, "--data", str(self.server.data), stdin=stdin)
        self.keep(" ".join(arguments), done)
        assert done.returncode == code, f"{arguments}: {done.stdout}{done.stderr}"

    def keep(self, name: str, done: subprocess.CompletedProcess[str]) -> None:
        self.said[f"{len(self.said)} {name}"] = (done.stdout + done.stderr).encode()

    def package(self) -> Path:
        """A package of the account as it is now."""
        line = self.server.package(mode="windows", account=self.account.logon)
        return Path(line.path)

    def agent(self, archive: Path, name: str, *, kerberos: bool) -> RealAgent:
        made = self.server.agent(self.folder / name, kerberos=kerberos)
        with tarfile.open(archive) as opened:
            opened.extract("keyfast-agent/keyfast.json", self.folder / f"{name}-package", filter="data")
        self.keep("install", made.do("install", "--bundle", str(self.folder / f"{name}-package" / "keyfast-agent")))
        self.agents.append(made)
        return made

    def everybody(self) -> dict[int, bytes]:
        """Command line and environment of every process of the server, by number."""
        assert self.server.process is not None
        first = psutil.Process(self.server.process.pid)
        told = {}
        for process in (first, *first.children(recursive=True)):
            with contextlib.suppress(psutil.NoSuchProcess):  # a helper of winbind that ended meanwhile
                told[process.pid] = repr((process.cmdline(), process.environ())).encode()
        return told

    def written(self) -> Iterator[tuple[str, bytes]]:
        """Everything that was said or written, by name."""
        yield from self.said.items()
        for file in sorted(self.folder.rglob("*")):
            if file.is_file() and not file.is_symlink():
                yield str(file.relative_to(self.folder)), file.read_bytes()


@pytest.fixture
def run(kerberos: Domain, account: Account, tmp_path: Path, monkeypatch) -> Iterator[Run]:
    monkeypatch.setenv("PYTHONFAULTHANDLER", "1")
    made = Run(tmp_path, kerberos, account)
    yield made
    for agent in made.agents:
        agent.close()
    made.server.close()


def may_hold_it(name: str) -> bool:
    """Where a password has to be: client databases, packages that are unpacked, and the reader's own file."""
    return name.startswith(("agent-0-package/", "agent-1-package/")) or (name == "server/reader.password")


def an_account_is_added(run: Run) -> Path:
    """By a wrong password, then by the right one; and a package is made of it."""
    logon = run.account.logon
    run.keyfast("account", "add", logon, "--json", stdin=WRONG + "\n", code=1)
    run.keyfast("account", "add", logon, "--json", stdin=run.account.password + "\n")
    for shape in (["--json"], []):
        run.keyfast("account", "list", *shape)
        run.keyfast("account", "check", logon, *shape)
    return run.package()


def everybody_logs_on(run: Run, archive: Path) -> None:
    """Agents with and without Kerberos; clients by hand, by the right password and by a wrong one."""
    for number, kerberos in enumerate((True, False)):
        agent = run.agent(archive, f"agent-{number}", kerberos=kerberos)
        assert agent.check_in(), agent.output
        run.said[f"check-in {number}"] = agent.output.encode()
        run.keep("status", agent.do("status"))
    tickets = run.folder / "tickets"
    assert kinit(run.account, tickets)
    answers = [run.server.negotiate(tickets)]
    tickets.unlink()
    for password in (run.account.password, WRONG):
        answers += [run.server.basic(run.account, password), run.server.ntlm(run.account, password)]
    assert {answer.kind for answer in answers} == {"", "account_refused"}
    run.said["answers"] = repr(answers).encode()


def the_domain_is_down(run: Run) -> None:
    with down(run.account.domain):
        answers = [run.server.basic(run.account, NEW), run.server.ntlm(run.account, NEW)]
        run.keyfast("account", "add", run.account.logon, stdin=NEW + "\n", code=1)
        run.keyfast("directory", "show", "--json")
    assert {answer.kind for answer in answers} == {"not_ready"}
    run.said["answers in the outage"] = repr(answers).encode()


def the_password_is_changed(run: Run) -> None:
    """The agents are refused; the new password is put on record and another package is made."""
    account = run.account
    account.domain.password(account.name, NEW)
    processes.until(lambda: run.server.events("generation_refused", account=account), "the change to be judged")
    for agent in run.agents:
        agent.check_in()
        run.said[f"refused {agent.state.name}"] = agent.output.encode()
        run.keep("status", agent.do("status", "--json"))
    run.keyfast("account", "add", account.logon, "--json", stdin=NEW + "\n")
    run.package()
    run.keyfast("account", "check", account.logon, "--json")
    for noun in ("mode", "package", "endpoint", "account"):
        run.keyfast(noun, "list", "--json")
    run.keyfast("events", "--json")


def the_processes_crash(run: Run) -> None:
    """Their command lines and environments, and what they write when they are made to crash."""
    services = [run.server.child(name).pid for name in ("check-in", "admin")]
    told = run.everybody()
    assert told.keys() >= {*services}
    run.said |= {f"process {pid}": line for pid, line in told.items()}
    for pid in services:
        os.kill(pid, signal.SIGABRT)
    log = run.server.log
    processes.until(lambda: log.read_bytes().count(b"Fatal Python error") >= 2, "two dumps")
    run.server.close()


@pytest.mark.slow
@pytest.mark.timeout(240)
async def test_no_password_or_hash_is_in_anything_a_full_run_writes(run: Run, account: Account, caplog):
    caplog.set_level(logging.DEBUG)
    archive = an_account_is_added(run)
    everybody_logs_on(run, archive)
    rig = run.server.rig(run.server.windows_bundle(account))
    await rig.check_in()
    assert rig.said.startswith("ok")
    the_domain_is_down(run)
    the_password_is_changed(run)
    await rig.check_in()
    the_processes_crash(run)
    run.said["agent in this process"] = repr((rig.agent.record, vars(rig.agent), rig.said, caplog.text)).encode()

    held = set()
    for password in (account.password, NEW, WRONG, READER_PASSWORD):
        needles = set(forms(account, password))
        held |= {name for name, content in run.written() if leaks(content, needles)}
    assert [name for name in held if not may_hold_it(name)] == []
    # The search bites: it finds it where it has to be, and there nobody but the owner reads it.
    assert {name.partition("/")[0] for name in held} == {
        "agent-0-package",
        "agent-1-package",
        "server",
    }
    for file in [*run.folder.glob("agent-?/**/*"), *(run.server.data / "packages").iterdir()]:
        assert not stat.S_IMODE(file.stat().st_mode) & 0o077, file
