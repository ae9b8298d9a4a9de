import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from keyfast.core.account import DAY, EXPIRY_DAYS, AccountCondition, Built, Severity, days_class, outdated, unusable
from keyfast.core.account_privilege import beyond_user, privileged
from keyfast.core.account_verdict import RULES, judge, span
from keyfast.core.directory import AccountReading, Group, Logon, Unreachable

C = AccountCondition
NOW = 1_800_000_000
TICKS = 10_000_000
SET_AT = NOW - 90 * DAY


def stamp(at):
    return (at + 11_644_473_600) * TICKS


GOOD = AccountReading(
    server="dc1",
    read_at=NOW,
    exists=True,
    name="svc-see",
    password_stamp=stamp(SET_AT),
    password_set_at=SET_AT,
    never_expires=True,
    lockout_threshold=0,
)
BUILT = Built("P1", 1, GOOD.password_stamp, 500, SET_AT + DAY)
NEW = replace(GOOD, password_stamp=stamp(NOW - 600), password_set_at=NOW - 600)
DOMAIN_ADMINS = Group("S-1-5-21-1-2-3-512", "CN=Domain Admins")

TROUBLES = {
    C.MISSING: (AccountReading("dc1", NOW, exists=False, name="svc-see"), Logon.WRONG_PASSWORD),
    C.DISABLED: (replace(GOOD, disabled=True), Logon.DISABLED),
    C.LOCKED: (replace(GOOD, locked=True, locked_at=NOW - 9), Logon.LOCKED),
    C.ACCOUNT_EXPIRED: (replace(GOOD, expires_at=NOW), Logon.ACCOUNT_EXPIRED),
    C.EXPIRED: (replace(GOOD, password_expired=True), Logon.EXPIRED),
    C.MUST_CHANGE: (
        replace(GOOD, must_change=True, password_expired=True, password_stamp=0, password_set_at=0),
        Logon.MUST_CHANGE,
    ),
}
WARNINGS = {
    C.EXPIRES_SOON: replace(GOOD, never_expires=False, password_expires_at=NOW + 9 * DAY),
    C.ACCOUNT_EXPIRES_SOON: replace(GOOD, expires_at=NOW + 9 * DAY),
    C.MAY_EXPIRE: replace(GOOD, never_expires=False, password_expires_at=NOW + 31 * DAY),
    C.OVER_PRIVILEGED: replace(GOOD, groups=(DOMAIN_ADMINS,)),
    C.RESTRICTED: replace(GOOD, hours_restricted=True),
    C.PERSONAL: replace(GOOD, person=("mail",)),
    C.LOCKOUT_POSSIBLE: replace(GOOD, lockout_threshold=5),
}


def kinds(verdict):
    return [finding.condition for finding in verdict.findings]


def test_a_sound_account_is_healthy_and_nothing_is_said():
    verdict = judge([GOOD], NOW, built=[BUILT])
    assert (verdict.condition, verdict.findings) == (C.HEALTHY, ())
    assert unusable(GOOD, NOW) is None


@pytest.mark.parametrize("condition", TROUBLES)
def test_what_keeps_everybody_out_is_an_outage_that_says_whom_and_how_to_mend_it(condition):
    reading, logon = TROUBLES[condition]
    (finding, *rest) = judge([reading], NOW, built=[BUILT]).findings
    assert not rest
    assert (finding.condition, finding.severity, finding.servers) == (condition, Severity.OUTAGE, ("dc1",))
    assert finding.packages == ("P1",)
    assert "500 endpoints of P1 cannot log on" in finding.meaning
    assert finding.repair
    assert unusable(reading, NOW) is logon


@pytest.mark.parametrize("condition", WARNINGS)
def test_what_will_hurt_later_is_a_warning(condition):
    verdict = judge([WARNINGS[condition]], NOW, built=[BUILT])
    assert verdict.condition is condition
    assert [f.severity for f in verdict.findings] == [Severity.WARNING]
    assert verdict.findings[0].sentence
    assert verdict.findings[0].repair
    assert unusable(WARNINGS[condition], NOW) is None


EVERYTHING = {condition: reading for condition, (reading, _) in TROUBLES.items()} | WARNINGS


# Where domain controllers differ about the day of the same expiry, the first is told.
PAIRS = [pair for pair in itertools.combinations(EVERYTHING, 2) if set(pair) != {C.EXPIRES_SOON, C.MAY_EXPIRE}]


@pytest.mark.parametrize(("one", "other"), PAIRS)
def test_the_worst_comes_first_whatever_the_order_of_domain_controllers(one, other):
    readings = [EVERYTHING[one], replace(EVERYTHING[other], server="dc2")]
    verdict = judge(readings, NOW, built=[BUILT])
    assert verdict.condition is min((one, other), key=list(C).index)
    assert {one, other} <= set(kinds(verdict))
    again = judge(readings[::-1], NOW, built=[BUILT])
    assert kinds(again) == kinds(verdict)


def test_every_rule_is_silent_about_a_sound_account_and_every_condition_has_one():
    assert len(RULES) == len(C) - 2  # "unreadable" and "healthy" are no rule's


def test_no_domain_controller_read_is_no_verdict_on_the_account():
    dark = Unreachable("dc1", NOW, "it cannot be reached")
    verdict = judge([dark], NOW, built=[BUILT])
    assert verdict.condition is C.UNREADABLE
    assert kinds(verdict) == [C.UNREADABLE]
    partly = judge([GOOD, replace_server(dark)], NOW)
    assert partly.condition is C.HEALTHY
    assert [f.severity for f in partly.findings] == [Severity.NOTICE]
    assert judge([], NOW).findings == ()


def replace_server(dark):
    return replace(dark, server="dc2")


def test_a_changed_password_names_packages_endpoints_and_the_end_of_the_grace():
    (finding,) = judge(
        [NEW], NOW, built=[BUILT, replace(BUILT, package="P2", password_stamp=NEW.password_stamp)]
    ).findings
    assert (finding.condition, finding.severity) == (C.CHANGED, Severity.OUTAGE)
    assert finding.packages == ("P1",)
    assert finding.at == NOW - 600
    assert finding.sentence == "the password was set 10 minutes ago, after P1 was built"
    assert "500 endpoints of P1 may go on by NTLM or Basic for 50 minutes" in finding.meaning


def test_more_packages_than_one_are_counted():
    (finding,) = judge([NEW], NOW, built=[BUILT, replace(BUILT, package="P2")]).findings
    assert finding.sentence == "the password was set 10 minutes ago, after 2 packages were built"
    assert "1000 endpoints of 2 packages may" in finding.meaning
    assert finding.packages == ("P1", "P2")


def test_the_grace_is_for_the_last_password_only_and_ends():
    older = replace(BUILT, package="P0", password_stamp=BUILT.password_stamp - TICKS, endpoints=1)
    (finding,) = judge([NEW], NOW, built=[older, BUILT]).findings
    assert "1 endpoint of P0 cannot log on" in finding.meaning
    (over,) = judge([NEW], NOW + 3600, built=[older, BUILT]).findings
    assert "may go on" not in over.meaning
    (none,) = judge([NEW], NOW, built=[BUILT], grace_s=0).findings
    assert "may go on" not in none.meaning


def test_a_change_that_silences_nobody_is_a_warning_and_unknown_stamps_say_nothing():
    (finding,) = judge([NEW], NOW, built=[replace(BUILT, endpoints=0)]).findings
    assert finding.severity is Severity.WARNING
    assert judge([NEW], NOW, built=[replace(BUILT, password_stamp=0)]).condition is C.HEALTHY


def test_domain_controllers_that_disagree_are_lagging_by_the_newest_or_by_what_packages_know():
    verdict = judge([NEW, replace(GOOD, server="dc2")], NOW)
    assert (verdict.condition, verdict.findings[0].servers) == (C.LAGGING, ("dc2",))
    behind = judge([GOOD], NOW, built=[replace(BUILT, password_stamp=NEW.password_stamp)])
    assert (behind.condition, behind.findings[0].servers) == (C.LAGGING, ("dc1",))


def test_missing_on_one_domain_controller_only():
    verdict = judge([GOOD, AccountReading("dc2", NOW, exists=False)], NOW)
    assert (verdict.condition, verdict.findings[0].servers) == (C.MISSING, ("dc2",))


def test_wrong_passwords_are_a_notice_and_a_warning_when_they_rise():
    five = replace(GOOD, bad_passwords=5)
    still = judge([five], NOW, before=[five])
    assert (still.condition, kinds(still)) == (C.HEALTHY, [C.BAD_PASSWORDS])
    assert judge([five], NOW, before=[GOOD]).condition is C.BAD_PASSWORDS
    assert judge([five], NOW, before=[Unreachable("dc1", NOW, "")]).condition is C.HEALTHY


def test_an_unreadable_lockout_threshold_is_a_notice():
    verdict = judge([replace(GOOD, lockout_threshold=None, policy="CN=strict")], NOW)
    assert (verdict.condition, kinds(verdict)) == (C.HEALTHY, [C.LOCKOUT_POSSIBLE])
    assert "CN=strict" in verdict.findings[0].sentence


def test_time_passes_between_reading_and_verdict():
    reading = replace(GOOD, never_expires=False, password_expires_at=NOW + 10)
    assert judge([reading], NOW).condition is C.EXPIRES_SOON
    assert judge([reading], NOW + 10).condition is C.EXPIRED
    assert unusable(reading, NOW + 10) is Logon.EXPIRED


@pytest.mark.parametrize("days", EXPIRY_DAYS)
def test_the_classes_of_days_begin_exactly_at_their_days(days):
    assert days_class(NOW + days * DAY, NOW) == days
    following = {1: 7, 7: 14, 14: 30, 30: None}[days]
    assert days_class(NOW + days * DAY + 1, NOW) == following


def test_the_end_itself_is_no_longer_soon():
    assert days_class(NOW, NOW) is None
    assert days_class(None, NOW) is None


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0, "less than a minute"),
        (59, "less than a minute"),
        (60, "1 minute"),
        (3599, "59 minutes"),
        (3600, "60 minutes"),
        (7200, "2 hours"),
        (2 * DAY - 1, "47 hours"),
        (2 * DAY, "2 days"),
    ],
)
def test_lengths_of_time_in_words(seconds, words):
    assert span(seconds) == words


@pytest.mark.parametrize(
    ("sid", "name"),
    [
        ("S-1-5-21-1-2-3-512", "Domain Admins"),
        ("S-1-5-32-544", "Administrators"),
        ("S-1-5-21-1-2-3-1104", ""),
        ("S-1-5-32-512", ""),
        ("S-1-5-21-1-2-3-544", ""),
        ("S-1-1-0", ""),
        ("nonsense", ""),
    ],
)
def test_privileged_groups_by_their_well_known_numbers(sid, name):
    assert privileged(Group(sid)) == name


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"groups": (DOMAIN_ADMINS,)}, "in Domain Admins, a privileged group"),
        ({"groups": (Group("S-1-5-21-1-2-3-1104", "CN=Staff"),)}, "in CN=Staff"),
        ({"groups": (Group("S-1-5-21-1-2-3-1104"),)}, "in S-1-5-21-1-2-3-1104"),
        ({"admin_count": True}, "adminCount"),
        ({"delegation": True}, "delegation"),
        ({"service_names": ("HTTP/x",)}, "HTTP/x"),
    ],
)
def test_what_makes_an_account_more_than_a_user(change, words):
    (reason,) = beyond_user(replace(GOOD, **change))
    assert words in reason
    assert beyond_user(GOOD) == ()


def test_only_older_passwords_are_outdated():
    assert outdated([BUILT], BUILT.password_stamp) == ()
    assert outdated([BUILT], BUILT.password_stamp + 1) == (BUILT,)
    assert outdated([BUILT], 0) == ()


MOMENTS = st.none() | st.integers(NOW - 50 * DAY, NOW + 50 * DAY)
READINGS = st.builds(
    AccountReading,
    server=st.sampled_from(["dc1", "dc2"]),
    read_at=st.just(NOW),
    exists=st.booleans(),
    password_stamp=st.sampled_from([0, GOOD.password_stamp, NEW.password_stamp]),
    password_set_at=st.sampled_from([0, SET_AT, NOW]),
    password_expires_at=MOMENTS,
    expires_at=MOMENTS,
    lockout_threshold=st.none() | st.integers(0, 9),
    bad_passwords=st.integers(0, 9),
    locked_at=st.integers(0, NOW),
)
UNREAD = st.builds(Unreachable, server=st.sampled_from(["dc1", "dc2"]), read_at=st.just(NOW), reason=st.just("down"))


@given(st.lists(READINGS | UNREAD, max_size=3), st.integers(0, 100))
def test_any_readings_have_a_verdict_worst_first(readings, endpoints):
    verdict = judge(readings, NOW, built=[replace(BUILT, endpoints=endpoints)], before=readings)
    ranks = [(list(Severity).index(f.severity), list(C).index(f.condition)) for f in verdict.findings]
    assert ranks == sorted(ranks)
    assert len({f.condition for f in verdict.findings}) == len(verdict.findings)
    assert all(f.sentence and f.meaning for f in verdict.findings)
    usable = [r for r in readings if isinstance(r, AccountReading) and unusable(r, NOW) is None]
    if readings and not usable and any(isinstance(r, AccountReading) for r in readings):
        assert verdict.findings[0].severity is Severity.OUTAGE


def test_a_quote_in_a_name_does_not_end_it_in_the_repair():
    (finding,) = judge([replace(GOOD, name="o'brien", disabled=True)], NOW).findings
    assert "'o''brien'" in finding.repair
