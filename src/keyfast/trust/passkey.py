"""Passkeys (W3C Web Authentication, level 2), for one site: its host name and its origin.

An authenticator has to verify its user (PIN, finger, face), so a passkey is password and second factor in one. What
an authenticator is (attestation) is not asked: people bring their own.
"""

from urllib.parse import urlsplit

import msgspec
from webauthn import (
    generate_authentication_options,
    generate_registration_options,
    options_to_json,
    verify_authentication_response,
    verify_registration_response,
)
from webauthn.helpers import parse_authentication_credential_json
from webauthn.helpers.exceptions import WebAuthnException
from webauthn.helpers.structs import (
    AuthenticatorSelectionCriteria,
    PublicKeyCredentialDescriptor,
    ResidentKeyRequirement,
    UserVerificationRequirement,
)

from keyfast.errors import TrustError

_REQUIRED = UserVerificationRequirement.REQUIRED


class Made(msgspec.Struct, frozen=True):
    """A new passkey: what it calls itself, its public key (COSE), how often it says it was used."""

    credential: bytes
    public_key: bytes
    uses: int


class Site(msgspec.Struct, frozen=True):
    """Where passkeys count.

    Attributes:
        origin: scheme, host and port as browsers have it.
    """

    origin: str

    @property
    def host(self) -> str:
        """What a passkey belongs to."""
        return urlsplit(self.origin).hostname or ""


def ask_to_make(site: Site, *, person_id: bytes, name: str, known: list[bytes], challenge: bytes) -> str:
    """Return what a browser needs to make one (JSON); ``known`` are the credentials that the person has."""
    return options_to_json(
        generate_registration_options(
            rp_id=site.host,
            rp_name="Keyfast",
            user_id=person_id,
            user_name=name,
            challenge=challenge,
            authenticator_selection=AuthenticatorSelectionCriteria(
                resident_key=ResidentKeyRequirement.REQUIRED, user_verification=_REQUIRED
            ),
            exclude_credentials=[PublicKeyCredentialDescriptor(id=one) for one in known],
        )
    )


def ask_to_use(site: Site, challenge: bytes) -> str:
    """Return what a browser needs to use one (JSON); the person chooses which."""
    return options_to_json(
        generate_authentication_options(rp_id=site.host, challenge=challenge, user_verification=_REQUIRED)
    )


def read_made(site: Site, answer: str, challenge: bytes) -> Made:
    """Verify that an authenticator made a passkey.

    Raises:
        TrustError: it does not hold.
    """
    try:
        found = verify_registration_response(
            credential=answer,
            expected_challenge=challenge,
            expected_rp_id=site.host,
            expected_origin=site.origin,
            require_user_verification=True,
        )
    except (WebAuthnException, ValueError, KeyError, TypeError) as cause:
        raise TrustError(f"the passkey does not hold: {type(cause).__name__}") from cause
    return Made(found.credential_id, found.credential_public_key, found.sign_count)


def read_credential(answer: str) -> tuple[bytes, bytes | None]:
    """Return which passkey an answer says it is of, and for whom; nothing is verified yet.

    Raises:
        TrustError: it cannot be read.
    """
    try:
        found = parse_authentication_credential_json(answer)
    except (WebAuthnException, ValueError, KeyError, TypeError) as cause:
        raise TrustError("the passkey's answer cannot be read") from cause
    return found.raw_id, found.response.user_handle


def read_use(site: Site, answer: str, challenge: bytes, *, public_key: bytes, uses: int) -> int:
    """Verify that an authenticator used a passkey just now; return how often it says it was.

    Raises:
        TrustError: it does not hold, or the authenticator counts less than before: there are two of it.
    """
    try:
        found = verify_authentication_response(
            credential=answer,
            expected_challenge=challenge,
            expected_rp_id=site.host,
            expected_origin=site.origin,
            credential_public_key=public_key,
            credential_current_sign_count=uses,
            require_user_verification=True,
        )
    except (WebAuthnException, ValueError, KeyError, TypeError) as cause:
        raise TrustError(f"the passkey does not hold: {type(cause).__name__}") from cause
    return found.new_sign_count
