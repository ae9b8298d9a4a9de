"""The real server and the real agent, in virtual time: whatever happens in whatever order, nobody is stranded."""

import contextlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)
from tests.support.real_life import RealLife
from tests.support.witness import founded, rows

from keyfast.agent.client_database import Record
from keyfast.core.mode import Mode
from keyfast.simulation.endpoint import Disk, Endpoint, NetFault, StoreFault
from keyfast.simulation.habits import DAY, HOUR
from keyfast.simulation.site import AdminError
from keyfast.wire.admin import Changed

A, B = "svc-a", "svc-b"
PASSWORDS = {A: "First-Passw0rd-0", B: "Second-Passw0rd-0"}
QUICK = {"soak_s": HOUR, "drain_s": HOUR, "refused_s": HOUR, "backup_s": HOUR, "publish_s": HOUR}
ACTS = ("pause", "resume", "hasten", "roll-back", "retire", "retrust", "finish", "abandon")
IN_HAND = (
    "SELECT endpoint_id FROM command WHERE state IN ('received', 'proven') AND action = 'ChangeWebAccessServer'"
    " GROUP BY endpoint_id HAVING count(*) > 1"
)


class RealMachine(RealLife):
    """One server, two accounts and at most two endpoints."""

    @initialize()
    def begin(self) -> None:
        self.let_pass(1)
        self.join(mode="windows", account=A)

    # --- endpoints

    def some(self, number: int) -> int:
        return number % len(self.endpoints)

    @rule(number=st.integers(0, 1), times=st.integers(1, 4))
    def visits(self, number: int, times: int) -> None:
        for _ in range(times):
            self.visit(self.some(number))

    @rule(
        number=st.integers(0, 1),
        at=st.integers(0, 7),
        fault=st.sampled_from([*StoreFault, *NetFault]),
        dies=st.booleans(),
    )
    def visits_with_a_fault(self, number: int, at: int, fault: StoreFault | NetFault, dies: bool) -> None:
        endpoint = self.endpoints[self.some(number)]
        coming: list[Any] = [*([None] * at), fault]
        if isinstance(fault, StoreFault):
            endpoint.disk.coming = coming
        else:
            endpoint.faults.coming = coming
        self.visit(self.some(number))
        endpoint.disk.coming, endpoint.faults.coming = [], []
        if dies:
            endpoint.restart_agent()

    @rule(number=st.integers(0, 1), steps=st.integers(0, 6))
    def is_switched_off_while_it_acts(self, number: int, steps: int) -> None:
        endpoint = self.endpoints[self.some(number)]
        endpoint.agent.make_due()
        for _ in range(steps):
            self.run(endpoint.agent.step())
        self.run(endpoint.agent.rest())
        endpoint.restart()
        self.due[endpoint.number] = self.time.now

    @precondition(lambda self: len(self.endpoints) == 1)
    @rule(mode=st.sampled_from(["windows", "oauth"]), account=st.sampled_from([A, B]))
    def another_machine_joins(self, mode: str, account: str) -> None:
        with contextlib.suppress(AdminError):
            self.join(mode=mode, **({"account": account} if mode == "windows" else {}))

    @rule(number=st.integers(0, 1))
    def an_image_is_taken(self, number: int) -> None:
        self.images = [*self.images[-2:], self.endpoints[self.some(number)].disk.content]

    @precondition(lambda self: self.images)
    @rule(which=st.integers(0, 2))
    def an_image_is_put_back(self, which: int) -> None:
        image = self.images[which % len(self.images)]
        own = Disk(image).load()
        assert own is not None
        number = next(n for n, known in enumerate(self.before) if known.package == own.package)
        self.endpoints[number].restart(image)
        self.before[number] = self.endpoints[number].record
        self.due[number] = self.time.now

    # --- time and the server

    @rule(seconds=st.sampled_from([60, HOUR, 8 * HOUR, DAY, 8 * DAY, 21 * DAY, 45 * DAY]))
    def time_passes(self, seconds: float) -> None:
        self.let_pass(seconds, ticks=3)

    @rule(seconds=st.sampled_from([1, DAY, 9 * DAY]), visits=st.integers(0, 2))
    def the_server_starts_again(self, seconds: float, visits: int) -> None:
        self.run(self.site.stop())
        self.time.now += seconds
        for number in list(range(len(self.endpoints))) * visits:
            self.time.now = max(self.time.now, self.due[number])
            self.due[number] = self.time.now + self.run(self.endpoints[number].visit())
        self.run(self.site.start())

    @rule()
    def a_backup_is_made(self) -> None:
        self.run(self.site.backup(self.folder / "copy.db"))
        self.backed_up = dict(self.passwords)

    @precondition(lambda self: self.backed_up)
    @rule()
    def the_backup_is_restored(self) -> None:
        """The embedded directory goes back with it."""
        self.run(self.site.restore(self.folder / "copy.db"))
        self.passwords = dict(self.backed_up or {})

    # --- administrators

    @rule(account=st.sampled_from([A, B]), tells=st.booleans())
    def the_password_is_changed(self, account: str, tells: bool) -> None:
        stem, _, number = self.passwords[account].rpartition("-")
        self.passwords[account] = f"{stem}-{int(number) + 1}"
        self.run(self.site.set_password(account, self.passwords[account]))
        if tells:
            self.the_present_password_is_put_on_record(account)

    @rule(account=st.sampled_from([A, B]))
    def the_present_password_is_put_on_record(self, account: str) -> None:
        self.admin("/admin/v1/accounts", {"account": account, "password": self.passwords[account]})

    @rule(
        kind=st.sampled_from(["account", "account", "oauth", "device_key"]),
        back=st.booleans(),
        hasty=st.booleans(),
        rounds=st.integers(0, 6),
    )
    def a_rotation_starts(self, kind: str, back: bool, hasty: bool, rounds: int = 0) -> None:
        source, target = (B, A) if back else (A, B)
        order = QUICK | {"kind": kind, "hasty": hasty} | ({} if kind == "device_key" else {"source": source})
        made = self.admin("/admin/v1/rotations", order | ({"target": target} if kind == "account" else {}))
        if made:
            self.admin(f"/admin/v1/rotations/{made['id']}/start")
            self.the_rotation_is_carried_on(rounds, ())

    @rule(number=st.integers(0, 1))
    def an_endpoint_is_to_renew_its_key(self, number: int) -> None:
        self.admin(f"/admin/v1/endpoints/{self.endpoints[self.some(number)].record.endpoint_id}/renew-key")

    def newest(self) -> str:
        found = self.run(self.site.get("/admin/v1/rotations", list[dict[str, Any]]))
        return str(found[0]["id"]) if found else "none"

    @rule(act=st.sampled_from(ACTS))
    def the_rotation_is_led(self, act: str) -> None:
        self.admin(f"/admin/v1/rotations/{self.newest()}/{act}")

    @rule(rounds=st.integers(2, 6), acts=st.sampled_from([("retire",), ("retire", "finish"), ("finish",), ()]))
    def the_rotation_is_carried_on(self, rounds: int, acts: tuple[str, ...]) -> None:
        """Days on which everybody is there and is started anew; then the next step, if nothing stands against it."""
        for _ in range(rounds):
            for endpoint in self.endpoints:
                self.visit(endpoint.number)
                endpoint.restart_agent()
        for act in acts:
            self.the_rotation_is_led(act)
            self.let_pass(2 * HOUR, ticks=3)

    @rule(number=st.integers(0, 1))
    def an_endpoint_is_waived(self, number: int) -> None:
        order = {"endpoints": [self.endpoints[self.some(number)].record.endpoint_id], "reason": "in a drawer"}
        self.admin(f"/admin/v1/rotations/{self.newest()}/waive", order)

    @rule()
    def packages_are_revoked(self) -> None:
        for line in self.run(self.site.get("/admin/v1/packages", list[dict[str, Any]])):
            self.run(self.site.post(f"/admin/v1/packages/{line['id']}/revoke", Changed))

    @rule()
    def the_operator_ends_the_recovery_of_the_server(self) -> None:
        self.admin("/admin/v1/installation/end-recovery")

    # --- what always holds

    @invariant()
    def endpoints_lose_nothing(self) -> None:
        for number, endpoint in enumerate(self.endpoints):
            before, after = self.before[number], stored(endpoint)
            assert keys_of(before) <= keys_of(after)
            assert after.receipt or not before.receipt
            assert after.seal_key or not before.seal_key
            assert after.mode is not Mode.WINDOWS or after.account_password
            assert (after.epoch, after.command_seq) >= (before.epoch, before.command_seq) or forgotten(before, after)
            profile = (after.profile_epoch, after.profile_seq)
            went_back = profile == (before.previous_epoch, before.previous_seq)
            assert profile >= (before.profile_epoch, before.profile_seq) or went_back
            assert not after.acked or after.acked in self.witness.acknowledged
            self.before[number] = after

    @invariant()
    def the_server_has_at_most_one_change_in_hand(self) -> None:
        assert not rows(self.site, IN_HAND)


def keys_of(record: Record) -> set[str]:
    """Every device key that it could use."""
    new = record.renewal.keys if record.renewal else None
    return {record.device_key, *record.key_history, *((new.device,) if new else ())} - {""}


def stored(endpoint: Endpoint) -> Record:
    record = endpoint.disk.load()
    assert record is not None
    return record


def forgotten(before: Record, after: Record) -> bool:
    """A server that had forgotten the endpoint counts anew."""
    return before.receipt != after.receipt


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return founded(tmp_path_factory.mktemp("template"), PASSWORDS)


def search(template: Path, folder: Path, examples: int, steps: int) -> None:
    machine: Callable[[], RealMachine] = lambda: RealMachine(template, folder, PASSWORDS)  # noqa: E731
    chosen = settings(
        max_examples=examples,
        stateful_step_count=steps,
        deadline=None,
        derandomize=True,
        database=None,
        suppress_health_check=list(HealthCheck),
    )
    run_state_machine_as_test(machine, settings=chosen)


REPEATED: dict[str, list[Any]] = {
    "an image from before a move to OAuth is put back": [
        ("an_image_is_taken", {"number": 0}),
        ("a_rotation_starts", {"kind": "oauth", "back": False, "hasty": False}),
        *[("the_rotation_is_carried_on", {"rounds": 4, "acts": ("retire", "finish")})] * 2,
        ("an_image_is_put_back", {"which": 0}),
    ],
    "an image from before its key was renewed twice is put back, and the server too": [
        ("an_image_is_taken", {"number": 0}),
        ("an_endpoint_is_to_renew_its_key", {"number": 0}),
        ("visits", {"number": 0, "times": 4}),
        ("a_backup_is_made", {}),
        ("a_rotation_starts", {"kind": "device_key", "back": False, "hasty": True}),
        ("the_rotation_is_carried_on", {"rounds": 4, "acts": ("finish",)}),
        ("an_image_is_put_back", {"which": 0}),
        ("the_backup_is_restored", {}),
    ],
}
"""Sequences that stranded an endpoint once, or would."""


@pytest.mark.parametrize("name", REPEATED)
def test_nobody_is_stranded_again_when(name: str, template: Path, tmp_path: Path):
    machine = RealMachine(template, tmp_path / "site", PASSWORDS)
    machine.begin()
    for happens, with_ in REPEATED[name]:
        getattr(machine, happens)(**with_)
        machine.endpoints_lose_nothing()
        machine.the_server_has_at_most_one_change_in_hand()
    machine.teardown()


def test_nobody_is_stranded_by_a_few_events(template: Path, tmp_path: Path):
    search(template, tmp_path / "site", 3, 12)


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_nobody_is_stranded_by_many_events(template: Path, tmp_path: Path):
    search(template, tmp_path / "site", 60, 30)
