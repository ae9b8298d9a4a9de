"""What is looked at on a server, and how it is judged."""

import msgspec
import pytest

from keyfast.core.account import DAY
from keyfast.core.mode import Mode, Modes
from keyfast.core.server_check import CheckState, Seen, checks

NOW = 1_800_000_000
WELL = Seen(
    now=NOW,
    directory={"dc1": 0},
    certificate_ends_at=NOW + 300 * DAY,
    trusted=True,
    nodes={"node": NOW - 30},
    modes=Modes(frozenset({("", Mode.OAUTH)})),
    holders={"oauth": 5},
    counted_at=NOW - 200,
    check_ins=20,
    refusals={"pending": 2, "replayed": 3},
)


def changed(**more):
    return msgspec.structs.replace(WELL, **more)


def test_all_is_well():
    assert {check.state for check in checks(WELL)} == {CheckState.GOOD}
    assert [check.what for check in checks(WELL)] == [
        "database",
        "node node",
        "certificate",
        "mode oauth",
        "directory dc1",
        "history",
        "roll call",
        "traffic",
    ]


@pytest.mark.parametrize(
    ("seen", "what", "state", "said"),
    [
        (changed(nodes={}), "nodes", "bad", "no process"),
        (changed(nodes={"n": NOW - 900}), "node n", "bad", "15 minutes"),
        (changed(certificate_ends_at=None), "certificate", "unknown", "cannot be read"),
        (changed(certificate_ends_at=NOW), "certificate", "bad", "ended"),
        (changed(certificate_ends_at=NOW + DAY), "certificate", "good", "1 days: renew it"),
        (changed(trusted=False), "certificate", "bad", "not signed by"),
        (changed(trusted=None), "certificate", "good", "300 days"),
        (changed(holders={"windows": 1234}), "mode windows", "bad", "closed for everybody; 1,234 endpoints"),
        (changed(directory={"dc1": NOW - 7200}), "directory dc1", "bad", "could not be read for 2 hours"),
        (changed(restored_at=5), "history", "bad", "went back in time"),
        (changed(counted_at=0), "roll call", "unknown", "none was made"),
        (changed(counted_at=NOW - 3600), "roll call", "bad", "is old"),
        (changed(check_ins=0), "traffic", "bad", "0 check-ins in an hour; refusals: replayed 3, pending 2"),
        (changed(check_ins=0, refusals={}), "traffic", "good", "refusals: none"),
    ],
)
def test_what_is_not(seen, what, state, said):
    found = {check.what: check for check in checks(seen)}[what]
    assert found.state.value == state
    assert said in found.sentence
