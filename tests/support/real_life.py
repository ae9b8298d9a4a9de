"""The base of machines over the real server and the real agent: time, visits, administrators, and the end."""

import asyncio
import contextlib
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from hypothesis.stateful import RuleBasedStateMachine
from tests.support.witness import Witness

from keyfast.agent.client_database import Record
from keyfast.errors import ClientDatabaseError
from keyfast.simulation.endpoint import Endpoint, Faults, installed
from keyfast.simulation.habits import DAY, HOUR, Calendar, Habit
from keyfast.simulation.moments import VirtualTime
from keyfast.simulation.run import START
from keyfast.simulation.site import AdminError, Site

PATIENCE = 10 * DAY
"""Virtual time in which everybody has to be back once the present passwords are on record."""


class RealLife(RuleBasedStateMachine):
    """One server with some accounts, and its endpoints; what may happen to them is added by rules."""

    def __init__(self, template: Path, folder: Path, passwords: Mapping[str, str]) -> None:
        super().__init__()
        self.loop = asyncio.new_event_loop()
        self.folder = folder
        shutil.rmtree(folder, ignore_errors=True)
        shutil.copytree(template, folder)
        self.time = VirtualTime(START)
        self.site = Site(folder, self.time)
        self.run(self.site.start())
        self.witness = Witness(self.site)
        self.ticked = START
        self.endpoints: list[Endpoint] = []
        self.due: list[float] = []
        self.before: list[Record] = []
        self.images: list[bytes] = []
        self.passwords = dict(passwords)
        self.backed_up: dict[str, str] | None = None

    def run(self, coroutine: Any) -> Any:
        return self.loop.run_until_complete(coroutine)

    def admin(self, path: str, order: object = None) -> Any:
        """Ask the admin API; None if something stands against it."""
        with contextlib.suppress(AdminError):
            answer = self.run(self.site.post(path, Any, order))
            self.let_pass(1)
            return answer

    def let_pass(self, seconds: float, ticks: int = 1) -> None:
        """Time passes; the server's jobs run, at least once an hour."""
        self.time.now += seconds
        for _ in range(ticks if ticks or self.time.now < self.ticked + HOUR else 1):
            self.run(self.site.tick())
            self.ticked = self.time.now

    def visit(self, number: int) -> None:
        """Let time pass until the endpoint acts, and let it act."""
        self.let_pass(max(1.0, self.due[number] - self.time.now), ticks=0)
        try:
            wait = self.run(self.endpoints[number].visit())
        except ClientDatabaseError:
            wait = 30.0
        self.due[number] = self.time.now + wait

    def join(self, **order: str) -> None:
        bundle = self.run(self.site.package(days=365, **order))
        number = len(self.endpoints)
        always = Calendar(Habit.DESKTOP, 0, 24)
        made = Endpoint(number, installed(bundle), always, self.time, self.witness, Faults(), 1)
        self.endpoints.append(made)
        self.due.append(self.time.now)
        self.before.append(made.record)
        self.visit(number)
        assert made.record.receipt
        assert made.record.acked

    def teardown(self) -> None:
        try:
            if self.endpoints:
                self.everybody_comes_back()
        finally:
            self.run(self.site.stop())
            self.loop.close()

    def everybody_comes_back(self) -> None:
        """The administrator tells the present passwords; from then on nothing goes wrong."""
        for account, password in self.passwords.items():
            self.run(self.site.set_password(account, f"{password}-at-last"))
            self.run(self.site.add_account(account, f"{password}-at-last"))
        self.admin("/admin/v1/installation/end-recovery")
        self.let_pass(1)
        began = self.time.now
        while self.time.now < began + PATIENCE and (away := self.away(began)):
            self.visit(min(away, key=self.due.__getitem__))
        assert not self.away(began), [self.endpoints[number].record.trouble for number in self.away(began)]

    def away(self, since: float) -> list[int]:
        return [n for n, endpoint in enumerate(self.endpoints) if endpoint.record.last_success_at < since]
