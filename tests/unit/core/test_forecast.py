"""Everything that will end, in order, with whom it strands; and when wrong passwords lock an account."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keyfast.core.account import DAY
from keyfast.core.directory import AccountReading
from keyfast.core.forecast import (
    AccountFacts,
    CertificateEnd,
    Facts,
    Thing,
    TokenEnd,
    WindowEnd,
    forecast,
    lockout_at,
)

NOW = 1_800_000_000
KEY = "CORP\\svc's"


def reading(**more):
    return AccountReading("dc", NOW, exists=True, **more)


def account(**more):
    return Facts(accounts=(AccountFacts(KEY, **{"holders": {1: 40, 2: 2}, **more}),))


FULL = Facts(
    endpoints=100,
    accounts=(
        AccountFacts(
            KEY,
            reading(password_expires_at=NOW + 3 * DAY, expires_at=NOW + 10 * DAY),
            holders={1: 40, 2: 2},
            grace={1: NOW + 600, 2: NOW - 1, 3: NOW + 60},
        ),
    ),
    certificates=(
        CertificateEnd(Thing.SERVER_CERTIFICATE, "server.pem", NOW + 5 * DAY),
        CertificateEnd(Thing.AUTHORITY, "ca.pem", NOW + 4000 * DAY),
        CertificateEnd(Thing.SIGNING_CERTIFICATE, "signer.pem", NOW + 30 * DAY),
        CertificateEnd(Thing.DIRECTORY_AUTHORITY, "dc.pem", NOW + 31 * DAY),
    ),
    tokens=(TokenEnd("p", NOW + 20 * DAY, 7, 1234),),
    window=WindowEnd("w", NOW + DAY, 9),
)


def test_everything_is_told_in_order_with_whom_it_strands():
    assert [(found.thing.value, found.days(NOW), found.strands) for found in forecast(FULL, NOW)] == [
        ("grace", 0, 40),
        ("window", 1, 9),
        ("password", 3, 42),
        ("server-certificate", 5, 100),
        ("account", 10, 42),
        ("enrolment", 20, 0),
        ("signing-certificate", 30, 0),
        ("directory-authority", 31, 0),
        ("authority", 4000, 100),
    ]


def test_everything_that_can_be_prevented_says_how():
    assert all(found.command for found in forecast(FULL, NOW))
    password = next(found for found in forecast(FULL, NOW) if found.thing is Thing.PASSWORD)
    assert password.command == "Set-ADUser -Identity 'svc''s' -PasswordNeverExpires $true"


@pytest.mark.parametrize(("days", "count"), [(0, 0), (1, 2), (5, 4), (None, 9)])
def test_only_what_ends_within_some_days(days, count):
    assert len(forecast(FULL, NOW, days)) == count


def test_what_has_ended_is_told_as_such():
    facts = account(reading=reading(password_expires_at=NOW - DAY, expires_at=NOW))
    assert [(found.days(NOW), found.sentence) for found in forecast(facts, NOW)] == [
        (-1, "its password has expired"),
        (0, "the account has expired"),
    ]


def test_what_never_ends_or_is_not_there_is_not_told():
    assert forecast(Facts(), NOW) == ()
    assert forecast(account(reading=reading()), NOW) == ()
    assert forecast(account(reading=AccountReading("dc", NOW, exists=False)), NOW) == ()


def test_a_certificate_that_is_renewed_strands_nobody():
    facts = Facts(10, certificates=(CertificateEnd(Thing.SERVER_CERTIFICATE, "x", NOW + DAY, renewed=True),))
    (found,) = forecast(facts, NOW)
    assert (found.strands, found.command) == (0, "")


def counted(*bad, threshold=10, every=600, **last):
    made = [
        AccountReading(
            "dc", NOW - (len(bad) - 1 - n) * every, exists=True, bad_passwords=count, lockout_threshold=threshold
        )
        for n, count in enumerate(bad)
    ]
    return [*made[:-1], AccountReading("dc", NOW, True, bad_passwords=bad[-1], lockout_threshold=threshold, **last)]


@pytest.mark.parametrize(
    ("readings", "after"),
    [
        (counted(0, 2, 4), 1800),
        (counted(0, 4), 900),
        (counted(0, 0, 0, 4), 900),
        (counted(9, 0, 5), 600),
        (counted(3, 3, 3), None),
        (counted(5, 2), None),
        (counted(3), None),
        (counted(0, 4, threshold=0), None),
        (counted(0, 4, threshold=None), None),
        (counted(0, 10), None),
        (counted(0, 4, locked=True), None),
        (counted(0, 4, every=0), None),
        ([], None),
    ],
)
def test_when_wrong_passwords_lock_an_account(readings, after):
    assert lockout_at(readings, NOW) == (None if after is None else NOW + after)


def test_a_lockout_ahead_is_told():
    *history, last = counted(0, 2, 4)
    (found,) = forecast(account(reading=last, history=tuple(history)), NOW)
    assert (found.thing, found.at, found.strands) == (Thing.LOCKOUT, NOW + 1800, 42)
    assert "4 of 10 are counted" in found.sentence


@given(st.lists(st.integers(0, 20), max_size=8), st.integers(0, 12), st.integers(0, 4000))
def test_a_lockout_is_never_told_for_the_past(bad, threshold, later):
    found = lockout_at(counted(*bad, threshold=threshold) if bad else [], NOW + later)
    assert found is None or found >= NOW + later
