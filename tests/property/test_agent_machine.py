"""Whatever happens to an agent, it gets back to an accepted check-in without anybody touching it."""

import asyncio
import itertools
from collections.abc import Iterator
from functools import partial
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule
from tests.support.fake_agent import MemoryDatabase, Rig
from tests.support.fake_server import FakeServer, Fault

from keyfast.agent.client_database import Record
from keyfast.agent.install import seed
from keyfast.core.check_in import Fork
from keyfast.core.refusal import Refusal, RefusalClass
from keyfast.errors import ClientDatabaseError
from keyfast.trust.roles import Role
from keyfast.wire.bundle import BundleAccount

FAULTS = st.lists(st.sampled_from([None, None, *Fault]), max_size=6)
STORES = st.lists(st.sampled_from(["", "", "", "before", "after"]), max_size=6)
SERVER_KEYS = FakeServer().keyset  # made once: keys are slow and never change what is tested here


class Life(RuleBasedStateMachine):
    """An endpoint, its server, and everything that can go wrong between them."""

    def __init__(self) -> None:
        super().__init__()
        self.loop = asyncio.new_event_loop()
        self.snapshots: list[bytes] = []
        self.rolled_back = False
        self.forgotten = False
        self.acknowledged = 0
        self.device_key = ""

    def teardown(self) -> None:
        self.come_back()
        self.loop.close()

    @initialize()
    def installed(self) -> None:
        self.server = FakeServer(("https://a.example.com", "https://b.example.com"))
        self.server.keyset = SERVER_KEYS
        self.server.change_profile(self.server.urls)
        self.database = MemoryDatabase()
        seed(self.database, self.server.bundle())
        self.rig = Rig(self.server, self.database)

    @property
    def record(self) -> Record:
        return self.rig.agent.record

    def run(self, coroutine: Any) -> Any:
        return self.loop.run_until_complete(coroutine)

    def pass_time(self, seconds: float) -> None:
        self.server.now += int(seconds)
        self.rig.clock.pass_time(seconds)

    def visit(self) -> float:
        try:
            return float(self.run(self.rig.visit()))
        except ClientDatabaseError:
            return 30.0

    @rule(faults=FAULTS, stores=STORES)
    def live(self, faults: list[Fault | None], stores: list[str]) -> None:
        """A visit with requests, answers and stores that fail."""
        coming, failing = iter(faults), iter(stores)
        self.server.fault = lambda _request: next(coming, None)
        self.database.fail = lambda: next(failing, "")
        wait = self.visit()
        self.server.fault = lambda _request: None
        self.database.fail = lambda: ""
        self.pass_time(wait)

    @rule()
    def crash(self) -> None:
        self.rig.restart()

    @rule(steps=st.integers(0, 6))
    def crash_in_the_middle(self, steps: int) -> None:
        self.rig.agent.make_due()
        for _ in range(steps):
            self.run(self.rig.agent.step())
        self.rig.restart()

    @rule()
    def reboot(self) -> None:
        self.rig.clock.reboot()
        self.server.now += 60
        self.rig.restart()

    @rule(wall=st.sampled_from([0.0, 1_700_000_000.0, 1_800_000_000.0, 2_200_000_000.0]))
    def clock_jumps(self, wall: float) -> None:
        self.rig.clock.set_wall(wall)

    @rule(seconds=st.sampled_from([1.0, 3600.0, 86_400.0, 400 * 86_400.0]))
    def time_passes(self, seconds: float) -> None:
        self.pass_time(seconds)

    @rule(kind=st.sampled_from(list(RefusalClass)), count=st.integers(1, 20))
    def server_refuses(self, kind: RefusalClass, count: int) -> None:
        left = itertools.count()
        refusal = Refusal(kind, retry_after=30 if kind is RefusalClass.NOT_READY else 0)
        self.server.say_instead = lambda _path: refusal if next(left) < count else None
        for _ in range(3):
            self.pass_time(self.visit())
        self.server.say_instead = lambda _path: None

    @rule()
    def take_an_image(self) -> None:
        self.snapshots.append(self.database.content)

    @rule(data=st.data())
    def roll_back(self, data: st.DataObject) -> None:
        if self.snapshots:
            self.database.content = data.draw(st.sampled_from(self.snapshots))
            self.rolled_back = True
            self.acknowledged = 0
            self.device_key = ""
            self.rig.clock.reboot()
            self.rig.restart()

    @rule()
    def server_forgets(self) -> None:
        for known in list(self.server.by_id.values()):
            self.server.forget(known)
        self.forgotten = True

    @rule(role=st.sampled_from([Role.PROFILE, Role.COMMAND, Role.RECEIPT, Role.TOKEN]))
    def keys_rotate(self, role: Role) -> None:
        self.server.keyset = self.server.keyset.rotate(role, self.server.now)
        self.server.change_profile(self.server.urls)

    @rule()
    def root_rotates(self) -> None:
        self.server.keyset, _ = self.server.keyset.rotate_root(self.server.now)
        self.server.change_profile(self.server.urls)

    @rule()
    def command_arrives(self) -> None:
        for known in self.server.by_id.values():
            self.server.queue(known, known.standing.seq + 1, interval_s=120)

    def come_back(self) -> None:
        """The property: nothing but waiting leads to an accepted check-in, within two days."""
        if not hasattr(self, "server"):
            return
        before = {known.id: known.standing.seq for known in self.server.by_id.values()}
        waited = 0.0
        while waited < 2 * 86_400:
            wait = self.visit()
            known = self.server.by_id.get(self.record.endpoint_id)
            if known is not None and known.standing.seq > before.get(known.id, 0):
                assert self.record.failures == 0
                assert self.record.seq == known.standing.seq
                return
            self.pass_time(wait)
            waited += wait
        raise AssertionError(f"stranded: {self.record.trouble} {self.record.last_refusal}")

    @rule()
    def it_comes_back(self) -> None:
        self.come_back()

    @invariant()
    def identity_and_numbers_hold(self) -> None:
        if not hasattr(self, "server"):
            return
        stored = self.database.load()
        assert stored is not None
        if self.device_key:
            assert stored.device_key == self.device_key
        if self.server.by_id:  # from its first use on, the key is the endpoint
            self.device_key = stored.device_key
        assert stored.slots.factory
        assert stored.slots.current
        assert stored.statement
        assert stored.seq >= self.acknowledged
        for known in self.server.by_id.values():
            if stored.endpoint_id == known.id:
                self.acknowledged = max(self.acknowledged, min(known.standing.seq, stored.seq))

    @invariant()
    def nothing_but_an_image_forks_a_history(self) -> None:
        if hasattr(self, "server") and not self.rolled_back:
            assert all(known.forks == [] for known in self.server.by_id.values())

    @invariant()
    def one_image_is_never_taken_for_a_clone_of_itself(self) -> None:
        if hasattr(self, "server") and len(self.snapshots) <= 1:
            assert all(Fork.CLONE not in known.forks for known in self.server.by_id.values())


TestLife = Life.TestCase
TestLife.settings = settings(
    max_examples=30, stateful_step_count=20, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)


ACCOUNT = BundleAccount("svc-see", "CORP", "the-shared-password", 1)
DAY = 86_400


class WindowsLife(Life):
    """The same life, where the account authenticates; what is refused is now and then the password."""

    @initialize()
    def installed(self) -> None:
        self.server = FakeServer(("https://a.example.com", "https://b.example.com"))
        self.server.keyset = SERVER_KEYS
        self.server.windows(ACCOUNT, "basic")
        self.database = MemoryDatabase()
        seed(self.database, self.server.bundle())
        self.rig = Rig(self.server, self.database)

    @rule(kind=st.sampled_from([RefusalClass.ACCOUNT_REFUSED, RefusalClass.CONNECTION_BROKEN]), known=st.booleans())
    def password_is_refused(self, kind: RefusalClass, known: bool) -> None:
        self.server.check_account = lambda _user, _password: Refusal(kind)
        self.server.known_refused = lambda _message: known
        for _ in range(3):
            self.pass_time(self.visit())
        self.server.check_account = self.server._same_account
        self.server.known_refused = lambda _message: False

    @invariant()
    def account_holds(self) -> None:
        if hasattr(self, "server"):
            stored = self.database.load()
            assert stored is not None
            held = (stored.account_name, stored.account_domain, stored.account_password, stored.credential_generation)
            assert held == ("svc-see", "CORP", "the-shared-password", 1)


TestWindowsLife = WindowsLife.TestCase
TestWindowsLife.settings = TestLife.settings


class _Killed(BaseException):
    """The agent ends here, in the middle of a try."""


@settings(max_examples=40, deadline=None)
@given(st.lists(st.sampled_from(["refused", "refused", "killed", "restart", "reboot", "outage", "lost"]), min_size=1))
def test_a_day_of_refusals_and_crashes_is_at_most_five_tries(deeds: list[str]) -> None:
    server = FakeServer().windows(ACCOUNT, "basic")
    database = MemoryDatabase()
    seed(database, server.bundle())
    rig = Rig(server, database)
    with asyncio.Runner() as runner:
        runner.run(_day(server, rig, itertools.cycle(deeds)))
    stored = database.load()
    assert stored is not None
    assert stored.account_password == ACCOUNT.password
    assert len(server.logons) <= 5


async def _day(server: FakeServer, rig: Rig, deeds: Iterator[str]) -> None:
    passed = 0.0
    while passed < DAY:
        deed = next(deeds)
        server.check_account = partial(_refusing, deed == "killed")
        server.fault = lambda request, deed=deed: (  # a server that nobody reaches checks no password
            Fault.LOST_REQUEST if deed == "outage" or (deed == "lost" and "authorization" in request.headers) else None
        )
        wait = 20.0
        try:
            wait = min(await rig.visit(), 1200.0)
        except _Killed:
            rig.restart()
        if deed == "restart":
            rig.restart()
        elif deed == "reboot":
            rig.clock.reboot()
            rig.restart()
        server.now += int(wait)
        rig.clock.pass_time(wait)
        passed += wait


def _refusing(killed: bool, _user: str, _password: str) -> Refusal:
    if killed:
        raise _Killed
    return Refusal(RefusalClass.ACCOUNT_REFUSED)
