"""The hold on a refused password: what is stored before a try, and what is left after it."""

import pytest
from msgspec.structs import replace

from keyfast.agent import decide, hold
from keyfast.agent.client_database import Admission, LogonHold, Record, Slots
from keyfast.agent.decide import CheckIn, Circumstances, Recover, Wait
from keyfast.agent.outcome import Heard, Refused
from keyfast.agent.timing import Due, Moment
from keyfast.core.mode import Mode
from keyfast.core.refusal import RefusalClass

NOW = Moment(wall=1_800_000_000.0, boot=5000.0, boot_id="boot")
HERE = Circumstances(NOW, chance=0.5)
HOUR = 3600.0
RECORD = Record(
    "inst",
    "{}",
    (),
    Slots("f", "c"),
    mode=Mode.WINDOWS,
    admission=Admission.REGISTERED,
    receipt="r",
    device_key="d",
    seal_key="s",
    account_name="svc",
    account_domain="CORP",
    account_password="hidden",
    credential_generation=3,
)
KEY = ("CORP\\svc", 3)
CHECK_IN = CheckIn(send_inventory=False)


def later(seconds: float, boot_id: str = "boot") -> Moment:
    return Moment(NOW.wall + seconds, NOW.boot + seconds if boot_id == "boot" else 5.0, boot_id)


def left(record: Record, now: Moment) -> float:
    return hold.remaining(record.hold, record.credential, now)


@pytest.mark.parametrize("chance", [0.0, 0.3, 0.999])
def test_a_refused_password_is_held_for_six_hours_and_a_little(chance):
    after = decide.refused(
        RECORD, CHECK_IN, Refused("account_refused", Heard(), tried=True), Circumstances(NOW, chance)
    )
    assert 6 * HOUR <= left(after, NOW) <= 7.5 * HOUR
    assert decide.decide(after, Circumstances(NOW)) == Recover()  # which the hold does not keep waiting
    after = replace(after, recovery=None)
    waiting = decide.decide(after, Circumstances(later(6 * HOUR - 1)))
    assert isinstance(waiting, Wait)
    assert "refused" in waiting.reason
    assert decide.decide(after, Circumstances(later(7.5 * HOUR))) == CHECK_IN


@pytest.mark.parametrize("kind", [kind.value for kind in RefusalClass])
@pytest.mark.parametrize("tried", [False, True])
def test_only_a_password_that_was_presented_is_held(kind, tried):
    begun = decide.reserved(RECORD, None, HERE)
    after = decide.refused(begun, CHECK_IN, Refused(kind, Heard("n"), tried=tried), HERE)
    assert (left(after, NOW) > 0) is tried
    assert (after.hold is not None) is tried


def test_another_generation_is_free_at_once():
    after = decide.refused(RECORD, CHECK_IN, Refused("account_refused", Heard(), tried=True), HERE)
    assert left(replace(after, credential_generation=4), NOW) == 0
    assert isinstance(decide.decide(replace(after, credential_generation=4, due=None, recovery=None), HERE), CheckIn)


def test_two_accounts_have_a_first_generation_each():
    after = decide.refused(RECORD, CHECK_IN, Refused("account_refused", Heard(), tried=True), HERE)
    assert left(replace(after, account_name="svc-b"), NOW) == 0
    assert left(replace(after, account_name="SVC"), NOW) > 0  # logon names do not distinguish case
    before_accounts_had_names = LogonHold(3, Due(NOW, 6 * HOUR))
    assert left(replace(after, hold=before_accounts_had_names), NOW) > 0


def test_other_modes_know_no_hold():
    after = decide.refused(RECORD, CHECK_IN, Refused("account_refused", Heard(), tried=True), HERE)
    assert not isinstance(decide.decide(replace(after, mode=Mode.OAUTH, due=None, recovery=None), HERE), Wait)


def test_an_outage_leaves_what_there_was():
    fresh = decide.unreached(decide.reserved(RECORD, None, HERE), "no route", HERE)
    assert fresh.hold is None
    once = replace(RECORD, hold=LogonHold(3, Due(NOW, 0.0)))
    for _ in range(5):
        begun = decide.reserved(once, once.hold, HERE)
        assert left(begun, NOW) >= 6 * HOUR
        once = decide.unreached(begun, "no route", HERE)
        assert left(once, NOW) == 0
        assert once.hold is not None


def test_a_try_that_is_cut_off_is_repeated_once_and_not_again():
    cut = decide.reserved(RECORD, None, HERE)
    assert left(cut, NOW) == 0
    again = decide.reserved(cut, cut.hold, HERE)
    assert left(again, NOW) >= 6 * HOUR
    after = decide.refused(RECORD, CHECK_IN, Refused("account_refused", Heard(), tried=True), HERE)
    cut_after = decide.reserved(after, after.hold, Circumstances(later(8 * HOUR)))
    assert left(cut_after, later(8 * HOUR)) >= 6 * HOUR


def test_a_second_route_is_no_second_try():
    first = decide.reserved(RECORD, None, HERE)
    assert left(decide.reserved(first, None, HERE), NOW) == 0


def test_a_person_s_word_lifts_it_once():
    after = decide.refused(RECORD, CHECK_IN, Refused("account_refused", Heard(), tried=True), HERE)
    asked = decide.by_hand(after, NOW)
    assert decide.decide(asked, HERE) == Recover()  # it may bring a better one before this one is tried
    assert isinstance(decide.decide(replace(asked, recovery=None), HERE), CheckIn)
    assert left(decide.reserved(asked, asked.hold, HERE), NOW) >= 6 * HOUR


@pytest.mark.parametrize(
    ("now", "expected"),
    [
        (later(HOUR), 5 * HOUR),
        (replace(later(HOUR), wall=0.0), 5 * HOUR),
        (later(HOUR, "next"), 5 * HOUR),
        (later(7 * HOUR, "next"), 0.0),
        (later(-20 * 365 * 24 * HOUR, "next"), 6 * HOUR),
    ],
)
def test_it_survives_restarts_and_is_never_shortened_by_a_clock_that_went_back(now, expected):
    held = LogonHold(3, Due(NOW, 6 * HOUR))
    assert hold.remaining(held, KEY, now) == expected
    carried = hold.carried(held, now)
    assert hold.remaining(carried, KEY, now) == expected
    assert hold.remaining(carried, KEY, replace(now, boot=now.boot + 6 * HOUR)) == 0
