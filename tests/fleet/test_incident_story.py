"""The article's story, seen from the server: which incident is opened, what it says, and when it ends."""

import json

import pytest
from tests.support.quiet_fleet import ALPHA, BETA, CHANGED, INTERVAL, ROLL_CALL, QuietFleet

from keyfast.cli.incident import draw
from keyfast.core.incident import FALLING
from keyfast.wire.admin import Changed, EventLine, KeyLine, ModeOrder
from keyfast.wire.incident import RollCallView
from keyfast.wire.recovery import RecoveryOrder, RecoveryStatus

pytestmark = [pytest.mark.timeout(300)]

HOUR = 3600
DETECTED = 2 * INTERVAL + 2 * ROLL_CALL
"""Everybody has missed a check-in after two intervals; the roll call sees it at the next turn."""

ALL_KNOWN = FALLING * INTERVAL + 2 * ROLL_CALL
"""So long after a silence began every endpoint of it has missed a whole check-in, and a roll call saw it."""


@pytest.fixture
def fleet(tmp_path):
    made = QuietFleet(tmp_path / "server")
    yield made
    made.close()


@pytest.mark.slow
def test_a_changed_password_is_one_incident_that_leads_back(fleet, capsys):
    # 1. A fleet of two packages, with an account each, checks in from two sites.
    here, there = fleet.lane("192.0.2.7"), fleet.lane("198.51.100.9")
    fleet.install(15, ALPHA, here)
    fleet.install(15, BETA, here)
    fleet.install(15, ALPHA, there)
    fleet.install(15, BETA, there)
    fleet.pass_time(HOUR)
    assert fleet.incidents() == []
    # 2. Somebody changes the password of one account: one incident names it, its generation, and when it began.
    changed_at = int(fleet.time.now)
    fleet.change_password(ALPHA)
    fleet.until(lambda: bool(fleet.incidents()), DETECTED)
    (line,) = fleet.incidents()
    assert (line.group, line.name, line.state) == ("credential", "LOCAL\\svc-alpha #1", "open")
    assert abs(line.began_at - changed_at) <= line.width_s == ROLL_CALL
    assert line.cause == "password-changed"
    # 3. It grows until all are silent, and stays the only one. What it says leads to keyfast recover.
    fleet.pass_time(HOUR)
    (line,) = fleet.incidents()
    assert (line.silent, line.endpoints, line.most) == (30, 30, 30)
    view = fleet.show(line.id)
    (held,) = view.holdings
    assert (held.held, held.accepted) == ("generation 1 of LOCAL\\svc-alpha", False)
    first = view.findings[0]
    assert (first.code, first.confidence) == ("password-changed", "certain")
    assert any("the silence began when the password was set" in told for told in first.evidence_for)
    assert view.options[0].endpoints == 30
    assert view.options[0].command.startswith("keyfast recover --account 'LOCAL\\svc-alpha' --way device-key")
    draw(view, fleet.console)
    shown = fleet.console.export_text()
    assert "they hold generation 1 of LOCAL\\svc-alpha; the server accepts no generation" in shown
    assert "1. device-key (brings back 30)" in shown
    # 4. The others are untouched.
    told = fleet.run(fleet.site.get("/admin/v1/roll-call", RollCallView, minutes=60))
    assert {g.name: g.silent for g in told.groups if g.group == "credential"} == {
        "LOCAL\\svc-alpha #1": 30,
        "LOCAL\\svc-beta #1": 0,
    }
    assert sum(minute.check_ins for minute in told.traffic) > 30
    assert sum(minute.refusals.get("account_refused", 0) for minute in told.traffic) >= 30
    # 5. The administrator does what it says; all come back, and it ends.
    order = RecoveryOrder("LOCAL\\svc-alpha", "device-key", password=CHANGED)
    fleet.run(fleet.site.post("/admin/v1/recovery/begin", RecoveryStatus, order))
    fleet.until(lambda: fleet.incidents()[0].state == "recovering", 3 * HOUR)
    fleet.until(lambda: fleet.incidents()[0].state == "resolved", 3 * HOUR)
    fleet.pass_time(HOUR)
    assert len(fleet.incidents()) == 1
    events = fleet.run(fleet.site.get("/admin/v1/events", list[EventLine], limit=1000))
    kinds = [event.kind for event in events if event.kind.startswith("incident")]
    assert kinds == ["incident_closed", "incident_opened"]
    assert json.dumps([event.detail for event in events]).count(CHANGED) == 0


def test_a_site_that_is_cut_off_is_named(fleet):
    here, there = fleet.lane("192.0.2.7"), fleet.lane("198.51.100.9")
    fleet.install(8, ALPHA, here)
    fleet.install(8, ALPHA, there)
    fleet.install(8, BETA, there)
    fleet.pass_time(HOUR)
    cut_at = int(fleet.time.now)
    there.cut = True
    fleet.until(lambda: bool(fleet.incidents()), DETECTED)
    # The first few may be of one package; when all who fell silent are known, it is the site.
    fleet.pass_time(cut_at + ALL_KNOWN - fleet.time.now)
    (line,) = fleet.incidents()
    assert (line.group, line.name, line.silent) == ("site", "198.51.100.0/24", 16)
    assert abs(line.began_at - cut_at) <= line.width_s
    assert line.cause == "site-silent"
    there.cut = False
    fleet.until(lambda: fleet.incidents()[0].state == "resolved", 3 * HOUR)


def test_a_mode_that_was_closed_is_named(fleet):
    lane = fleet.lane("192.0.2.7")
    fleet.install(8, "", lane)
    fleet.install(8, ALPHA, lane)
    fleet.pass_time(HOUR)
    fleet.run(fleet.site.post("/admin/v1/modes/close", Changed, ModeOrder("oauth", despite_endpoints=True)))
    fleet.until(lambda: bool(fleet.incidents()), DETECTED)
    (line,) = fleet.incidents()
    view = fleet.show(line.id)
    assert line.cause == "refused-mode-closed", view
    assert [held.accepted for held in view.holdings] == [False], view


@pytest.mark.slow
def test_a_weekend_is_none(fleet):
    lane = fleet.lane("192.0.2.7")
    alpha = fleet.install(16, ALPHA, lane)
    fleet.install(8, BETA, lane)
    fleet.pass_time(HOUR)
    fleet.jobs_every = ROLL_CALL
    # People go home one after another, and come back on Monday.
    for number in range(0, len(alpha), 2):
        fleet.switch_off(alpha[number : number + 2])
        fleet.pass_time(INTERVAL)
    fleet.pass_time(6 * HOUR)
    fleet.switch_on(alpha)
    fleet.pass_time(HOUR)
    assert fleet.incidents() == []


@pytest.mark.slow
def test_a_token_key_that_is_gone_silences_nobody(fleet):
    fleet.install(8, "", fleet.lane("192.0.2.7"))
    fleet.pass_time(HOUR)
    for _ in range(3):
        fleet.run(fleet.site.post("/admin/v1/keys/rotate", list[KeyLine], {"role": "token"}))
    fleet.pass_time(3 * HOUR)
    assert fleet.incidents() == []
    told = fleet.run(fleet.site.get("/admin/v1/roll-call", RollCallView))
    assert (told.endpoints, told.silent) == (8, 0)
