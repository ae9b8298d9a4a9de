"""Changes of the web access server and recoveries of a server in memory."""

import uuid
from collections.abc import Callable
from typing import Any

import httpx2
import msgspec
from tests.support.fake_doors import Answer

from keyfast.core.directory import account_key
from keyfast.core.endpoint import EndpointState
from keyfast.core.refusal import Refusal, RefusalClass
from keyfast.core.secret import Secret
from keyfast.errors import TrustError
from keyfast.trust import hpke
from keyfast.trust.encoding import thumbprint
from keyfast.trust.prior_password import is_prior
from keyfast.trust.roles import CHANGE_TYP, PROBE_TYP, PROFILE_TYP, RECEIPT_TYP, TIME_TYP
from keyfast.wire import limits, messages
from keyfast.wire.bundle import BundleAccount
from keyfast.wire.changes import (
    CHANGE_WEB_ACCESS_SERVER,
    Change,
    Probe,
    ProbeAnswer,
    ProbeProof,
    Recover,
    Recovered,
    decode_probe,
    decode_recover,
)
from keyfast.wire.messages import AccessProfile, Receipt, SignedTime

WEEK = 7 * 86_400


class FakeChanges:
    """What a test does to make an endpoint move, and what probes and recoveries are answered."""

    def __init__(self) -> None:
        super().__init__()
        self.fail_probe: Callable[[str], Refusal | Answer | None] = lambda _host: None
        self.refuse_recovery: Callable[[bool], Refusal | None] = lambda _signed: None
        self.window_open = False
        self.before_recovery: Callable[[Any, Recover], None] = lambda _known, _message: None
        self.next_try_s = limits.MAX_INTERVAL
        self.probes: list[Probe] = []
        self.recoveries: list[tuple[bool, Recover]] = []
        self.priors: list[bool] = []

    def move(
        self: Any,
        known: Any,
        *,
        urls: tuple[str, ...] = (),
        account: BundleAccount | None = None,
        offer: bool = True,
        new_profile: bool = True,
        sign: Callable[[str, Change], str] | None = None,
        **claims: Any,
    ) -> Change:
        """Make a change for ``known``; with an account to Windows mode, without to OAuth. Offered with answers."""
        urls = urls or self.urls
        self.urls = tuple(dict.fromkeys((*self.urls, *urls)))
        self.accounts |= {f"{account.domain}\\{account.name}": account} if account else {}
        self.profile_seq += new_profile
        mode = "windows" if account else "oauth"
        profile = AccessProfile(
            "inst-test",
            claims.pop("profile_seq", self.profile_seq),
            mode,
            urls,
            "",
            self.mechanisms if account else (),
            epoch=claims.pop("profile_epoch", self.epoch),
        )
        known.command_seq = claims.get("seq", known.command_seq + 1)
        epoch = claims.setdefault("epoch", self.epoch)
        sealed = self.sealed(known, account, epoch, known.command_seq) if account else ""
        members: dict[str, Any] = {
            "installation": "inst-test",
            "id": str(uuid.uuid4()),
            "endpoint": known.id,
            "seq": known.command_seq,
            "issued_at": self.now,
            "expires_at": self.now + WEEK,
            "action": CHANGE_WEB_ACCESS_SERVER,
            "profile": self.keyset.sign(PROFILE_TYP, profile),
            "account": sealed,
            **claims,
        }
        change = Change(**members)
        statement = sign(CHANGE_TYP, change) if sign else self.keyset.sign(CHANGE_TYP, change)
        known.change = (change.id, statement)
        if offer:
            known.commands[change.id] = statement
        return change

    def sealed(self: Any, known: Any, account: BundleAccount, epoch: int, seq: int) -> str:
        """Seal an account as a change of this number brings it."""
        return hpke.seal(
            known.seal_jwk,
            messages.encode(account),
            purpose="web access server",
            endpoint=known.id,
            reference=f"{epoch}.{seq}",
        )

    def states(self: Any, command: str) -> list[str]:
        """What the endpoint told of a command, in order."""
        return [result.state for known in self.by_id.values() for result in known.results if result.id == command]

    def _probe(self: Any, request: httpx2.Request) -> Answer:
        message = decode_probe(request.content)
        instead = self.fail_probe(request.url.host)
        if instead is not None:
            return instead if isinstance(instead, Answer) else self._refused(instead)
        text = request.headers.get("authorization", "")
        if text.startswith("DPoP "):
            token = self._tokens.read(text.removeprefix("DPoP "), self.now)
            if isinstance(token, Refusal):
                return self._refused(token)
            proven = self._proof(request, limits.NONCE_LIFETIME, text.removeprefix("DPoP "), request.content)
        else:
            proven = self._proof(request, limits.NONCE_LIFETIME, "", request.content)
        if isinstance(proven, Refusal):
            return self._refused(proven)
        if not text.startswith("DPoP "):
            stopped = self._logged_on(request, message)
            if stopped is not None:
                return stopped
        known = self.by_thumbprint.get(proven[0].thumbprint)
        if known is None:
            return self._refused(Refusal(RefusalClass.UNKNOWN_DEVICE))
        self.probes.append(message)
        proof = ProbeProof("inst-test", known.id, message.command, message.challenge, self.now)
        answer = ProbeAnswer(self.keyset.sign(PROBE_TYP, proof), self.keyset.delegations())
        return Answer(200, msgspec.json.encode(answer), {"dpop-nonce": self._nonces.issue(self.now)})

    def _recover(self: Any, request: httpx2.Request) -> Answer:
        message = decode_recover(request.content)
        signed = "dpop" in request.headers
        assert "authorization" not in request.headers
        refusal = self.refuse_recovery(signed)
        if refusal is not None:
            return self._refused(refusal)
        proof = None
        if signed:
            proven = self._proof(request, limits.FRESH_NONCE_LIFETIME, "", request.content)
            if isinstance(proven, Refusal):
                return self._refused(proven)
            proof = proven[0]
        self.recoveries.append((signed, message))
        if proof is not None:
            known, receipt = self._whose(proof, message)
        else:
            known, receipt = (self.by_id.get(message.endpoint) if self.window_open else None), ""
        if known is None:
            return self._refused(Refusal(RefusalClass.UNAUTHENTICATED))
        self.before_recovery(known, message)
        change, statement = known.change
        answer = Recovered(
            self.keyset.sign(TIME_TYP, SignedTime("inst-test", self.now, message.challenge)),
            self.keyset.delegations(),
            known.standing.state.value,
            self.next_try_s,
            statement if change != message.command else "",
            receipt,
            self.epoch,
        )
        return Answer(200, msgspec.json.encode(answer), {"dpop-nonce": self._nonces.issue(self.now)})

    def _whose(self: Any, proof: Any, message: Recover) -> tuple[Any, str]:
        """The endpoint of a signed recovery, taken back by its receipt or taken in by a former password."""
        known = self.by_thumbprint.get(proof.thumbprint)
        if known is not None:
            return known, "" if known.id == message.endpoint else known.receipt
        if message.receipt:
            try:
                receipt = self.keyset.verify(message.receipt, RECEIPT_TYP, Receipt)
            except TrustError:
                return None, ""
            if receipt.thumbprint != proof.thumbprint:
                return None, ""
            self._remember(receipt.endpoint, proof.public_jwk, message.seal_jwk, EndpointState.ACTIVE)
        elif message.join is not None and message.prior is not None and self._is_prior(proof, message):
            self._registered(proof.public_jwk, message.join.seal_jwk, message.join.statement)
        known = self.by_thumbprint.get(proof.thumbprint)
        return known, known.receipt if known else ""

    def _is_prior(self: Any, proof: Any, message: Recover) -> bool:
        prior = message.prior
        passwords = {account_key(one.domain, one.name): one.password for one in self.accounts.values()}
        self.priors.append(
            is_prior(
                prior.mac,
                Secret(passwords.get(prior.account, "").encode()),
                "inst-test",
                nonce=proof.nonce,
                device=proof.thumbprint,
                seal=thumbprint(message.join.seal_jwk),
                account=prior.account,
                generation=prior.generation,
            )
        )
        return self.priors[-1]
