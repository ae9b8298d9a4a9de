"""Incidents, the forecast and the server's own diagnosis by the command line, against a running server."""

import asyncio
import json
import time
import uuid

import pytest
from tests.support import processes

from keyfast.core.incident import Incident, IncidentState, Point
from keyfast.core.roll_call import Kind
from keyfast.store import incidents
from keyfast.store.database import Database
from keyfast.store.incidents import IncidentRow


@pytest.fixture
def keyfast(server):
    """Run a command, and return what it printed."""

    def run(*arguments: str, code: int = 0) -> str:
        done = processes.run("keyfast.cli.main", *arguments, "--data", str(server.data))
        assert done.returncode == code, done.stdout + done.stderr
        return done.stdout if code == 0 else done.stderr

    return run


def put(server, **more) -> str:
    """Put an incident of a ring on record, as a roll call does."""
    now, made = int(time.time()), str(uuid.uuid4())
    counts = {"endpoints": 40, "silent": 12, "most": 30, "least": 12}
    course = tuple(Point(now - 3600 + 300 * n, silent) for n, silent in enumerate((0, 10, 30, 30, 20, 12)))
    found = Incident(
        made,
        Kind.RING,
        "lab",
        IncidentState.RECOVERING,
        now - 3600,
        300,
        now - 3000,
        now - 900,
        **counts,
        names=("pc-1", "[red]pc-2"),
        course=course,
        **more,
    )

    async def write() -> None:
        database = await Database.open(server.settings.database_url)
        async with database.write() as conn:
            await incidents.put(conn, IncidentRow(found))
        await database.close()

    asyncio.run(write())
    return made


def was_counted(keyfast) -> bool:
    checks = json.loads(keyfast("diagnose", "server", "--json"))["checks"]
    return next(check["state"] == "good" for check in checks if check["what"] == "roll call")


def test_incidents_are_listed_shown_and_closed(server, keyfast):
    processes.until(lambda: was_counted(keyfast), "the first roll call, so that none comes between")
    assert "endpoints were silent at the roll call of" in keyfast("incident", "roll-call")
    assert json.loads(keyfast("incident", "roll-call", "--json"))["counted_at"]
    made = put(server)
    assert made in keyfast("incident", "list", "--json")
    assert "recovering" in keyfast("incident", "list")
    told = " ".join(keyfast("incident", "show", made).split())
    for part in ("silent 12 of 40, at most 30: pc-1, [red]pc-2 and 10 more", "in common: they are in ring lab", "█"):
        assert part in told
    assert json.loads(keyfast("incident", "show", made, "--json"))["line"]["state"] == "recovering"
    assert json.loads(keyfast("incident", "close", made, "--json"))["state"] == "given_up"
    assert "given_up" in keyfast("incident", "show")
    assert "has ended already" in keyfast("incident", "close", made, code=1)
    assert "there is no incident" in keyfast("incident", "show", str(uuid.uuid4()), code=1)


def test_what_will_end_and_what_the_server_finds(keyfast):
    keyfast("package", "create", "--days", "9", "--json")
    everything = json.loads(keyfast("forecast", "--days", "0", "--json"))["endings"]
    assert {"enrolment", "server-certificate", "authority"} <= {ending["thing"] for ending in everything}
    assert [ending["at"] for ending in everything] == sorted(ending["at"] for ending in everything)
    assert "enrolment" in keyfast("forecast")
    assert "Nothing ends within 1 days" in keyfast("forecast", "--days", "1")
    told = json.loads(keyfast("diagnose", "server", "--json"))
    assert {check["what"] for check in told["checks"]} >= {"database", "certificate", "history", "traffic"}
    assert "good database: it answers" in " ".join(keyfast("diagnose", "server").split())
