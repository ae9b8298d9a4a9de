"""Text forms are canonical; the thumbprint is RFC 7638's."""

import msgspec
import pytest

from keyfast.errors import TrustError
from keyfast.trust.encoding import b64u, decode_json, digest_text, framed, sha256, thumbprint, unb64u

# RFC 9449 section 4.1 (key) and section 6.1 (its thumbprint).
JWK = {
    "kty": "EC",
    "x": "l8tFrhx-34tV3hRICRDY9zCkDlpBhF42UQUfWVAWBFs",
    "y": "9VE4jf_Ok_o64zbTTlcuNJajHmt6v9TDVrU0CdvGRDA",
    "crv": "P-256",
}


@pytest.mark.parametrize(("raw", "text"), [(b"", ""), (b"\x00", "AA"), (b"\xff\xef", "_-8"), (b"\xfb\xff\xfe", "-__-")])
def test_base64url(raw, text):
    assert b64u(raw) == text
    assert unb64u(text) == raw


@pytest.mark.parametrize(
    "text",
    [
        "AA==",
        "AB",
        "AAB",
        "A",
        "A+A/",
        "AA A",
        "AA\n",
        "=",
        "====",
        "é",
        "\ud800",
        "AAAAA",
        "+AAA",
        "/AAA",
        "AA=",
        "!",
    ],
)
def test_what_is_not_canonical_is_refused(text):
    with pytest.raises(ValueError):  # noqa: PT011 - every ValueError is the documented outcome
        unb64u(text)


def test_digests():
    # FIPS 180-2, appendix B.1.
    assert sha256(b"abc").hex().startswith("ba7816bf8f01cfea")
    assert unb64u(digest_text(b"abc")) == sha256(b"abc")


def test_thumbprint_is_that_of_rfc_9449():
    assert thumbprint(JWK) == "0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I"
    assert thumbprint({**JWK, "kid": "x", "use": "sig"}) == thumbprint(JWK)


def test_a_key_without_a_member_has_no_thumbprint():
    with pytest.raises(TrustError, match="'y'"):
        thumbprint({name: value for name, value in JWK.items() if name != "y"})


def test_frames_do_not_run_into_each_other():
    assert len({framed("a", "b", "c"), framed("ab", "c"), framed("a", "bc"), framed('a","b', "c"), framed("abc")}) == 5


@pytest.mark.parametrize("raw", [b"{", b'{"a": 1}', b"\xff", b'{"z": ' + b"[" * 5000, b"[" * 100_000])
def test_json_that_is_not_as_expected_is_a_value_error(raw):
    with pytest.raises(ValueError):  # noqa: PT011
        decode_json(raw, dict[str, str])


class Tolerant(msgspec.Struct):
    a: int = 0


def test_brackets_without_end_do_not_exhaust_the_stack():
    with pytest.raises(ValueError, match="recursion"):
        decode_json(b'{"unknown": ' + b"[" * 100_000, Tolerant)
