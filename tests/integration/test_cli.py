"""The command line, against a running server: tables for people, JSON for programs, repairs in refusals."""

import json
import time

import pytest
from tests.support.device import Device, read_bundle
from typer.testing import CliRunner

from keyfast.cli import main as cli
from keyfast.cli import output
from keyfast.errors import KeyfastError, NotReadyError


@pytest.fixture
def keyfast(server, monkeypatch):
    """Run a command in this process; wide enough that no table is cut."""
    monkeypatch.setattr(output.console, "width", 240)

    def run(*arguments: str, stdin: str | None = None):
        result = CliRunner().invoke(cli.app, [*arguments, "--data", str(server.data)], input=stdin)
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception
        assert result.exit_code == 0, result.output
        return result.stdout

    return run


def test_an_endpoints_life_told_by_the_command_line(keyfast, server, http):
    made = json.loads(keyfast("package", "create", "--ring", "lab", "--admission", "approve", "--json"))
    assert (made["ring"], made["admission"]) == ("lab", "approve")
    device = Device(http, server.url, "told-by-cli")
    bundle = read_bundle(made["path"])
    device.register(bundle.statement)
    device.id = device.register(bundle.statement).json()["client_id"]
    assert "told-by-cli" in keyfast("endpoint", "list", "--state", "pending", "--name", "told")
    assert "registered" in keyfast("endpoint", "approve", device.id)
    device.fetch_token()
    assert device.check_in().status_code == 200
    (line,) = json.loads(keyfast("endpoint", "list", "--name", "lab-1", "--limit", "1", "--json"))
    assert line["name"] == "lab-1"  # the name the inventory told
    shown = keyfast("endpoint", "show", device.id)
    for part in (device.id, "active", "protected", "endpoint_enrolled", device.key.thumbprint):
        assert part in shown
    assert "CheckInNow" in keyfast("endpoint", "check-in-now", device.id, "--json")
    assert "queued" in keyfast("endpoint", "check-in-now", device.id, "--every", "600")
    assert "superseded" in keyfast("endpoint", "show", device.id)
    assert "revoked" in keyfast("endpoint", "revoke", device.id)
    assert json.loads(keyfast("endpoint", "reinstate", device.id, "--json"))["state"] == "active"
    detail = json.loads(keyfast("endpoint", "show", device.id, "--json"))
    assert detail["line"]["disks"] == "protected"
    assert detail["inventory"]["volumes"][0]["encryption"] == "encrypted"


def test_pages_of_endpoints_follow_each_other(keyfast, server, http, bundle):
    for n in range(3):
        Device(http, server.url, f"page-{n}").enrol(bundle)
    names, after = [], ""
    while True:
        page = json.loads(keyfast("endpoint", "list", "--name", "page-", "--limit", "2", "--after", after, "--json"))
        names += [line["name"] for line in page]
        if len(page) < 2:
            break
        after = page[-1]["id"]
    assert names == ["page-0", "page-1", "page-2"]
    assert "--after" in keyfast("endpoint", "list", "--name", "page-", "--limit", "2")


def test_packages(keyfast):
    text = keyfast("package", "create", "--ring", "shown", "--max-uses", "5")
    assert "sha256" in text
    newest = next(row for row in json.loads(keyfast("package", "list", "--json")) if row["ring"] == "shown")
    assert "shown" in keyfast("package", "list")
    assert "no more" in keyfast("package", "revoke", newest["id"])
    assert "revoked" in keyfast("package", "list")
    with pytest.raises(KeyfastError, match="no package"):
        keyfast("package", "revoke", "3d1219c7-c4c5-404a-aa1f-6d2a48adfda4")
    for wrong in (("--days", "0"), ("--days", "99999"), ("--max-uses", "0"), ("--ring", "")):
        with pytest.raises(KeyfastError):
            keyfast("package", "create", *wrong)


def test_keys_are_listed_without_their_secrets(keyfast):
    lines = json.loads(keyfast("keys", "list", "--json"))
    assert {line["role"] for line in lines} == {"root", "profile", "command", "token", "receipt"}
    assert {(line["role"], line["status"]) for line in lines} >= {("token", "current"), ("token", "next")}
    assert "PRIVATE" not in json.dumps(lines)
    assert "root" in keyfast("keys", "list")


def test_keys_refuse_what_makes_no_sense(keyfast, tmp_path):
    with pytest.raises(KeyfastError, match="no role 'king'"):
        keyfast("keys", "rotate", "king")
    with pytest.raises(KeyfastError, match="passphrase is empty"):
        keyfast("keys", "export", "--out", str(tmp_path / "x"), stdin="")
    with pytest.raises(KeyfastError, match="at least 14"):
        keyfast("keys", "export", "--out", str(tmp_path / "x"), stdin="short\n")
    file = tmp_path / "passphrase"
    file.write_text("correct horse battery\n")
    assert "exported" in keyfast("keys", "export", "--out", str(tmp_path / "x"), "--passphrase-file", str(file))
    with pytest.raises(KeyfastError, match="cannot write"):
        keyfast("keys", "export", "--out", str(tmp_path / "x"), "--passphrase-file", str(file))
    with pytest.raises(KeyfastError, match="cannot read"):
        keyfast("keys", "import", str(tmp_path / "nothing"), "--passphrase-file", str(file))


def test_info_names_the_installation(keyfast, server, bundle):
    assert bundle.installation in keyfast("server", "info")
    assert json.loads(keyfast("server", "info", "--json"))["urls"] == [server.url]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("endpoint", "show", "3d1219c7-c4c5-404a-aa1f-6d2a48adfda4"), "no endpoint"),
        (("endpoint", "show", "nonsense"), "no endpoint"),
        (("endpoint", "revoke", "3d1219c7-c4c5-404a-aa1f-6d2a48adfda4"), "no endpoint"),
        (("endpoint", "list", "--state", "lost"), "no state 'lost'"),
        (("endpoint", "check-in-now", "3d1219c7-c4c5-404a-aa1f-6d2a48adfda4"), "no endpoint"),
    ],
)
def test_a_mistake_is_answered_with_a_sentence(keyfast, arguments, said):
    with pytest.raises(KeyfastError, match=said):
        keyfast(*arguments)


def test_an_interval_out_of_bounds_is_refused(keyfast, device):
    with pytest.raises(KeyfastError, match="an interval lies between"):
        keyfast("endpoint", "check-in-now", device.id, "--every", "5")


def test_a_policy_reaches_an_endpoint_with_its_next_check_in(keyfast, device):
    before = json.loads(keyfast("policy", "show", "--json"))
    assert "every 15 min" in keyfast("policy", "show")
    try:
        assert "every 60 min" in keyfast("policy", "set", "--check-in-every", "3600")
        give_up = time.monotonic() + 30
        told = device.check_in().json()
        while told.get("policy", {}).get("check_in_interval_s") != 3600 and time.monotonic() < give_up:
            told = device.check_in().json()  # the process that endpoints speak to looks once in a while
        assert told["policy"] == {"version": before["version"] + 1, "check_in_interval_s": 3600}
        assert 0.9 * 3600 <= told["next_check_in_s"] <= 1.1 * 3600
    finally:
        keyfast("policy", "set", "--check-in-every", str(before["check_in_interval_s"]), "--json")


@pytest.mark.parametrize("seconds", ["59", "86401"])
def test_a_policy_out_of_bounds_is_refused(keyfast, seconds):
    with pytest.raises(AssertionError, match=r"Input should be (greater|less) than or equal"):
        keyfast("policy", "set", "--check-in-every", seconds)


def test_no_server_is_said_with_the_command_that_helps(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("sys.argv", ["keyfast", "endpoint", "list", "--data", str(tmp_path)])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    assert ended.value.code == NotReadyError.exit_code
    said = capsys.readouterr().err
    assert "no server answers" in said
    assert "keyfast server run" in said


def test_wrong_usage_ends_with_2(monkeypatch):
    monkeypatch.setattr("sys.argv", ["keyfast", "endpoint", "dance"])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    assert ended.value.code == 2


@pytest.mark.parametrize(
    ("seconds", "said"), [(0, "0 s"), (119, "119 s"), (120, "2 min"), (7200, "2 h"), (172800, "2 d"), (10**7, "115 d")]
)
def test_spans_are_said_in_their_largest_unit(seconds, said):
    assert output.span(seconds) == said


def test_moments():
    assert output.moment(0) == "never"
    assert output.moment(1000, 1030) == "30 s ago"
    assert output.moment(1000, 940) == "in 60 s"
