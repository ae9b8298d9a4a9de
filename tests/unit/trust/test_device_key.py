"""The device key, and public keys from outside."""

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
)

from keyfast.core.secret import Secret
from keyfast.errors import TrustError
from keyfast.trust.device import DeviceKey, parse_public_jwk
from keyfast.trust.encoding import b64u, thumbprint, unb64u


def pem(key, encryption=None):
    return Secret(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, encryption or NoEncryption()))


def test_a_key_survives_storage():
    key = DeviceKey.generate()
    again = DeviceKey.from_pem(key.to_pem())
    assert again.public_jwk() == key.public_jwk()
    assert again.thumbprint == key.thumbprint == thumbprint(key.public_jwk())


def test_a_key_shows_its_thumbprint_and_nothing_else():
    key = DeviceKey.generate()
    assert repr(key) == f"{key:}" == str(key) == f"DeviceKey({key.thumbprint})"


@pytest.mark.parametrize(
    "secret",
    [
        Secret(b""),
        Secret(b"-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n"),
        pem(ec.generate_private_key(ec.SECP384R1())),
        pem(ed25519.Ed25519PrivateKey.generate()),
        pem(ec.generate_private_key(ec.SECP256R1()), BestAvailableEncryption(b"x")),
    ],
    ids=["empty", "damaged", "P-384", "Ed25519", "encrypted"],
)
def test_what_is_not_a_plain_p256_key_is_refused(secret):
    with pytest.raises(TrustError) as caught:
        DeviceKey.from_pem(secret)
    assert caught.value.__cause__ is None


def test_leading_zeros_of_a_coordinate_are_kept():
    key = next(key for key in iter(DeviceKey.generate, None) if key.private.public_key().public_numbers().x < 2**248)
    assert len(key.public_jwk()["x"]) == 43
    assert parse_public_jwk(key.public_jwk()) == key.public_jwk()


def test_only_the_identifying_members_are_taken():
    jwk = DeviceKey.generate().public_jwk()
    assert parse_public_jwk({**jwk, "kid": "k", "use": "sig", "n": 1}) == jwk


GOOD = DeviceKey.generate().public_jwk()


@pytest.mark.parametrize(
    "jwk",
    [
        None,
        [],
        {},
        {**GOOD, "d": GOOD["x"]},
        {**GOOD, "d": None},
        {**GOOD, "kty": "RSA"},
        {**GOOD, "crv": "P-384"},
        {**GOOD, "x": 5},
        {**GOOD, "x": ""},
        {**GOOD, "x": GOOD["x"] + "="},
        {**GOOD, "x": GOOD["y"], "y": GOOD["x"]},
        {**GOOD, "x": b64u(bytes(31)), "y": b64u(bytes(33))},
        {**GOOD, "x": b64u(bytes(32)), "y": b64u(bytes(32))},
        {**GOOD, "x": b64u(b"\xff" * 32)},
    ],
)
def test_a_key_that_is_not_a_public_p256_key_is_refused(jwk):
    with pytest.raises(TrustError):
        parse_public_jwk(jwk)


def test_coordinates_are_32_bytes_each():
    point = unb64u(GOOD["x"]) + unb64u(GOOD["y"])
    with pytest.raises(TrustError, match="point"):
        parse_public_jwk({**GOOD, "x": b64u(point[:31]), "y": b64u(point[31:])})
