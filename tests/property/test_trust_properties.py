"""Whatever text arrives, this room answers with what it declares; what is valid comes back unchanged."""

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from keyfast.core.check_in import Grant
from keyfast.core.refusal import Refusal, RefusalClass
from keyfast.core.secret import Secret
from keyfast.errors import TrustError
from keyfast.trust import dpop, hpke
from keyfast.trust.access_token import AccessToken, AccessTokens
from keyfast.trust.chain import TrustChain
from keyfast.trust.device import DeviceKey, parse_public_jwk
from keyfast.trust.encoding import b64u, decode_json, framed, unb64u
from keyfast.trust.kek import Kek, parse_kek
from keyfast.trust.keyset import Keyset
from keyfast.trust.nonce import NonceFacts, Nonces

ENDPOINT = "00000000-0000-4000-8000-000000000001"
KEY = DeviceKey.generate()
KEYSET = Keyset.generate("kf-1", 1)
ROOT = KEYSET.keys[0].public_jwk
CHAIN = TrustChain("kf-1", ROOT, KEYSET.delegations())
TOKENS = AccessTokens("kf-1", *KEYSET.access_token_keys())
NONCES = Nonces(KEYSET.nonce_keys())
KEK = Kek("kf-1", "k1", {"k1": Secret(b"k" * 32)})
ORIGINS = frozenset({"https://keyfast.example"})
TYP = "keyfast-profile+jwt"


class Claims(msgspec.Struct, frozen=True):
    installation: str
    value: str = ""


TOKEN = TOKENS.mint(endpoint_id=ENDPOINT, thumbprint=KEY.thumbprint, now=1, lifetime=100, token_id=b"12345678")
PROOF = dpop.make_proof(
    KEY,
    method="POST",
    url="https://keyfast.example/x",
    jti="j",
    issued_at=1,
    nonce="n",
    access_token=TOKEN,
    body=b"",
)
JWS = KEYSET.sign(TYP, Claims("kf-1", "v"))
SEALED = KEK.seal(b"secret", bound_to="row")
MEANT = {"purpose": "p", "endpoint": ENDPOINT, "reference": "r"}
HPKE = hpke.seal(KEY.public_jwk(), b"secret", **MEANT)
ANY_TEXT = st.text(alphabet=st.characters(), max_size=300)  # surrogates included
DOTTED = st.lists(ANY_TEXT | st.binary(max_size=80).map(b64u), min_size=1, max_size=6).map(".".join)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)


@st.composite
def mutated(draw, valid):
    """``valid`` with one to three small changes; never ``valid`` itself."""
    text = valid
    for _ in range(draw(st.integers(1, 3))):
        at = draw(st.integers(0, len(text)))
        cut = draw(st.integers(0, 3))
        text = text[:at] + draw(st.text(alphabet="AQgw_-.=09az{\n\u00e9", max_size=3)) + text[at + cut :]
    return text if text != valid else text + "A"


def arriving(valid):
    return ANY_TEXT | DOTTED | mutated(valid)


def unproven(outcome):
    return isinstance(outcome, Refusal) and outcome.kind is RefusalClass.UNAUTHENTICATED


def trusted(act):
    try:
        act()
    except TrustError:
        return False
    return True


@given(st.binary(max_size=200))
def test_bytes_have_one_text(raw):
    assert unb64u(b64u(raw)) == raw


@given(ANY_TEXT | st.text(alphabet="AQgwBCD-_=+/\n", max_size=9))
def test_text_has_at_most_one_reading(text):
    try:
        assert b64u(unb64u(text)) == text
    except ValueError:
        return


@given(st.binary(max_size=300))
def test_json_decodes_or_is_a_value_error(raw):
    try:
        assert isinstance(decode_json(raw, dict[str, str]), dict)
    except ValueError:
        return


@given(st.lists(st.text(max_size=10), max_size=4), st.lists(st.text(max_size=10), max_size=4))
def test_frames_are_unambiguous(one, other):
    assert (framed(*one) == framed(*other)) == (one == other)


@given(JSON)
def test_no_junk_is_a_public_key(obj):
    assert not trusted(lambda: parse_public_jwk(obj))


@given(arriving(PROOF))
def test_no_other_text_is_a_proof(text):
    outcome = dpop.verify_proof(text, method="POST", path="/x", origins=ORIGINS, access_token=TOKEN, body=b"")
    assert unproven(outcome)


@given(JSON, JSON)
def test_no_junk_inside_is_a_proof(header, claims):
    text = f"{b64u(msgspec.json.encode(header))}.{b64u(msgspec.json.encode(claims))}.{b64u(bytes(64))}"
    assert unproven(dpop.verify_proof(text, method="POST", path="/x", origins=ORIGINS))


@given(ANY_TEXT)
def test_no_other_url_leads_here(htu):
    if htu.partition("#")[0].partition("?")[0] not in (
        "https://keyfast.example/x",
        "https://keyfast.example:443/x",
    ):
        assert not dpop._leads_here(htu, "/x", ORIGINS)


@given(
    jti=st.text(alphabet=st.characters(codec="utf-8"), min_size=1, max_size=100),
    nonce=st.text(alphabet="abc-_", max_size=60),
    at=st.integers(-(2**40), 2**40),
    query=st.text(alphabet="ab=&#?", max_size=10),
    body=st.none() | st.binary(max_size=100),
    token=st.sampled_from(["", TOKEN]),
)
def test_what_is_made_is_verified(jti, nonce, at, query, body, token):
    proof = dpop.make_proof(
        KEY,
        method="PUT",
        url=f"https://keyfast.example/x?{query}",
        jti=jti,
        issued_at=at,
        nonce=nonce,
        access_token=token,
        body=body,
    )
    found = dpop.verify_proof(proof, method="PUT", path="/x", origins=ORIGINS, access_token=token, body=body)
    assert found == dpop.Proof(KEY.thumbprint, nonce, jti, at, KEY.public_jwk())


@given(st.integers(0, 2**63), st.integers(1, 2**53 - 1), st.text(max_size=40), st.text(max_size=40))
def test_nonces_come_back(now, seq, endpoint, other):
    assert NONCES.read(NONCES.issue(now), endpoint) == NonceFacts(now)
    grant = NONCES.grant(now, endpoint, seq)
    assert NONCES.read(grant, endpoint) == NonceFacts(now, Grant(seq))
    assert (NONCES.read(grant, other) is None) == (other != endpoint)


@given(arriving(NONCES.issue(1)) | arriving(NONCES.grant(1, ENDPOINT, 1)), ANY_TEXT)
def test_no_other_text_is_a_nonce(text, endpoint):
    assert NONCES.read(text, endpoint) is None


@given(
    st.uuids(),
    st.binary(min_size=32, max_size=32),
    st.integers(0, 2**40),
    st.integers(1, 2**30),
    st.binary(min_size=8, max_size=8),
)
def test_tokens_come_back(endpoint, key, now, lifetime, token_id):
    token = TOKENS.mint(endpoint_id=str(endpoint), thumbprint=b64u(key), now=now, lifetime=lifetime, token_id=token_id)
    expected = AccessToken(token_id.hex(), str(endpoint), b64u(key), now, now + lifetime)
    assert TOKENS.read(token, now + lifetime - 1) == expected
    assert TOKENS.read(token, now + lifetime).kind is RefusalClass.TOKEN_EXPIRED


@given(arriving(TOKEN))
def test_no_other_text_is_a_token(text):
    assert isinstance(TOKENS.read(text, 1), Refusal)


@given(arriving(JWS))
def test_no_other_text_is_a_statement(text):
    assert not trusted(lambda: KEYSET.verify(text, TYP, Claims))
    assert not trusted(lambda: CHAIN.verify(text, TYP, Claims))


@given(st.text(alphabet=st.characters(codec="utf-8"), max_size=100))
def test_statements_come_back(value):
    claims = Claims("kf-1", value)
    assert CHAIN.verify(KEYSET.sign(TYP, claims), TYP, Claims) == claims


@given(st.lists(arriving(KEYSET.delegations()[0]), max_size=4))
def test_no_other_text_delegates(texts):
    chain = TrustChain("kf-1", ROOT, texts)
    assert chain.root == ROOT
    assert not trusted(lambda: chain.verify(JWS, TYP, Claims))


@given(arriving(SEALED))
def test_no_other_text_is_sealed(text):
    assert not trusted(lambda: KEK.open(text, bound_to="row"))


@given(st.binary(max_size=100), st.text(alphabet=st.characters(codec="utf-8"), max_size=30))
def test_seals_come_back(raw, place):
    assert KEK.open(KEK.seal(raw, bound_to=place), bound_to=place).reveal() == raw


@given(ANY_TEXT | JSON.map(lambda value: msgspec.json.encode(value).decode()))
def test_no_junk_is_a_key_file(text):
    assert not trusted(lambda: parse_kek(text, "kf-1", "somewhere"))


@given(arriving(HPKE))
def test_no_other_text_opens(text):
    assert not trusted(lambda: hpke.open_sealed(text, KEY, **MEANT))


@given(st.binary(max_size=2000))
def test_no_bytes_are_a_private_key(raw):
    assert not trusted(lambda: DeviceKey.from_pem(Secret(raw)))
