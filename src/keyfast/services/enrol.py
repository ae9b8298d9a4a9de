"""Enrolment: an enrolment token buys only "ask to join"; the device key made on the endpoint is the identity.

Registration is idempotent by the thumbprint of the device key, so a lost answer costs nothing. A use of
the token counts only when the next message proves that the answer was saved (see ``services.tokens``).
An endpoint that is on record gets its answer whatever became of the enrolment token since.
"""

import uuid
from collections.abc import Callable
from dataclasses import replace

import msgspec
from sqlalchemy.ext.asyncio import AsyncConnection

from keyfast.core import endpoint, ids
from keyfast.core.endpoint import EndpointEvent, EndpointState
from keyfast.core.mode import Mode
from keyfast.core.refusal import Refusal, RefusalClass
from keyfast.errors import ConflictError, TrustError
from keyfast.services.admission import prove
from keyfast.services.authenticate import SignedRequest, fresh_nonce
from keyfast.services.enrolment_refusals import EnrolmentRefusals, Knock
from keyfast.services.enrolment_tokens import enrolment_token, not_listed, void
from keyfast.services.live import Live, LiveState
from keyfast.services.receipts import receipt_of
from keyfast.store import endpoints, events, packages, uses
from keyfast.store.database import Database
from keyfast.store.endpoints import EndpointRecord, EndpointRow
from keyfast.store.packages import PackageRow
from keyfast.trust import dpop
from keyfast.trust.device import parse_public_jwk
from keyfast.trust.dpop import Proof
from keyfast.trust.encoding import decode_json, thumbprint
from keyfast.trust.enrolment import EnrolmentToken
from keyfast.wire import limits
from keyfast.wire.messages import Join, Registered
from keyfast.wire.oauth import Jwks, PublicKey, RegisterRequest

_NOT_PROVEN = frozenset({EndpointState.PENDING, EndpointState.REGISTERED})


class EnrolService:
    """Registers endpoints.

    Args:
        live: keys and profile in force.
        database: the store.
        refusals: hears why a package let somebody not in.
        clock: server time in unix seconds.
        entropy: returns that many random bytes.
    """

    def __init__(
        self,
        live: LiveState,
        database: Database,
        refusals: EnrolmentRefusals,
        clock: Callable[[], float],
        entropy: Callable[[int], bytes],
    ) -> None:
        self._live = live
        self._database = database
        self._refusals = refusals
        self._clock = clock
        self._entropy = entropy

    async def register(self, signed: SignedRequest, body: bytes) -> Registered | Refusal:
        """Register the endpoint that signed this request, or find it on record.

        Raises:
            NotReadyError: the store is down; nothing was written.
        """
        live, now = self._live.current, int(self._clock())
        asked = _verified_request(live, signed, body, now)
        if isinstance(asked, Refusal):
            return asked
        found = await self._registered(live, asked, now)
        if isinstance(found, Refusal):
            self._refusals.tell(found, Knock(asked.software_statement, asked.client_name, signed.address))
            return found
        row, state = found
        return self._answer(live, _as_asked(row, asked), state, now)

    async def _registered(
        self, live: Live, asked: RegisterRequest, now: int
    ) -> tuple[EndpointRow, EndpointState] | Refusal:
        token = enrolment_token(live, asked.software_statement, Mode.OAUTH)
        return token if isinstance(token, Refusal) else await self._find_or_insert(asked, token, now)

    async def join(self, asked: RegisterRequest, token: EnrolmentToken, now: int) -> Registered | Refusal:
        """Register, and let work, the endpoint of a check-in whose proof and account were verified.

        Raises:
            NotReadyError: the store is down; nothing was written.
        """
        found = await self._find_or_insert(asked, token, now)
        if isinstance(found, Refusal):
            return found
        row, state = found
        refusal = await prove(self._database, row, state, now)
        return refusal or self._answer(self._live.current, _as_asked(row, asked), state, now, Mode.WINDOWS)

    async def hold(
        self, asked: RegisterRequest, token: EnrolmentToken, now: int, *, prior_password: bool
    ) -> EndpointState | Refusal:
        """Register an endpoint that cannot enrol by itself any more, to wait for approval; return its state.

        Whatever the package says, and whether or not its token has expired: a person decides.

        Raises:
            NotReadyError: the store is down; nothing was written.
        """
        async with self._database.write() as conn:
            record = await packages.token(conn, token.jti)
            if record is None or record.revoked_at is not None:
                return Refusal(RefusalClass.ENROLMENT_REVOKED, "this enrolment token is void, or not on record")
            refusal = await not_listed(conn, asked, token)
            if refusal is not None:
                return refusal
            built = await packages.get(conn, token.package)
            row = _endpoint_row(asked, token, built, ids.endpoint_id(self._entropy(16)), now)
            try:
                await endpoints.insert(conn, row, EndpointState.PENDING)
            except ConflictError:  # the same key asked twice at once
                return EndpointState.PENDING
            detail = {
                "name": row.name,
                "package": row.package_id,
                "thumbprint": row.thumbprint,
                "prior_password": prior_password,
            }
            await events.add(conn, at=now, kind="endpoint_pending", endpoint_id=row.id, detail=detail)
        return EndpointState.PENDING

    async def _find_or_insert(
        self, asked: RegisterRequest, token: EnrolmentToken, now: int
    ) -> tuple[EndpointRow, EndpointState] | Refusal:
        async with self._database.read() as conn:
            known = await endpoints.by_thumbprint(conn, _device_thumbprint(asked))
        if known is None:
            try:
                return await self._insert(asked, token, now)
            except ConflictError:  # the same registration came twice at once; the other one won
                async with self._database.read() as conn:
                    known = await endpoints.by_thumbprint(conn, _device_thumbprint(asked))
                if known is None:
                    raise
        state = known.presence.state
        if state is EndpointState.REVOKED:
            return Refusal(RefusalClass.REVOKED, presented=f"the device key of endpoint {known.endpoint.id}")
        own = known.endpoint.enrolment_jti == token.jti
        if state in _NOT_PROVEN and (not own or token.admission == "auto"):
            return known.endpoint, await self._move(known, asked, token, now)
        if own or Mode.WINDOWS not in (token.mode, known.endpoint.mode):
            return known.endpoint, state
        refusal = await self._renew_package(known, asked, token, now)
        # A void token gets nobody into another mode; in the mode it is in, nobody needs one.
        moves = token.mode != known.endpoint.mode.value
        return refusal if refusal is not None and moves else (known.endpoint, state)

    async def _renew_package(
        self, known: EndpointRecord, asked: RegisterRequest, token: EnrolmentToken, now: int
    ) -> Refusal | None:
        """Record that an enrolled endpoint got a newer package; return why a void token changes nothing."""
        async with self._database.write() as conn:
            refusal = await void(conn, asked, token, now)
            if refusal is not None:
                return refusal
            if not await packages.count_use(conn, token.jti, at=now):
                return Refusal(RefusalClass.ENROLMENT_EXHAUSTED, repair="keyfast package create")
            await uses.leave(conn, known.endpoint)
            await endpoints.take_package(conn, known.endpoint.id, token.package, token.jti)
            detail = {"package": token.package, "mode": token.mode, "from": known.endpoint.package_id}
            await events.add(
                conn, at=now, kind="endpoint_package_changed", endpoint_id=known.endpoint.id, detail=detail
            )
        return None

    async def _move(
        self, known: EndpointRecord, asked: RegisterRequest, token: EnrolmentToken, now: int
    ) -> EndpointState:
        """Let an endpoint that has not proven itself use a newer package's token, or its own; return its state then.

        A package that wants approval holds it for approval; one that does not never spares it one, unless it only
        waits because it asked for recovery, when its package, which wanted none either, did not get it in.
        """
        state, endpoint_id = known.presence.state, known.endpoint.id
        if known.endpoint.enrolment_jti == token.jti and state is EndpointState.REGISTERED:
            return state
        async with self._database.write() as conn:
            if await void(conn, asked, token, now):
                return state
            if token.admission == "approve" and state is EndpointState.REGISTERED:
                held = endpoint.step(state, EndpointEvent.HELD)
                if not await endpoints.set_state(conn, endpoint_id, state, held):
                    return state  # it proved itself meanwhile, with the package it came with
                state = held
            elif token.admission == "auto" and state is EndpointState.PENDING:
                state = await self._let_in(conn, known, token, now)
            await endpoints.take_package(conn, endpoint_id, token.package, token.jti)
        return state

    async def _let_in(
        self, conn: AsyncConnection, known: EndpointRecord, token: EnrolmentToken, now: int
    ) -> EndpointState:
        state, endpoint_id = known.presence.state, known.endpoint.id
        former = await packages.get(conn, known.endpoint.package_id)
        if former is None or former.admission != "auto":
            return state
        approved = endpoint.step(state, EndpointEvent.APPROVED)
        if not await endpoints.set_state(conn, endpoint_id, state, approved):
            return state
        detail = {"by": "package", "package": token.package}
        await events.add(conn, at=now, kind="endpoint_approved", endpoint_id=endpoint_id, detail=detail)
        return approved

    async def _insert(
        self, asked: RegisterRequest, token: EnrolmentToken, now: int
    ) -> tuple[EndpointRow, EndpointState] | Refusal:
        async with self._database.write() as conn:
            refusal = await void(conn, asked, token, now)
            if refusal is not None:
                return refusal
            state = EndpointState.PENDING if token.admission == "approve" else EndpointState.REGISTERED
            built = await packages.get(conn, token.package)
            row = _endpoint_row(asked, token, built, ids.endpoint_id(self._entropy(16)), now)
            await endpoints.insert(conn, row, state)
            await events.add(
                conn,
                at=now,
                kind=f"endpoint_{state.value}",
                endpoint_id=row.id,
                detail={"name": row.name, "package": row.package_id, "thumbprint": row.thumbprint},
            )
            return row, state

    def _answer(
        self, live: Live, row: EndpointRow, state: EndpointState, now: int, mode: Mode = Mode.OAUTH
    ) -> Registered:
        return Registered(
            client_id=row.id,
            client_id_issued_at=row.registered_at,
            keyfast_receipt=receipt_of(live, row, now, pending=state is EndpointState.PENDING),
            keyfast_profile=live.profile(mode).statement,
            keyfast_delegations=live.keyset.delegations(),
            keyfast_state=state.value if state is EndpointState.PENDING else EndpointState.REGISTERED.value,
        )


def _verified_request(live: Live, signed: SignedRequest, body: bytes, now: int) -> RegisterRequest | Refusal:
    proof = dpop.verify_proof(signed.proof, method=signed.method, path=signed.path, origins=live.origins, body=body)
    if isinstance(proof, Refusal):
        return proof
    nonce = fresh_nonce(live, proof, now, limits.FRESH_NONCE_LIFETIME)
    if isinstance(nonce, Refusal):
        return nonce
    try:
        asked = decode_json(body, RegisterRequest)
        for use in ("sig", "enc"):
            parse_public_jwk(asked.key(use) or {})
    except (ValueError, TrustError) as cause:
        return Refusal(RefusalClass.MALFORMED, str(cause)[:200])
    if _device_thumbprint(asked) != proof.thumbprint:
        return Refusal(RefusalClass.UNAUTHENTICATED, "the proof was not made with the device key being registered")
    if asked.token_endpoint_auth_method != "private_key_jwt":  # noqa: S105 - a method name
        return Refusal(RefusalClass.MALFORMED, "only private_key_jwt is offered")
    return asked


def asked_to_join(join: Join, hostname: str, proof: Proof) -> RegisterRequest | Refusal:
    """What ``POST /oauth/register`` would say, of one who asks to join inside another request."""
    try:
        seal = parse_public_jwk(join.seal_jwk)
    except TrustError as cause:
        return Refusal(RefusalClass.MALFORMED, cause.message)
    return RegisterRequest(
        software_statement=join.statement,
        client_name=hostname,
        jwks=Jwks((_key(proof.public_jwk, "sig"), _key(seal, "enc"))),
        keyfast_hardware=join.hardware,
    )


def _key(jwk: dict[str, str], use: str) -> PublicKey:
    return PublicKey(jwk["kty"], jwk["crv"], jwk["x"], jwk["y"], use)


def _as_asked(row: EndpointRow, asked: RegisterRequest) -> EndpointRow:
    """The record as an image that still holds a former key knows it: its receipt is for the key that it has."""
    own = _device_thumbprint(asked)
    return row if row.thumbprint == own else replace(row, thumbprint=own, seal_jwk=asked.key("enc") or {})


def _device_thumbprint(asked: RegisterRequest) -> str:
    return thumbprint(asked.key("sig") or {})


def _endpoint_row(
    asked: RegisterRequest, token: EnrolmentToken, built: PackageRow | None, endpoint_id: str, now: int
) -> EndpointRow:
    return EndpointRow(
        id=endpoint_id,
        name=asked.client_name,
        registered_at=now,
        package_id=str(uuid.UUID(token.package)),
        enrolment_jti=token.jti,
        thumbprint=_device_thumbprint(asked),
        public_jwk=asked.key("sig") or {},
        seal_jwk=asked.key("enc") or {},
        hardware=msgspec.to_builtins(asked.keyfast_hardware),
        ring=token.ring,
        account_key=built.account_key if built else "",
        generation=built.generation if built else 0,
        mode=Mode(token.mode),
    )
