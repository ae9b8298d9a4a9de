"""Two servers over one PostgreSQL: no rotation offers what one of them does not accept yet."""

import shutil
import signal
from pathlib import Path

import pytest
from tests.support import processes
from tests.support.device import Device, read_bundle
from tests.support.postgres import shared_cluster
from tests.support.server import RunningServer

from keyfast import settings as settings_room
from keyfast.wire.admin import Changed, NodeLine, NodeName
from keyfast.wire.rotation import RotationOrder, RotationView


@pytest.fixture
def first(tmp_path: Path):
    running = RunningServer(tmp_path / "first", shared_cluster().create_database())
    yield running
    running.close()


@pytest.fixture
def second(first: RunningServer, tmp_path: Path):
    """Another check-in process with the keys of the first, on a port of its own."""
    data, port = tmp_path / "second", processes.free_port()
    shutil.copytree(first.data, data, ignore=shutil.ignore_patterns("run", "*.log", "log"))
    path = data / settings_room.FILE_NAME
    path.write_text(path.read_text().replace(f"port = {first.port}", f"port = {port}"))
    assert settings_room.load(data).port == port
    process = processes.start("keyfast.server.process", "check-in", "--data", str(data), log=tmp_path / "second.log")
    yield process, port
    if process.poll() is None:
        process.send_signal(signal.SIGCONT)
        processes.stop(process)


def nodes(server: RunningServer) -> dict[str, NodeLine]:
    return {node.name.rpartition(":")[2]: node for node in server.admin.get("/admin/v1/nodes", list[NodeLine])}


def both(server: RunningServer, port: int) -> bool:
    return set(nodes(server)) == {str(server.port), str(port)}


def started(server: RunningServer) -> str:
    """A rotation to one more address, for one endpoint."""
    with server.client() as http:
        Device(http, server.url).enrol(read_bundle(server.package().path))
    order = RotationOrder("address", mode="oauth", urls=(server.url, server.url + "/"))
    made = server.admin.post("/admin/v1/rotations", RotationView, order)
    server.admin.post(f"/admin/v1/rotations/{made.id}/start", RotationView)
    return made.id


def rotation(server: RunningServer, rotation_id: str) -> RotationView:
    return server.admin.get(f"/admin/v1/rotations/{rotation_id}", RotationView)


def waits_for(server: RunningServer, rotation_id: str, port: int) -> bool:
    found = rotation(server, rotation_id)
    told = [step.against for step in found.steps if step.step == "offered"]
    return found.state == "trusted" and f":{port} does not accept access profile" in str(told)


def test_a_node_that_hears_nothing_holds_a_rotation_until_it_hears(first, second):
    process, port = second
    # 1. Both serve, and both have said so.
    processes.until(lambda: both(first, port), "both nodes to speak")
    # 2. The second one hears nothing any more: it hangs, or its database is far away.
    process.send_signal(signal.SIGSTOP)
    rotation_id = started(first)
    # 3. The rotation is ready but for that node, and names it.
    processes.until(lambda: waits_for(first, rotation_id, port), "the rotation to wait for the node")
    # 4. It hears again: the rotation goes on by itself.
    process.send_signal(signal.SIGCONT)
    processes.until(lambda: rotation(first, rotation_id).state != "trusted", "the rotation to go on")
    # 5. Who is stopped in good order is waited for no more.
    processes.stop(process)
    assert set(nodes(first)) == {str(first.port)}


def test_a_node_that_died_holds_a_rotation_until_somebody_says_so(first, second):
    process, port = second
    processes.until(lambda: both(first, port), "both nodes to speak")
    process.kill()
    process.wait()
    rotation_id = started(first)
    processes.until(lambda: waits_for(first, rotation_id, port), "the rotation to wait for the node")
    name = nodes(first)[str(port)].name
    first.admin.post("/admin/v1/nodes/forget", Changed, NodeName(name))
    processes.until(lambda: rotation(first, rotation_id).state != "trusted", "the rotation to go on")
