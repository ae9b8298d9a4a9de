"""Recovery check-in: give an endpoint its access back by what outlives every credential, its device key.

It is subject to no logon and no access token, and never asks the directory. What it gives is a change of the
web access server like any other, sealed for the one endpoint that it is for. Cheap checks come first.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Protocol

import msgspec
from sqlalchemy.ext.asyncio import AsyncConnection

from keyfast.core import ids, schedule
from keyfast.core.access import Access
from keyfast.core.endpoint import EndpointState
from keyfast.core.mode import Mode
from keyfast.core.recovery import Act, Call, Caller, judge
from keyfast.core.refusal import Refusal, RefusalClass
from keyfast.services import renew
from keyfast.services.admission import prove
from keyfast.services.authenticate import SignedRequest, fresh_nonce
from keyfast.services.change import ChangeService, Given, Told
from keyfast.services.check_in import Reply
from keyfast.services.enrol import EnrolService, asked_to_join
from keyfast.services.enrolment_tokens import any_enrolment_token
from keyfast.services.known_account import bound_to
from keyfast.services.live import Live, LiveState
from keyfast.services.progress import Windows
from keyfast.services.readopt import forgotten, readopt, verified_receipt
from keyfast.services.receipts import receipt_of
from keyfast.services.replay import SeenOnce
from keyfast.services.went_back import Heard, WentBack
from keyfast.store import endpoints, events
from keyfast.store.database import Database
from keyfast.store.endpoints import EndpointRecord
from keyfast.store.identities import Identities
from keyfast.trust import dpop
from keyfast.trust.dpop import Proof
from keyfast.trust.encoding import thumbprint
from keyfast.trust.enrolment import EnrolmentToken
from keyfast.trust.prior_password import is_prior
from keyfast.trust.roles import TIME_TYP
from keyfast.wire import limits, messages
from keyfast.wire.changes import Recover, Recovered, decode_recover
from keyfast.wire.messages import Receipt, SignedTime

SOON, LATER = 60, 900
"""Seconds until asking again makes sense: after something was given, and after nothing was."""
_NOT_NEWS = frozenset({RefusalClass.USE_NONCE, RefusalClass.STALE_TIME})
"""Refusals that every caller meets and mends by itself."""
_ACCOUNT_REFUSALS = frozenset({RefusalClass.ACCOUNT_REFUSED.value, RefusalClass.RETIRED_GENERATION.value})


@dataclass(frozen=True, slots=True)
class Asking:
    """One recovery check-in, as far as it was verified.

    Attributes:
        message: what it says.
        caller: who makes it.
        record: what is on record of the endpoint it is about.
        window: id of an open recovery window that covers it, None if there is none.
        proof: of the device key, None for an anonymous one.
        receipt: verified, where the key is not on record.
        token: enrolment token, where it asks to join.
    """

    message: Recover
    caller: Caller
    record: EndpointRecord | None
    window: str | None
    proof: Proof | None = None
    receipt: Receipt | None = None
    token: EnrolmentToken | None = None


class Observer(Protocol):
    """Hears of recovery check-ins that were refused."""

    def recovery_refused(self, kind: RefusalClass, way: str, named: str, address: str) -> None:
        """One was refused.

        Args:
            kind: the class.
            way: who asked, as far as it was proven (``core.recovery.Caller``); empty if a proof did not hold.
            named: endpoint id it is about, or claims to be about; empty if that is none.
            address: of the peer.
        """
        ...


class RecoverService:
    """Takes recovery check-ins. One per check-in process.

    Args:
        live: keys, profiles and accounts in force.
        database: the store.
        identities: finds endpoints by their keys.
        changes: makes what is given.
        enrolments: registers who must wait for a person.
        windows: recovery windows.
        ahead: hears what endpoints know that this server may have forgotten.
        seen: remembers proofs, so that none is taken twice.
        observer: hears of refusals.
        always: whether device keys recover at any time, or only while a window is open.
        clock: server time in unix seconds.
        chance: uniform random numbers in [0, 1).
    """

    def __init__(
        self,
        live: LiveState,
        database: Database,
        identities: Identities,
        changes: ChangeService,
        enrolments: EnrolService,
        windows: Windows,
        ahead: WentBack,
        seen: SeenOnce,
        observer: Observer,
        clock: Callable[[], float],
        chance: Callable[[], float],
        *,
        always: bool = True,
    ) -> None:
        self._live = live
        self._database = database
        self._identities = identities
        self._changes = changes
        self._enrolments = enrolments
        self._windows = windows
        self._ahead = ahead
        self._seen = seen
        self._observer = observer
        self._clock = clock
        self._chance = chance
        self._always = always

    async def recover(self, request: SignedRequest, body: bytes) -> Reply:
        """Take one recovery check-in.

        Raises:
            NotReadyError: the store is down; nothing was written.
        """
        now = int(self._clock())
        asking = await (self._signed(request, body, now) if request.proof else self._anonymous(request, body, now))
        outcome = asking if isinstance(asking, Refusal) else await self._judged(asking, request, now)
        if isinstance(outcome, Refusal) and outcome.kind not in _NOT_NEWS:
            self._tell(outcome, asking, body, request.address)
        answer = outcome if isinstance(outcome, Refusal) else messages.encode(outcome)
        return Reply(answer, self._live.current.nonces.issue(now))

    def _tell(self, refusal: Refusal, asking: Asking | Refusal, body: bytes, address: str) -> None:
        message = _read(body) if isinstance(asking, Refusal) else asking.message
        named = "" if isinstance(message, Refusal) else ids.parse_endpoint_id(message.endpoint) or ""
        way = "" if isinstance(asking, Refusal) else asking.caller.value
        if not isinstance(asking, Refusal) and asking.record is not None:
            named = asking.record.endpoint.id
        self._observer.recovery_refused(refusal.kind, way, named, address)

    async def _anonymous(self, request: SignedRequest, body: bytes, now: int) -> Asking | Refusal:
        """Nothing is looked up of an endpoint that no open window covers."""
        message = _read(body)
        if isinstance(message, Refusal):
            return message
        endpoint_id = ids.parse_endpoint_id(message.endpoint)
        window = await self._windows.covering(endpoint_id, request.address, now) if endpoint_id else None
        if endpoint_id is None or window is None:
            return Asking(message, Caller.ANONYMOUS, None, None)
        async with self._database.read() as conn:
            record = await endpoints.get(conn, endpoint_id)
        return Asking(message, Caller.ANONYMOUS, record, window)

    async def _signed(self, request: SignedRequest, body: bytes, now: int) -> Asking | Refusal:
        live = self._live.current
        proof = dpop.verify_proof(
            request.proof, method=request.method, path=request.path, origins=live.origins, body=body
        )
        if isinstance(proof, Refusal):
            return proof
        message = _read(body)
        if isinstance(message, Refusal):
            return message
        stale = fresh_nonce(live, proof, now, limits.FRESH_NONCE_LIFETIME)
        if isinstance(stale, Refusal):
            return stale
        if not self._seen.first(f"{proof.thumbprint}/{proof.jti}", now, now + limits.FRESH_NONCE_LIFETIME):
            return Refusal(RefusalClass.REPLAYED, "this proof was used before")
        return await self._asking(live, message, proof, request.address, now)

    async def _asking(self, live: Live, message: Recover, proof: Proof, address: str, now: int) -> Asking | Refusal:
        """Find out who made a proof."""
        known = await self._identities.find(proof.thumbprint)
        if known is not None:
            caller, endpoint_id = Caller.CURRENT if known.current else Caller.SUPERSEDED, known.endpoint_id
            return await self._about(Asking(message, caller, None, None, proof), endpoint_id, address, now)
        if message.receipt:
            receipt = verified_receipt(live, message, proof)
            if isinstance(receipt, Refusal):
                return receipt
            asking = Asking(message, Caller.RECEIPT, None, None, proof, receipt)
            return await self._about(asking, receipt.endpoint, address, now)
        if message.join is None:
            return Asking(message, Caller.STRANGER, None, None, proof)
        token = any_enrolment_token(live, message.join.statement)
        if isinstance(token, Refusal):
            return token
        return await self._about(Asking(message, Caller.JOINING, None, None, proof, None, token), "", address, now)

    async def _about(self, asking: Asking, endpoint_id: str, address: str, now: int) -> Asking:
        """Add what is on record of the endpoint, and the window that covers it."""
        async with self._database.read() as conn:
            record = await endpoints.get(conn, endpoint_id)
        window = await self._windows.covering(endpoint_id, address, now)
        return replace(asking, record=record, window=window)

    async def _judged(self, asking: Asking, request: SignedRequest, now: int) -> Recovered | Refusal:
        if asking.record is not None or asking.receipt is not None:
            await self._hear(asking)
        state = None if asking.record is None else asking.record.presence.state
        act = judge(Call(asking.caller, state, asking.window is not None, self._always))
        if isinstance(act, Refusal):
            return act
        if act is Act.HOLD:
            return await self._hold(asking, now)
        return await self._give(asking, act, request.address, now)

    async def _hear(self, asking: Asking) -> None:
        """Only of those who proved a key; the receipt's word counts without that, for it is signed."""
        message, receipt = asking.message, asking.receipt
        if asking.caller is Caller.ANONYMOUS:
            return
        signed = receipt.epoch if receipt else 0
        held = message.profile_seq, message.account, message.credential_generation
        heard = Heard(max(message.epoch, signed), *held, signed, receipt.thumbprint if receipt else "")
        about = asking.record.endpoint.id if asking.record else receipt.endpoint if receipt else ""
        await self._ahead.hear(about, heard)

    async def _give(self, asking: Asking, act: Act, address: str, now: int) -> Recovered | Refusal:
        record = await self._adopted(asking, now) if act is Act.ADOPT else asking.record
        if record is None:
            return Refusal(RefusalClass.UNKNOWN_DEVICE)
        if record.presence.state is EndpointState.PENDING:
            return Refusal(RefusalClass.PENDING, "an administrator has not let it in yet")
        joined = record.presence.state is EndpointState.REGISTERED
        refusal = await prove(self._database, record.endpoint, record.presence.state, now) if joined else None
        if refusal is not None:
            return refusal
        async with self._database.write() as conn:
            record, renewed = await self._renewed(conn, asking, record, now)
            given = await self._changes.recover(conn, record, _told(asking, record), now)
            if given is not None and given.fresh:
                detail = _particulars(asking, given) | {"address": address}
                about = record.endpoint.id
                await events.add(conn, at=now, kind="endpoint_recovered", endpoint_id=about, detail=detail)
            if asking.window is not None:
                await self._windows.reached(conn, asking.window, record.endpoint.id, now)
        # Also to whoever shows none: the answer that brought it may have been lost.
        wanting = renewed or joined or act is Act.ADOPT or (asking.proof is not None and not asking.message.receipt)
        receipt = receipt_of(self._live.current, record.endpoint, now) if wanting else ""
        state = EndpointState.ACTIVE if joined else record.presence.state
        return self._answer(asking.message, state, now, given.statement if given else "", receipt, soon=bool(given))

    async def _renewed(
        self, conn: AsyncConnection, asking: Asking, record: EndpointRecord, now: int
    ) -> tuple[EndpointRecord, bool]:
        """Put a new device key on record that the endpoint brings along; tell whether it is there now."""
        if asking.proof is None or not asking.message.renewal:
            return record, False
        who = renew.Bringing(record.endpoint.id, asking.proof.thumbprint, "recovery", recovering=True)
        row = await renew.bind(conn, self._live.current, asking.message.renewal, who, now)
        return (record, False) if row is None else (replace(record, endpoint=row), True)

    async def _adopted(self, asking: Asking, now: int) -> EndpointRecord | None:
        if asking.receipt is None or asking.proof is None:
            return None
        row = forgotten(asking.receipt, asking.proof, asking.message)
        state = EndpointState.PENDING if asking.receipt.pending else EndpointState.ACTIVE
        return await readopt(self._database, row, now, state)

    async def _hold(self, asking: Asking, now: int) -> Recovered | Refusal:
        """Register who never got a key on record, to wait for a person; it is told nothing else."""
        message = asking.message
        if message.join is None or asking.proof is None or asking.token is None or not message.hostname:
            return Refusal(RefusalClass.MALFORMED, "whoever joins says its host name")
        asked = asked_to_join(message.join, message.hostname, asking.proof)
        if isinstance(asked, Refusal):
            return asked
        proven = self._holds_prior_password(asking.proof, message, thumbprint(asked.key("enc") or {}))
        state = await self._enrolments.hold(asked, asking.token, now, prior_password=proven)
        return state if isinstance(state, Refusal) else self._answer(message, state, now)

    def _holds_prior_password(self, proof: Proof, message: Recover, seal_thumbprint: str) -> bool:
        """Whether it proved a former password; the caller never hears, so that there is nothing to guess at."""
        prior, live = message.prior, self._live.current
        account = live.accounts.get(prior.account) if prior else None
        row = account.generations.get(prior.generation) if prior and account else None
        if prior is None or row is None or not row.password_sealed:
            return False
        password = self._live.kek().open(row.password_sealed, bound_to=bound_to(prior.account, prior.generation))
        return is_prior(
            prior.mac,
            password,
            live.installation.id,
            nonce=proof.nonce,
            device=proof.thumbprint,
            seal=seal_thumbprint,
            account=prior.account,
            generation=prior.generation,
        )

    def _answer(
        self,
        message: Recover,
        state: EndpointState,
        now: int,
        change: str = "",
        receipt: str = "",
        *,
        soon: bool = False,
    ) -> Recovered:
        live = self._live.current
        time = SignedTime(installation=live.installation.id, time=now, challenge=message.challenge)
        return Recovered(
            statement=live.keyset.sign(TIME_TYP, time),
            delegations=live.keyset.delegations(),
            state=state.value,
            next_try_s=schedule.next_check_in(SOON if soon else LATER, self._chance(), spread=0.25),
            change=change,
            receipt=receipt,
            epoch=live.installation.epoch,
        )


def _read(body: bytes) -> Recover | Refusal:
    try:
        return decode_recover(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as cause:
        return Refusal(RefusalClass.MALFORMED, str(cause)[:200])


def _told(asking: Asking, record: EndpointRecord) -> Told:
    """What it says that it uses; whoever proved nothing does not say in which mode an endpoint is to work."""
    message = asking.message
    mode = Mode.WINDOWS if message.account else Mode.OAUTH
    if asking.caller is Caller.ANONYMOUS:
        mode = record.endpoint.mode
    access = Access(mode, message.profile_seq, message.account, message.credential_generation)
    return Told(access, message.last_refusal in _ACCOUNT_REFUSALS, message.command, message.command_seq)


def _particulars(asking: Asking, given: Given) -> dict[str, str | int]:
    """What it held, what it was given, by which way; no secret is in any of it."""
    held, now = asking.message, given.access
    return {
        "way": asking.caller.value,
        "window": asking.window or "",
        "refusal": held.last_refusal,
        "held_profile": held.profile_seq,
        "held_account": held.account,
        "held_generation": held.credential_generation,
        "mode": now.mode.value,
        "profile": now.profile_seq,
        "account": now.account,
        "generation": now.generation,
        "rotation": now.rotation,
    }
