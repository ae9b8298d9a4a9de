"""What the agent believes, because a signature that leads to the pinned root says so."""

from collections.abc import Iterable
from functools import lru_cache
from urllib.parse import urlsplit

import msgspec

from keyfast.agent.absorb import SignedProfile
from keyfast.agent.client_database import Record
from keyfast.core.mode import Mode
from keyfast.core.secret import Secret
from keyfast.errors import TrustError
from keyfast.trust.device import DeviceKey
from keyfast.trust.keyset import TrustChain
from keyfast.trust.roles import COMMAND_TYP, PROFILE_TYP, RECEIPT_TYP, TIME_TYP
from keyfast.wire.messages import (
    AccessProfile,
    Bundle,
    CheckInAnswer,
    Command,
    Receipt,
    Registered,
    SignedTime,
)

MODES = frozenset({Mode.OAUTH.value, Mode.WINDOWS.value})


def device_key(pem: str) -> DeviceKey:
    """Open a key of the record."""
    return DeviceKey.from_pem(Secret(pem.encode()))


def chain_of(record: Record, extra: Iterable[str] = ()) -> TrustChain:
    """Return the chain from the pinned root through every delegation known."""
    return trust_chain(record.installation, record.root, tuple(dict.fromkeys((*record.delegations, *extra))))


@lru_cache(maxsize=8)
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


def profile_in(chain: TrustChain, statement: str) -> SignedProfile:
    """Verify an access profile, and that this version can follow it.

    Raises:
        TrustError: the signature does not hold, or the profile cannot be used.
    """
    profile = chain.verify(statement, PROFILE_TYP, AccessProfile)
    if profile.mode not in MODES:
        raise TrustError(
            f"access profile {profile.seq} asks for the mode '{profile.mode}', which this agent does not know"
        )
    if not profile.urls or not all(_usable(url) for url in profile.urls):
        raise TrustError(f"access profile {profile.seq} has no usable URL")
    return SignedProfile(statement, profile)


def usable_by(record: Record, new: SignedProfile) -> SignedProfile:
    """Return the profile if this endpoint has what its mode takes.

    Raises:
        TrustError: it has not.
    """
    if new.profile.mode == Mode.WINDOWS and not record.account_password:
        raise TrustError(f"access profile {new.profile.seq} asks for Windows mode, and this endpoint has no account")
    return new


def _usable(url: str) -> bool:
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
    receipt = chain.verify(answer.keyfast_receipt, RECEIPT_TYP, Receipt)
    expected = (
        answer.client_id,
        device_key(record.device_key).thumbprint,
        device_key(record.seal_key).thumbprint,
    )
    if (receipt.endpoint, receipt.thumbprint, receipt.seal_thumbprint) != expected:
        raise TrustError("the receipt is for another endpoint or another key")
    return usable_by(record, profile_in(chain, answer.keyfast_profile))


def check_bundle(bundle: Bundle) -> SignedProfile:
    """Verify what a package embeds against the root it pins.

    Raises:
        TrustError: a signature does not hold, or the profile cannot be used.
    """
    profile = profile_in(trust_chain(bundle.installation, bundle.root, bundle.delegations), bundle.profile)
    if profile.profile.mode == Mode.WINDOWS and (bundle.account is None or not bundle.account.password):
        raise TrustError("the package is for Windows mode and brings no account")
    return profile


def commands_in(chain: TrustChain, statements: Iterable[str]) -> tuple[list[Command], list[TrustError]]:
    """Verify commands one by one; one that does not hold does not keep others from being obeyed."""
    good: list[Command] = []
    bad: list[TrustError] = []
    for statement in statements:
        try:
            good.append(chain.verify(statement, COMMAND_TYP, Command))
        except TrustError as cause:
            bad.append(cause)
    return good, bad


def all_hold(chain: TrustChain, answer: CheckInAnswer) -> bool:
    """Tell whether everything signed in an answer can be verified with the keys known so far."""
    try:
        if answer.profile:
            chain.verify(answer.profile, PROFILE_TYP, AccessProfile)
    except TrustError:
        return False
    return not commands_in(chain, answer.commands)[1]


def signed_time(chain: TrustChain, statement: str, challenge: str) -> int:
    """Return the server's time (unix seconds) from a statement made for ``challenge``.

    Raises:
        TrustError: the signature does not hold or the statement answers another question.
    """
    claims = chain.verify(statement, TIME_TYP, SignedTime)
    if claims.challenge != challenge:
        raise TrustError("the time statement answers another challenge")
    return claims.time
