"""What the agent believes, because a signature that leads to the pinned root says so."""

import contextlib
from collections.abc import Iterable
from functools import lru_cache
from urllib.parse import urlsplit

import msgspec
from msgspec.structs import replace

from keyfast.agent.absorb import Brought, SignedProfile
from keyfast.agent.client_database import KeptAccount, Record
from keyfast.agent.transaction import Offered
from keyfast.core.mode import Mode
from keyfast.core.secret import Secret
from keyfast.errors import TrustError
from keyfast.trust.device import DeviceKey
from keyfast.trust.enrolment import EnrolmentToken
from keyfast.trust.hpke import open_sealed
from keyfast.trust.keyset import TrustChain
from keyfast.trust.package import check_seal
from keyfast.trust.roles import (
    CHANGE_TYP,
    COMMAND_TYP,
    ENROLMENT_TYP,
    PROBE_TYP,
    PROFILE_TYP,
    RECEIPT_TYP,
    TIME_TYP,
)
from keyfast.trust.statement import label
from keyfast.wire.bundle import Bundle, BundleAccount
from keyfast.wire.changes import Change, ProbeAnswer, ProbeProof, Recovered
from keyfast.wire.messages import AccessProfile, CheckInAnswer, Command, Receipt, Registered, SignedTime

SEAL_PURPOSE = "web access server"
"""What the account in a change is sealed for."""
MODES = frozenset({Mode.OAUTH.value, Mode.WINDOWS.value})


@lru_cache(maxsize=512)
def device_key(pem: str) -> DeviceKey:
    """Open a key of the record; kept, as every request asks for it. An endpoint has two, a simulated fleet many."""
    return DeviceKey.from_pem(Secret(pem.encode()))


def chain_of(record: Record, extra: Iterable[str] = ()) -> TrustChain:
    """Return the chain from the pinned root through every delegation known."""
    return trust_chain(record.installation, record.root, tuple(dict.fromkeys((*record.delegations, *extra))))


@lru_cache(maxsize=32)
def trust_chain(installation: str, root: str, delegations: tuple[str, ...]) -> TrustChain:
    """Build a chain; kept, because each delegation costs a signature check and they rarely change.

    Raises:
        TrustError: the root is not a key.
    """
    try:
        jwk = msgspec.json.decode(root, type=dict[str, str])
    except (msgspec.DecodeError, UnicodeDecodeError) as cause:
        raise TrustError("the pinned root key is not a JWK") from cause
    return TrustChain(installation, jwk, delegations)


@lru_cache(maxsize=32)
def profile_in(chain: TrustChain, statement: str) -> SignedProfile:
    """Verify an access profile, and that this version can follow it; kept, as it is asked for with every request.

    Raises:
        TrustError: the signature does not hold, or the profile cannot be used.
    """
    profile = chain.verify(statement, PROFILE_TYP, AccessProfile)
    if profile.mode not in MODES:
        raise TrustError(
            f"access profile {profile.seq} asks for the mode '{profile.mode}', which this agent does not know"
        )
    if not profile.urls or not all(usable(url) for url in profile.urls):
        raise TrustError(f"access profile {profile.seq} has no usable URL")
    return SignedProfile(statement, profile)


def usable(url: str) -> bool:
    """Tell whether a URL can be that of a server."""
    try:
        parts = urlsplit(url)
        return parts.scheme == "https" and bool(parts.hostname) and parts.port != 0
    except ValueError:
        return False


def check_registered(record: Record, answer: Registered) -> SignedProfile:
    """Verify the answer of a registration and return its profile.

    Raises:
        TrustError: the receipt is not for this endpoint's keys, or a signature does not hold.
    """
    chain = chain_of(record, answer.keyfast_delegations)
    if own_receipt(record, chain, answer.keyfast_receipt).endpoint != answer.client_id:
        raise TrustError("the receipt is for another endpoint or another key")
    return profile_in(chain, answer.keyfast_profile)


def check_bundle(bundle: Bundle) -> SignedProfile:
    """Verify what a package embeds against the root it pins.

    Raises:
        TrustError: a signature or the seal does not hold, or the profile cannot be used.
    """
    chain = trust_chain(bundle.installation, bundle.root, bundle.delegations)
    check_seal(chain, bundle)
    if chain.verify(bundle.statement, ENROLMENT_TYP, EnrolmentToken).package != bundle.package:
        raise TrustError("the enrolment token is that of another package")
    profile = profile_in(chain, bundle.profile)
    if profile.profile.mode == Mode.WINDOWS and (bundle.account is None or not bundle.account.password):
        raise TrustError("the package is for Windows mode and brings no account")
    return profile


def commands_in(
    record: Record, chain: TrustChain, statements: Iterable[str]
) -> tuple[list[Command | Offered], list[tuple[str, TrustError]]]:
    """Verify commands one by one; one that does not hold does not keep others from being obeyed.

    Returns:
        What holds, and the statements that do not, each with why.
    """
    good: list[Command | Offered] = []
    bad: list[tuple[str, TrustError]] = []
    for statement in statements:
        try:
            good.append(_command_in(record, chain, statement))
        except TrustError as cause:
            bad.append((statement, cause))
    return good, bad


def _command_in(record: Record, chain: TrustChain, statement: str) -> Command | Offered:
    if label(statement).typ == CHANGE_TYP:
        return change_in(record, chain, statement)
    return chain.verify(statement, COMMAND_TYP, Command)


def change_in(record: Record, chain: TrustChain, statement: str) -> Offered:
    """Verify a change of the web access server, and open what is in it.

    Raises:
        TrustError: no key that may move an endpoint has signed it.
    """
    change = chain.verify(statement, CHANGE_TYP, Change)
    if not change.profile:
        return Offered(change)
    try:
        profile = profile_in(chain, change.profile).profile
        return Offered(change, profile, _account_in(record, change) if profile.mode == Mode.WINDOWS else None)
    except TrustError as cause:
        return Offered(change, fault=cause.message)


def _account_in(record: Record, change: Change) -> KeptAccount:
    """Open the account that a change brings.

    Raises:
        TrustError: it brings none, or it is sealed for another endpoint, key or change.
    """
    if not change.account:
        raise TrustError("it asks for Windows mode and brings no account")
    sealed_for = f"{change.epoch}.{change.seq}"
    plain = _opened(record, change.account, change.endpoint, sealed_for)
    try:
        account = msgspec.json.decode(plain.reveal(), type=BundleAccount)
    except (msgspec.DecodeError, UnicodeDecodeError):
        # The cause is dropped: a parser's message may quote what it was given.
        raise TrustError("the account it brings cannot be read") from None
    if not account.password:
        raise TrustError("the account it brings has no password")
    return KeptAccount(account.name, account.domain, account.password, account.generation, account.realm)


def _opened(record: Record, sealed: str, endpoint: str, reference: str) -> Secret:
    """Open what is sealed for this endpoint, by any key that it ever had.

    Raises:
        TrustError: it is sealed for another endpoint, key or change.
    """
    new = (record.renewal.keys.seal,) if record.renewal and record.renewal.keys else ()
    for seal in (*new, *record.seal_history):
        with contextlib.suppress(TrustError):
            return open_sealed(sealed, device_key(seal), purpose=SEAL_PURPOSE, endpoint=endpoint, reference=reference)
    return open_sealed(
        sealed, device_key(record.seal_key), purpose=SEAL_PURPOSE, endpoint=endpoint, reference=reference
    )


def all_hold(record: Record, chain: TrustChain, answer: CheckInAnswer) -> bool:
    """Tell whether everything signed in an answer can be verified with the keys known so far."""
    try:
        if answer.profile:
            chain.verify(answer.profile, PROFILE_TYP, AccessProfile)
        found, bad = commands_in(record, chain, answer.commands)
        for one in found:
            if isinstance(one, Offered) and one.change.profile:
                chain.verify(one.change.profile, PROFILE_TYP, AccessProfile)
    except TrustError:
        return False
    return not bad


def check_probe(record: Record, answer: ProbeAnswer, command: str, challenge: str) -> None:
    """Verify that a server of this installation let this endpoint in, just now.

    Raises:
        TrustError: the proof does not say so.
    """
    claims = chain_of(record, answer.delegations).verify(answer.statement, PROBE_TYP, ProbeProof)
    if (claims.endpoint, claims.command, claims.challenge) != (record.endpoint_id, command, challenge):
        raise TrustError("the proof of the probe is for another endpoint, change or challenge")


def renewed_receipt(record: Record, chain: TrustChain, statement: str) -> bool:
    """Tell whether a receipt names this endpoint's new keys.

    Raises:
        TrustError: it is not a receipt for any of its keys.
    """
    asked = record.renewal
    if asked is None or asked.keys is None:
        return False
    receipt = chain.verify(statement, RECEIPT_TYP, Receipt)
    new = device_key(asked.keys.device).thumbprint, device_key(asked.keys.seal).thumbprint
    return (receipt.thumbprint, receipt.seal_thumbprint, receipt.endpoint) == (*new, record.endpoint_id)


def own_receipt(record: Record, chain: TrustChain, statement: str) -> Receipt:
    """Verify a receipt for this endpoint's keys.

    Raises:
        TrustError: it is not one.
    """
    receipt = chain.verify(statement, RECEIPT_TYP, Receipt)
    expected = device_key(record.device_key).thumbprint, device_key(record.seal_key).thumbprint
    if (receipt.thumbprint, receipt.seal_thumbprint) != expected or not receipt.endpoint:
        raise TrustError("the receipt is for another endpoint or another key")
    return receipt


def check_recovered(record: Record, answer: Recovered, challenge: str, *, vouched: bool) -> Brought:
    """Verify the answer of a recovery.

    Args:
        record: which knows the answer's delegations.
        answer: as received.
        challenge: of the request.
        vouched: it came over TLS that was verified, so that what is not signed counts too.

    Raises:
        TrustError: a signature does not hold, or it answers another question.
    """
    chain = chain_of(record)
    now = signed_time(chain, answer.statement, challenge)
    renewed = bool(answer.receipt) and renewed_receipt(record, chain, answer.receipt)
    if renewed:
        receipt = answer.receipt, record.endpoint_id
    else:
        receipt = _newer_receipt(record, chain, answer.receipt) if answer.receipt else ("", "")
    known = replace(record, endpoint_id=receipt[1] or record.endpoint_id)
    change = change_in(known, chain, answer.change) if answer.change else None
    return Brought(now, answer.next_try_s, answer.state, answer.epoch if vouched else 0, receipt, renewed, change)


def _newer_receipt(record: Record, chain: TrustChain, statement: str) -> tuple[str, str]:
    """Return a receipt and its endpoint id; empty for one that is older than the endpoint's own.

    With a new receipt the numbers of commands start again, which one that was overheard must not bring about.
    """
    receipt = own_receipt(record, chain, statement)
    if record.receipt:
        try:
            own = own_receipt(record, chain, record.receipt)
        except TrustError:
            return statement, receipt.endpoint
        if statement == record.receipt or receipt.issued_at < own.issued_at:
            return "", ""
    return statement, receipt.endpoint


def signed_time(chain: TrustChain, statement: str, challenge: str) -> int:
    """Return the server's time (unix seconds) from a statement made for ``challenge``.

    Raises:
        TrustError: the signature does not hold or the statement answers another question.
    """
    claims = chain.verify(statement, TIME_TYP, SignedTime)
    if claims.challenge != challenge:
        raise TrustError("the time statement answers another challenge")
    return claims.time
