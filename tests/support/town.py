"""A server in virtual time and some endpoints: the real server and the real agent, without sockets."""

import asyncio
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

from tests.support.witness import Witness, founded, rows

from keyfast.agent.evidence import device_key
from keyfast.errors import ClientDatabaseError
from keyfast.simulation.endpoint import Endpoint, Faults, NetFault, installed
from keyfast.simulation.habits import DAY, Calendar, Habit
from keyfast.simulation.moments import VirtualTime
from keyfast.simulation.run import START
from keyfast.simulation.site import Site
from keyfast.wire.admin import CommandLine, EndpointDetail
from keyfast.wire.bundle import Bundle

ACCOUNT, PASSWORD = "svc-a", "First-Passw0rd-0"
ALWAYS = Calendar(Habit.DESKTOP, 0, 24)


class Town:
    """A server in virtual time, and endpoints of a mode.

    Args:
        folder: where the server's data is to be.
        mode: authentication mode in which the endpoints are installed.
        device_key: setting ``recovery.device_key``.
    """

    def __init__(self, folder: Path, mode: str, device_key: str = "always") -> None:
        self.loop = asyncio.new_event_loop()
        self.time = VirtualTime(START)
        folder.mkdir(mode=0o700)
        founded(folder, {ACCOUNT: PASSWORD})
        self.site = Site(folder, self.time, device_key)
        self.run(self.site.start())
        self.let_pass(1)
        self.bundle: Bundle = self.run(self.site.package(days=365, **self.order(mode)))
        self.endpoints: list[Endpoint] = []
        self.folder = folder

    def order(self, mode: str) -> dict[str, str]:
        return {"mode": mode, "account": ACCOUNT} if mode == "windows" else {"mode": mode}

    def run(self, coroutine: Coroutine[Any, Any, Any]) -> Any:
        return self.loop.run_until_complete(coroutine)

    def let_pass(self, seconds: float) -> None:
        self.time.now += seconds
        self.run(self.site.tick())

    def install(self) -> Endpoint:
        """A package was installed; nothing has happened yet."""
        number = len(self.endpoints)
        made = Endpoint(number, installed(self.bundle), ALWAYS, self.time, Witness(self.site), Faults(), 1)
        self.endpoints.append(made)
        return made

    def join(self, made: Endpoint | None = None) -> Endpoint:
        """It is installed, and has checked in."""
        made = made or self.install()
        self.visit(made)
        assert made.record.acked, made.record.trouble
        return made

    def visit(self, endpoint: Endpoint) -> float:
        try:
            return float(self.run(endpoint.visit()))
        except ClientDatabaseError:
            return 30.0

    def live(self, endpoint: Endpoint, until: Callable[[], bool], most: float = 3 * DAY) -> None:
        """Let time pass, and the endpoint act whenever it wants to."""
        end = self.time.now + most
        while not until():
            assert self.time.now < end, endpoint.record.trouble
            self.let_pass(self.visit(endpoint) + 0.1)

    def renew(self, endpoint: Endpoint) -> str:
        path = f"/admin/v1/endpoints/{endpoint.record.endpoint_id}/renew-key"
        return str(self.run(self.site.post(path, CommandLine)).id)

    def state(self, endpoint: Endpoint, command: str) -> str:
        path = f"/admin/v1/endpoints/{endpoint.record.endpoint_id}"
        detail = self.run(self.site.get(path, EndpointDetail))
        return str(next(row.state for row in detail.commands if row.id == command))

    def loses_the_answer_to_a_renewal(self, endpoint: Endpoint) -> str:
        """The server knows a new key, and the endpoint does not know that; return the command's id."""
        before = thumbprint(endpoint)
        command = self.renew(endpoint)
        while self.keys(endpoint)[before] == "current":
            endpoint.faults.coming = [NetFault.ANSWER_LOST] * 3 if endpoint.record.renewal else []
            self.let_pass(self.visit(endpoint) + 0.1)
        endpoint.faults.coming = []
        assert thumbprint(endpoint) == before
        return command

    def works(self, endpoint: Endpoint) -> Callable[[], bool]:
        """Tell whether it has checked in since now, with the key that is on record as the one in use."""
        since = self.time.now

        def now() -> bool:
            seen = endpoint.record.last_success_at > since
            return seen and self.keys(endpoint).get(thumbprint(endpoint)) == "current"

        return now

    def keys(self, endpoint: Endpoint) -> dict[str, str]:
        """Thumbprints on record, and their status."""
        found = "SELECT thumbprint, status FROM device_key WHERE endpoint_id = ?"
        return dict(rows(self.site, found, bytes.fromhex(endpoint.record.endpoint_id.replace("-", ""))))

    def back_up(self) -> Path:
        to = self.folder / "backup.db"
        self.run(self.site.backup(to))
        return to

    def close(self) -> None:
        self.run(self.site.stop())
        self.loop.close()


def thumbprint(endpoint: Endpoint) -> str:
    """Of the device key in use."""
    return device_key(endpoint.record.device_key).thumbprint
