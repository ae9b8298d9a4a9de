"""A sealed secret opens for one endpoint and one use."""

import pytest

from keyfast.core.secret import Secret
from keyfast.errors import TrustError
from keyfast.trust.device import DeviceKey
from keyfast.trust.hpke import open_sealed, seal

KEY = DeviceKey.generate()
MEANT = {"purpose": "profile", "endpoint": "e-1", "reference": "7"}


@pytest.mark.parametrize("plaintext", [b"secret", Secret(b"secret")])
def test_what_was_sealed_opens(plaintext):
    assert open_sealed(seal(KEY.public_jwk(), plaintext, **MEANT), KEY, **MEANT).reveal() == b"secret"


def test_sealing_is_randomised():
    assert seal(KEY.public_jwk(), b"s", **MEANT) != seal(KEY.public_jwk(), b"s", **MEANT)


@pytest.mark.parametrize(
    "other",
    [{"purpose": "x"}, {"endpoint": "e-2"}, {"reference": "8"}, {"purpose": "profil", "endpoint": "ee-1"}],
)
def test_it_opens_as_what_it_was_meant_for_only(other):
    with pytest.raises(TrustError):
        open_sealed(seal(KEY.public_jwk(), b"s", **MEANT), KEY, **(MEANT | other))


def test_it_opens_for_one_key_only():
    with pytest.raises(TrustError):
        open_sealed(seal(KEY.public_jwk(), b"s", **MEANT), DeviceKey.generate(), **MEANT)


@pytest.mark.parametrize("text", ["", "AAAA", "A" * 200, "é", "="])
def test_what_is_not_sealed(text):
    with pytest.raises(TrustError):
        open_sealed(text, KEY, **MEANT)


def test_it_is_sealed_for_a_real_key_only():
    with pytest.raises(TrustError):
        seal({"kty": "EC"}, b"s", **MEANT)
