"""The requests of the protocol, signed and ready to send. Pure: time and ids are arguments."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from urllib.parse import urlencode

import msgspec
from joserfc import jwt

from keyfast import __version__
from keyfast.agent import renewal
from keyfast.agent.client_database import HeldChange, KeptAccount, KeyPair, Record
from keyfast.agent.evidence import device_key
from keyfast.agent.logon import Account
from keyfast.agent.machine import Snapshot
from keyfast.agent.timing import Anchor, Moment, server_now
from keyfast.core.change import WAITING
from keyfast.core.mode import Mode
from keyfast.core.secret import Secret
from keyfast.trust import dpop
from keyfast.trust.device import DeviceKey
from keyfast.trust.encoding import b64u, sha256
from keyfast.trust.prior_password import prior_mac
from keyfast.trust.renewal import make_renewal
from keyfast.wire import limits, messages
from keyfast.wire.changes import PriorPassword, Probe, Recover
from keyfast.wire.messages import Hardware, Inventory

REGISTER = "/oauth/register"
TOKEN = "/oauth/token"  # noqa: S105 - a path
CHECK_IN = "/endpoint/v1/check-in"
TIME = "/endpoint/v1/time"
JWKS = "/oauth/jwks"
PROBE = "/endpoint/v1/probe"
RECOVER = "/endpoint/v1/recover"
SELF = "/endpoint/v1/self"
_ASSERTION_TYPE = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
_ASSERTION_LIFETIME = 60
MAX_RESULTS = 16


@dataclass(frozen=True, slots=True)
class Request:
    """One HTTP request, relative to a route.

    Attributes:
        account: log on with it first (Windows mode).
    """

    method: str
    path: str
    headers: dict[str, str]
    body: bytes = b""
    account: Account | None = None


@dataclass(frozen=True, slots=True)
class Signing:
    """What every signed request needs.

    Attributes:
        base: URL of the route.
        now: the endpoint's clocks.
        new_id: fresh random ids.
    """

    base: str
    now: Moment
    new_id: Callable[[], str]


@dataclass(frozen=True, slots=True)
class Observed:
    """What the endpoint reports about itself.

    Attributes:
        inventory: as it is now.
        digest: SHA-256 of its canonical encoding (base64url).
        age_s: seconds since it was verified.
        instance: id of the running agent process.
    """

    inventory: Inventory
    digest: str
    age_s: int
    instance: str


def register_request(record: Record, client_name: str, hardware: Hardware, by: Signing) -> Request:
    """``POST /oauth/register`` (RFC 7591) with the enrolment token and both public keys."""
    device, seal = device_key(record.device_key), device_key(record.seal_key)
    members = {
        "software_statement": record.statement,
        "client_name": client_name,
        "token_endpoint_auth_method": "private_key_jwt",
        "grant_types": ["client_credentials"],
        "dpop_bound_access_tokens": True,
        "jwks": {
            "keys": [
                {**device.public_jwk(), "use": "sig", "alg": "ES256", "kid": device.thumbprint},
                {**seal.public_jwk(), "use": "enc", "kid": seal.thumbprint},
            ]
        },
        "keyfast_hardware": hardware,
    }
    body = msgspec.json.encode(members)
    # The proof covers the body, so that nobody on the way can put another HPKE key beside the device key.
    headers = {
        "content-type": "application/json",
        "dpop": _proof(record, device, "POST", REGISTER, by, body=body),
    }
    return Request("POST", REGISTER, headers, body)


def token_request(record: Record, by: Signing) -> Request:
    """``POST /oauth/token``: client credentials with ``private_key_jwt`` (RFC 7523 section 2.2)."""
    device = _at_work(record)
    now = server_now(record.anchor, by.now)
    claims = {
        "iss": record.endpoint_id,
        "sub": record.endpoint_id,
        "aud": by.base,
        "jti": by.new_id(),
        "iat": now,
        "exp": now + _ASSERTION_LIFETIME,
    }
    header = {"alg": "ES256", "kid": device.thumbprint}
    form = {
        "grant_type": "client_credentials",
        "client_assertion_type": _ASSERTION_TYPE,
        "client_assertion": jwt.encode(header, claims, device.jose, algorithms=["ES256"]),
    }
    headers = {
        "content-type": "application/x-www-form-urlencoded",
        "dpop": _proof(record, device, "POST", TOKEN, by),
    }
    return Request("POST", TOKEN, headers, urlencode(form).encode("ascii"))


def check_in_body(
    record: Record,
    seen: Observed,
    now: Moment,
    *,
    send_inventory: bool,
    send_results: bool,
    join: messages.Join | None = None,
) -> messages.CheckIn:
    """Make the body of a check-in with the sequence number that the record has reserved."""
    return messages.CheckIn(
        seq=record.seq,
        acked=record.acked,
        boot_id=now.boot_id,
        instance=seen.instance,
        agent_version=__version__,
        profile_seq=record.profile_seq,
        credential_generation=record.credential_generation,
        policy_version=record.policy.version if record.policy else 0,
        inventory_digest=seen.digest,
        verified_age_s=(min(seen.age_s, limits.AGE_MAX),) * len(seen.inventory.volumes),
        inventory=seen.inventory if send_inventory else None,
        clock=max(-limits.TIME_MAX, min(int(now.wall), limits.TIME_MAX)),
        failures=min(record.failures, 2**31 - 1),
        last_refusal=record.last_refusal.kind if record.failures and record.last_refusal else "",
        results=record.results[:MAX_RESULTS] if send_results else (),
        join=join,
        epoch=record.epoch,
        account=_account_in_use(record),
        renewal=_renewal_in_check_in(record) if send_results else "",
    )


def join_of(record: Record, hardware: Hardware) -> messages.Join:
    """What a registration says, for the body of a check-in."""
    return messages.Join(record.statement, device_key(record.seal_key).public_jwk(), hardware)


def check_in_request(record: Record, body: bytes, by: Signing) -> Request:
    """``POST /endpoint/v1/check-in``: the proof covers token, nonce and body (RFC 9449).

    In Windows mode there is no token; who logs on is the account, and which endpoint it is says the proof.
    """
    account = account_of(record) if record.mode is Mode.WINDOWS else None
    return _work_request(record, CHECK_IN, body, by, account, record.token)


def probe_body(change: HeldChange, challenge: str) -> Probe:
    """Make the body of a probe."""
    account, generation = change.account.credential if change.account else ("", 0)
    return Probe(challenge, change.id, account, generation)


def probe_request(record: Record, change: HeldChange, body: bytes, by: Signing) -> Request:
    """``POST /endpoint/v1/probe``: authenticated as a check-in will be once the candidate is in use."""
    account = _opened(change.account) if change.account else None
    return _work_request(record, PROBE, body, by, account, change.token)


def self_request(record: Record, by: Signing) -> Request:
    """``GET /endpoint/v1/self``: what the server holds of this endpoint (modes with tokens)."""
    proof = _proof(record, _at_work(record), "GET", SELF, by, access_token=record.token)
    return Request("GET", SELF, {"authorization": f"DPoP {record.token}", "dpop": proof})


def without_logon(request: Request) -> Request:
    """Return the request that asks what a server would say before a password is presented."""
    return replace(request, account=None)


def recover_body(record: Record, hostname: str, hardware: Hardware, challenge: str, signer: KeyPair) -> Recover:
    """Make the body of a recovery that a device key signs; it holds no secret."""
    waiting = record.change if record.change and record.change.state in WAITING else None
    enrolled = bool(record.receipt)
    return Recover(
        challenge=challenge,
        endpoint=record.endpoint_id,
        receipt=record.receipt,
        seal_jwk=device_key(record.seal_key).public_jwk(),
        hostname=hostname,
        epoch=record.epoch,
        profile_seq=record.profile_seq,
        account=_account_in_use(record),
        credential_generation=record.credential_generation,
        last_refusal=record.last_refusal.kind if record.failures and record.last_refusal else "",
        command=waiting.id if waiting else "",
        command_seq=min(record.command_seq, 2**31 - 1),
        join=None if enrolled else join_of(record, hardware),
        prior=None if enrolled else _prior(record),
        renewal=_renewal_in_recovery(record, signer) if enrolled else "",
    )


def anonymous_body(record: Record, challenge: str) -> Recover:
    """Make the body of a recovery that proves nothing: who is meant, and nothing else."""
    return Recover(challenge=challenge, endpoint=record.endpoint_id)


def recover_request(record: Record, body: bytes, by: Signing, signer: KeyPair | None) -> Request:
    """``POST /endpoint/v1/recover``: no logon and no token, a device key alone, or nothing."""
    headers = {"content-type": "application/json"}
    if signer is not None:
        headers["dpop"] = _proof(record, device_key(signer.device), "POST", RECOVER, by, body=body)
    return Request("POST", RECOVER, headers, body)


def _renewal_in_check_in(record: Record) -> str:
    """The statement of a new key that the one in use vouches for, empty if there is none to bring."""
    new = renewal.brought_by_check_in(record)
    return _renewal(record, new, record.device_key) if new else ""


def _renewal_in_recovery(record: Record, signer: KeyPair) -> str:
    """The statement of the newest key, where another one signs; empty where there is no other."""
    asked = record.renewal
    if asked and asked.keys:
        return _renewal(record, asked.keys, record.device_key if signer == asked.keys else signer.device)
    in_use = KeyPair(record.device_key, record.seal_key)
    return "" if signer == in_use else _renewal(record, in_use, signer.device)


def _renewal(record: Record, new: KeyPair, former: str) -> str:
    return make_renewal(
        device_key(new.device),
        device_key(new.seal),
        installation=record.installation,
        endpoint=record.endpoint_id,
        command=record.renewal.command if record.renewal else "",
        former=device_key(former).thumbprint,
    )


def _at_work(record: Record) -> DeviceKey:
    return device_key(renewal.signing_keys(record).device)


def _prior(record: Record) -> PriorPassword | None:
    account = record.account
    if account is None or record.mode is not Mode.WINDOWS or not record.nonce:
        return None
    key, generation = account.credential
    mac = prior_mac(
        Secret(account.password.encode()),
        record.installation,
        nonce=record.nonce,
        device=device_key(record.device_key).thumbprint,
        seal=device_key(record.seal_key).thumbprint,
        account=key,
        generation=generation,
    )
    return PriorPassword(key, generation, mac)


def _account_in_use(record: Record) -> str:
    return record.credential[0] if record.mode is Mode.WINDOWS and record.account else ""


def _work_request(record: Record, path: str, body: bytes, by: Signing, account: Account | None, token: str) -> Request:
    device, headers = _at_work(record), {"content-type": "application/json"}
    if account is not None:
        headers["dpop"] = _proof(record, device, "POST", path, by, body=body)
        return Request("POST", path, headers, body, account)
    headers["authorization"] = f"DPoP {token}"
    headers["dpop"] = _proof(record, device, "POST", path, by, access_token=token, body=body)
    return Request("POST", path, headers, body)


def _opened(account: KeptAccount) -> Account:
    return Account(account.name, account.domain, Secret(account.password.encode()), account.generation, account.realm)


def account_of(record: Record) -> Account:
    """Return the client authentication account of the record."""
    return _opened(record.account or KeptAccount("", "", "", record.credential_generation))


def observed(snapshot: Snapshot, now: Moment, instance: str) -> Observed:
    """Return what a check-in at ``now`` reports of a snapshot taken before."""
    digest = b64u(sha256(messages.inventory_bytes(snapshot.inventory)))
    return Observed(snapshot.inventory, digest, Anchor(0, snapshot.at).server_now(now), instance)


def _proof(
    record: Record,
    device: DeviceKey,
    method: str,
    path: str,
    by: Signing,
    *,
    access_token: str = "",
    body: bytes | None = None,
) -> str:
    return dpop.make_proof(
        device,
        method=method,
        url=by.base + path,
        jti=by.new_id(),
        issued_at=server_now(record.anchor, by.now),
        nonce=record.nonce,
        access_token=access_token,
        body=body,
    )
