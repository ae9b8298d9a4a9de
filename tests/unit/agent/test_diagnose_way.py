"""The way to a server over real TLS on this machine, the logon that is on hold, and the command itself."""

import datetime as dt
import json
import socket
import ssl

import pytest
from msgspec.structs import replace
from tests.support import front
from tests.support.endpoint_site import written
from tests.support.fake_agent import Channel, rig_for
from tests.support.fake_server import FakeServer

from keyfast.agent import hold, main
from keyfast.agent.diagnosis import network
from keyfast.agent.diagnosis.asking import Asker
from keyfast.agent.diagnosis.facts import Said
from keyfast.agent.routes import Route, routes
from keyfast.core.diagnosis.evidence import TlsFault
from keyfast.core.refusal import Refusal, RefusalClass
from keyfast.trust.tls import create_authority, issue_certificate
from keyfast.wire.bundle import BundleAccount

NOW = dt.datetime.now(dt.UTC)
DAY = dt.timedelta(days=1)


@pytest.fixture
def port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture(scope="module")
def authority():
    return create_authority("test authority", NOW)


def go(route):
    return network.way(route, network.looked_up(route))


def look(port, authority, folder, name="localhost", at=NOW, newest=ssl.TLSVersion.TLSv1_3, chain=b""):
    pem, key = issue_certificate(*authority, [name], at, 30)
    how = front.answering(200, written(folder / "server", pem + chain, key))
    if newest is not ssl.TLSVersion.TLSv1_3:
        how = front.relay(1, written(folder / "server", pem, key), newest)
    with how(port):
        return go(Route(f"https://localhost:{port}", authority[0].decode(), "current"))


def test_a_certificate_that_holds(port, authority, tmp_path):
    seen = look(port, authority, tmp_path)
    assert (seen.fault, seen.version) == (TlsFault.NONE, "TLSv1.3")
    assert abs(seen.expires_at - (NOW + 30 * DAY).timestamp()) < 2
    assert abs(seen.begins_at - (NOW - DAY).timestamp()) < 2


@pytest.mark.parametrize(
    ("changes", "fault"),
    [
        ({"at": NOW - 60 * DAY}, TlsFault.EXPIRED),
        ({"at": NOW + 9 * DAY}, TlsFault.NOT_YET),
        ({"name": "elsewhere.example"}, TlsFault.WRONG_NAME),
        ({"newest": ssl.TLSVersion.TLSv1_2}, TlsFault.TOO_OLD),
    ],
)
def test_one_that_does_not(port, authority, tmp_path, changes, fault):
    seen = look(port, authority, tmp_path, **changes)
    assert seen.fault is fault
    assert seen.detail


@pytest.mark.parametrize(("sent", "fault"), [(False, TlsFault.ISSUER_UNKNOWN), (True, TlsFault.UNTRUSTED)])
def test_one_of_somebody_else(port, authority, tmp_path, sent, fault):
    other = create_authority("somebody else", NOW)
    pem, key = issue_certificate(*other, ["localhost"], NOW)
    certificate = written(tmp_path / "other", pem + (other[0] if sent else b""), key)
    with front.answering(200, certificate)(port):
        seen = go(Route(f"https://localhost:{port}", authority[0].decode(), "current"))
    assert seen.fault is fault
    assert seen.expires_at


@pytest.mark.parametrize(
    ("cause", "fault"),
    [
        (TimeoutError("timed out"), TlsFault.UNANSWERED),
        (ConnectionResetError(104, "reset"), TlsFault.CUT),
        (ssl.SSLEOFError(8, "EOF"), TlsFault.CUT),
        (OSError(5, "odd"), None),
    ],
)
def test_what_a_fault_of_a_connection_is(cause, fault):
    assert network.fault_of(cause) is fault


# --- a password that is on hold


def asker(rig, server):
    return Asker(rig.clock, rig.new_id, lambda context: Channel(server, context))


@pytest.fixture
async def windows():
    server = FakeServer().windows(BundleAccount("svc", "CORP", "hunter2-Secret", 1), "basic")
    rig = rig_for(server)
    await rig.visit()
    return server, rig


async def test_a_held_password_is_not_presented(windows):
    server, rig = windows
    record = rig.agent.record
    held = replace(record, hold=hold.refused(record.credential, rig.clock.now(), 0.5))
    server.say_instead = lambda path: Refusal(RefusalClass.UNAUTHENTICATED) if "probe" in path else None
    probed = await asker(rig, server).ask(held, routes(held))
    assert (probed.said, probed.password_kept) == (Said.NOT_ASKED, True)


async def test_a_mode_that_is_closed_is_told_where_nobody_is_to_be_known(windows):
    server, rig = windows
    record = rig.agent.record
    kinds = iter((RefusalClass.UNAUTHENTICATED, RefusalClass.MODE_CLOSED))
    server.say_instead = lambda path: Refusal(next(kinds)) if "probe" in path else None
    probed = await asker(rig, server).ask(record, routes(record))
    assert (probed.said, probed.kind) == (Said.REFUSED, "mode_closed")


# --- the command


def test_the_command_says_it_and_writes_it_down(tmp_path, capsys):
    target = tmp_path / "report"
    assert main.main(["diagnose", "--state-dir", str(tmp_path / "state"), "--to", str(target)]) == 1
    out = capsys.readouterr().out
    assert out.startswith("The machine's client database holds nothing")
    assert target.read_text() == out
    assert main.main(["diagnose", "--state-dir", str(tmp_path / "state"), "--json"]) == 1
    assert json.loads(capsys.readouterr().out)["verdict"] == "found"


def test_a_file_that_cannot_be_written_is_said(tmp_path, capsys):
    place = tmp_path / "nowhere" / "report"
    assert main.main(["diagnose", "--state-dir", str(tmp_path), "--to", str(place)]) == 2
    assert "cannot write" in capsys.readouterr().err
