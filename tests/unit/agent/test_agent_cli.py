"""The agent's commands as processes, against a server over TLS on this machine."""

import asyncio
import datetime as dt
import json
import os
import signal
import sys
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import msgspec
import pytest
from tests.support.fake_server import FakeServer
from tests.support.tls_server import served

from keyfast.agent.platform import here
from keyfast.core.endpoint import EndpointState
from keyfast.core.refusal import Refusal, RefusalClass
from keyfast.trust.tls import create_authority, issue_certificate
from keyfast.wire.bundle import BundleAccount


@dataclass
class Site:
    """A server that listens, a package that names it, and a state directory."""

    server: FakeServer
    folder: Path
    state: Path
    ca: str

    async def start(self, *arguments: str) -> asyncio.subprocess.Process:
        return await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "keyfast.agent.main", *arguments),
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            env={**os.environ, "KEYFAST_AGENT_STATE": str(self.state)},
        )

    async def call(self, *arguments: str) -> tuple[int, str, str]:
        process = await self.start(*arguments)
        out, err = await process.communicate()
        assert process.returncode is not None
        return process.returncode, out.decode(), err.decode()

    async def status(self) -> dict[str, object]:
        _, out, _ = await self.call("status", "--json")
        return json.loads(out)

    async def until(self, check_ins: int) -> None:
        """Wait for a check-in to arrive; the test's timeout ends a wait in vain."""
        while not self.server.by_id or len(self.server.only.bodies) < check_ins:  # noqa: ASYNC110
            await asyncio.sleep(0.02)


@pytest.fixture
async def site(tmp_path: Path) -> AsyncIterator[Site]:
    now = dt.datetime.now(dt.UTC)
    ca, ca_key = create_authority("test authority", now)
    certificate, key = issue_certificate(ca, ca_key, ["localhost"], now)
    (tmp_path / "crt").write_bytes(certificate)
    (tmp_path / "key").write_bytes(key.reveal())
    server = FakeServer(now=int(now.timestamp()))
    async with served(server, tmp_path / "crt", tmp_path / "key") as port:
        server.urls = (f"https://localhost:{port}",)
        server.change_profile(server.urls, ca.decode())
        (tmp_path / "keyfast.json").write_bytes(msgspec.json.encode(server.bundle()))
        yield Site(server, tmp_path, tmp_path / "state", ca.decode())


async def test_install_check_in_status_and_uninstall(site):
    code, out, _ = await site.call("status")
    assert code == 1
    assert "keyfast-agent install" in out
    assert (await site.call("install", "--bundle", str(site.folder)))[:2] == (0, "installed\n")
    code, out, _ = await site.call("status")
    assert code == 3
    assert "NOT WELL" in out
    code, out, err = await site.call("check-in")
    assert (code, out.startswith("checked in as endpoint")) == (0, True)
    record = here().read(site.state)[0]
    assert record is not None
    assert record.token not in err
    assert "PRIVATE" not in err
    code, out, _ = await site.call("status")
    assert code == 0
    assert len(out.splitlines()) == 5
    assert out.startswith("Endpoint   well; last checked in ")
    assert record.token not in out
    code, out, _ = await site.call("install", "--bundle", str(site.folder / "keyfast.json"))
    assert (code, "left as it is" in out) == (0, True)
    assert here().read(site.state)[0] == record
    code, out, _ = await site.call("uninstall", "--keep-state")
    assert (code, out) == (0, "uninstalled; the server was told\n")
    assert site.server.only.standing.state is EndpointState.RETIRED
    assert (await site.call("check-in"))[0] == 0
    assert site.server.only.standing.state is EndpointState.ACTIVE
    assert here().read(site.state)[0].device_key == record.device_key
    assert (await site.call("uninstall"))[0] == 0
    assert not site.state.exists()


async def test_run_checks_in_answers_a_hurry_and_stops_within_a_second(site):
    await site.call("install", "--bundle", str(site.folder))
    process = await site.start("run")
    await site.until(1)
    assert (await site.status())["well"] is True
    code, out, _ = await site.call("check-in")  # the running agent does it for us
    assert (code, out.startswith("checked in")) == (0, True)
    assert len(site.server.only.bodies) == 2
    code, out, _ = await site.call("install", "--bundle", str(site.folder))  # as a package upgrade does
    assert (code, "left as it is" in out) == (0, True)
    code, _, err = await site.call("run")
    assert (code, f"in use by process {process.pid}" in err) == (1, True)
    began = time.monotonic()
    process.send_signal(signal.SIGTERM)
    assert await process.wait() == 0
    assert time.monotonic() - began < 1.0


async def test_a_run_that_is_killed_continues_where_it_was(site):
    await site.call("install", "--bundle", str(site.folder))
    for kills in range(3):
        process = await site.start("run")
        await site.until(1)
        await asyncio.sleep(0.02 * kills)
        process.kill()
        await process.wait()
    assert (await site.call("check-in"))[0] == 0
    assert len(site.server.by_id) == 1
    assert site.server.only.forks == []


async def test_a_refusal_is_told_to_a_person_with_the_act_that_helps(site):
    await site.call("install", "--bundle", str(site.folder))
    site.server.say_instead = lambda _path: Refusal(RefusalClass.ENROLMENT_EXPIRED, "it ended yesterday")
    code, out, _ = await site.call("check-in")
    assert code == 3
    assert "enrolment_expired" in out
    assert "install a newer package" in out
    status = await site.status()
    assert (status["well"], status["failures"], status["last_refusal"]) == (False, 1, "enrolment_expired")


async def test_mistakes_are_explained_and_not_traced(site):
    code, _, err = await site.call("install", "--bundle", str(site.folder / "nothing"))
    assert (code, "Traceback" in err) == (1, False)
    (site.folder / "keyfast.json").write_text("{}")
    code, _, err = await site.call("install", "--bundle", str(site.folder))
    assert (code, "is not a bundle" in err) == (1, True)
    code, _, err = await site.call("run")
    assert (code, "keyfast-agent install" in err) == (1, True)
    code, _, _ = await site.call("dance")
    assert code == 2


async def test_windows_mode_from_the_package_to_the_hold_and_out_of_it_by_hand(site):
    password = "Shared-Passw0rd-1"
    site.server.windows(BundleAccount("svc-see", "CORP", password, 1), "basic")
    site.server.change_profile(site.server.urls, site.ca)
    (site.folder / "keyfast.json").write_bytes(msgspec.json.encode(site.server.bundle()))
    said = [await site.call("install", "--bundle", str(site.folder))]
    site.server.check_account = lambda _user, _password: Refusal(RefusalClass.ACCOUNT_REFUSED, "the directory says no")
    said.append(await site.call("check-in"))
    assert (said[-1][0], "account_refused" in said[-1][1]) == (3, True)
    said.append(await site.call("status"))
    assert "the password is not tried before" in said[-1][1]
    assert "CORP\\svc-see (generation 1)" in said[-1][1]
    status = await site.status()
    assert (status["account"], status["mode"]) == ("CORP\\svc-see", "windows")
    assert status["hold_until"] >= site.server.now + 6 * 3600
    site.server.check_account = lambda _user, _password: None
    said.append(await site.call("check-in"))  # a person's word is worth one more try
    assert (said[-1][0], said[-1][1].startswith("checked in")) == (0, True)
    assert len(site.server.logons) == 2
    said.append(await site.call("status", "--json"))
    record = here().read(site.state)[0]
    assert record is not None
    assert record.account_password == password
    assert password not in str(said)
