"""The article's story, seen from the server: which incident is opened, what it says, and when it ends."""

import pytest
from tests.support.quiet_fleet import ALPHA, BETA, INTERVAL, ROLL_CALL, QuietFleet

from keyfast.wire.recovery import RecoveryOrder, RecoveryStatus

pytestmark = [pytest.mark.timeout(300)]

HOUR = 3600
CHANGED = "Changed-By-Somebody-1"


@pytest.fixture
def fleet(tmp_path):
    made = QuietFleet(tmp_path / "server")
    yield made
    made.close()


def test_a_changed_password_is_one_incident_that_leads_back(fleet):
    # A fleet in two packages with an account each checks in.
    here, there = fleet.lane("192.0.2.7"), fleet.lane("198.51.100.9")
    alpha = fleet.install(20, ALPHA, here) + fleet.install(10, ALPHA, there)
    fleet.install(15, BETA, here)
    fleet.install(15, BETA, there)
    fleet.pass_time(2 * HOUR)
    assert fleet.incidents() == []
    # Somebody changes one account's password, twice, so that no grace delays it.
    for number in range(2):
        fleet.run(fleet.site.set_password(ALPHA, f"{CHANGED}{number}"))
    changed_at = fleet.time.now
    fleet.until(lambda: bool(fleet.incidents()), 3 * INTERVAL)
    (line,) = fleet.incidents()
    assert line.told == "they hold the password LOCAL\\svc-alpha #1", line
    print(fleet.time.now - changed_at, line)
    fleet.pass_time(HOUR)
    (line,) = fleet.incidents()
    print(line)
    view = fleet.show(line.id)
    print(view)
    assert 0
