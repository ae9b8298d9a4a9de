"""What proves who a person is: passwords, codes and tokens, against other implementations' numbers."""

import time

import pytest

from keyfast.core.secret import Secret
from keyfast.trust.sign_in import (
    API_PREFIX,
    CHEAPEST,
    RECOMMENDED,
    Passwords,
    code_step,
    code_uri,
    digest,
    new_code_secret,
    new_token,
    password_fault,
)

RFC_6238 = Secret(b"12345678901234567890")
PASSWORDS = Passwords(CHEAPEST)


@pytest.mark.parametrize(
    ("at", "code"),
    [(59, "287082"), (1111111109, "081804"), (1111111111, "050471"), (1234567890, "005924"), (20000000000, "353130")],
)
def test_codes_are_those_of_rfc_6238(at, code):
    assert code_step(RFC_6238, code, at) == at // 30
    assert [code_step(RFC_6238, code, at + late) for late in (30, -30)] == [at // 30] * 2
    assert code_step(RFC_6238, code, at + 90) is None


@pytest.mark.parametrize("code", ["", "28708", "2870820", "28708a", "\u0662\u0668\u0667\u0660\u0668\u0662", " 87082"])
def test_what_is_no_code(code):
    assert code_step(RFC_6238, code, 59) is None


def test_an_authenticator_reads_the_secret():
    assert code_uri(RFC_6238, "a b@c") == (
        "otpauth://totp/Keyfast:a%20b%40c?digits=6&secret=GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ&algorithm=SHA1"
        "&issuer=Keyfast&period=30"
    )
    assert len(new_code_secret().reveal()) == 20


def test_a_password_is_hashed_in_the_usual_form_with_a_salt_of_its_own():
    password = Secret(b"password")
    assert PASSWORDS.holds(password, PASSWORDS.hash(password))
    assert PASSWORDS.hash(password).startswith("$argon2id$v=19$m=8,t=1,p=1$")
    assert PASSWORDS.hash(password) != PASSWORDS.hash(password)


def test_the_same_password_from_another_keyboard():
    hashed = PASSWORDS.hash(Secret("a nai\u0308ve password".encode()))
    assert PASSWORDS.holds(Secret("a na\u00efve password".encode()), hashed)
    assert not PASSWORDS.holds(Secret(b"a naive password"), hashed)


def test_no_hash_holds_for_nobody():
    for password in (b"", b"x", b"\xff"):
        assert not PASSWORDS.holds(Secret(password), "")


def test_nobody_takes_as_long_as_somebody():
    """Coarse on purpose: a missing computation would be a thousandth, not a part."""
    passwords = Passwords()
    hashed = passwords.hash(Secret(b"right"))

    def seconds(against):
        began = time.process_time()
        passwords.holds(Secret(b"wrong"), against)
        return time.process_time() - began

    somebody, nobody = min(seconds(hashed) for _ in range(3)), min(seconds("") for _ in range(3))
    assert 0.5 < nobody / somebody < 2


def test_a_hash_of_another_cost_is_not_current():
    hashed = PASSWORDS.hash(Secret(b"x"))
    assert PASSWORDS.is_current(hashed)
    assert not Passwords(RECOMMENDED).is_current(hashed)


@pytest.mark.parametrize(
    ("password", "good"),
    [
        ("correct horse", True),
        ("twelve chars", True),
        ("eleven char", False),
        ("a" * 40, False),
        ("ALICE is my name", False),
        ("x" * 250 + "abcdefg", False),
        ("\u00e9" * 6 + "abcdef", True),
    ],
)
def test_what_a_password_may_be(password, good):
    assert (password_fault(Secret(password.encode()), "alice") is None) == good


def test_a_token_is_recognised_random_and_found_by_its_hash():
    tokens = {new_token(API_PREFIX).reveal() for _ in range(50)}
    assert len(tokens) == 50
    assert all(token.startswith(b"kfa_") and len(token) == 47 for token in tokens)
    assert len({digest(Secret(token)) for token in tokens}) == 50
