"""Nonces and grants, without memory."""

import pytest

from keyfast.core.check_in import Grant
from keyfast.core.secret import Secret
from keyfast.trust.nonce import NonceFacts, Nonces

OLD, NOW, NEXT, FOREIGN = (Secret(letter * 32) for letter in (b"o", b"n", b"x", b"f"))
NONCES = Nonces([NOW, OLD, NEXT])
ENDPOINT, OTHER = "0" * 36, "1" * 36


def test_a_nonce_tells_the_time_to_anybody():
    nonce = NONCES.issue(1_800_000_000)
    assert NONCES.read(nonce) == NONCES.read(nonce, ENDPOINT) == NonceFacts(1_800_000_000)


def test_a_grant_is_for_one_endpoint_and_one_number():
    nonce = NONCES.grant(5, ENDPOINT, 2**53 - 1)
    assert NONCES.read(nonce, ENDPOINT) == NonceFacts(5, Grant(2**53 - 1))
    assert NONCES.read(nonce, OTHER) is None
    assert NONCES.read(nonce) is None


@pytest.mark.parametrize("key", [OLD, NOW, NEXT])
def test_every_key_is_accepted_and_the_first_issues(key):
    assert NONCES.read(Nonces([key]).issue(7)) == NonceFacts(7)
    assert (Nonces([key]).read(NONCES.issue(7)) is not None) == (key is NOW)


def test_a_nonce_of_another_installation_is_none():
    assert Nonces([FOREIGN]).read(NONCES.issue(1)) is None
    assert Nonces([FOREIGN]).read(NONCES.grant(1, ENDPOINT, 1), ENDPOINT) is None


@pytest.mark.parametrize("text", ["", "A", "A" * 34, "A" * 44, "=" * 34, "é" * 34, "\ud800" * 34])
def test_what_is_not_a_nonce_is_none(text):
    assert NONCES.read(text, ENDPOINT) is None


def test_keys_are_not_shown():
    assert repr(NONCES) == "Nonces(3 keys)"
