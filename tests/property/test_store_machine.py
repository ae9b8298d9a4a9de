"""Whatever comes in whatever order, both databases agree with a dictionary and the judge."""

import asyncio
import tempfile
from pathlib import Path

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test
from msgspec.structs import replace
from tests.support.databases import KINDS, NOW, check_in, digest, endpoint_row, new_database, some_id

from keyfast.core.attendance import DAY, HOUR, marks
from keyfast.core.check_in import Accepted, Standing, judge
from keyfast.core.command import WAITING, CommandEvent, CommandState, from_states
from keyfast.core.endpoint import EndpointState
from keyfast.store import commands, endpoints
from keyfast.store.commands import CommandRow
from keyfast.store.database import Database
from keyfast.store.writer import open_writer
from keyfast.wire.messages import CommandResult

ENDPOINTS = st.integers(0, 2)
SAID = st.fixed_dictionaries(
    {
        "which": st.integers(0, 3),
        "ahead": st.integers(-1, 3),
        "acked": st.sampled_from(["head", "displaced", ""]),
        "granted": st.booleans(),
        "inventory": st.sampled_from([b"a", b"b"]),
        "enclosed": st.booleans(),
        "token_age": st.integers(0, 3),
        "later": st.sampled_from([0, 5, HOUR, 30 * HOUR, 70 * DAY]),
        "results": st.lists(
            st.tuples(st.integers(0, 3), st.sampled_from(["received", "applied", "failed"])), max_size=2
        ),
    }
)


class StoreMachine(RuleBasedStateMachine):
    """Three endpoints and a stranger."""

    url = ""

    def __init__(self):
        super().__init__()
        self.runner = asyncio.Runner()
        self.ids = [some_id() for _ in range(4)]
        self.model, self.forks, self.changes = {}, dict.fromkeys(self.ids, 0), {each: [] for each in self.ids}
        self.commands = {each: {} for each in self.ids}
        self.now, self.heard = NOW, {each: [] for each in self.ids}

    @initialize()
    def open(self):
        self.runner.run(self._open())

    async def _open(self):
        self.database = await Database.open(self.url)
        self.writer = await open_writer(self.url, gap_s=0)
        async with self.database.write() as conn:
            for endpoint_id in self.ids[:3]:
                await endpoints.insert(conn, endpoint_row(endpoint_id), EndpointState.ACTIVE)
                self.model[endpoint_id] = Standing(EndpointState.ACTIVE)

    @rule(said=st.lists(SAID, min_size=1, max_size=5))
    def submit(self, said):
        batch, expected = [], []
        for one in said:
            sent = self._sent(**one)
            batch.append(sent)
            expected.append(self._expect(sent))
        verdicts = self.runner.run(self._submit(batch))
        assert [_judged(verdict) for verdict in verdicts] == expected

    async def _submit(self, batch):
        return await asyncio.gather(*map(self.writer.submit, batch))

    def _sent(self, which, ahead, acked, granted, inventory, enclosed, token_age, later, results):
        endpoint_id = self.ids[which]
        standing = self.model.get(endpoint_id, Standing(EndpointState.ACTIVE))
        known = list(self.commands[endpoint_id])
        self.now += later
        return check_in(
            endpoint_id,
            max(1, standing.seq + ahead),
            acked={"head": standing.head, "displaced": standing.displaced}.get(acked, b""),
            grant=standing.seq + 1 if granted else None,
            inventory=inventory if enclosed else None,
            known=digest(inventory.decode()),
            token_issued_at=NOW - token_age,
            seen_at=self.now,
            results=tuple(CommandResult(known[at], state) for at, state in results if at < len(known)),
        )

    def _expect(self, sent):
        verdict = judge(self.model.get(sent.endpoint_id), sent.report)
        if isinstance(verdict, Accepted):
            self.model[sent.endpoint_id] = verdict.standing
            self.heard[sent.endpoint_id].append(sent.seen_at)
            self.forks[sent.endpoint_id] += verdict.fork is not None
            if verdict.inventory_changed:
                self.changes[sent.endpoint_id].insert(0, sent.inventory)
            states = self.commands[sent.endpoint_id]
            for result in sent.results:
                if states[result.id] in from_states(CommandEvent(result.state)):
                    states[result.id] = result.state
        return _judged(verdict)

    @rule(which=ENDPOINTS, new=st.sampled_from(EndpointState))
    def decide(self, which, new):
        self.runner.run(self._set_state(self.ids[which], new))

    async def _set_state(self, endpoint_id, new):
        async with self.database.write() as conn:
            assert await endpoints.set_state(conn, endpoint_id, self.model[endpoint_id].state, new)
        self.model[endpoint_id] = replace(self.model[endpoint_id], state=new)

    @rule(which=ENDPOINTS, age=st.integers(0, 3))
    def revoke_tokens(self, which, age):
        self.runner.run(self._revoke(self.ids[which], NOW - age))

    async def _revoke(self, endpoint_id, at):
        async with self.database.write() as conn:
            await endpoints.revoke_tokens(conn, endpoint_id, at)
        standing = self.model[endpoint_id]
        self.model[endpoint_id] = replace(standing, tokens_from=max(at, standing.tokens_from))

    @rule(which=ENDPOINTS)
    def queue(self, which):
        self.runner.run(self._queue(self.ids[which]))

    async def _queue(self, own):
        command_id = some_id()
        async with self.database.write() as conn:
            seq = await commands.next_seq(conn, own)
            row = CommandRow(own, seq, command_id, "x", "jws", CommandState.QUEUED, NOW, NOW + 9, NOW)
            await commands.queue(conn, row)
        for older, state in self.commands[own].items():
            if state in WAITING:
                self.commands[own][older] = "superseded"
        self.commands[own][command_id] = "queued"

    @rule(which=ENDPOINTS)
    def offer(self, which):
        self.runner.run(self._offer(self.ids[which]))

    async def _offer(self, own):
        async with self.database.write() as conn:
            rows = await commands.offer(conn, own, now=NOW, limit=99)
        states = self.commands[own]
        assert [row.id for row in rows] == [each for each, state in states.items() if state in WAITING]
        states.update({row.id: "offered" for row in rows})

    @invariant()
    def agrees(self):
        self.runner.run(self._agrees())

    async def _agrees(self):
        async with self.database.read() as conn:
            for own in self.ids[: len(self.model)]:
                found = (await endpoints.get(conn, own)).presence
                fork = await endpoints.fork(conn, own)
                history = await endpoints.inventory_history(conn, own, limit=99)
                told = await commands.list_page(conn, own, limit=99)
                expected = self.model[own]
                for name in ("state", "seq", "head", "displaced", "inventory_digest", "tokens_from"):
                    assert getattr(found, name) == getattr(expected, name), name
                for bits, step in ((found.heard_hours, HOUR), (found.heard_days, DAY)):
                    shown = marks(bits, found.seen_at, self.now, step, NOW)
                    there = {at // step * step for at in self.heard[own]}
                    assert {mark.at for mark in shown if mark.heard} == there & {mark.at for mark in shown}
                assert found.commands == sum(state in WAITING for state in self.commands[own].values())
                assert {row.id: row.state for row in told} == self.commands[own]
                assert (fork.count if fork else 0) == self.forks[own]
                assert [row.document for row in history] == self.changes[own]

    def teardown(self):
        self.runner.run(self._close())
        self.runner.close()

    async def _close(self):
        await self.writer.close()
        await self.database.close()


def _judged(verdict):
    if isinstance(verdict, Accepted):
        return replace(verdict, standing=replace(verdict.standing, commands=0, seen_at=0, heard_hours=0, heard_days=0))
    return verdict


@pytest.mark.parametrize("kind", KINDS)
def test_the_store_agrees_with_the_model(kind):
    with tempfile.TemporaryDirectory() as folder:
        machine = type("Machine", (StoreMachine,), {"url": new_database(kind, Path(folder))})
        run_state_machine_as_test(machine, settings=settings(max_examples=30, stateful_step_count=15, deadline=None))
