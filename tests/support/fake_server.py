"""A Keyfast server in memory: the real keys, proofs and rules, no store, and faults on request.

It is an httpx2 transport, so an agent's link talks to it as to a socket. ``fault`` decides for every
request whether it, or its answer, gets lost; ``say_instead`` answers with a refusal of the test's choice.
"""

import secrets
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any
from urllib.parse import parse_qs

import httpx2
import msgspec
from joserfc import jwt
from joserfc.jwk import ECKey
from msgspec.structs import replace
from tests.support.fake_changes import FakeChanges
from tests.support.fake_doors import Answer, FakeDoors

from keyfast.core.check_in import Accepted, Fork, Report, Standing, judge
from keyfast.core.endpoint import EndpointState
from keyfast.core.refusal import Refusal, RefusalClass, masked
from keyfast.trust import dpop
from keyfast.trust.access_token import AccessTokens
from keyfast.trust.encoding import sha256, thumbprint, unb64u
from keyfast.trust.enrolment import EnrolmentToken
from keyfast.trust.keyset import Keyset
from keyfast.trust.nonce import Nonces
from keyfast.trust.package import seal
from keyfast.wire import limits, messages, problems
from keyfast.wire.bundle import Bundle
from keyfast.wire.messages import AccessProfile, Command, Policy, Receipt, Registered, SignedTime

INSTALLATION = "inst-test"


class Fault(StrEnum):
    """What happens to a request on its way."""

    LOST_REQUEST = "lost_request"
    LOST_ANSWER = "lost_answer"
    GATEWAY = "gateway"


@dataclass
class Known:
    """One endpoint on record."""

    id: str
    standing: Standing
    receipt: str
    thumbprint: str
    jwk: dict[str, str]
    commands: dict[str, str] = field(default_factory=dict)
    results: list[messages.CommandResult] = field(default_factory=list)
    forks: list[Fork] = field(default_factory=list)
    bodies: list[messages.CheckIn] = field(default_factory=list)
    seal_jwk: dict[str, str] = field(default_factory=dict)
    command_seq: int = 0
    change: tuple[str, str] = ("", "")


def _never(_: httpx2.Request) -> Fault | None:
    return None


class FakeServer(FakeChanges, FakeDoors, httpx2.AsyncBaseTransport):
    """See the module. ``now`` is the server's time and only moves when a test moves it."""

    def __init__(self, urls: tuple[str, ...] = ("https://kf.example.com",), now: int = 1_800_000_000) -> None:
        super().__init__()
        self.now = now
        self.urls = urls
        self.keyset = Keyset.generate(INSTALLATION, now)
        self.by_thumbprint: dict[str, Known] = {}
        self.by_id: dict[str, Known] = {}
        self.policy = Policy(1, 3600)
        self.profile_seq = 0
        self.profile = ""
        self.change_profile(urls)
        self.admission = EndpointState.REGISTERED
        self.say_instead: Callable[[str], Refusal | Answer | None] = lambda _path: None
        self.fault: Callable[[httpx2.Request], Fault | None] = _never
        self.requests: list[tuple[str, str]] = []
        self.answers: list[tuple[str, int]] = []
        self.dead_hosts: set[str] = set()
        self.untrusted_hosts: set[str] = set()
        self.epoch = 1

    # What a test does to the server.

    def change_profile(self, urls: tuple[str, ...], ca: str = "") -> None:
        self.profile_seq += 1
        claims = AccessProfile(
            INSTALLATION, self.profile_seq, self.mode, urls, ca, self.mechanisms if self.mode == "windows" else ()
        )
        self.profile = self.keyset.sign("keyfast-profile+jwt", claims)

    def bundle(self, built_at: int | None = None) -> Bundle:
        root = next(key for key in self.keyset.keys if key.role == "root")
        package = str(uuid.uuid4())
        statement = self.enrolment(package, self.now if built_at is None else built_at)
        return seal(
            self.keyset,
            Bundle(
                INSTALLATION,
                msgspec.json.encode(dict(root.public_jwk)).decode(),
                self.keyset.delegations(),
                self.profile,
                statement,
                package,
                self.account,
            ),
        )

    def enrolment(self, package: str, built_at: int) -> str:
        claims = EnrolmentToken(INSTALLATION, package, package, "r", "auto", built_at, built_at + 10**8, 9, self.mode)
        return self.keyset.sign("keyfast-enrolment+jwt", claims)

    def queue(
        self,
        known: Known,
        seq: int,
        *,
        action: str = "CheckInNow",
        interval_s: int = 0,
        lifetime: int = 86400,
    ) -> str:
        command = Command(
            INSTALLATION, str(uuid.uuid4()), known.id, seq, self.now, self.now + lifetime, action, interval_s
        )
        known.command_seq = max(known.command_seq, seq)
        known.commands[command.id] = self.keyset.sign("keyfast-command+jwt", command)
        return command.id

    def nonce(self) -> str:
        return self._nonces.issue(self.now)

    def forget(self, known: Known) -> None:
        del self.by_thumbprint[known.thumbprint]
        del self.by_id[known.id]

    @property
    def only(self) -> Known:
        (known,) = self.by_id.values()
        return known

    # The transport.

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        await request.aread()
        self.requests.append((request.url.host, request.url.path))
        if request.url.host in self.dead_hosts:
            raise httpx2.ConnectError("connection refused", request=request)
        fault = self.fault(request)
        if fault is Fault.LOST_REQUEST:
            raise httpx2.ConnectError("connection refused", request=request)
        if fault is Fault.GATEWAY:
            return httpx2.Response(502, content=b"<h1>Bad gateway</h1>", request=request)
        answer = self.handle(request)
        self.answers.append((request.url.path, answer.status))
        if fault is Fault.LOST_ANSWER:
            raise httpx2.ReadError("connection reset", request=request)
        headers = {"content-type": answer.media, **answer.headers}
        return httpx2.Response(answer.status, headers=headers, content=answer.body, request=request)

    def handle(self, request: httpx2.Request) -> Answer:
        path = request.url.path
        instead = self.say_instead(path)
        if instead is not None:
            return instead if isinstance(instead, Answer) else self._refused(instead)
        if path == "/endpoint/v1/time":
            claims = SignedTime(INSTALLATION, self.now, request.url.params["challenge"])
            statement = self.keyset.sign("keyfast-time+jwt", claims)
            return Answer(200, msgspec.json.encode({"statement": statement}))
        if path == "/oauth/jwks":
            return Answer(200, msgspec.json.encode(self.keyset.jwks()))
        handler = {
            "/oauth/register": self._register,
            "/oauth/token": self._token,
            "/endpoint/v1/check-in": self._check_in,
            "/endpoint/v1/probe": self._probe,
            "/endpoint/v1/recover": self._recover,
        }[path]
        return handler(request)

    # The protocol.

    @property
    def _nonces(self) -> Nonces:
        return Nonces(self.keyset.nonce_keys())

    @property
    def _tokens(self) -> AccessTokens:
        keys, current = self.keyset.access_token_keys()
        return AccessTokens(INSTALLATION, keys, current)

    @property
    def origins(self) -> frozenset[str]:
        return frozenset(url.rstrip("/") for url in self.urls)

    def _refused(self, refusal: Refusal, nonce: str = "", *, oauth: bool = False) -> Answer:
        headers = {"dpop-nonce": nonce or self._nonces.issue(self.now)}
        if refusal.retry_after:
            headers["retry-after"] = str(refusal.retry_after)
        body = problems.problem_bytes(refusal, self.now)
        if not oauth:
            return Answer(refusal.rule.status, body, headers, problems.MEDIA_TYPE)
        members = msgspec.json.decode(body) | {"error": "invalid_client", "error_description": refusal.detail}
        return Answer(refusal.rule.status, msgspec.json.encode(members), headers)

    def _proof(self, request: httpx2.Request, lifetime: int, token: str = "", body: bytes | None = None):
        proof = dpop.verify_proof(
            request.headers.get("dpop", ""),
            method=request.method,
            path=request.url.path,
            origins=self.origins,
            access_token=token,
            body=body,
        )
        if isinstance(proof, Refusal):
            return proof
        known = self.by_thumbprint.get(proof.thumbprint)
        facts = self._nonces.read(proof.nonce, known.id if known else "")
        if facts is None or not 0 <= self.now - facts.issued_at <= lifetime:
            return Refusal(RefusalClass.USE_NONCE)
        return proof, facts

    def _register(self, request: httpx2.Request) -> Answer:
        proven = self._proof(request, limits.FRESH_NONCE_LIFETIME)
        if isinstance(proven, Refusal):
            return self._refused(proven, oauth=True)
        body = msgspec.json.decode(request.content)
        device, seal = body["jwks"]["keys"]
        assert proven[0].thumbprint == thumbprint(device) == device["kid"]
        answer = self._registered(device, seal, body["software_statement"])
        return Answer(201, msgspec.json.encode(answer), {"dpop-nonce": self._nonces.issue(self.now)})

    def _registered(self, device: dict[str, str], seal: dict[str, str], statement: str) -> Registered:
        known = self.by_thumbprint.get(thumbprint(device))
        if known is None:
            self.keyset.verify(statement, "keyfast-enrolment+jwt", EnrolmentToken)
            endpoint = str(uuid.uuid4())
            known = self._remember(endpoint, device, seal, self.admission)
        return Registered(
            known.id,
            self.now,
            known.receipt,
            self.profile,
            self.keyset.delegations(),
            "pending" if known.standing.state is EndpointState.PENDING else "registered",
        )

    def _remember(self, endpoint: str, device: dict[str, str], seal: dict[str, str], state: EndpointState) -> Known:
        receipt = Receipt(INSTALLATION, endpoint, thumbprint(device), thumbprint(seal), self.epoch, self.now)
        known = Known(
            endpoint,
            Standing(state),
            self.keyset.sign("keyfast-receipt+jwt", receipt),
            thumbprint(device),
            {name: device[name] for name in ("kty", "crv", "x", "y")},
            seal_jwk={name: seal[name] for name in ("kty", "crv", "x", "y")},
        )
        self.by_thumbprint[known.thumbprint] = self.by_id[known.id] = known
        return known

    def _token(self, request: httpx2.Request) -> Answer:
        proven = self._proof(request, limits.FRESH_NONCE_LIFETIME)
        if isinstance(proven, Refusal):
            return self._refused(proven, oauth=True)
        form = {name: values[0] for name, values in parse_qs(request.content.decode()).items()}
        known = self.by_thumbprint.get(proven[0].thumbprint)
        if known is None:
            return self._refused(masked(Refusal(RefusalClass.UNKNOWN_DEVICE)), oauth=True)
        claims = jwt.decode(form["client_assertion"], ECKey.import_key(known.jwk), algorithms=["ES256"]).claims
        assert claims["iss"] == claims["sub"]
        if claims["iss"] != known.id:  # an image from before the server forgot the device and took it again
            return self._refused(masked(Refusal(RefusalClass.UNKNOWN_DEVICE)), oauth=True)
        assert claims["aud"] in self.origins
        if not claims["iat"] - limits.ASSERTION_LEEWAY <= self.now <= claims["exp"] + limits.ASSERTION_LEEWAY:
            return self._refused(Refusal(RefusalClass.STALE_TIME), oauth=True)
        if known.standing.state is EndpointState.PENDING:
            return self._refused(Refusal(RefusalClass.PENDING), oauth=True)
        if known.standing.state is EndpointState.REGISTERED:
            known.standing = replace(known.standing, state=EndpointState.ACTIVE)
        token = self._tokens.mint(
            endpoint_id=known.id,
            thumbprint=known.thumbprint,
            now=self.now,
            lifetime=limits.ACCESS_TOKEN_LIFETIME,
            token_id=secrets.token_bytes(8),
        )
        body = {"access_token": token, "token_type": "DPoP", "expires_in": limits.ACCESS_TOKEN_LIFETIME}
        return Answer(200, msgspec.json.encode(body), {"dpop-nonce": self._nonces.issue(self.now)})

    # Windows mode.

    def _windows_check_in(self, request: httpx2.Request) -> Answer:
        proven = self._proof(request, limits.NONCE_LIFETIME, "", request.content)
        if isinstance(proven, Refusal):
            return self._refused(proven)
        message = messages.decode_check_in(request.content)
        stopped = self._logged_on(request, message)
        if stopped is not None:
            return stopped
        proof, facts = proven
        joined = None
        if message.join is not None:
            assert message.inventory is not None
            joined = self._registered(proof.public_jwk, message.join.seal_jwk, message.join.statement)
        known = self.by_thumbprint.get(proof.thumbprint)
        if known is not None and known.standing.state is EndpointState.PENDING:
            return self._refused(Refusal(RefusalClass.PENDING))
        if known is not None and known.standing.state is EndpointState.REGISTERED:
            known.standing = replace(known.standing, state=EndpointState.ACTIVE)
        return self._judged(request, message, known, facts, self.now, joined)

    def _check_in(self, request: httpx2.Request) -> Answer:
        if self.accounts and not request.headers.get("authorization", "").startswith("DPoP "):
            return self._windows_check_in(request)
        text = request.headers.get("authorization", "").removeprefix("DPoP ")
        token = self._tokens.read(text, self.now)
        if isinstance(token, Refusal):
            return self._refused(token)
        proven = self._proof(request, limits.NONCE_LIFETIME, text, request.content)
        if isinstance(proven, Refusal):
            return self._refused(proven)
        assert proven[0].thumbprint == token.thumbprint
        message = messages.decode_check_in(request.content)
        return self._judged(request, message, self.by_id.get(token.endpoint_id), proven[1], token.issued_at, None)

    def _judged(
        self,
        request: httpx2.Request,
        message: messages.CheckIn,
        known: Known | None,
        facts: Any,
        authenticated_at: int,
        joined: Registered | None,
    ) -> Answer:
        report = Report(
            message.seq,
            sha256(request.content),
            unb64u(message.acked),
            unb64u(message.inventory_digest),
            message.inventory is not None,
            authenticated_at,
            facts.grant,
            message.farewell,
        )
        verdict = judge(known.standing if known else None, report)
        if isinstance(verdict, Refusal):
            expected = verdict.extra.get("expected_seq")
            grant = self._nonces.grant(self.now, known.id, int(expected)) if known and expected else ""
            return self._refused(verdict, grant)
        assert known is not None
        return self._accept(known, message, verdict, joined)

    def _accept(
        self, known: Known, message: messages.CheckIn, verdict: Accepted, joined: Registered | None = None
    ) -> Answer:
        known.standing = verdict.standing
        known.bodies.append(message)
        known.results += message.results
        told = {result.id for result in message.results}
        known.commands = {id_: text for id_, text in known.commands.items() if id_ not in told}
        if verdict.fork:
            known.forks.append(verdict.fork)
        newer = message.profile_seq < self.profile_seq
        answer = messages.CheckInAnswer(
            server_time=self.now,
            next_check_in_s=self.policy.check_in_interval_s,
            policy_version=self.policy.version,
            policy=self.policy if message.policy_version != self.policy.version else None,
            profile_seq=self.profile_seq,
            profile=self.profile if newer else "",
            send_inventory=verdict.send_inventory,
            commands=tuple(known.commands.values()),
            epoch=self.epoch,
            registered=joined,
        )
        return Answer(200, msgspec.json.encode(answer), {"dpop-nonce": self._nonces.issue(self.now)})
