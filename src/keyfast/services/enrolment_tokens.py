"""What an enrolment token is worth: its signature, its mode, and what is on record of its package."""

from sqlalchemy.ext.asyncio import AsyncConnection

from keyfast.core.enrolment_reason import NOT_ON_RECORD
from keyfast.core.mode import Mode
from keyfast.core.refusal import Refusal, RefusalClass
from keyfast.core.serials import shown
from keyfast.errors import ForeignError, TrustError
from keyfast.services.authenticate import mode_refusal
from keyfast.services.live import Live
from keyfast.store import packages
from keyfast.trust.enrolment import TYP as ENROLMENT_TYP
from keyfast.trust.enrolment import EnrolmentToken, judge
from keyfast.wire.oauth import RegisterRequest


def enrolment_token(live: Live, statement: str, mode: Mode) -> EnrolmentToken | Refusal:
    """Verify an enrolment token, and that it lets an endpoint join in this mode."""
    token = any_enrolment_token(live, statement)
    if isinstance(token, Refusal):
        return token
    if token.mode != mode.value:
        return Refusal(
            RefusalClass.MODE_CLOSED,
            presented=f"an enrolment token of a package for the mode {token.mode}",
            expected=f"one for the mode {mode.value}",
            repair=f"keyfast package create --mode {mode.value}",
        )
    return mode_refusal(live, token.ring, mode) or token


def any_enrolment_token(live: Live, statement: str) -> EnrolmentToken | Refusal:
    """Verify an enrolment token, whatever its mode."""
    try:
        return live.keyset.verify(statement, ENROLMENT_TYP, EnrolmentToken)
    except ForeignError as cause:
        return Refusal(
            RefusalClass.FOREIGN_INSTALLATION,
            presented=f"an enrolment token: {cause.message}",
            expected=f"one issued by installation {live.installation.id}",
            repair="build a package on this server: keyfast package create",
        )
    except TrustError:
        return Refusal(RefusalClass.UNAUTHENTICATED, "the enrolment token does not verify")


async def void(conn: AsyncConnection, asked: RegisterRequest, token: EnrolmentToken, now: int) -> Refusal | None:
    """Tell whether a verified token lets this computer in, by what is on record of it; None if it does."""
    record = await packages.token(conn, token.jti)
    if record is None:
        return Refusal(RefusalClass.ENROLMENT_REVOKED, NOT_ON_RECORD)
    refusal = judge(token, now=now, uses=record.uses, revoked=record.revoked_at is not None)
    return refusal or await not_listed(conn, asked, token)


async def not_listed(conn: AsyncConnection, asked: RegisterRequest, token: EnrolmentToken) -> Refusal | None:
    """Refuse a computer that the package's allow-list does not name; None if there is none, or it does."""
    hardware = asked.keyfast_hardware
    names = shown(hardware.serial, hardware.smbios_uuid)
    if not token.listed or await packages.lists(conn, token.package, names):
        return None
    return Refusal(
        RefusalClass.ENROLMENT_NOT_LISTED,
        presented=f"a computer with serial number {hardware.serial or '(none)'}"
        f" and SMBIOS UUID {hardware.smbios_uuid or '(none)'}",
        expected=f"one that the allow-list of package {token.package} names",
        repair="keyfast package create --serials FILE",
    )
