"""The collectors of a diagnosis: each tells what it sees, and none raises, whatever it looks at."""

import errno
import json
import socket
import threading
import time
from pathlib import Path

import pytest
from msgspec.structs import replace
from tests.support import front
from tests.support.fake_agent import Channel, rig_for
from tests.support.fake_platform import FakePlatform
from tests.support.fake_server import Answer, FakeServer, Fault

from keyfast.agent.client_database import Admission
from keyfast.agent.diagnosis import network
from keyfast.agent.diagnosis.collect import Means, collect
from keyfast.agent.diagnosis.facts import Said, Who
from keyfast.agent.routes import Route
from keyfast.core.diagnosis.evidence import ClientDatabase, Connecting, TlsFault
from keyfast.core.refusal import Refusal, RefusalClass
from keyfast.errors import ClientDatabaseError, VaultError
from keyfast.trust.keyset import Keyset
from keyfast.wire.messages import SignedTime


def free() -> int:
    """A port where nobody listens."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Bench:
    """An endpoint that has checked in at a server in memory."""

    def __init__(self, folder: Path) -> None:
        self.server = FakeServer((f"https://localhost:{free()}",))
        self.rig = rig_for(self.server)
        self.platform = FakePlatform(folder)
        self.told: list[str] = []
        self.limits = (5.0, 5.0)

    async def enrol(self) -> "Bench":
        await self.rig.visit()
        self.platform.record = self.rig.agent.record
        assert self.platform.record.admission is Admission.REGISTERED
        known = self.server.only
        answer = {
            "id": known.id,
            "name": "host",
            "state": "active",
            "registered_at": 1,
            "seq": self.platform.record.seq,
            "seen_at": 1,
            "next_due": 1,
            "profile_seq": 1,
            "policy_version": 1,
        }
        self.own = Answer(200, json.dumps(answer).encode())
        self.server.say_instead = lambda path: self.own if path == "/endpoint/v1/self" else None
        return self

    async def look(self, **more):
        def connect(context):
            return Channel(self.server, context)

        means = Means(
            self.platform,
            self.platform.folder,
            self.rig.clock,
            self.rig.new_id,
            self.told.append,
            **{"connect": connect, "limits": self.limits} | more,
        )
        return await collect(means)


@pytest.fixture
async def bench(tmp_path):
    return await Bench(tmp_path).enrol()


async def test_a_healthy_endpoint_is_seen_as_it_is(bench):
    facts = await bench.look()
    assert facts.memory.database is ClientDatabase.INTACT
    assert facts.disk.full is False
    assert facts.service.runs is True
    assert [hello.who for hello in facts.hellos] == [Who.OURS]
    assert facts.hellos[0].server_time == bench.server.now
    assert abs(facts.hellos[0].clock_off_s) <= 3
    assert facts.probed.said is Said.ACCEPTED
    assert facts.probed.server_seq == facts.past.seq
    assert (facts.ways[0].resolves, facts.ways[0].connecting) == (True, Connecting.REFUSED)
    assert facts.unseen == ()
    assert "disk" in bench.told
    assert bench.rig.database.content, "nothing was stored"


async def test_nothing_that_is_asked_is_stored(bench):
    stores, before = bench.rig.database.stores, bench.rig.database.content
    await bench.look()
    assert (bench.rig.database.stores, bench.rig.database.content) == (stores, before)


async def test_the_clock_is_measured_against_the_signed_time(bench):
    bench.rig.clock.set_wall(bench.server.now + 7200)
    assert abs((await bench.look()).hellos[0].clock_off_s - 7200) <= 3


@pytest.mark.parametrize(
    ("kind", "said"),
    [
        (RefusalClass.REVOKED, "revoked"),
        (RefusalClass.NOT_READY, "not_ready"),
        (RefusalClass.MODE_CLOSED, "mode_closed"),
    ],
)
async def test_a_refusal_is_told_by_its_class(bench, kind, said):
    bench.server.say_instead = lambda path: Refusal(kind, "because") if path == "/endpoint/v1/probe" else None
    facts = await bench.look()
    assert (facts.probed.said, facts.probed.kind, facts.probed.detail) == (Said.REFUSED, kind.value, "because")


async def test_a_refused_token_is_told_too(bench):
    bench.server.say_instead = lambda path: Refusal(RefusalClass.REVOKED) if path == "/oauth/token" else None
    assert (await bench.look()).probed.kind == "revoked"


@pytest.mark.parametrize(
    "answer",
    [Answer(200, b"<h1>Welcome</h1>"), Answer(200, b"{}"), Answer(200, b'{"statement":"a.b.c"}'), Answer(200, b"\xff")],
)
async def test_a_stranger_is_no_server(bench, answer):
    bench.server.say_instead = lambda _: answer
    facts = await bench.look()
    assert facts.hellos[0].who is Who.STRANGER
    assert facts.hellos[0].status == 200
    assert facts.probed.said is Said.UNREACHED


async def test_an_answer_without_end_is_cut_off(bench):
    bench.server.say_instead = lambda _: Answer(200, b"x" * 100_000)
    assert (await bench.look()).hellos[0].who is Who.STRANGER


async def test_a_gateway_is_told_by_its_status(bench):
    bench.server.fault = lambda _: Fault.GATEWAY
    facts = await bench.look()
    assert (facts.hellos[0].who, facts.hellos[0].status, facts.probed.status) == (Who.STRANGER, 502, 502)


@pytest.mark.parametrize("fault", [Fault.LOST_ANSWER, Fault.LOST_REQUEST])
async def test_an_answer_that_is_lost_on_the_way_is_no_strangers(bench, fault):
    bench.server.fault = lambda request: fault if request.url.path == "/endpoint/v1/probe" else None
    probed = (await bench.look()).probed
    assert (probed.said, probed.status) == (Said.UNREACHED, 0), "the token before it was answered with 200"


async def test_a_server_that_is_not_ready_to_tell_the_time_is_no_stranger(bench):
    bench.server.say_instead = lambda path: Refusal(RefusalClass.NOT_READY, "down") if "time" in path else None
    facts = await bench.look()
    assert (facts.hellos[0].who, facts.hellos[0].detail) == (Who.UNPROVEN, "down")


async def test_another_installation_is_told(bench):
    other = "11111111-1111-4111-8111-111111111111"
    claims = SignedTime(other, bench.server.now, "any")
    statement = Keyset.generate(other, bench.server.now).sign("keyfast-time+jwt", claims)
    answer = Answer(200, json.dumps({"statement": statement}).encode())
    bench.server.say_instead = lambda path: answer if "time" in path else None
    assert (await bench.look()).hellos[0].who is Who.FOREIGN


async def test_a_time_that_nobody_of_ours_signed_proves_nothing(bench):
    bench.server.keyset = type(bench.server.keyset).generate(bench.server.keyset.installation, bench.server.now)
    assert (await bench.look()).hellos[0].who is Who.UNPROVEN


async def test_a_proof_that_does_not_hold_lets_nobody_in(bench):
    bench.server.say_instead = lambda path: Answer(200, b'{"statement":"a.b.c"}') if "probe" in path else None
    facts = await bench.look()
    assert facts.probed.said is Said.UNREACHED
    assert "not trusted" in facts.probed.detail


@pytest.mark.parametrize("own", [Answer(200, b"{}"), Answer(500, b"")])
async def test_a_server_that_does_not_tell_its_record_is_asked_for_no_more(bench, own):
    bench.own = own
    facts = await bench.look()
    assert (facts.probed.said, facts.probed.server_seq) == (Said.ACCEPTED, -1)


@pytest.mark.parametrize("token", [Answer(200, b"{}"), Answer(200, b"\xff")])
async def test_a_token_that_is_none_is_no_answer(bench, token):
    bench.server.say_instead = lambda path: token if path == "/oauth/token" else None
    assert (await bench.look()).probed.said is Said.UNREACHED


async def test_who_is_not_enrolled_is_not_asked(bench):
    for admission, words in ((Admission.NONE, "not enrolled"), (Admission.PENDING, "approval")):
        bench.platform.record = replace(bench.platform.record, admission=admission)
        probed = (await bench.look()).probed
        assert probed.said is Said.NOT_ASKED
        assert words in probed.detail


async def test_nobody_at_the_address(bench):
    bench.server.dead_hosts = {"localhost"}
    facts = await bench.look()
    assert (facts.hellos[0].who, facts.probed.said) == (Who.NOBODY, Said.UNREACHED)


@pytest.mark.parametrize("broken", ["not a key", "{}"])
async def test_a_record_that_leads_nowhere_costs_no_other_fact(bench, broken):
    bench.platform.record = replace(bench.platform.record, root=broken)
    facts = await bench.look()
    assert facts.ways == ()
    assert "access profile" in dict(facts.unseen)
    assert facts.disk.full is False


# --- what is on the machine


@pytest.mark.parametrize(
    ("fault", "database"),
    [
        (VaultError("the vault is closed", repair="bring it back"), ClientDatabase.SEALED),
        (ClientDatabaseError("no frame holds"), ClientDatabase.DAMAGED),
        (PermissionError(errno.EACCES, "Permission denied"), None),
    ],
)
async def test_a_client_database_that_cannot_be_read(bench, fault, database):
    bench.platform.fault = fault
    facts = await bench.look()
    assert facts.memory.database is database
    assert facts.memory.fault
    assert (facts.past, facts.probed, facts.ways) == (None, None, ())


async def test_who_may_not_look_sees_no_damage(bench):
    bench.platform.fault = ClientDatabaseError("cannot read it", repair="run as root")
    bench.platform.fault.__cause__ = PermissionError(errno.EACCES, "no")
    facts = await bench.look()
    assert (facts.memory.database, facts.memory.repair) == (None, "run as root")


async def test_a_fault_that_nobody_thought_of_is_not_seen_and_leaks_nothing(bench):
    bench.platform.fault = RuntimeError("the password is hunter2")
    facts = await bench.look()
    assert dict(facts.unseen) == {"client database": "looking failed: RuntimeError"}


async def test_what_hangs_is_left_behind(bench):
    bench.platform.slow, bench.limits = True, (1.0, 5.0)
    begun = time.monotonic()
    facts = await bench.look()
    bench.platform.hangs.set()
    assert time.monotonic() - begun < 15
    assert dict(facts.unseen)["client database"] == "it took longer than 1 s"
    assert facts.past is None


async def test_a_look_up_that_hangs_is_left_behind_and_nobody_is_asked(bench):
    done = threading.Event()
    bench.limits = (2.0, 5.0)
    facts = await bench.look(resolve=lambda *_: done.wait(20))
    done.set()
    assert [name for name, _ in facts.unseen] == [f"name of {bench.server.urls[0]}"]
    assert (facts.ways[0].resolves, facts.hellos[0].who, facts.probed.said) == (None, Who.NOBODY, Said.UNREACHED)


async def test_a_name_without_an_address_is_asked_nothing(bench):
    def resolve(host, port):
        raise socket.gaierror(socket.EAI_NONAME, "nobody knows it")

    before = len(bench.server.requests)
    facts = await bench.look(resolve=resolve)
    assert (facts.ways[0].resolves, facts.hellos[0].who, facts.probed.said) == (False, Who.NOBODY, Said.UNREACHED)
    assert len(bench.server.requests) == before


# --- the way to a server


def route(port: int, host: str = "localhost") -> Route:
    return Route(f"https://{host}:{port}", "", "current")


def go(to: Route, seconds: float = 5.0):
    """The whole way."""
    seen = network.looked_up(to)
    return network.way(to, seen, seconds) if seen.resolves else seen


def test_a_closed_port_refuses():
    seen = go(route(free()))
    assert (seen.resolves, seen.connecting, seen.fault) == (True, Connecting.REFUSED, None)


def test_a_queue_that_is_full_is_silence():
    port = free()
    with front.swallowing(port):
        assert go(route(port), 0.5).connecting is Connecting.TIMEOUT


def test_who_cuts_and_who_speaks_plainly():
    port = free()
    with front.cutting(port):
        assert go(route(port)).fault is TlsFault.CUT
    with front.plain(port):
        assert go(route(port)).fault is TlsFault.NOT_TLS


@pytest.mark.parametrize("host", ["a..b", "x" * 70, "nobody.invalid"])
def test_a_name_that_is_none(host):
    seen = go(Route(f"https://{host}", "", "current"))
    assert (seen.resolves, seen.connecting) == (False, None)


def test_an_address_that_cannot_be_read():
    assert go(Route("https://[::1", "", "current")).resolves is None


def test_an_authority_that_is_none():
    port = free()
    with front.deaf(port):
        seen = go(Route(f"https://localhost:{port}", "not PEM", "current"))
    assert (seen.connecting, seen.fault) == (Connecting.OPEN, None)
    assert "PEM" in seen.detail
