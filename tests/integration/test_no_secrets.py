"""No password, and nothing made of one, is in anything that a full run writes."""

import base64
import hashlib
import json
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

SALT = "CORP.EXAMPLE.TEST"
NEW = "Changed-Passw0rd-77"
WRONG = "Never-Right-Passw0rd-78"
CLIENT_DATABASE = ("agent",)
"""Folders of client databases, which hold the password, readable by root only."""


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

    def keyfast(self, *arguments: str, stdin: str = "") -> None:
        done = processes.run("keyfast.cli.main", *arguments, "--data", str(self.server.data), stdin=stdin)
        self.keep(" ".join(arguments), done)

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

    def everybody(self) -> list[psutil.Process]:
        assert self.server.process is not None
        found = [psutil.Process(self.server.process.pid)]
        return [*found, *found[0].children(recursive=True)]

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
    """Where the password has to be: the client database, the package, and the reader's own file."""
    return name.startswith(("agent-", "server/packages/")) or name == "server/reader.password"


async def test_no_password_or_hash_is_in_anything_a_full_run_writes(run: Run, account: Account, tmp_path: Path, caplog):
    caplog.set_level(logging.DEBUG)
    server, needles = run.server, {}
    for password in (account.password, NEW, WRONG, READER_PASSWORD):
        needles[password] = list(dict.fromkeys(forms(account, password)))

    # An account is added: by a wrong password, then by the right one.
    for password in (WRONG, account.password):
        run.keyfast("account", "add", account.logon, "--json", stdin=password + "\n")
    for command in (["account", "list"], ["account", "check", account.logon], ["account", "history", account.logon]):
        run.keyfast(*command, "--json")
        run.keyfast(*command)
    archive = run.package()

    # Agents by each mechanism; clients by hand, right and wrong.
    for number, kerberos in enumerate((True, False)):
        agent = run.agent(archive, f"agent-{number}", kerberos=kerberos)
        assert agent.check_in(), agent.output
        run.said[f"check-in {number}"] = agent.output.encode()
        run.said[f"status {number}"] = json.dumps(agent.status()).encode()
        run.keep("status", agent.do("status"))
    tickets = tmp_path / "tickets"
    assert kinit(account, tickets)
    answers = [server.negotiate(tickets)]
    tickets.unlink()
    for password in (account.password, WRONG):
        answers += [server.basic(account, password), server.ntlm(account, password)]
    rig = server.rig(server.windows_bundle(account))
    await rig.check_in()
    assert rig.said.startswith("ok")

    # The domain is down; the password is changed; the agents are refused; another package is made.
    with down(account.domain):
        answers += [server.basic(account, NEW), server.ntlm(account, NEW)]
        run.keyfast("account", "add", account.logon, stdin=NEW + "\n")
        run.keyfast("directory", "show", "--json")
    account.domain.password(account.name, NEW)
    processes.until(lambda: server.events("generation_refused", account=account), "the change to be judged")
    for agent in run.agents:
        agent.check_in()
        run.said[f"refused {agent.state.name}"] = agent.output.encode()
        run.keep("status", agent.do("status", "--json"))
    await rig.check_in()
    run.keyfast("account", "add", account.logon, "--json", stdin=NEW + "\n")
    run.package()
    run.keyfast("account", "check", account.logon, "--json")
    for command in (["events"], ["mode", "list"], ["package", "list"], ["endpoint", "list"], ["account", "list"]):
        run.keyfast(*command, "--json")
    run.said["answers"] = repr(answers).encode()
    run.said["log of this process"] = caplog.text.encode()
    run.said["rig"] = repr((rig.agent.record, rig.agent, rig.said)).encode()

    # Command lines and environments of every process, and what they write when they are made to crash.
    for process in run.everybody():
        run.said[f"process {process.pid}"] = repr((process.cmdline(), process.environ())).encode()
    for name in ("check-in", "admin"):
        os.kill(server.child(name).pid, signal.SIGABRT)
    processes.until(lambda: server.log.read_bytes().count(b"Fatal Python error") >= 2, "two dumps")
    server.close()

    names, held = [], set()
    for name, content in run.written():
        names.append(name)
        for password, shapes in needles.items():
            if leaks(content, shapes):
                held.add(name)
                assert may_hold_it(name), f"{password!r} is in {name}"
    assert {"server/server.log", "server/keyfast.db"} <= set(names)
    # The search bites: it is where it has to be, and nobody but the owner reads it there.
    assert "server/reader.password" in held
    for number in range(len(run.agents)):
        assert any(name.startswith(f"agent-{number}/") for name in held)
    for name in names:
        if may_hold_it(name) and not name.endswith(".log") and "-package/" not in name:
            assert not stat.S_IMODE((tmp_path / name).stat().st_mode) & 0o077, name
    assert not [name for name in held if name.endswith(".log")]
