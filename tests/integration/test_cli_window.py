"""``keyfast window`` and ``keyfast recover`` against a running server."""

import json
import time

import pytest
from tests.support import processes
from tests.support.device import Device, read_bundle
from tests.support.server import RunningServer
from typer.testing import CliRunner

from keyfast.cli import main as cli
from keyfast.cli import output
from keyfast.errors import KeyfastError


@pytest.fixture
def keyfast(server, monkeypatch):
    """Run a command in this process; returns exit code, output and error output."""
    monkeypatch.setattr(output.console, "width", 240)
    return lambda *arguments: _run(server, *arguments)


def _run(server, *arguments):
    result = CliRunner().invoke(cli.app, [*arguments, "--data", str(server.data)])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result.exit_code, result.stdout, result.stderr


@pytest.fixture
def opened(server, http, bundle, keyfast):
    """A window for two endpoints that were enrolled and checked in; closed in the end."""
    devices = [Device(http, server.url, name).enrol(bundle) for name in ("windowed-1", "windowed-2")]
    for device in devices:
        assert device.check_in().status_code == 200
    named = [part for device in devices for part in ("--endpoint", device.id)]
    _, said, told = keyfast("window", "open", *named, "--address", "any", "--reason", "a [test]", "--json")
    assert told.count("another 240 min (a [test])") == 1
    yield json.loads(said), devices
    for line in json.loads(keyfast("window", "list", "--json")[1]):
        if line["state"] == "open":
            keyfast("window", "close", "--despite-unproven", str(line["endpoints"] - line["counts"]["proven"]))


def test_a_window_from_opening_to_closing(keyfast, opened):
    view, devices = opened
    window = view["line"]["id"]
    assert view["line"]["counts"] == {"unreached": 2, "reached": 0, "applied": 0, "proven": 0}
    with pytest.raises(KeyfastError, match="open already"):
        keyfast("window", "open", "--ring", "default", "--address", "any", "--reason", "another")
    code, said, told = keyfast("window", "show")
    for part in (window, "open", "2 named endpoints from any", "unreached 2", devices[0].id, "a [test]"):
        assert part in said
    assert "recovery window open" in told
    code, said, _ = keyfast("window", "watch", "--once")
    assert (code, "unreached" in said) == (3, True)
    with pytest.raises(KeyfastError, match="2 of its endpoints are not proven; still missing") as fault:
        keyfast("window", "close")
    assert fault.value.exit_code == 1
    # One checks in by itself: it works, and the watch sees it.
    processes.until(lambda: devices[0].check_in().status_code == 200 and _proven(keyfast, window), "the watch")
    code, said, told = keyfast("window", "close", window, "--waive", devices[1].id, "--json")
    assert (code, json.loads(said)["line"]["state"]) == (0, "closed")
    code, said, told = keyfast("window", "watch")  # ended: it does not wait
    assert (code, told) == (3, "")
    assert window in keyfast("window", "list")[1]
    kinds = [row["kind"] for row in json.loads(keyfast("events", "--limit", "200", "--json")[1])]
    assert {"window_opened", "window_closed"} <= set(kinds)


def test_a_window_is_watched_until_all_are_back(keyfast, opened):
    view, devices = opened
    opened_at = view["line"]["opened_at"]
    processes.until(lambda: time.time() >= opened_at + 1, "another second than that of the opening")
    for device in devices:
        assert device.check_in().status_code == 200
    code, said, _ = keyfast("window", "watch", view["line"]["id"])
    assert (code, "proven 2" in said) == (0, True)
    assert keyfast("window", "close")[0] == 0


def _proven(keyfast, window):
    return json.loads(keyfast("window", "show", window, "--json")[1])["line"]["counts"]["proven"] == 1


def test_what_makes_no_sense_is_not_opened(keyfast):
    for arguments, said in (
        (("--ring", "default", "--address", "any"), "needs a reason"),
        (("--ring", "default", "--reason", "x"), "at least one address range"),
        (("--ring", "default", "--reason", "x", "--address", "0.0.0.0/0"), "say 'any'"),
        (("--ring", "default", "--reason", "x", "--address", "any", "--minutes", "1"), "5 minutes"),
        (("--ring", "nobody's", "--reason", "x", "--address", "any"), "no endpoint that checks in"),
        (("--account", "nobody", "--reason", "x", "--address", "any"), "not a client authentication account"),
    ):
        with pytest.raises(KeyfastError, match=said):
            keyfast("window", "open", *arguments)
    with pytest.raises(KeyfastError, match="no recovery window nonsense"):
        keyfast("window", "show", "nonsense")


def test_nothing_is_broken_here(keyfast):
    code, said, _ = keyfast("recover", "--status", "--json")
    assert (code, json.loads(said)["stage"]) == (0, "idle")
    assert keyfast("recover")[0] == 0
    assert "no endpoint is stranded" in keyfast("recover", "--status")[1]
    with pytest.raises(KeyfastError, match="no recovery is under way"):
        keyfast("recover", "--resume")
    with pytest.raises(KeyfastError, match="not a client authentication account"):
        keyfast("recover", "--account", "nobody", "--way", "oauth")


@pytest.mark.slow
def test_a_window_outlives_a_power_cut(tmp_path):
    server = RunningServer(tmp_path / "s")
    try:
        with server.client() as http:
            device = Device(http, server.url, "cut").enrol(_bundle(server))
            assert device.check_in().status_code == 200
        arguments = ("--endpoint", device.id, "--address", "192.0.2.0/24", "--reason", "power")
        window = json.loads(_run(server, "window", "open", *arguments, "--json")[1])["line"]["id"]
        server.kill()
        server.start()
        _, said, told = _run(server, "window", "show", "--json")
        assert (json.loads(said)["line"]["id"], json.loads(said)["line"]["state"]) == (window, "open")
        assert "(power)" in told
        assert _run(server, "window", "close", "--despite-unproven", "1")[0] == 0
    finally:
        server.close()


def _bundle(server):
    return read_bundle(server.package().path)
