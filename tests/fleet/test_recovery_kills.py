"""Whoever dies in the middle of a guided recovery, server or command line: the next one ends it as if nobody had.

The server is the real one in this process, composed anew over the same database after each death; the endpoints are
real agents. It dies exactly before and exactly after the commit of each of its writes, the command line before and
after each of its requests.

They are hundreds; without KEYFAST_EVERY_DEATH=1 each story is ended at every fourth of them.
"""

import asyncio
import os
import shutil
import sqlite3
from collections import Counter
from contextlib import closing
from dataclasses import replace

import pytest
from tests.support.mortal_site import DeadError, Fate, MortalSite

from keyfast.cli.recover_guide import Choices, Guide
from keyfast.simulation.endpoint import Disk, Endpoint, Faults, installed
from keyfast.simulation.habits import Calendar, Habit
from keyfast.simulation.moments import VirtualTime
from keyfast.simulation.run import START
from keyfast.simulation.site import AdminError, new_site
from keyfast.wire.window import WindowLine

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(300)]

NUMBER = 3
LATER = 2 * 86_400
TURN = 1200.0
ACCOUNT, OLD, NEW = "svc-see", "Old-Passw0rd", "New-Passw0rd"
WINDOW = Choices(way="window", password=lambda: NEW, reason="password changed", ranges=("any",), minutes=600)
# Not ``window_reached``: an endpoint asks once more where only its answer was lost.
ONCE = ("window_opened", "window_closed", "window_expired", "recovery_begun", "recovery_finished")


def machine(number, disk, site):
    always = Calendar(Habit.DESKTOP, 0, 24)
    return Endpoint(number, disk, always, site.time, site.net, Faults(), 1)


@pytest.fixture(scope="module")
def outage(tmp_path_factory):
    """A server whose endpoints are enrolled and stranded, with their disks: a folder to copy."""
    folder = tmp_path_factory.mktemp("outage")
    (folder / "server").mkdir()
    site = new_site(folder / "server", VirtualTime(START), "window")

    async def life():
        await site.found()
        await site.set_password(ACCOUNT, OLD)
        await site.add_account(ACCOUNT, OLD)
        await site.open_mode("windows")
        bundle = await site.package(days=365, mode="windows", account=ACCOUNT)
        fleet = [machine(number, installed(bundle), site) for number in range(NUMBER)]
        for _ in range(2):
            for endpoint in fleet:
                site.time.now += 10
                await endpoint.visit()
        await site.set_password(ACCOUNT, NEW)
        site.time.now += LATER
        await site.tick()
        for endpoint in fleet:
            await endpoint.visit()
            (folder / endpoint.name).write_bytes(endpoint.disk.content)
        await site.stop()

    asyncio.run(life())
    return folder, site.time.now


class World:
    """A copy of the outage, and a person who mends it at the command line."""

    def __init__(self, outage, folder, fate):
        template, now = outage
        shutil.copytree(template, folder)
        self.loop = asyncio.new_event_loop()
        self.site = MortalSite(folder / "server", VirtualTime(now), "window", fate)
        self.run(self.site.start())
        self.fleet = [machine(n, Disk((folder / f"pc-{n:05}").read_bytes()), self.site) for n in range(NUMBER)]
        self.present = range(NUMBER)
        self.asked = 0
        self.cut_at = 0
        self.cut_after = False

    def run(self, coroutine):
        return self.loop.run_until_complete(coroutine)

    def close(self):
        self.run(self.site.stop())
        self.loop.close()

    # --- the command line's requests; it may be killed at any of them

    def get(self, path, kind, query=None):
        return self._ask(self.site.get, path, kind, **(query or {}))

    def post(self, path, kind, body=None):
        return self._ask(self.site.post, path, kind, body)

    def _ask(self, how, *arguments, **query):
        self.asked += 1
        cut = self.asked == self.cut_at
        if cut and not self.cut_after:
            raise KilledError
        try:
            answer = self.run(how(*arguments, **query))
        except DeadError:
            raise KilledError from None  # it ends with "the server cannot be reached"
        if cut:
            raise KilledError
        return answer

    # --- time

    def turn(self):
        """Some time passes, in which everybody does what is due."""
        self.site.time.now += TURN
        try:
            self.run(self.site.tick())
        except DeadError:
            self.run(self.site.come_back())
        for number in self.present:
            self.fleet[number].agent.make_due()  # or it would wait for a day
            self.run(self.fleet[number].visit())
            self.run(self.site.come_back())

    def recover(self, choices):
        """Run the command; after each death run it again, with --resume where one is under way.

        Where that says that the window is missing which was to be opened, it is run as at first.
        """
        said, resume, before = choices, False, self.windows()
        for _ in range(8):
            guide = Guide(self, None, lambda _: None, lambda _: None, lambda _: self.turn(), lambda: self.site.time.now)
            try:
                found = guide.run(said)
                if not (said.resume and found.stage == "waiting" and self.windows() == before):
                    return found
                said, resume = choices, False
                continue
            except KilledError:
                self.run(self.site.come_back())
                resume = True
            except AdminError as fault:
                if not (resume and "no recovery is under way" in str(fault)):
                    raise
                resume = False
            said = replace(choices, way="", password=None, resume=True) if resume else choices
        raise AssertionError("the recovery does not end")

    def windows(self):
        return len(self.run(self.site.get("/admin/v1/windows", list[WindowLine])))

    # --- what came of it

    def outcome(self):
        """What is on record, without times and numbers that differ from run to run."""
        with closing(sqlite3.connect(self.site.settings.data / "keyfast.db")) as database:
            rows = {
                "windows": "SELECT json_extract(document, '$.state'), closed_at IS NULL FROM recovery_window"
                " ORDER BY opened_at",
                "members": "SELECT state, count(*) FROM recovery_window_endpoint GROUP BY state ORDER BY state",
                "rotations": "SELECT kind, state FROM rotation",
                "undone": "SELECT kind FROM rotation_effect WHERE done_at IS NULL",
                "generations": "SELECT account_key, generation, state FROM credential_generation ORDER BY generation",
                "uses": "SELECT account_key, generation, endpoints FROM credential_use",
                "tokens": "SELECT uses, left FROM enrolment_token",
                "endpoints": "SELECT mode, account_key, generation, count(*) FROM endpoint GROUP BY 1, 2, 3",
                "waiting": "SELECT sum(commands) FROM presence",
                "reached": "SELECT count(DISTINCT endpoint_id) FROM event WHERE kind = 'window_reached'",
            }
            found = {what: database.execute(query).fetchall() for what, query in rows.items()}
            told = Counter(kind for (kind,) in database.execute("SELECT kind FROM event"))
        uses = {(held.record.account_name, held.record.account_password) for held in self.fleet}
        return found | {"told": {kind: told[kind] for kind in ONCE}, "passwords": sorted(uses)}


class KilledError(Exception):
    """The command line ended here."""


def by_window(world):
    """Everybody comes back through the window, which is closed then."""
    world.recover(WINDOW)


def over_the_missing(world):
    """One never comes; it is given up."""
    world.present = range(NUMBER - 1)
    world.recover(replace(WINDOW, wait=4 * TURN))
    world.recover(Choices(despite_unproven=1, wait=0))


def after_the_deadline(world):
    """Nobody comes before the window closes by itself; another one is opened."""
    world.present = ()
    world.recover(replace(WINDOW, minutes=60, wait=4 * TURN))
    world.present = range(NUMBER)
    world.recover(WINDOW)


WRITES = {"by_window": 47, "over_the_missing": 53, "after_the_deadline": 60}
"""Transactions that write while a story goes on, at most; check-ins are among them."""
REQUESTS = {"by_window": 6, "over_the_missing": 10, "after_the_deadline": 11}
STRIDE = 1 if os.environ.get("KEYFAST_EVERY_DEATH") else 4
STORIES = {story.__name__: story for story in (by_window, over_the_missing, after_the_deadline)}


def moments(most):
    """Story and number of each write, or request, that somebody dies at; another one first for each story."""
    return [(story, at) for first, story in enumerate(STORIES, 1) for at in range(first, most[story] + 1, STRIDE)]


def told(story, outage, folder, fate, cut_at=0, *, cut_after=False):
    """Live through a story; return what came of it, and how often the command line asked."""
    world = World(outage, folder / "world", fate)
    world.cut_at, world.cut_after = cut_at, cut_after
    try:
        STORIES[story](world)
        for _ in range(2):  # whatever died, what was decided is done
            world.turn()
        return world.outcome(), world.asked
    finally:
        world.close()


@pytest.fixture(scope="module")
def undisturbed(outage, tmp_path_factory):
    """What comes of each story when nobody dies."""
    return {story: told(story, outage, tmp_path_factory.mktemp(story), Fate())[0] for story in STORIES}


@pytest.mark.parametrize("story", STORIES)
def test_these_are_all_the_writes_and_requests_there_are(outage, tmp_path, story):
    fate = Fate()
    _, asked = told(story, outage, tmp_path, fate)
    assert fate.writes <= WRITES[story]
    assert asked == REQUESTS[story]


@pytest.mark.slow
@pytest.mark.parametrize("after_commit", [False, True])
@pytest.mark.parametrize(("story", "die_at"), moments(WRITES))
def test_the_server_may_die_at_any_write_and_another_goes_on(
    outage, undisturbed, tmp_path, story, die_at, after_commit
):
    fate = Fate(die_at=die_at, after_commit=after_commit)
    found, _ = told(story, outage, tmp_path, fate)
    assert fate.deaths == (1 if die_at <= fate.writes else 0)
    assert found == undisturbed[story]


@pytest.mark.slow
@pytest.mark.parametrize("after_answer", [False, True])
@pytest.mark.parametrize(("story", "cut_at"), moments(REQUESTS))
def test_the_command_may_be_killed_at_any_request_and_be_run_again(
    outage, undisturbed, tmp_path, story, cut_at, after_answer
):
    found, _ = told(story, outage, tmp_path, Fate(), cut_at, cut_after=after_answer)
    assert found == undisturbed[story]
