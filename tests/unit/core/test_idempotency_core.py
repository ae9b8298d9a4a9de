"""Idempotency keys: the tables, whole, and what is a key, whose it is, and what tells requests apart."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keyfast.core.caller import LOCAL, Caller, WayIn
from keyfast.core.idempotency import (
    MAX_ANSWER,
    RETRIES,
    TABLE,
    KeyEvent,
    KeyState,
    Retry,
    event_of,
    fingerprint,
    holder,
    key_of,
    place,
    retry_of,
    step,
)
from keyfast.core.person import Person
from keyfast.core.role import Role
from keyfast.errors import TransitionError

S, E, R = KeyState, KeyEvent, Retry
UUID = "8e03978e-40d5-43e8-bc93-6894a57f9324"


@pytest.mark.parametrize("event", E)
@pytest.mark.parametrize("state", S)
def test_what_is_not_in_the_table_raises(state, event):
    if (state, event) in TABLE:
        assert step(state, event) is TABLE[state, event]
        return
    with pytest.raises(TransitionError, match="idempotency key"):
        step(state, event)


def test_every_state_but_a_free_one_ends_by_its_age():
    assert {state for state in S if (state, E.EXPIRED) in TABLE} == set(S) - {S.FREE}
    assert set(RETRIES) == set(S)


@pytest.mark.parametrize(
    ("state", "same", "retry"),
    [
        (S.FREE, None, R.ACT),
        (S.FREE, False, R.ACT),
        (S.FREE, True, R.ACT),
        (S.BEGUN, None, R.LOOK),
        (S.BEGUN, False, R.OTHER),
        (S.BEGUN, True, R.LOOK),
        (S.ANSWERED, None, R.DONE),
        (S.ANSWERED, False, R.OTHER),
        (S.ANSWERED, True, R.REPLAY),
        (S.UNTOLD, None, R.DONE),
        (S.UNTOLD, False, R.OTHER),
        (S.UNTOLD, True, R.DONE),
    ],
)
def test_a_retry_gets_what_the_state_says(state, same, retry):
    assert retry_of(state, same=same) is retry


@pytest.mark.parametrize(
    ("status", "size", "changed", "event"),
    [
        (200, 0, False, E.ANSWERED),
        (202, MAX_ANSWER, True, E.ANSWERED),
        (200, MAX_ANSWER + 1, True, E.OUTGROWN),
        (200, None, True, E.OUTGROWN),
        (400, 9, False, E.REFUSED),
        (409, 9, False, E.REFUSED),
        (499, MAX_ANSWER + 1, False, E.REFUSED),
        (409, 9, True, E.ANSWERED),
        (404, None, True, E.OUTGROWN),
        (503, 9, False, E.REFUSED),
        (503, 9, True, None),
        (500, 9, False, None),
        (500, 9, True, None),
    ],
)
def test_an_answer_means_this_for_its_key(status, size, changed, event):
    assert event_of(status, size, changed=changed) is event


@pytest.mark.parametrize("text", [UUID, f'"{UUID}"', "a" * 16, '"' + "b" * 128 + '"', "AZaz09._~:+/=-AZ"])
def test_keys_are_these(text):
    assert key_of(text) == text.strip('"')


@pytest.mark.parametrize(
    "text",
    [
        "",
        '""',
        "a" * 15,
        "a" * 129,
        f'"{UUID}',
        f'{UUID}"',
        f'""{UUID}""',
        f"{UUID}\n",
        f"{UUID} ",
        f"{UUID}, {UUID}",
        f'"{UUID}";a=1',
        "ä" * 20,
        "sixteen characters",
        "a" * 20 + '\\"',
    ],
)
def test_and_nothing_else_is(text):
    assert key_of(text) is None


@given(st.text())
def test_whatever_is_sent_is_a_key_or_none(text):
    key = key_of(text)
    assert key is None or (16 <= len(key) <= 128 and key.isascii() and key.isprintable())


def test_nobody_has_anothers_keys():
    ann, ben = Person("1", "ann", Role.OPERATOR), Person("2", "ben", Role.OPERATOR)
    callers = [
        None,
        LOCAL,
        Caller(ann, WayIn.TOKEN, credential="t1"),
        Caller(ann, WayIn.TOKEN, credential="t2"),
        Caller(ann, WayIn.SESSION, credential="s1"),
        Caller(ben, WayIn.SESSION, credential="s2"),
    ]
    assert len({place(holder(caller), UUID) for caller in callers}) == len(callers)
    assert holder(Caller(ann, WayIn.SESSION, credential="s9")) == holder(callers[4])
    assert place("a", UUID) != place("a", UUID.upper())


def test_requests_differ_in_method_target_and_body():
    asked = [
        ("POST", "/a", b"x"),
        ("PUT", "/a", b"x"),
        ("POST", "/b", b"x"),
        ("POST", "/a", b"y"),
        ("POST", "/a?x", b""),
    ]
    assert len({fingerprint(*request) for request in asked}) == len(asked)
    assert fingerprint("POST", "/a", b"x") == fingerprint("POST", "/a", b"x")
