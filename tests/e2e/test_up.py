"""The first command a newcomer runs, and the second."""

import contextlib
import re
import signal

import psutil
import pytest
from tests.support import processes

from keyfast import settings as settings_room
from keyfast.cli.client import AdminClient
from keyfast.disks import os_facts
from keyfast.wire.admin import EndpointDetail, EndpointLine

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(240)]


@pytest.fixture
def up(tmp_path):
    running = []

    def start():
        port = str(processes.free_port())
        data = tmp_path / "data"
        log = tmp_path / f"up{len(running)}.log"
        process = processes.start("keyfast.cli.main", "up", "--data", str(data), "--port", port, log=log, COLUMNS="200")
        running.append(process)
        return process, data, log

    yield start
    for process in running:
        processes.stop(process, signal.SIGINT)


def this_machine(data):
    admin = AdminClient(settings_room.load(data).admin_socket)
    (line,) = admin.get("/admin/v1/endpoints", list[EndpointLine])
    return admin.get(f"/admin/v1/endpoints/{line.id}", EndpointDetail)


def children(process):
    return {child.pid: child for child in psutil.Process(process.pid).children(recursive=True)}


def test_one_command_makes_this_machine_an_endpoint_and_a_second_one_goes_on(up):
    # 1. A new directory: server, package, agent, first check-in with the real disks.
    process, data, log = up()
    processes.until(lambda: "Ctrl-C stops" in log.read_text() or None, f"the first check-in; see {log}", 90)
    shown = log.read_text()
    detail = this_machine(data)
    assert detail.line.state == "active"
    assert detail.line.name == os_facts.read().hostname
    assert detail.inventory is not None
    assert detail.inventory.volumes, "this machine has a disk"
    for volume in detail.inventory.volumes:
        assert f"{volume.encryption.value}, protection {volume.protection.value}" in shown
    assert "next check-in" in shown
    assert detail.line.id in shown
    assert re.search(r"console +https://localhost:\d+", shown)
    (code,) = re.findall(r"^kfi_\S+$", shown, re.MULTILINE)
    joined = processes.run(
        "keyfast.cli.main", "person", "join", "--data", str(data), stdin=f"{code}\nlong enough now\n"
    )
    assert "admin: administrator of all rings, active" in joined.stdout, joined.stderr

    # 2. Ctrl-C ends all of it.
    everything = children(process)
    processes.stop(process, signal.SIGINT)
    assert process.returncode == 0
    psutil.wait_procs(everything.values(), timeout=10)
    assert not [child for child in everything.values() if child.is_running()]

    # 3. The same command goes on with the same data.
    process, _, log = up()
    processes.until(lambda: "Ctrl-C stops" in log.read_text() or None, f"the second start; see {log}", 90)
    again = this_machine(data)
    assert (again.line.id, again.thumbprint) == (detail.line.id, detail.thumbprint)
    assert again.seq >= detail.seq
    assert again.fork is None
    assert "kfi_" not in log.read_text()

    # 4. kill -9 of everything, and again.
    for child in [process, *children(process).values()]:
        with contextlib.suppress(psutil.NoSuchProcess, ProcessLookupError):  # children go with their parent
            child.kill()
    process.wait(10)
    _, _, log = up()
    processes.until(lambda: "Ctrl-C stops" in log.read_text() or None, f"the third start; see {log}", 90)
    last = this_machine(data)
    assert last.line.id == detail.line.id
    assert last.seq >= again.seq
    assert last.fork is None


def test_an_agent_that_is_killed_is_started_again(up):
    process, data, log = up()
    processes.until(lambda: "Ctrl-C stops" in log.read_text() or None, f"the first check-in; see {log}", 90)

    def agent():
        for child in children(process).values():
            line = processes.command_line(child)
            if "keyfast.agent.main" in line and "keyfast.server.child" not in line:
                return child
        return None

    first = processes.until(agent, "the agent")
    first.kill()
    processes.until(lambda: (agent() or first).pid != first.pid, "another agent")
    assert this_machine(data).fork is None
