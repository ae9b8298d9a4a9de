"""Roles of the installation's keys, and what each may sign. One table, asked by signers and verifiers."""

from enum import StrEnum

from keyfast.errors import TrustError


class Role(StrEnum):
    """What a key of the installation is for."""

    ROOT = "root"
    PROFILE = "profile"
    COMMAND = "command"
    TOKEN = "token"  # noqa: S105 - a name, not a secret
    RECEIPT = "receipt"


class KeyStatus(StrEnum):
    """``next`` is published and verifies, ``current`` also signs, ``previous`` still verifies."""

    NEXT = "next"
    CURRENT = "current"
    PREVIOUS = "previous"


DELEGATION_TYP = "keyfast-delegation+jwt"
ROOT_CHANGE_TYP = "keyfast-root+jwt"
PROFILE_TYP = "keyfast-profile+jwt"
COMMAND_TYP = "keyfast-command+jwt"
CHANGE_TYP = "keyfast-change+jwt"
PACKAGE_TYP = "keyfast-package+jwt"
ENROLMENT_TYP = "keyfast-enrolment+jwt"
RECEIPT_TYP = "keyfast-receipt+jwt"
TIME_TYP = "keyfast-time+jwt"
PROBE_TYP = "keyfast-probe+jwt"

SIGNS: dict[str, Role] = {
    DELEGATION_TYP: Role.ROOT,
    ROOT_CHANGE_TYP: Role.ROOT,
    PROFILE_TYP: Role.PROFILE,
    COMMAND_TYP: Role.COMMAND,
    CHANGE_TYP: Role.PROFILE,  # moves URL, trust and credentials: no routine key may
    PACKAGE_TYP: Role.PROFILE,  # vouches for root, URL and credentials: no routine key may
    ENROLMENT_TYP: Role.TOKEN,
    RECEIPT_TYP: Role.RECEIPT,
    TIME_TYP: Role.RECEIPT,
    PROBE_TYP: Role.RECEIPT,
}


def signer_of(typ: str) -> Role:
    """Return the role that signs statements of this type.

    Raises:
        TrustError: no role does.
    """
    try:
        return SIGNS[typ]
    except KeyError:
        raise TrustError(f"no key may sign a statement of type '{typ}'") from None
