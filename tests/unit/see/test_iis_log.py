"""Logs of IIS: what counts as refused, when it began, and that memory does not grow with the log."""

import time

import pytest
from tests.support.see_site import FIELDS, check_in, iis_line, refused

from keyfast.core.diagnosis.change_point import fall, rise, segments
from keyfast.core.diagnosis.evidence import Answer
from keyfast.see.iis_log import MOST_STEPS, IisLog
from keyfast.see.log_facts import of_account

START = 1_790_000_000
USER = "CORP\\svc-see"


def log_of(lines, accounts=frozenset({"svc-see"}), prefix=""):
    log = IisLog(accounts, prefix)
    damaged = sum(part.lines for part in log.read([f"#Fields: {FIELDS}", *lines]))
    return log, damaged


def day(answer, begin=0, hours=24):
    """Check-ins of ten machines every half hour."""
    found = []
    for at in range(START + begin, START + begin + hours * 3600, 1800):
        for machine in range(10):
            found += answer(at + machine, machine)
    return found


def granted(at, machine):
    return check_in(at, USER, machine)


def wrong(at, machine):
    return refused(at, 1326, machine)


def test_challenges_before_a_success_are_no_refusals():
    log, damaged = log_of(day(granted))
    assert damaged == 0
    assert sum(step.refused for _, step in log.steps) == 0
    facts = of_account(log, USER)
    assert (facts.since, facts.succeeds, facts.http.answers) == (None, True, ())


def test_challenges_that_nothing_follows_are():
    log, _ = log_of(day(lambda at, machine: [iis_line(at, 401, 2, 5, machine=machine)]))
    assert of_account(log, USER).http.answers == (Answer(401, 2, 0, 480),)


def test_the_beginning_is_found_to_the_step():
    log, _ = log_of(day(granted) + day(wrong, 86_400))
    facts = of_account(log, USER)
    assert abs(facts.since - (START + 86_400)) <= log.step_s
    assert facts.succeeds is False
    assert facts.http.answers == (Answer(401, 1, 1326, 480),)
    assert facts.last_success < facts.since


def test_what_was_mended_is_not_told_as_going_on():
    log, _ = log_of(day(granted) + day(wrong, 86_400, 6) + day(granted, 108_000))
    facts = of_account(log, USER)
    assert (facts.since, facts.succeeds) == (None, True)


def test_one_account_among_many_is_told_apart():
    def other(at, machine):
        return check_in(at, "CORP\\svc-two", machine)

    both = sorted(day(granted) + day(wrong, 86_400) + day(other, 0, 48))
    log, _ = log_of(both, frozenset({"svc-see", "svc-two"}))
    assert of_account(log, USER).succeeds is False
    assert abs(of_account(log, USER).since - (START + 86_400)) <= log.step_s
    assert of_account(log, "CORP\\svc-two").succeeds is True
    assert of_account(log, "CORP\\svc-two").since is None


def test_a_few_stragglers_do_not_hide_the_beginning():
    late = [*day(wrong, 86_400), iis_line(START + 90_000, 200, user=USER)]
    facts = of_account(log_of(sorted(day(granted) + late))[0], USER)
    assert abs(facts.since - (START + 86_400)) <= 3600
    assert facts.succeeds is False


def test_damaged_lines_and_new_columns_in_the_middle():
    lines = [
        iis_line(START, 200, user=USER),
        "rubbish",
        "2026-13-99 25:00:00 " + " ".join(["x"] * 12),
        "#Fields: date time sc-status cs-username",
        "2026-09-21 12:00:00 200 svc-see",
        "9999-01-01 12:00:00 200 svc-see",
        "#Date: 2026",
    ]
    log, damaged = log_of(lines)
    assert (log.requests, damaged) == (2, 3)


def test_a_line_before_any_columns_is_damaged():
    assert sum(part.lines for part in IisLog().read([iis_line(START, 200)])) == 1


def test_other_paths_can_be_left_out():
    other = iis_line(START, 500).replace("/service/checkin.asmx", "/webconsole/x")
    log, damaged = log_of([other, iis_line(START, 200, user=USER)], prefix="/service/")
    assert (log.requests, damaged) == (1, 0)


def test_years_fit_into_the_same_number_of_steps():
    log, _ = log_of(iis_line(START + 3600 * hour, 200, user=USER) for hour in range(3 * MOST_STEPS))
    assert len(log.steps) <= MOST_STEPS
    assert sum(step.granted for _, step in log.steps) == 3 * MOST_STEPS
    assert log.step_s > 3600


def test_a_million_kinds_of_answers_are_bounded():
    log, _ = log_of(iis_line(START, 500 + number % 99, number) for number in range(5000))
    ((_, step),) = log.steps
    assert step.refused == 5000
    assert len(step.refusals) <= 65


def test_nothing_is_said_of_an_empty_log():
    assert of_account(IisLog(), USER) is None


@pytest.mark.parametrize("cut", [1, 10, 50, 90, 99])
def test_a_change_is_found_where_it_is(cut):
    events = [1] * cut + [80] * (100 - cut)
    assert rise(segments(events, [100] * 100)).begin == cut
    assert fall(segments(events[::-1], [100] * 100)).begin == 100 - cut


def test_a_steady_rate_has_no_change_and_nights_are_none():
    exposure = [1000 if 8 <= hour % 24 <= 18 else 10 for hour in range(24 * 14)]
    events = [round(count * 0.02) for count in exposure]
    assert len(segments(events, exposure)) == 1


def test_the_last_of_several_changes_counts():
    events = [0] * 40 + [90] * 20 + [0] * 40 + [90] * 20
    parts = segments(events, [100] * 120)
    assert [part.begin for part in parts] == [0, 40, 60, 100]
    assert rise(parts) == parts[-1]
    assert fall(parts) is None


def test_a_long_series_is_split_in_time():
    began = time.monotonic()
    segments([number % 7 for number in range(MOST_STEPS)], [10] * MOST_STEPS)
    assert time.monotonic() - began < 5
