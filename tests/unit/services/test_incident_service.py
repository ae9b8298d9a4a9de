"""Incidents for people: what is told of each kind of group, with its ways out; and the server about itself."""

from dataclasses import replace
from datetime import UTC, datetime

import pytest
from tests.support.databases import KINDS, NOW, endpoint_row, new_database
from tests.support.fake_rotations import FakeRotations

from keyfast.core.endpoint import EndpointState
from keyfast.core.incident import Incident, IncidentState, Point
from keyfast.core.mode import Mode
from keyfast.core.node import Accepts, Node
from keyfast.core.roll_call import EVERYBODY, Group, Kind
from keyfast.errors import ConflictError, NotFoundError
from keyfast.services.incident import IncidentService
from keyfast.services.recovery_options import RecoveryOptionsService
from keyfast.services.recovery_window import RecoveryWindowService
from keyfast.services.server_diagnosis import ServerDiagnosisService
from keyfast.services.server_evidence import ServerEvidence
from keyfast.store import endpoints, incidents, nodes, roll_calls, traffic
from keyfast.store.incidents import IncidentRow
from keyfast.store.roll_calls import Counted
from keyfast.store.traffic import Minute
from keyfast.trust import tls
from keyfast.wire.window import WindowOrder

KEY = "CORP\\svc-see"
ID = "00000000-0000-4000-8000-000000000001"


@pytest.fixture(params=KINDS)
def url(request, tmp_path) -> str:
    return new_database(request.param, tmp_path)


@pytest.fixture
def evidence(site):
    return ServerEvidence(site.live, site.settings.tls, 3600, site.clock)


@pytest.fixture
def service(site, evidence):
    windows = RecoveryWindowService(site.live, site.database, site.clock)
    rotations = FakeRotations(site.database, NOW + 20)
    options = RecoveryOptionsService(site.live, site.database, site.accounts, windows, rotations, site.clock)
    return IncidentService(site.database, site.live, evidence, options, site.clock)


@pytest.fixture
def diagnoses(site, evidence):
    return ServerDiagnosisService(site.database, site.live, evidence, site.settings.tls, site.clock)


async def opened(site, key, group=None, **more):
    """Put an incident on record, and the counts of a roll call that found it."""
    group = group or Group(9, 6, missed={NOW // 300: 6}, names=["pc-1", "pc\x1b[31m"])
    counts = {"endpoints": group.endpoints, "silent": group.silent, "most": group.silent, "least": group.silent}
    made = Incident(
        ID, key[0], key[1], IncidentState.OPEN, NOW - 900, 300, NOW, NOW, **counts, names=tuple(group.names), **more
    )
    groups = {key: Counted(group, (), NOW), EVERYBODY: Counted(Group(20, group.silent), (), NOW)}
    async with site.database.write() as conn:
        await incidents.put(conn, IncidentRow(made))
        await roll_calls.put_groups(conn, groups)


async def test_an_account_leads_to_recover_with_real_counts(site, service):
    await site.add()
    number = await site.package()
    await site.change()
    await site.read()
    site.clock.now += 2 * 3600
    await site.live.refresh()
    await opened(site, (Kind.CREDENTIAL, f"{KEY} #1"), course=(Point(NOW - 900, 0), Point(NOW, 6)))
    view = await service.show(ID)
    assert (view.line.told, view.line.cause) == (f"they hold the password {KEY} #1", "password-changed")
    assert view.names == ("pc-1", "pc\\x1b[31m")
    assert [(held.held, held.accepted) for held in view.holdings] == [(f"generation 1 of {KEY}", False)]
    assert [(option.way, option.endpoints) for option in view.options if option.available][:2] == [
        ("device-key", 3),
        ("restore", 3),
    ]
    assert view.options[0].command == f"keyfast recover --account '{KEY}' --way device-key --password-file -"
    await opened(site, (Kind.PACKAGE, number))
    view = await service.show(ID)
    assert [held.held for held in view.holdings] == ["authentication mode windows", f"generation 1 of {KEY}"]
    assert view.options


@pytest.mark.parametrize(
    ("key", "told", "held"),
    [
        ((Kind.PROFILE, "7"), "they hold access profile 7", ["access profile 7"]),
        ((Kind.MODE, "windows"), "they authenticate by windows", ["authentication mode windows"]),
        ((Kind.RING, "lab"), "they are in ring lab", ["ring lab"]),
        ((Kind.SITE, "192.0.2.0/24"), "they are in 192.0.2.0/24", []),
        ((Kind.VERSION, "1.2"), "they run version 1.2", []),
        ((Kind.PACKAGE, ID), f"they came from package {ID}", []),
        (EVERYBODY, "nothing but this server", []),
    ],
)
async def test_other_groups_say_what_they_hold(site, service, key, told, held):
    await opened(site, key)
    view = await service.show(ID)
    assert view.line.told == told
    assert [line.held for line in view.holdings] == held
    assert view.options == ()
    assert view.findings


async def test_a_site_that_is_silent_is_its_network(site, service):
    await opened(site, (Kind.SITE, "192.0.2.0/24"), Group(6, 6))
    assert (await service.show(ID)).line.cause == "site-silent"


async def test_what_is_refused_beyond_the_usual_is_evidence(site, service):
    await opened(site, (Kind.RING, "lab"))
    async with site.database.write() as conn:
        await traffic.put(conn, "n", Minute(NOW - 1200, 50, {"pending": 4}))
        await traffic.put(conn, "n", Minute(NOW - 300, 50, {"pending": 4, "mode_closed": 60}))
    view = await service.show(ID)
    assert view.line.cause == "refused-mode-closed"
    assert any("6 endpoints" in told for told in view.findings[0].evidence_for)


async def test_a_certificate_that_has_ended_is_everybodys_cause(site, service, diagnoses):
    folder = site.settings.tls
    authority, key = tls.create_authority("Example", datetime.fromtimestamp(NOW - 900 * 86_400, UTC))
    at = datetime.fromtimestamp(NOW - 500 * 86_400, UTC)
    pem, _ = tls.issue_certificate(authority, key, ["localhost"], at, days=400)
    (folder / "server.pem").write_bytes(pem)
    await opened(site, EVERYBODY, Group(6, 6))
    assert (await service.show(ID)).line.cause == "certificate-expired"
    checks = {check.what: check for check in (await diagnoses.diagnose()).checks}
    assert checks["certificate"].state == "bad"
    pem, _ = tls.issue_certificate(authority, key, ["other.example"], datetime.fromtimestamp(NOW, UTC))
    (folder / "server.pem").write_bytes(pem)
    assert (await service.show(ID)).line.cause == "certificate-wrong-name"
    checks = {check.what: check for check in (await diagnoses.diagnose()).checks}
    assert "not signed by" in checks["certificate"].sentence
    (folder / "server.pem").unlink()
    checks = {check.what: check for check in (await diagnoses.diagnose()).checks}
    assert checks["certificate"].state == "unknown"


async def test_an_incident_is_given_up_once(site, service):
    await opened(site, (Kind.RING, "lab"))
    assert (await service.close(ID, "admin")).state == "given_up"
    (line,) = await service.list_("", 10)
    assert (line.state, line.ended_at) == ("given_up", NOW)
    ((_, detail),) = await site.events("incident_closed")
    assert detail["by"] == "admin"
    with pytest.raises(ConflictError):
        await service.close(ID, "admin")
    assert (await service.show(ID)).findings == ()
    for act in (service.show, lambda which: service.close(which, "admin")):
        with pytest.raises(NotFoundError):
            await act(ID[:-1] + "2")


async def test_a_roll_call_and_the_traffic_are_told(site, service):
    assert (await service.roll_call(60, 50)).groups == ()
    await opened(site, (Kind.RING, "lab"))
    async with site.database.write() as conn:
        await traffic.put(conn, "n", Minute(NOW - 60, 5, {"pending": 1}))
    told = await service.roll_call(60, 50)
    assert (told.endpoints, told.silent, told.counted_at) == (20, 6, NOW)
    assert [(line.group, line.silent) for line in told.groups] == [("ring", 6), ("everybody", 6)]
    assert (await service.roll_call(60, 0)).groups == ()
    assert [(minute.check_ins, minute.refusals) for minute in told.traffic] == [(5, {"pending": 1})]


async def test_the_server_tells_of_itself_and_of_each_account(site, diagnoses):
    await site.add()
    async with site.database.write() as conn:
        await nodes.tell(conn, Node("n", NOW, NOW, Accepts()))
        await endpoints.insert(conn, replace(endpoint_row(), mode=Mode.OAUTH), EndpointState.ACTIVE)
        await roll_calls.put_groups(
            conn, {EVERYBODY: Counted(Group(1), (), NOW), (Kind.MODE, "oauth"): Counted(Group(1), (), NOW)}
        )
        await traffic.put(conn, "n", Minute(NOW - 60, 5, {"pending": 1}))
    told = await diagnoses.diagnose()
    assert {check.state for check in told.checks} <= {"good", "unknown"}
    assert {check.what for check in told.checks} >= {"database", "node n", "mode oauth", "traffic", "roll call"}
    site.directory.alter("svc-see", locked=True, locked_at=NOW)
    await site.read()
    told = await diagnoses.diagnose()
    assert {subject.subject: subject.findings[0].code for subject in told.subjects}[KEY] == "account-locked"


async def test_an_open_window_is_evidence(site, service):
    await site.add()
    async with site.database.write() as conn:
        await endpoints.insert(conn, replace(endpoint_row(), account_key=KEY), EndpointState.ACTIVE)
    windows = RecoveryWindowService(site.live, site.database, site.clock)
    await windows.open_(WindowOrder("a test", 60, ("any",), KEY), "admin")
    await site.live.refresh()
    await opened(site, (Kind.CREDENTIAL, f"{KEY} #1"))
    view = await service.show(ID)
    assert all(finding.code != "window-forgotten" for finding in view.findings)
