"""Decisions of the agent, cell by cell: what comes next, and what a refusal may change."""

import pytest
from msgspec.structs import asdict, replace

from keyfast.agent import decide
from keyfast.agent.client_database import Admission, LastRefusal, Record, Slots
from keyfast.agent.decide import CheckIn, Circumstances, Course, Enrol, FetchToken, MakeKeys, Recover, Wait
from keyfast.agent.outcome import Heard, Refused
from keyfast.agent.timing import Anchor, Due, Moment
from keyfast.core.mode import Mode
from keyfast.core.refusal import RefusalClass
from keyfast.wire.messages import CommandResult, Policy

NOW = Moment(wall=1_800_000_000.0, boot=5000.0, boot_id="boot")
SERVER = 1_800_000_500
HERE = Circumstances(NOW, chance=0.5, inventory_digest="D")

RECORD = Record(
    installation="inst",
    root="{}",
    delegations=("d",),
    slots=Slots("factory", "current", "previous", "candidate"),
    statement="statement",
    admission=Admission.REGISTERED,
    endpoint_id="e",
    receipt="receipt",
    device_key="device",
    seal_key="seal",
    key_history=("old",),
    seq=7,
    acked="A",
    token="token",
    token_expires_at=SERVER + 3600,
    nonce="nonce",
    policy=Policy(3, 3600),
    profile_seq=2,
    known_inventory="D",
    anchor=Anchor(SERVER, NOW),
    command_seq=4,
    results=(CommandResult("00000000-0000-4000-8000-000000000000", "applied"),),
)
ACTIONS = [Enrol(), FetchToken(), CheckIn(send_inventory=False), CheckIn(send_inventory=True)]
CLASSES = [*(kind.value for kind in RefusalClass), "a_class_of_the_next_version", ""]
IDENTITY = (
    "installation", "root", "delegations", "slots", "statement", "endpoint_id", "receipt", "device_key",
    "seal_key", "key_history", "acked", "token", "policy", "profile_seq", "command_seq", "results",
)  # fmt: skip


def test_the_order_of_life():
    fresh = Record("inst", "{}", (), Slots("f", "f"))
    assert decide.decide(fresh, HERE) == MakeKeys()
    keyed = replace(fresh, device_key="k", seal_key="s")
    assert decide.decide(keyed, HERE) == Enrol()
    assert decide.decide(replace(keyed, admission=Admission.PENDING), HERE) == Enrol()
    joined = replace(keyed, admission=Admission.REGISTERED)
    assert decide.decide(joined, HERE) == FetchToken()
    assert decide.decide(RECORD, HERE) == CheckIn(send_inventory=False)
    assert decide.decide(replace(RECORD, due=Due(NOW, 60.0)), HERE) == Wait(60.0, "the next check-in is not due")


@pytest.mark.parametrize(
    ("change", "action"),
    [
        ({"known_inventory": ""}, CheckIn(send_inventory=True)),
        ({"known_inventory": "E"}, CheckIn(send_inventory=True)),
        ({"token": ""}, FetchToken()),
        ({"token_expires_at": SERVER + decide.TOKEN_MARGIN - 1}, FetchToken()),
        ({"token_expires_at": SERVER + decide.TOKEN_MARGIN}, CheckIn(send_inventory=False)),
        ({"enrol_again": True}, Enrol()),
        ({"seal_key": ""}, MakeKeys()),
        ({"due": Due(NOW, 0.0)}, CheckIn(send_inventory=False)),
    ],
)
def test_what_is_missing_is_fetched_first(change, action):
    assert decide.decide(replace(RECORD, **change), HERE) == action


@pytest.mark.parametrize("kind", ["malformed", "too_large"])
def test_after_a_body_that_could_not_be_read_a_plain_one_is_sent(kind):
    told = replace(RECORD, known_inventory="", failures=1, last_refusal=LastRefusal(kind))
    assert decide.decide(told, HERE) == CheckIn(send_inventory=False, send_results=False)
    assert decide.decide(replace(told, failures=0), HERE) == CheckIn(send_inventory=True)


@pytest.mark.parametrize("action", ACTIONS)
@pytest.mark.parametrize("kind", CLASSES)
@pytest.mark.parametrize("quick", [0, decide.MAX_QUICK])
@pytest.mark.parametrize("expected", [0, 3, 12, 2**60])
def test_no_refusal_ever_costs_identity(action, kind, quick, expected):
    said = Refused(kind, Heard("fresh", SERVER + 9), "because", expected_seq=expected)
    after = decide.refused(RECORD, action, said, replace_quick(quick))
    before = asdict(RECORD)
    assert {name: getattr(after, name) for name in IDENTITY} == {name: before[name] for name in IDENTITY}
    assert after.seq >= RECORD.seq
    assert after.nonce == "fresh"
    assert after.anchor == Anchor(SERVER + 9, NOW)
    assert after.due is None or 0 < after.due.delay <= 3600


@pytest.mark.parametrize("action", ACTIONS)
@pytest.mark.parametrize("kind", CLASSES)
def test_a_run_of_immediate_retries_ends(action, kind):
    said = Refused(kind, Heard("fresh", SERVER), expected_seq=12)
    after = decide.refused(RECORD, action, said, replace_quick(decide.MAX_QUICK))
    assert after.due is not None
    assert after.failures == RECORD.failures + 1
    assert after.last_refusal is not None
    assert after.last_refusal.kind == kind


def replace_quick(quick: int) -> Circumstances:
    return Circumstances(NOW, 0.5, quick, "D")


CHECK_IN = CheckIn(send_inventory=False)


@pytest.mark.parametrize(
    ("action", "kind", "expected"),
    [
        (CHECK_IN, "use_nonce", CHECK_IN),
        (CHECK_IN, "stale_time", CHECK_IN),
        (CHECK_IN, "token_expired", FetchToken()),
        (CHECK_IN, "unauthenticated", FetchToken()),
        (CHECK_IN, "replayed", CHECK_IN),
        (CHECK_IN, "unknown_device", Enrol()),
        (CHECK_IN, "revoked", None),
        (CHECK_IN, "not_ready", None),
        (CHECK_IN, "foreign_installation", None),
        (CHECK_IN, "a_class_of_the_next_version", None),
        (FetchToken(), "use_nonce", CHECK_IN),
        (FetchToken(), "unauthenticated", None),
        (Enrol(), "use_nonce", CHECK_IN),
        (Enrol(), "unknown_device", None),
        (Enrol(), "enrolment_expired", None),
        (Enrol(), "pending", None),
    ],
)
def test_what_follows_a_refusal_at_once(action, kind, expected):
    after = decide.refused(RECORD, action, Refused(kind, Heard("fresh", SERVER), expected_seq=12), HERE)
    following = decide.decide(after, HERE)
    assert isinstance(following, Wait | Recover) if expected is None else following == expected


def test_no_immediate_retry_without_the_nonce_it_needs():
    after = decide.refused(RECORD, CHECK_IN, Refused("use_nonce", Heard()), HERE)
    assert isinstance(decide.decide(after, HERE), Wait)


def test_replayed_takes_the_expected_number_and_the_nonce_of_the_answer():
    after = decide.refused(RECORD, CHECK_IN, Refused("replayed", Heard("grant"), expected_seq=12), HERE)
    assert (after.seq, after.nonce, after.due) == (11, "grant", None)


def test_a_token_refused_to_nobody_leads_to_registration_after_a_wait():
    after = decide.refused(RECORD, FetchToken(), Refused("unauthenticated", Heard()), HERE)
    later = Circumstances(Moment(NOW.wall, NOW.boot + 4000, NOW.boot_id), inventory_digest="D")
    assert decide.decide(after, later) == Recover()
    after = replace(after, recovery=None)
    assert decide.decide(after, later) == Enrol()
    refused_again = decide.refused(after, Enrol(), Refused("enrolment_expired", Heard()), later)
    much_later = Circumstances(Moment(NOW.wall, NOW.boot + 9000, NOW.boot_id), inventory_digest="D")
    assert decide.decide(replace(refused_again, recovery=None), much_later) in (FetchToken(), CHECK_IN)


def test_retry_after_is_honoured_and_never_undercut():
    for chance in (0.0, 0.5, 0.999):
        said = Refused("not_ready", Heard(), retry_after=120)
        after = decide.refused(RECORD, CHECK_IN, said, Circumstances(NOW, chance))
        assert after.due is not None
        assert 120 <= after.due.delay <= 150


def test_back_off_grows_to_a_cap_and_starts_again():
    record, delays = RECORD, []
    for _ in range(12):
        record = decide.unreached(record, "no route to host", Circumstances(NOW, 0.999999))
        assert record.due is not None
        delays.append(round(record.due.delay))
    assert delays[:3] == [30, 60, 120]
    assert delays[-1] == 3600
    assert record.failures == 12
    assert record.trouble == "no route to host"


def test_every_class_has_a_course():
    for kind in RefusalClass:
        assert decide.COURSES.get(kind, Course.BACK_OFF) in Course


@pytest.mark.parametrize("wall", [0.0, 1_800_000_000.0 - 20 * 365 * 86400, 1_800_000_000.0 + 10 * 365 * 86400])
def test_a_clock_set_years_off_never_silences_the_endpoint(wall):
    due = Due(NOW, 3600.0)
    assert due.remaining(Moment(wall, NOW.boot + 600, NOW.boot_id)) == 3000.0
    assert due.remaining(Moment(wall, 10.0, "another boot")) == 0.0
    assert due.remaining(Moment(NOW.wall + 600, 10.0, "another boot")) == 3000.0


def test_the_server_s_time_is_carried_by_the_boot_clock_and_never_runs_back():
    anchor = Anchor(SERVER, NOW)
    assert anchor.server_now(Moment(0.0, NOW.boot + 60, NOW.boot_id)) == SERVER + 60
    assert anchor.server_now(Moment(0.0, 5.0, "another boot")) == SERVER
    assert anchor.server_now(Moment(NOW.wall + 60, 5.0, "another boot")) == SERVER + 60


@pytest.mark.parametrize("kind", CLASSES)
@pytest.mark.parametrize("tried", [False, True])
@pytest.mark.parametrize("change", [{}, {"receipt": ""}, {"token": ""}, {"enrol_again": True}, {"seal_key": ""}])
def test_in_windows_mode_there_is_nothing_but_keys_check_ins_recoveries_and_waiting(kind, tried, change):
    record = replace(RECORD, mode=Mode.WINDOWS, account_password="p", credential_generation=1, **change)
    for _ in range(4):
        action = decide.decide(record, HERE)
        assert isinstance(action, MakeKeys | CheckIn | Recover | Wait)
        if isinstance(action, CheckIn):
            assert action.join is record.must_join
            assert action.send_inventory or not action.join
        said = Refused(kind, Heard("fresh", SERVER), expected_seq=12, tried=tried)
        record = decide.refused(decide.reserved(record, record.hold, HERE), CHECK_IN, said, HERE)
    assert (record.account_password, record.credential_generation) == ("p", 1)
    assert (record.device_key, record.receipt) == (RECORD.device_key, change.get("receipt", RECORD.receipt))
