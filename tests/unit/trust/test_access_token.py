"""Access tokens: what they say, and which class of refusal each failure has."""

import uuid

import pytest

from keyfast.core.refusal import Refusal, RefusalClass
from keyfast.core.secret import Secret
from keyfast.trust.access_token import AccessToken, AccessTokens
from keyfast.trust.encoding import b64u, unb64u
from keyfast.wire.limits import MAX_TOKEN_CHARS

KEYS = {"old": Secret(b"o" * 32), "new": Secret(b"n" * 32)}
TOKENS = AccessTokens("kf-1", KEYS, "new")
ENDPOINT = str(uuid.UUID(int=2**127 + 12345))
THUMBPRINT = b64u(bytes(range(32)))


def minted(tokens=TOKENS, now=1000, lifetime=60):
    return tokens.mint(
        endpoint_id=ENDPOINT, thumbprint=THUMBPRINT, now=now, lifetime=lifetime, token_id=b"\x00\x01abcdef"
    )


def kind(outcome):
    assert isinstance(outcome, Refusal)
    return outcome.kind


def test_a_token_says_what_was_minted():
    token = minted()
    assert TOKENS.read(token, 1059) == AccessToken("0001616263646566", ENDPOINT, THUMBPRINT, 1000, 1060)
    assert len(token) <= MAX_TOKEN_CHARS


def test_a_token_expires():
    assert kind(TOKENS.read(minted(), 1060)) is RefusalClass.TOKEN_EXPIRED


def test_a_token_survives_a_rotation_until_its_key_is_retired():
    old = minted(AccessTokens("kf-1", KEYS, "old"))
    assert isinstance(TOKENS.read(old, 1001), AccessToken)
    assert kind(AccessTokens("kf-1", {"new": KEYS["new"]}, "new").read(old, 1001)) is RefusalClass.TOKEN_EXPIRED


def test_a_token_of_another_installation_is_named_so():
    assert kind(AccessTokens("kf-2", KEYS, "new").read(minted(), 1001)) is RefusalClass.FOREIGN_INSTALLATION


def test_the_same_key_id_with_another_key_is_no_authority():
    forged = minted(AccessTokens("kf-1", {"new": Secret(b"f" * 32)}, "new"))
    assert kind(TOKENS.read(forged, 1001)) is RefusalClass.UNAUTHENTICATED


@pytest.mark.parametrize("position", range(len(unb64u(minted()))))
def test_every_byte_counts(position):
    raw = bytearray(unb64u(minted()))
    raw[position] ^= 1
    assert isinstance(TOKENS.read(b64u(bytes(raw)), 1001), Refusal)


@pytest.mark.parametrize("text", ["", "x", "é" * 156, "A" * 156, minted() + "A", minted()[:-1], "A" * 1_000_000])
def test_what_is_not_a_token(text):
    assert kind(TOKENS.read(text, 1001)) is RefusalClass.UNAUTHENTICATED


def test_keys_are_not_shown():
    assert repr(TOKENS) == "AccessTokens(kf-1, 2 keys)"
