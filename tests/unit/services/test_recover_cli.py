"""``keyfast recover`` and the banner against a server in this process, whose rotations are in memory."""

import asyncio
import io
import json
import os
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import msgspec
import pytest
import typer
from granian.constants import HTTPModes, Interfaces
from granian.log import LogLevels
from granian.server.embed import Server
from rich.console import Console
from sqlalchemy import insert
from tests.support import processes
from tests.support.databases import NOW, endpoint_row
from tests.support.fake_rotations import FakeRotations
from tests.support.people import approval_api, people_api
from typer.testing import CliRunner

from keyfast.api.access_api import AccessApi
from keyfast.api.admin_api import AdminApi
from keyfast.api.audit_api import AuditApi
from keyfast.api.incident_api import IncidentApi
from keyfast.api.node_api import NodeApi
from keyfast.api.notification_api import NotificationApi
from keyfast.api.package_api import PackageApi
from keyfast.api.policy_api import PolicyApi
from keyfast.api.recovery_api import RecoveryApi
from keyfast.api.rotation_api import RotationApi
from keyfast.api.routes import AdminHandlers, admin_app
from keyfast.api.search_api import SearchApi
from keyfast.api.window_api import WindowApi
from keyfast.cli import main as cli
from keyfast.cli import output
from keyfast.cli.client import AdminClient
from keyfast.cli.recover import Board, Terminal
from keyfast.cli.recover_guide import Choices, Guide
from keyfast.core.endpoint import EndpointState
from keyfast.core.mode import Mechanism, Mode
from keyfast.core.secret import Secret
from keyfast.errors import KeyfastError, UsageError
from keyfast.server.packages import open_workshop
from keyfast.services.audit import AuditService
from keyfast.services.audit_seal import Seals
from keyfast.services.command import CommandService
from keyfast.services.forecast import ForecastService
from keyfast.services.idempotency import KeptAnswers
from keyfast.services.incident import IncidentService
from keyfast.services.keyring import KeyringService
from keyfast.services.modes import ModeService
from keyfast.services.node import NodeService
from keyfast.services.notify import NotificationService
from keyfast.services.package import PackageService
from keyfast.services.package_report import PackageReports
from keyfast.services.policy import PolicyService
from keyfast.services.recovery_options import RecoveryOptionsService
from keyfast.services.recovery_window import RecoveryWindowService
from keyfast.services.report import ReportService
from keyfast.services.rotate import RotationService
from keyfast.services.rotation_ledger import RotationLedger
from keyfast.services.saved_searches import SavedSearchService
from keyfast.services.server_diagnosis import ServerDiagnosisService
from keyfast.services.server_evidence import ServerEvidence
from keyfast.services.went_back import EndRecovery
from keyfast.store import endpoints
from keyfast.store.tables import credential_use
from keyfast.wire.directory import DirectoryView
from keyfast.wire.recovery import RecoveryStatus

KEY = "CORP\\svc-see"
NEW = "New-Passw0rd"
NAMES = ("lab-1", "lab-2", "lab-3")


@pytest.fixture
def rotations(site):
    return FakeRotations(site.database, NOW + 20)


@pytest.fixture
async def socket(site, rotations):
    """The admin service on its socket; the fleet's account broke."""
    await broken(site)
    windows = RecoveryWindowService(site.live, site.database, site.clock)
    options = RecoveryOptionsService(site.live, site.database, site.accounts, windows, rotations, site.clock)
    modes = ModeService(site.live, site.database, tuple(Mechanism), lambda: "ca", site.clock)
    await modes.open_(Mode.WINDOWS, "", "admin")
    workshop = open_workshop(site.settings, "Keyfast", site.clock)
    packages = PackageService(site.live, site.database, workshop, site.accounts, modes, site.clock, os.urandom)
    keyring = KeyringService(site.live, site.database, site.kek, site.settings.kek_file, site.clock)
    commands = CommandService(site.live, site.database, site.clock)
    ledger = RotationLedger(site.database, site.clock)
    evidence = ServerEvidence(site.live, site.settings.tls, site.directory.grace_s, site.clock)
    diagnoses = ServerDiagnosisService(site.database, site.live, evidence, site.settings.tls, site.clock)
    handlers = AdminHandlers(
        admin=AdminApi(
            site.live,
            ReportService(site.database, site.clock),
            keyring,
            commands,
            EndRecovery(site.live, site.database, site.clock),
            site.clock,
        ),
        access=AccessApi(modes, site.accounts, DirectoryView("fake", "CORP", (), ()), None),
        window=WindowApi(windows),
        recovery=RecoveryApi(options),
        rotation=RotationApi(RotationService(site.database, ledger, site.directory, site.clock, os.urandom)),
        node=NodeApi(NodeService(site.database, site.clock)),
        policy=PolicyApi(PolicyService(site.live, site.database, site.clock)),
        package=PackageApi(packages, PackageReports(site.database, packages, workshop, site.clock)),
        incident=IncidentApi(
            IncidentService(site.database, site.live, evidence, options, site.clock),
            ForecastService(site.database, (), site.clock),
            diagnoses,
        ),
        notification=NotificationApi(NotificationService(site.database, site.clock)),
        audit=AuditApi(AuditService(site.live, site.database, Seals(lambda: site.kek), "server", site.clock)),
        search=SearchApi(SavedSearchService(site.database, site.clock)),
        people=people_api(site.database, lambda: site.kek, site.clock),
        approval=approval_api(site.database, lambda: site.kek, site.clock),
    )
    path = site.settings.admin_socket
    path.parent.mkdir()
    server = Server(
        admin_app(handlers, KeptAnswers(site.database, lambda: site.kek, site.clock), site.clock, windows.banner),
        uds=path,
        interface=Interfaces.ASGINL,
        http=HTTPModes.http1,
        websockets=False,
        log_level=LogLevels.warning,
    )
    serving = asyncio.create_task(server.serve())
    await asyncio.to_thread(processes.until, path.exists, "the socket")
    yield path
    server.stop()
    await serving


async def broken(site):
    await site.add()
    await site.package()
    for name in NAMES:
        row = replace(endpoint_row(name=name), account_key=KEY, generation=1, mode=Mode.WINDOWS)
        async with site.database.write() as conn:
            await endpoints.insert(conn, row, EndpointState.ACTIVE)
    await site.change()
    await site.read()


async def ids(site):
    async with site.database.read() as conn:
        return [record.endpoint.id for record in await endpoints.list_page(conn, limit=9)]


@pytest.fixture
def keyfast(site, socket, monkeypatch):
    """Run a command in a thread, as the server answers in this one; returns exit code, output and error output."""
    monkeypatch.setattr(output.console, "width", 240)

    async def run(*arguments, stdin=None):
        command = [*arguments, "--data", str(site.settings.data)]
        result = await asyncio.to_thread(CliRunner().invoke, cli.app, command, input=stdin)
        if isinstance(result.exception, KeyfastError):
            raise result.exception
        return result.exit_code, result.stdout, result.stderr

    return run


@pytest.fixture
def password(tmp_path):
    file = tmp_path / "new-password"
    file.write_text(f"{NEW}\n")
    return str(file)


async def everybody_takes_it(site, rotations):
    for endpoint_id in await ids(site):
        await rotations.take(endpoint_id, at=NOW + 50, again_at=NOW + 60)


async def test_by_device_key(site, rotations, keyfast, password):
    code, said, _ = await keyfast("recover", "--status")
    assert code == 3
    for part in ("3 of 3 endpoints", "device-key", "restore", "waiting"):
        assert part in said
    code, said, told = await keyfast("recover", "--account", KEY, "--way", "device-key", "--password-file", password)
    assert (code, told) == (3, "")
    assert "missing: lab-1, lab-2, lab-3" in said
    code, said, _ = await keyfast("recover")  # again: it goes on, and asks nothing
    assert (code, "running" in said) == (3, True)
    await everybody_takes_it(site, rotations)
    code, said, _ = await keyfast("recover", "--resume")
    assert code == 0
    assert "is over" in said
    assert rotations.finished
    assert (await keyfast("recover"))[0] == 0  # nothing is left to do


async def test_by_window(site, rotations, keyfast, password):
    arguments = ("recover", "--way", "window", "--password-file", password, "--json")
    with pytest.raises(UsageError, match="--reason"):
        await keyfast(*arguments)
    arguments += ("--reason", "pässword changed", "--address", "192.0.2.0/24")
    code, said, told = await keyfast(*arguments)
    assert code == 3
    status = json.loads(said)
    assert (status["stage"], status["missing_count"], status["window"]["ranges"]) == ("running", 3, ["192.0.2.0/24"])
    assert told.count("recovery window open for another 240 min (pässword changed)") == 1
    code, said, told = await keyfast("account", "list", "--json")
    assert json.loads(said)
    assert "pässword changed" in told
    with pytest.raises(KeyfastError, match="still missing"):
        await keyfast("recover", "--waive", "lab-1")
    await everybody_takes_it(site, rotations)
    code, said, told = await keyfast("recover", "--json")
    assert (code, json.loads(said)["stage"]) == (0, "done")
    code, said, told = await keyfast("window", "list")
    assert told == ""
    assert "closed" in said


async def test_given_up(rotations, keyfast, password):
    await keyfast("recover", "--way", "device-key", "--password-file", password)
    code, said, _ = await keyfast("recover", "--despite-unproven", "3")
    assert (code, "is over" in said) == (0, True)
    assert rotations.running is None


async def test_refused(keyfast, password, tmp_path):
    wrong = tmp_path / "wrong"
    wrong.write_text("wrong\n")
    with pytest.raises(KeyfastError) as told:
        await keyfast("recover", "--way", "device-key", "--password-file", str(wrong))
    assert told.value.exit_code == 1
    with pytest.raises(KeyfastError, match="no recovery is under way"):
        await keyfast("recover", "--resume")
    with pytest.raises(UsageError, match="say --way"):
        await keyfast("recover")
    with pytest.raises(UsageError, match="say --password-file"):
        await keyfast("recover", "--way", "device-key")


async def test_by_package(site, keyfast, password):
    code, said, _ = await keyfast("recover", "--way", "package", "--password-file", password)
    assert code == 3
    assert "install this package over each of them" in said
    assert list((site.settings.data / "packages").iterdir())


@dataclass
class ScriptedPerson:
    """Implements ``Person``: answers in order, and remembers what it was asked."""

    answers: list[str]
    asked: list[str] = field(default_factory=list)

    def choose(self, question: str, answers: Sequence[tuple[str, str]]) -> str:
        self.asked.append(f"{question} {[answer for answer, _ in answers]}")
        return self.answers.pop(0)

    def text(self, question: str) -> str:
        self.asked.append(question)
        return self.answers.pop(0)

    def password(self, question: str) -> str:
        return self.text(question)


async def guided(socket, person, choices, nap=lambda _: None):
    shown, notes, seconds = [], [], iter(range(10_000))
    guide = Guide(AdminClient(socket), person, shown.append, notes.append, nap, lambda: next(seconds))
    return await asyncio.to_thread(guide.run, choices), shown, notes


async def test_asked_on_a_terminal(socket, rotations):
    person = ScriptedPerson(["window", NEW, "somebody changed it", "192.0.2.0/24, 2001:db8::/32"])
    status, _, notes = await guided(socket, person, Choices(wait=5))
    assert status.stage == "running"
    assert status.window.ranges == ("192.0.2.0/24", "2001:db8::/32")
    assert "3 of 3 endpoints hold what is not accepted" in notes[0]
    assert person.asked[0].startswith("Which way out? ['device-key', 'restore', ")
    assert person.answers == []


async def test_asked_for_the_other_account(site, socket):
    site.directory.set_password("svc-b", "Other-Passw0rd")
    person = ScriptedPerson(["account", "svc-b", "Other-Passw0rd"])
    status, _, _ = await guided(socket, person, Choices(wait=0))
    assert status.to == "CORP\\svc-b"


async def test_followed_until_all_are_back(site, socket, rotations):
    loop, naps = asyncio.get_running_loop(), []

    def nap(seconds):
        naps.append(seconds)
        if len(naps) == 2:
            asyncio.run_coroutine_threadsafe(everybody_takes_it(site, rotations), loop).result(30)

    choices = Choices(way="device-key", password=lambda: NEW)
    status, shown, _ = await guided(socket, None, choices, nap)
    assert status.stage == "done"
    assert [found.stage for found in shown][-2:] == ["done", "done"]
    assert len(naps) == 2


async def test_a_window_again(site, socket, rotations):
    choices = Choices(way="window", password=lambda: NEW, reason="one", ranges=("any",), wait=0)
    first, _, _ = await guided(socket, None, choices)
    again, _, _ = await guided(socket, None, replace(choices, password=None, reason="two"))
    assert again.window.id == first.window.id
    assert again.rotation == first.rotation


async def test_several_accounts_are_chosen_from(site, socket):
    site.directory.set_password("svc-b", "Other-Passw0rd")
    await site.accounts.add("svc-b", Secret(b"Other-Passw0rd"), (), "admin")
    site.clock.now += 10
    site.directory.set_password("svc-b", "Yet-Another-1")
    await site.accounts.check("svc-b")
    async with site.database.write() as conn:
        await conn.execute(insert(credential_use).values(account_key="CORP\\svc-b", generation=1, endpoints=7))
    person = ScriptedPerson([KEY, "oauth"])
    status, _, _ = await guided(socket, person, Choices(wait=0))
    assert (status.account, status.to) == (KEY, "oauth")
    assert "svc-b" in person.asked[0]


STATUS = RecoveryStatus(KEY, "running", "1 of 3 took it", "r", KEY, NOW, {"applied": 1, "queued": 2}, ("lab-2",), 2)


def test_the_board_shows_the_newest_in_place_and_leaves_the_last():
    screen = io.StringIO()
    board = Board(Console(file=screen, force_terminal=True, width=100, highlight=False))
    for status in (STATUS, STATUS, msgspec.structs.replace(STATUS, sentence="2 of 3 took it", missing=())):
        board.show(status)
    board.note("a [note]")
    board.close()
    said = screen.getvalue()
    assert said.count("1 of 3 took it") == 1
    assert said.count("2 of 3 took it") >= 1
    assert "lab-2 and 1 more" in said
    assert "a [note]" in said


def test_the_board_may_be_quiet():
    screen = io.StringIO()
    board = Board(Console(file=screen), quiet=True)
    board.show(STATUS)
    board.note("anything")
    board.close()
    assert screen.getvalue() == ""


@pytest.mark.parametrize(("said", "chosen"), [("", "one"), ("2", "two"), ("two", "two"), ("3", None), ("none", None)])
def test_a_person_chooses_by_number_or_name(said, chosen):
    found = []
    app = typer.Typer()
    app.command()(lambda: found.append(Terminal().choose("Which?", [("one", "the [first]"), ("two", "the second")])))
    result = CliRunner().invoke(app, input=f"{said}\n")
    assert found == ([chosen] if chosen else [])
    assert isinstance(result.exception, UsageError) is (chosen is None)


def test_a_person_is_asked_for_a_line_and_a_password():
    found = []

    def ask():
        found.append(Terminal().text("Why"))
        found.append(Terminal().password("Password of it"))

    app = typer.Typer()
    app.command()(ask)
    CliRunner().invoke(app, input=" because \nsecret\n")
    assert found == ["because", "secret"]
