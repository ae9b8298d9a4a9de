"""An agent that nobody restarts does it itself, once, and its change is verified on the server."""

import contextlib
import sqlite3
import uuid

import psutil
import pytest
from tests.support import processes
from tests.support.agent import RealAgent
from tests.support.device import read_bundle

from keyfast.agent.lock import is_held
from keyfast.agent.platform import here
from keyfast.core.change import RESTART_AFTER, ChangeState
from keyfast.errors import EXIT_START_AGAIN
from keyfast.wire.rotation import RotationOrder, RotationView

pytestmark = [pytest.mark.e2e, pytest.mark.slow, pytest.mark.timeout(300)]
RESTARTING = "restarting, to verify"


class Moved:
    """An endpoint that took a change and lacks nothing but a restart."""

    def __init__(self, server, folder, *more):
        self.server = server
        self.agent = RealAgent(folder / "agent").install(read_bundle(server.package().path))
        assert self.agent.check_in(), self.agent.output
        self.ahead = folder / "ahead"
        self.ahead.write_text("0")
        arguments = (str(self.agent.state), str(self.ahead), *more)
        self.process = processes.start("tests.support.leaping_agent", *arguments, log=self.agent.log)
        try:
            processes.until(self.runs, "the service to hold its client database")
            self.rotation = self.moves()
            for _ in range(4):
                assert self.agent.check_in(), self.agent.output
            assert self.watch.state is ChangeState.COMMITTED
            assert self.watch.due is not None
        except BaseException:
            processes.stop(self.process)
            raise

    def moves(self):
        order = RotationOrder("address", mode="oauth", urls=(self.server.url,), soak_s=0)
        made = self.server.admin.post("/admin/v1/rotations", RotationView, order).id
        self.server.admin.post(f"/admin/v1/rotations/{made}/start", RotationView)

        def committed():
            return self.agent.check_in() and self.watch is not None and self.watch.state is ChangeState.COMMITTED

        processes.until(committed, "the change to be in use")
        return made

    def runs(self):
        """Whether a service has the client database; else a command would check in by itself, as another process."""
        return is_held(self.agent.state)

    @property
    def watch(self):
        record, _ = here().read(self.agent.state)
        return record.watch

    def leap(self):
        """Let the time pass after which it restarts, and have it look at its clock."""
        self.ahead.write_text(str(2 * RESTART_AFTER + 1))
        self.agent.do("check-in")

    def instance_on_record(self):
        with contextlib.closing(sqlite3.connect(self.server.data / "keyfast.db")) as database:
            ((instance,),) = database.execute("SELECT instance FROM presence")
        return str(uuid.UUID(bytes=instance))

    def restarts(self):
        return self.agent.log.read_text().count(RESTARTING)

    def verified(self):
        processes.until(self.runs, "the service to hold its client database")
        self.agent.do("check-in")
        return self.server.admin.get(f"/admin/v1/rotations/{self.rotation}", RotationView).verified == 1


def test_an_agent_that_never_restarts_restarts_itself_once(start_server, tmp_path):
    moved = Moved(start_server(), tmp_path)
    try:
        born, instance = psutil.Process(moved.process.pid).create_time(), moved.watch.instance
        assert moved.instance_on_record() == instance
        moved.leap()
        processes.until(lambda: moved.restarts() == 1, f"the restart: {moved.agent.log.read_text()}")
        processes.until(moved.verified, "the server to hear that the change is verified")
        assert moved.process.poll() is None
        assert psutil.Process(moved.process.pid).create_time() == born
        assert moved.instance_on_record() != instance
        assert (moved.watch.state, moved.watch.instance) == (ChangeState.VERIFIED, instance)
        assert moved.server.endpoint(moved.server.endpoints()[0].id).fork is None
        moved.leap()
        assert moved.agent.check_in(), moved.agent.output
        assert moved.restarts() == 1
    finally:
        processes.stop(moved.process)


def test_under_a_service_manager_it_ends_so_that_it_is_started_again(start_server, tmp_path):
    """What systemd would set: the id of the process that it started."""
    moved = Moved(start_server(), tmp_path, "managed")
    try:
        moved.leap()
        processes.until(lambda: moved.process.poll() is not None, "its end")
        assert moved.process.returncode == EXIT_START_AGAIN
        agent = moved.agent.start()
        processes.until(moved.verified, "the server to hear that the change is verified")
        agent.close()
    finally:
        processes.stop(moved.process)
