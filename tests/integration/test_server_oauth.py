"""The OAuth server, by hand and with a stock client that knows nothing of Keyfast."""

import concurrent.futures
import socket
import ssl
import time

import httpx2
import msgspec
import pytest
import requests
from jwskate import Jwk
from requests_oauth2client import DPoPKey, OAuth2Client, PrivateKeyJwt
from tests.support.device import Device, read_bundle

from keyfast.errors import KeyfastError
from keyfast.trust.chain import TrustChain
from keyfast.trust.encoding import thumbprint
from keyfast.wire.admin import Changed, Introspection, KeyLine
from keyfast.wire.messages import AccessProfile, Receipt

SELF = "/endpoint/v1/self"


def own_record(device):
    def ask():
        headers = {
            "authorization": f"DPoP {device.token}",
            "dpop": device.proof("GET", SELF, access_token=device.token),
        }
        return device.keep(device.http.get(SELF, headers=headers))

    answer = ask()
    return ask() if answer.status_code == 401 and answer.json()["class"] == "use_nonce" else answer


def jwk_of(device):
    members = Jwk.from_pem(device.key.to_pem().reveal()).to_dict()
    return Jwk({**members, "kid": device.key.thumbprint, "alg": "ES256"})


def test_a_stock_client_gets_a_token_and_reads_its_record(server, device):
    """requests_oauth2client, unmodified, knowing only the issuer's metadata and the device key."""
    session = requests.Session()
    session.trust_env = False
    session.verify = str(server.settings.tls / "ca.pem")
    metadata = session.get(f"{server.url}/.well-known/oauth-authorization-server").json()
    client = OAuth2Client(
        metadata["token_endpoint"],
        issuer=metadata["issuer"],
        auth=PrivateKeyJwt(device.id, jwk_of(device)),
        session=session,
        dpop_bound_access_tokens=True,
    )
    token = client.client_credentials()
    assert token.token_type == "DPoP"
    record = session.get(server.url + SELF, auth=token)
    assert record.status_code == 200, record.text
    assert record.json()["id"] == device.id
    assert record.json()["state"] == "active"
    session.close()


def test_a_stock_client_may_use_the_device_key_for_its_proofs(server, device):
    session = requests.Session()
    session.trust_env = False
    session.verify = str(server.settings.tls / "ca.pem")
    jwk = jwk_of(device)
    client = OAuth2Client(
        f"{server.url}/oauth/token", auth=PrivateKeyJwt(device.id, jwk, aud=server.url), session=session
    )
    token = client.client_credentials(dpop=True, dpop_key=DPoPKey(jwk))
    assert session.get(server.url + SELF, auth=token).json()["id"] == device.id
    session.close()


def test_tls_below_1_3_is_refused(server):
    context = server.tls()
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    with socket.create_connection(("127.0.0.1", server.port)) as plain, pytest.raises(ssl.SSLError):
        context.wrap_socket(plain, server_hostname="localhost").close()


def test_metadata_names_what_exists(server, http):
    document = http.get("/.well-known/oauth-authorization-server").json()
    assert document["issuer"] == server.url
    assert document["dpop_signing_alg_values_supported"] == ["ES256"]
    for member in ("token_endpoint", "registration_endpoint", "revocation_endpoint"):
        path = document[member].removeprefix(server.url)
        assert http.post(path).json()["class"] != "not_found"
    assert http.get(document["jwks_uri"].removeprefix(server.url)).status_code == 200


def test_published_keys_verify_receipt_and_profile_through_the_root(bundle, stranger, http):
    stranger.register(bundle.statement)
    answer = stranger.register(bundle.statement).json()
    chain = TrustChain(bundle.installation, msgspec.json.decode(bundle.root), answer["keyfast_delegations"])
    receipt = chain.verify(answer["keyfast_receipt"], "keyfast-receipt+jwt", Receipt)
    assert receipt.endpoint == answer["client_id"]
    assert receipt.thumbprint == stranger.key.thumbprint
    assert receipt.seal_thumbprint == thumbprint(stranger.seal_key.public_jwk())
    assert chain.verify(answer["keyfast_profile"], "keyfast-profile+jwt", AccessProfile).urls == (stranger.url,)
    published = {key["kid"] for key in http.get("/oauth/jwks").json()["keys"]}
    assert len(published) >= 6


def test_registration_is_idempotent_by_the_device_key(server, bundle, stranger):
    stranger.register(bundle.statement)
    first = stranger.register(bundle.statement).json()
    again = stranger.register(bundle.statement).json()
    assert first["client_id"] == again["client_id"]


def test_the_same_registration_many_times_at_once_makes_one_endpoint(server, bundle, stranger):
    stranger.register(bundle.statement)
    nonce = stranger.nonce

    def register(_):
        with server.client() as client:
            twin = Device(client, server.url)
            twin.key, twin.seal_key, twin.nonce = stranger.key, stranger.seal_key, nonce
            return twin.register(bundle.statement)

    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(register, range(8)))
    assert {answer.status_code for answer in answers} == {201}, [answer.text for answer in answers]
    assert len({answer.json()["client_id"] for answer in answers}) == 1


def test_a_use_counts_when_the_answer_was_saved_and_the_ceiling_holds(server, http):
    one = read_bundle(server.package(max_uses=1).path)
    lost = Device(http, server.url)
    lost.register(one.statement)
    assert lost.register(one.statement).status_code == 201  # and never heard of again
    first = Device(http, server.url).enrol(one)
    second = Device(http, server.url)
    second.register(one.statement)
    refused = second.register(one.statement)
    assert refused.json()["class"] == "enrolment_exhausted"
    assert first.check_in().status_code == 200
    assert first.register(one.statement).status_code == 201  # on record: the ceiling does not matter any more


def test_a_race_for_the_last_use_is_won_by_one(server, http):
    one = read_bundle(server.package(max_uses=1).path)
    racers = [Device(http, server.url) for _ in range(3)]
    for racer in racers:
        racer.register(one.statement)
        racer.id = racer.register(one.statement).json()["client_id"]
    outcomes = []
    for racer in racers:
        answer = racer.ask_token()
        outcomes.append(answer.status_code)
        assert answer.status_code == 200 or answer.json()["class"] == "enrolment_exhausted"
    assert sorted(outcomes) == [200, 400, 400]


def test_a_revoked_package_enrols_nobody_and_touches_nobody(server, http):
    package = server.package()
    bundle = read_bundle(package.path)
    enrolled = Device(http, server.url).enrol(bundle)
    server.admin.post(f"/admin/v1/packages/{package.id}/revoke", Changed)
    late = Device(http, server.url)
    late.register(bundle.statement)
    assert late.register(bundle.statement).json()["class"] == "enrolment_revoked"
    assert enrolled.check_in().status_code == 200
    enrolled.fetch_token()
    assert enrolled.check_in().status_code == 200


def test_an_endpoint_that_must_be_approved_waits_and_is_let_in(server, http):
    bundle = read_bundle(server.package(admission="approve").path)
    device = Device(http, server.url)
    device.register(bundle.statement)
    answer = device.register(bundle.statement).json()
    assert answer["keyfast_state"] == "pending"
    device.id = answer["client_id"]
    assert device.ask_token().json()["class"] == "pending"
    assert device.id in {line.id for line in server.endpoints(state="pending")}
    server.admin.post(f"/admin/v1/endpoints/{device.id}/approve", Changed)
    device.fetch_token()
    assert device.check_in().status_code == 200


def test_a_revoked_endpoint_is_refused_at_once_and_can_come_back(server, device):
    assert device.check_in().status_code == 200
    server.admin.post(f"/admin/v1/endpoints/{device.id}/revoke", Changed)
    assert device.check_in().json()["class"] == "revoked"
    assert own_record(device).json()["class"] == "revoked"
    assert device.ask_token().json()["class"] == "revoked"
    server.admin.post(f"/admin/v1/endpoints/{device.id}/reinstate", Changed)
    assert device.check_in().status_code == 200


def test_a_decision_that_the_table_does_not_allow_is_refused(server, device):
    with pytest.raises(KeyfastError, match="cannot be 'approved'"):
        server.admin.post(f"/admin/v1/endpoints/{device.id}/approve", Changed)


def introspect(server, token):
    transport = httpx2.HTTPTransport(uds=str(server.settings.admin_socket))
    with httpx2.Client(transport=transport, base_url="http://keyfast") as admin:
        answer = admin.post("/oauth/introspect", data={"token": token})
    return msgspec.json.decode(answer.content, type=Introspection)


def test_a_revoked_token_stops_and_the_next_one_works(server, device):
    assert device.check_in().status_code == 200
    live = introspect(server, device.token)
    assert (live.active, live.client_id) == (True, device.id)
    assert live.cnf["jkt"] == device.key.thumbprint
    form = {
        "token": device.token,
        "client_assertion_type": "urn:ietf:params:oauth:client-assertion-type:jwt-bearer",
        "client_assertion": device.assertion(),
    }
    assert device.http.post("/oauth/revoke", data=form).status_code == 200
    assert not introspect(server, device.token).active
    assert device.check_in().json()["class"] == "token_expired"
    assert own_record(device).json()["class"] == "token_expired"
    device.fetch_token()
    assert device.check_in().status_code == 200


def test_revoking_needs_the_own_key_and_only_ends_own_tokens(server, device, bundle, http):
    other = Device(http, server.url).enrol(bundle)
    form = {
        "token": device.token,
        "client_assertion_type": "urn:ietf:params:oauth:client-assertion-type:jwt-bearer",
        "client_assertion": other.assertion(),
    }
    assert http.post("/oauth/revoke", data=form).status_code == 200  # RFC 7009: an unknown token is no error
    assert device.check_in().status_code == 200
    assert http.post("/oauth/revoke", data={"token": device.token}).status_code == 401


def test_a_client_assertion_works_once(device):
    assertion = device.assertion()
    assert device.ask_token(assertion).status_code == 200
    assert device.ask_token(assertion).json()["class"] == "replayed"


@pytest.mark.parametrize(
    ("changes", "kind"),
    [
        ({"aud": "https://elsewhere.example"}, "unauthenticated"),
        ({"iss": "somebody"}, "unauthenticated"),
        ({"sub": "../../etc", "iss": "../../etc"}, "unauthenticated"),
        ({"exp": 1}, "stale_time"),
        ({"exp": int(time.time()) + 10**9}, "stale_time"),
        ({"exp": "soon"}, "unauthenticated"),
        ({"jti": ""}, "ok"),
    ],
)
def test_a_client_assertion_is_checked(device, changes, kind):
    answer = device.ask_token(device.assertion(**changes))
    assert answer.json().get("class", "ok") == kind, answer.text
    if kind == "stale_time":
        assert abs(answer.json()["server_time"] - time.time()) < 60


def test_an_audience_may_be_one_of_several(device):
    assert device.ask_token(device.assertion(aud=["https://elsewhere.example", device.url])).status_code == 200


def test_an_endpoint_over_the_ceiling_enrols_with_a_newer_package(server, http):
    full = read_bundle(server.package(max_uses=1).path)
    late = Device(http, server.url)
    late.register(full.statement)
    late.id = late.register(full.statement).json()["client_id"]
    Device(http, server.url).enrol(full)
    assert late.ask_token().json()["class"] == "enrolment_exhausted"
    newer = read_bundle(server.package().path)
    assert late.register(newer.statement).json()["client_id"] == late.id
    late.fetch_token()
    assert late.check_in().status_code == 200
    assert server.endpoint(late.id).package == newer.package


def test_a_newer_package_that_wants_approval_cannot_be_used_to_go_round_it(server, http):
    full = read_bundle(server.package(max_uses=1).path)
    late = Device(http, server.url)
    late.register(full.statement)
    late.id = late.register(full.statement).json()["client_id"]
    Device(http, server.url).enrol(full)
    guarded = read_bundle(server.package(admission="approve").path)
    assert late.register(guarded.statement).json()["keyfast_state"] == "pending"
    assert late.ask_token().json()["class"] == "pending"
    spared = read_bundle(server.package().path)
    assert late.register(spared.statement).json()["keyfast_state"] == "pending"
    server.admin.post(f"/admin/v1/endpoints/{late.id}/approve", Changed)
    late.fetch_token()
    assert late.check_in().status_code == 200


def test_rotations_at_once_follow_each_other(server, device):
    def rotate(_):
        return server.admin.post("/admin/v1/keys/rotate", list[KeyLine], {"role": "command"})

    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        list(pool.map(rotate, range(4)))
    lines = server.admin.get("/admin/v1/keys", list[KeyLine])
    assert [line.status for line in lines if line.role == "command"].count("current") == 1
    assert device.check_in().status_code == 200
