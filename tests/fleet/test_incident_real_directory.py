"""The same story in front of a real Active Directory: what the roll call finds when a password was changed there."""

import asyncio
import json
import time
from pathlib import Path

import pytest
from sqlalchemy import delete
from tests.support import processes
from tests.support.fleet import RigFleet
from tests.support.roll_call import often
from tests.support.samba import Domain
from tests.support.windows import WindowsServer

from keyfast.server import compose, compose_admin
from keyfast.store import tables

pytestmark = [pytest.mark.e2e, pytest.mark.slow, pytest.mark.timeout(300)]

EACH = 10
INTERVAL = 60
APART = 0.5 * INTERVAL
"""Seconds between the last check-ins of those who fall silent and of the others: then a time tells them apart."""
CHANGED = "Changed-By-Somebody-1"


async def roll_call(server: WindowsServer, at: float) -> None:
    """The server's own roll call, as it will be made then; the one it made at its start is forgotten."""
    parts = await compose.open_parts(server.settings, lambda: at)
    async with parts.database.write() as conn:
        await conn.execute(delete(tables.roll_call))
    admin = compose_admin.admin_service(parts)
    await admin.roll_calls.now()
    await admin.directory.close()
    await parts.database.close()


def keyfast(server: WindowsServer, *arguments: str) -> str:
    done = processes.run("keyfast.cli.main", *arguments, "--data", str(server.data))
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


async def test_a_password_changed_in_active_directory_is_an_incident(kerberos: Domain, tmp_path: Path, make_account):
    server = WindowsServer(tmp_path / "server", kerberos, interval=2)
    try:
        await often(server, INTERVAL)
        alpha, beta = make_account(), make_account()
        fleets = []
        for account in (alpha, beta):
            server.add_account(account)
            bundle = server.windows_bundle(account)
            fleets.append(RigFleet(server.rig(bundle, number, only="Basic") for number in range(EACH)))
        silent, others = fleets
        for _ in range(2):  # the second time they know the policy
            await others.check_in()
            await silent.check_in()
        last = time.time()
        # Somebody changes the password of one account, twice.
        for password in (f"{CHANGED}0", CHANGED):
            alpha.domain.password(alpha.name, password)
        server.check_account(alpha)
        server.await_events("generation_refused", account=alpha)
        await silent.visit()
        while time.time() < last + APART:
            await asyncio.sleep(1)
            await others.visit()
        await others.check_in()
        await roll_call(server, last + 2.25 * INTERVAL)
        # One incident names the account and its generation; the others are untouched.
        (line,) = json.loads(keyfast(server, "incident", "list", "--json"))
        name = f"{alpha.domain.netbios}\\{alpha.name} #1"
        assert (line["group"], line["name"], line["silent"]) == ("credential", name, EACH)
        assert abs(line["began_at"] - last) <= line["width_s"] + INTERVAL
        assert line["cause"] == "password-changed"
        shown = " ".join(keyfast(server, "incident", "show").split())
        assert (
            f"they hold generation 1 of {alpha.domain.netbios}\\{alpha.name}; the server accepts no generation" in shown
        )
        assert f"1. device-key (brings back {EACH})" in shown
        assert "certain" in shown
        # The server says the same of the account, and what it foretells comes from the directory.
        told = json.loads(keyfast(server, "diagnose", "server", "--json"))
        found = {subject["subject"]: subject["findings"][0]["code"] for subject in told["subjects"]}
        assert found[f"{alpha.domain.netbios}\\{alpha.name}"] == "password-changed"
        assert {check["state"] for check in told["checks"]} == {"good"}
        endings = json.loads(keyfast(server, "forecast", "--json", "--days", "0"))["endings"]
        passwords = {ending["name"]: ending["strands"] for ending in endings if ending["thing"] == "password"}
        assert passwords.get(f"{beta.domain.netbios}\\{beta.name}", EACH) == EACH
    finally:
        server.close()
