"""An endpoint that is moved about, with faults at every store and every request, always has a way back."""

import itertools

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import initialize, invariant, rule
from tests.property.test_agent_machine import SERVER_KEYS, Life
from tests.support.fake_agent import MemoryDatabase, Rig
from tests.support.fake_server import FakeServer, Known

from keyfast.agent.client_database import Record
from keyfast.agent.install import seed
from keyfast.core.mode import Mode
from keyfast.core.refusal import Refusal, RefusalClass
from keyfast.wire.bundle import BundleAccount
from keyfast.wire.changes import ERASE, Recover

FIRST = BundleAccount("svc-0", "CORP", "password-0", 1)
URLS = ("https://a.example.com", "https://b.example.com")
PROBE_REFUSALS = [RefusalClass.ACCOUNT_REFUSED, RefusalClass.MODE_CLOSED, RefusalClass.NOT_READY, RefusalClass.PENDING]


def user(account: BundleAccount) -> str:
    return f"{account.domain}\\{account.name}"


class ChangingLife(Life):
    """The same life while administrators rotate accounts, move servers and change modes."""

    @initialize()
    def installed(self) -> None:
        self.server = FakeServer(URLS)
        self.server.keyset = SERVER_KEYS
        self.server.windows(FIRST, "basic")
        self.server.next_try_s = 600
        self.server.before_recovery = self.decide_access
        self.database = MemoryDatabase()
        seed(self.database, self.server.bundle())
        self.rig = Rig(self.server, self.database)
        self.numbers = itertools.count(1)
        self.highest = (0, "", 0)
        self.live: dict[str, tuple[str, int]] = {}

    def account(self) -> BundleAccount:
        number = next(self.numbers)
        return BundleAccount(f"svc-{number}", "CORP", f"password-{number}", 1)

    def offer(self, known: Known, *, windows: bool, dead: bool = False, offered: bool = True) -> None:
        number = next(self.numbers)
        urls = (f"https://n{number}.example.com",)
        if dead:
            self.server.dead_hosts.add(f"n{number}.example.com")
        account = self.account() if windows else None
        change = self.server.move(known, urls=urls, account=account, offer=offered)
        if not dead:
            self.live[change.id] = (user(account) if account else "", change.expires_at)

    def decide_access(self, known: Known, message: Recover) -> None:
        """What a real server computes: whoever cannot work with what it holds is given something that works."""
        account, ends = self.live.get(known.change[0], ("", 0))
        held = message.account == account and message.command != known.change[0]
        if ends > self.server.now and not held and account not in self.server.retired:
            return  # the very same change again, as often as it takes
        self.offer(known, windows=True, offered=False)

    @rule(windows=st.booleans(), dead=st.booleans(), offered=st.booleans())
    def administrator_moves(self, windows: bool, dead: bool, offered: bool) -> None:
        for known in self.server.by_id.values():
            self.offer(known, windows=windows, dead=dead, offered=offered)

    @rule()
    def every_account_so_far_is_retired(self) -> None:
        self.server.retired = set(self.server.accounts)

    @rule()
    def previous_access_is_erased(self) -> None:
        for known in self.server.by_id.values():
            self.server.move(known, new_profile=False, action=ERASE, profile="", account="")

    @rule(kind=st.sampled_from(PROBE_REFUSALS), count=st.integers(1, 6))
    def probes_are_refused(self, kind: RefusalClass, count: int) -> None:
        left = itertools.count()
        self.server.fail_probe = lambda _host: Refusal(kind) if next(left) < count else None
        for _ in range(2):
            self.pass_time(self.visit())
        self.server.fail_probe = lambda _host: None

    @rule(kind=st.sampled_from(PROBE_REFUSALS))
    def what_a_recovery_brings_does_not_work_yet(self, kind: RefusalClass) -> None:
        self.server.retired = set(self.server.accounts)
        self.server.fail_probe = lambda _host: Refusal(kind)
        for _ in range(6):
            self.pass_time(self.visit())
        self.server.fail_probe = lambda _host: None

    @rule(kind=st.sampled_from(list(RefusalClass)), count=st.integers(1, 6))
    def recoveries_are_refused(self, kind: RefusalClass, count: int) -> None:
        left = itertools.count()
        self.server.refuse_recovery = lambda _signed: Refusal(kind) if next(left) < count else None
        for _ in range(2):
            self.pass_time(self.visit())
        self.server.refuse_recovery = lambda _signed: None

    @rule()
    def a_server_dies(self) -> None:
        """Any but the package's own, which the real world has a name for."""
        current = [url.split("/")[2] for url in self.server.urls[len(URLS) :]]
        self.server.dead_hosts.update(current)
        self.live.clear()

    @rule()
    def server_is_restored(self) -> None:
        self.server.epoch += 1
        for known in self.server.by_id.values():
            known.command_seq = 0
            known.commands.clear()
            known.change = ("", "")

    def accepted_for_work(self, record: Record) -> bool:
        if record.mode is Mode.OAUTH:
            return True
        account = record.account
        if account is None:
            return False
        name = f"CORP\\{account.name}"
        return name not in self.server.retired and self.server.accounts[name].password == account.password

    @invariant()
    def there_is_an_access_or_a_key_that_recovers(self) -> None:
        if not hasattr(self, "server"):
            return
        stored = self.database.load()
        assert stored is not None
        recovers = bool(stored.device_key and stored.seal_key) if stored.receipt else bool(stored.statement)
        assert self.accepted_for_work(stored) or recovers
        if stored.mode is Mode.WINDOWS:
            assert stored.account_password
            assert self.server.accounts[f"CORP\\{stored.account_name}"].password == stored.account_password
        if stored.watch is not None and stored.watch.state == "committed":
            assert stored.slots.previous
            assert stored.previous_mode is Mode.OAUTH or stored.previous_account is not None

    @invariant()
    def numbers_never_go_back(self) -> None:
        if not hasattr(self, "server"):
            return
        stored = self.database.load()
        assert stored is not None
        place = (stored.epoch, stored.receipt, stored.command_seq)
        anew = self.highest[1] != stored.receipt  # a server that had forgotten the endpoint counts anew
        if not anew and not self.rolled_back:
            assert (place[0], place[2]) >= (self.highest[0], self.highest[2])
        self.highest = place


TestChangingLife = ChangingLife.TestCase
TestChangingLife.settings = settings(
    max_examples=40, stateful_step_count=25, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
