"""Every rule of RFC 9449 section 4.3 that applies here, and ours about the body."""

import msgspec
import pytest
from joserfc import jws
from joserfc.jwk import ECKey, OctKey

from keyfast.core.refusal import Refusal, RefusalClass
from keyfast.trust import dpop
from keyfast.trust.device import DeviceKey
from keyfast.trust.encoding import b64u, digest_text, thumbprint, unb64u

KEY = DeviceKey.generate()
ORIGINS = frozenset({"https://keyfast.example", "https://10.0.0.1:8443", "https://[::1]:8443"})
URL = "https://keyfast.example/endpoint/v1/check-in"
PATH = "/endpoint/v1/check-in"


def made(**changes):
    given = {
        "method": "POST",
        "url": URL,
        "jti": "j-1",
        "issued_at": 17,
        "nonce": "n",
        "access_token": "tok",
        "body": b"{}",
    }
    return dpop.make_proof(KEY, **{**given, **changes})


def verified(proof, **changes):
    given = {"method": "POST", "path": PATH, "origins": ORIGINS, "access_token": "tok", "body": b"{}"}
    return dpop.verify_proof(proof, **{**given, **changes})


def signed(header=None, claims=None, key=KEY):
    """A proof with anything in it, by a correct signature."""
    own = {"typ": "dpop+jwt", "alg": "ES256", "jwk": key.public_jwk()} | (header or {})
    said = {
        "jti": "j",
        "htm": "POST",
        "htu": URL,
        "iat": 1,
        "ath": digest_text(b"tok"),
        "body_sha256": digest_text(b"{}"),
    }
    said = {name: value for name, value in (said | (claims or {})).items() if value is not None}
    head = b64u(msgspec.json.encode(own)) + "." + b64u(msgspec.json.encode(said))
    registry = jws.JWSRegistry(algorithms=["ES256"])
    signature = registry.get_alg("ES256").sign(head.encode(), key.jose)
    return f"{head}.{b64u(signature)}"


def refused(outcome, detail):
    assert isinstance(outcome, Refusal), outcome
    assert outcome.kind is RefusalClass.UNAUTHENTICATED
    assert detail in outcome.detail
    return True


def test_a_proof_holds():
    assert verified(made()) == dpop.Proof(KEY.thumbprint, "n", "j-1", 17, KEY.public_jwk())


def test_what_we_make_is_a_jws_that_joserfc_reads():
    found = jws.deserialize_compact(made(), ECKey.import_key(KEY.public_jwk()), algorithms=["ES256"])
    assert found.headers() == {"typ": "dpop+jwt", "alg": "ES256", "jwk": KEY.public_jwk()}
    assert msgspec.json.decode(found.payload) == {
        "jti": "j-1",
        "htm": "POST",
        "htu": URL,
        "iat": 17,
        "nonce": "n",
        "ath": digest_text(b"tok"),
        "body_sha256": digest_text(b"{}"),
    }


def test_the_proof_of_rfc_9449_holds():
    # RFC 9449 section 4.1, figures 2 and 3: header, claims and signature as published.
    proof = (
        "eyJ0eXAiOiJkcG9wK2p3dCIsImFsZyI6IkVTMjU2IiwiandrIjp7Imt0eSI6IkVDIiwieCI6Imw4dEZyaHgtMzR0VjNoUklDUkRZ"
        "OXpDa0RscEJoRjQyVVFVZldWQVdCRnMiLCJ5IjoiOVZFNGpmX09rX282NHpiVFRsY3VOSmFqSG10NnY5VERWclUwQ2R2R1JEQSIs"
        "ImNydiI6IlAtMjU2In19.eyJqdGkiOiItQndDM0VTYzZhY2MybFRjIiwiaHRtIjoiUE9TVCIsImh0dSI6Imh0dHBzOi8vc2VydmVy"
        "LmV4YW1wbGUuY29tL3Rva2VuIiwiaWF0IjoxNTYyMjYyNjE2fQ.2-GxA6T8lP4vfrg8v-FdWP0A0zdrj8igiMLvqRMUvwnQg4PtFL"
        "bdLXiOSsX0x7NVY-FNyJK70nfbV37xRZT3Lg"
    )
    found = dpop.verify_proof(proof, method="POST", path="/token", origins=frozenset({"https://server.example.com"}))
    assert isinstance(found, dpop.Proof), found
    assert (found.jti, found.issued_at, found.nonce) == ("-BwC3ESc6acc2lTc", 1562262616, "")


@pytest.mark.parametrize(
    ("changes", "detail"),
    [
        ({"method": "GET"}, "method"),
        ({"path": "/endpoint/v1/self"}, "URL"),
        ({"path": "/check-in"}, "URL"),
        ({"path": ""}, "URL"),
        ({"origins": frozenset({"https://other.example"})}, "URL"),
        ({"origins": frozenset()}, "URL"),
        ({"access_token": "other"}, "access token"),
        ({"body": b"{} "}, "body"),
        ({"body": b""}, "body"),
    ],
)
def test_a_proof_for_another_request_is_refused(changes, detail):
    assert refused(verified(made(), **changes), detail)


def test_what_the_request_demands_must_be_in_the_proof():
    assert refused(verified(made(access_token="")), "access token")
    assert refused(verified(made(body=None)), "body")
    assert isinstance(verified(made(access_token="", body=None), access_token="", body=None), dpop.Proof)


def test_an_empty_body_is_covered_like_any_other():
    assert isinstance(verified(made(body=b""), body=b""), dpop.Proof)


@pytest.mark.parametrize(
    ("htu", "path"),
    [
        (URL + "?a=b#c", PATH),
        (URL + "#c?d", PATH),
        ("HTTPS://KeyFast.Example:443" + PATH, PATH),
        ("https://10.0.0.1:8443" + PATH, PATH),
        ("https://[::1]:8443" + PATH, PATH),
        ("https://keyfast.example", "/"),
        ("https://keyfast.example/", ""),
    ],
)
def test_urls_that_are_the_same(htu, path):
    assert isinstance(verified(signed(claims={"htu": htu}), path=path), dpop.Proof)


@pytest.mark.parametrize(
    "htu",
    [
        "",
        PATH,
        "//keyfast.example" + PATH,
        "http://keyfast.example" + PATH,
        "https://keyfast.example:8443" + PATH,
        "https://10.0.0.1" + PATH,
        "https://user@keyfast.example" + PATH,
        "https://keyfast.example.evil" + PATH,
        "https://keyfast.example/x" + PATH,
        "https://keyfast.example" + PATH + "/",
        "https://keyfast.example" + PATH.upper(),
        "https://keyfast.example:x" + PATH,
        "https://[::1" + PATH,
        "https://key\tfast.example" + PATH,
        " https://keyfast.example" + PATH,
        "https://keyfast.éxample" + PATH,
    ],
)
def test_urls_that_are_not(htu):
    assert refused(verified(signed(claims={"htu": htu})), "URL")


PRIVATE = {**KEY.public_jwk(), "d": KEY.jose.as_dict(private=True)["d"]}


@pytest.mark.parametrize(
    ("header", "detail"),
    [
        ({"typ": "JWT"}, "header"),
        ({"alg": "none"}, "header"),
        ({"alg": "HS256"}, "header"),
        ({"alg": "es256"}, "header"),
        ({"crit": ["x"], "x": 1}, "header"),
        ({"jwk": PRIVATE}, "private key"),
        ({"jwk": {**KEY.public_jwk(), "d": None}}, "private key"),
        ({"jwk": {**KEY.public_jwk(), "kty": "RSA"}}, "P-256"),
        ({"jwk": {**KEY.public_jwk(), "crv": "P-521"}}, "P-256"),
        ({"jwk": {**KEY.public_jwk(), "x": b64u(bytes(32))}}, "P-256"),
        ({"jwk": DeviceKey.generate().public_jwk()}, "signature"),
        ({"jwk": None}, "read"),
        ({"jwk": "x"}, "read"),
    ],
)
def test_a_header_that_is_not_ours_is_refused(header, detail):
    assert refused(verified(signed(header)), detail)


@pytest.mark.parametrize(
    "claims",
    [
        {"jti": None},
        {"jti": ""},
        {"jti": "x" * 129},
        {"iat": None},
        {"iat": "1"},
        {"iat": 2**50},
        {"htm": None},
        {"htu": 1},
        {"nonce": 5},
    ],
)
def test_claims_that_cannot_be_read(claims):
    assert refused(verified(signed(claims=claims)), "read")


def test_claims_of_other_clients_do_not_disturb():
    assert isinstance(verified(signed(claims={"iat": 1.5, "exp": 0, "aud": ["x"]})), dpop.Proof)


def test_the_algorithm_cannot_be_swapped_for_a_symmetric_one():
    header = {"typ": "dpop+jwt", "alg": "HS256", "jwk": KEY.public_jwk()}
    octets = OctKey.import_key(unb64u(KEY.public_jwk()["x"]))
    forged = jws.serialize_compact(header, unb64u(made().split(".")[1]), octets, algorithms=["HS256"])
    assert refused(verified(forged), "header")


@pytest.mark.parametrize("part", [0, 1, 2])
def test_every_part_is_signed(part):
    mine, theirs = made().split("."), made(jti="other").split(".")
    mine[part] = theirs[part]
    outcome = verified(".".join(mine))
    assert isinstance(outcome, dpop.Proof) if part == 0 else refused(outcome, "signature")


@pytest.mark.parametrize(
    "proof",
    ["", ".", "..", "...", "a.b.c", "é.é.é", "\ud800", made() + ".x", made()[:-1], made() + "A" * 5000],
)
def test_what_is_not_a_proof(proof):
    assert refused(verified(proof), "")


@pytest.mark.parametrize("signature", [b"", bytes(64), b"\xff" * 64, bytes(63), bytes(65)])
def test_signatures_of_any_shape(signature):
    head, _, _ = made().rpartition(".")
    assert refused(verified(f"{head}.{b64u(signature)}"), "signature")


def test_a_kept_header_cannot_be_changed_by_a_caller():
    first = verified(made())
    first.public_jwk["x"] = "changed"
    assert thumbprint(verified(made()).public_jwk) == KEY.thumbprint


def test_a_stock_client_can_make_our_proofs():
    client = pytest.importorskip("requests_oauth2client", reason="missing requests-oauth2client")
    requests = pytest.importorskip("requests", reason="missing requests")
    theirs = client.DPoPKey.generate(alg="ES256", rs_nonce="n")
    request = requests.Request("GET", "https://keyfast.example/endpoint/v1/self?x=1").prepare()
    token = client.DPoPToken(access_token="tok", _dpop_key=theirs)
    proof = token(request).headers["DPoP"]
    outcome = verified(proof, method="GET", path="/endpoint/v1/self", body=None)
    assert isinstance(outcome, dpop.Proof), outcome


def test_a_signature_has_one_form():
    head, _, text = made().rpartition(".")
    raw = unb64u(text)
    assert refused(verified(f"{head}.{b64u(raw[:32] + bytes(1) + raw[32:])}"), "signature")
