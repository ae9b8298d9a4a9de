"""``keyfast rotation`` against a running server: a rotation by the command line from plan to end, by its own runner."""

import json
import time

import pytest
from typer.testing import CliRunner

from keyfast.cli import main as cli
from keyfast.cli import output

SECONDS = 60


@pytest.fixture
def keyfast(server, monkeypatch):
    """Run a command in this process; return its exit code and what it printed."""
    monkeypatch.setattr(output.console, "width", 240)

    def run(*arguments: str, code: int = 0):
        result = CliRunner().invoke(cli.app, [*arguments, "--data", str(server.data)])
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception
        assert result.exit_code == code, result.output
        return result.stdout

    return run


def show(keyfast, rotation, code=3):
    return json.loads(keyfast("rotation", "show", rotation, "--json", code=code))


def until(keyfast, rotation, state):
    ends = time.monotonic() + SECONDS
    while time.monotonic() < ends:
        found = show(keyfast, rotation)
        if found["state"] == state:
            return found
        time.sleep(0.2)  # the server's runner looks once a second
    raise AssertionError(found)


def test_a_token_key_is_rotated_by_the_command_line(keyfast):
    before = json.loads(keyfast("keys", "list", "--json"))
    upcoming = next(row["kid"] for row in before if (row["role"], row["status"]) == ("token", "next"))
    assert "0 endpoints would move" in keyfast("rotation", "preview", "token_key")
    assert json.loads(keyfast("rotation", "preview", "token_key", "--json"))["targets"] == 0
    made = json.loads(
        keyfast("rotation", "plan", "token_key", "--publish", "0", "--drain", "1", "--approvals", "2", "--json")
    )
    rotation = made["id"]
    assert "approved by 1 of 2" in keyfast("rotation", "watch", rotation, "--once", code=3)
    keyfast("rotation", "approve", rotation, "--by", "Second Person")
    assert "prepared" in keyfast("rotation", "start", rotation)
    until(keyfast, rotation, "draining")
    after = json.loads(keyfast("keys", "list", "--json"))
    assert next(row["status"] for row in after if row["kid"] == upcoming) == "current"
    assert rotation in keyfast("rotation", "list")
    time.sleep(1.1)  # the hold of this plan is one second
    assert "done" in keyfast("rotation", "finish", rotation)
    assert show(keyfast, rotation, code=0)["finished"]
    assert json.loads(keyfast("rotation", "list", "--json"))[0]["state"] == "done"


def test_what_stands_against_a_start_is_said(keyfast, device, bundle):
    asked = ("address", "--mode", "oauth", "--url", "https://new.example")
    found = json.loads(keyfast("rotation", "preview", *asked, "--json"))
    assert found["stranded"] == 0
    text = keyfast("rotation", "plan", *asked, "--ring", "nobody")
    rotation = text.split()[0]
    keyfast("rotation", "start", rotation)
    ends = time.monotonic() + SECONDS
    said = "trusted (by itself): no, because no endpoint is in its scope"
    while said not in (text := keyfast("rotation", "show", rotation, code=3)):
        assert time.monotonic() < ends, text
        time.sleep(0.2)
    keyfast("rotation", "abandon", rotation)
    assert "abandoned" in keyfast("rotation", "show", rotation)
