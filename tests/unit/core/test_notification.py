"""What is told, how often, and how long it is tried."""

import pytest

from keyfast.core.notification import (
    GIVE_UP_AFTER,
    LONGEST_PAUSE,
    RULES,
    TABLE,
    NoticeEvent,
    NoticeState,
    after_miss,
    is_same_news,
    notice_of,
    step,
)
from keyfast.errors import TransitionError


def test_an_event_is_told_in_a_sentence_with_what_may_leave_the_server():
    detail = {"account": "CORP\\svc", "servers": ["dc1", "dc2"], "endpoints": 7, "password": "secret"}
    notice = notice_of("account_locked", 7, detail)
    assert notice.title == "CORP\\svc is locked out"
    assert notice.key == "account_locked|CORP\\svc"
    assert notice.detail == {"account": "CORP\\svc", "servers": "dc1, dc2", "endpoints": "7"}
    assert (notice.at, notice.kind, notice.quiet_s) == (7, "account_locked", 3600)


def test_nobody_is_told_of_other_events():
    assert notice_of("endpoint_enrolled", 7, {}) is None


@pytest.mark.parametrize("kind", RULES)
def test_every_kind_has_its_sentence_whatever_its_event_lacks(kind):
    assert notice_of(kind, 7, {}).title
    assert notice_of(kind, 7, {"reason": "{x}\n"}).title


def test_the_same_news_is_told_once_in_a_while():
    first = notice_of("account_locked", 10_000, {"account": "a"})
    assert not is_same_news(first, None)
    assert is_same_news(first, 10_000 - first.quiet_s + 1)
    assert not is_same_news(first, 10_000 - first.quiet_s)
    other = notice_of("account_locked", 10_000, {"account": "b"})
    assert first.key != other.key
    test = notice_of("notification_tested", 10_000, {"by": "anna"})
    assert not is_same_news(test, 10_000)


def test_pauses_double_up_to_an_hour_and_end_after_a_day():
    pauses = [after_miss(0, tries, 100)[1] - 100 for tries in range(1, 12)]
    assert pauses[:4] == [10, 20, 40, 80]
    assert pauses[-1] == LONGEST_PAUSE
    assert after_miss(0, 10**6, GIVE_UP_AFTER - 1)[0] is NoticeState.PENDING
    assert after_miss(0, 1, GIVE_UP_AFTER) == (NoticeState.FAILED, 0)


def test_the_table_is_the_whole_life():
    for state in NoticeState:
        for event in NoticeEvent:
            if (state, event) in TABLE:
                assert step(state, event) is TABLE[state, event]
            else:
                with pytest.raises(TransitionError):
                    step(state, event)
