"""Which logons an endpoint is offered: decided from what is known, before any password is tried.

A password that is known to be stale is never tried again: every wrong try counts toward the lockout of
the account that the whole fleet shares. For a while after a change the directory still grants the
previous password over NTLM and Basic, but not over Kerberos, where each try counts.
"""

from collections.abc import Sequence

import msgspec

from keyfast.core.directory import AccountReading, Logon
from keyfast.core.generation import GONE, GenerationState
from keyfast.core.mode import Mechanism
from keyfast.core.refusal import Refusal, RefusalClass

ASK_AGAIN_SECONDS = 900
"""When an endpoint may ask again after a refusal for which no password was tried."""

SPARE_TRIES = 3
"""Wrong passwords that must still be free before one is risked."""

IN_GRACE = frozenset({Mechanism.NTLM, Mechanism.BASIC})

SENTENCES: dict[Logon, str] = {
    Logon.WRONG_PASSWORD: "the directory refuses the account's password",
    Logon.EXPIRED: "the account's password has expired",
    Logon.MUST_CHANGE: "the account's password must be changed at the next logon",
    Logon.DISABLED: "the account is disabled",
    Logon.LOCKED: "the account is locked out",
    Logon.ACCOUNT_EXPIRED: "the account has expired",
    Logon.HOURS: "the account's logon hours do not allow it",
    Logon.WORKSTATION: "the account may not log on from this server",
    Logon.OTHER: "the directory refuses the account",
}


class GenerationStanding(msgspec.Struct, frozen=True):
    r"""What is known of the generation an endpoint holds.

    Attributes:
        account: ``DOMAIN\\name``.
        generation: the endpoint's.
        newest: the newest generation on record.
        state: None for a generation that is not on record.
        grace_ends_at: until when its password may still be granted over NTLM and Basic, unix seconds.
        unusable: what the directory would say to the right password, None if it would grant it.
    """

    account: str
    generation: int
    newest: int
    state: GenerationState | None
    grace_ends_at: int = 0
    unusable: Logon | None = None


def offer(standing: GenerationStanding, configured: Sequence[Mechanism], now: int) -> tuple[Mechanism, ...] | Refusal:
    """Return the mechanisms to offer, strongest first, or why no logon makes sense now."""
    if standing.state in GONE:
        return retired(standing)
    if standing.unusable is not None:
        return refused(standing, standing.unusable)
    if standing.state is GenerationState.PROVEN or (standing.state is None and standing.generation > standing.newest):
        return tuple(configured)  # above the newest on record: not stale, this server went back in time
    in_grace = tuple(mechanism for mechanism in configured if mechanism in IN_GRACE)
    if now < standing.grace_ends_at and in_grace:
        return in_grace
    return refused(standing, Logon.WRONG_PASSWORD)


def tries_at_once(readings: Sequence[AccountReading]) -> int | None:
    """Return how many tries of an account's password may be under way at the same time, None for any number.

    All of them may be wrong. What could not be read is taken for the worst.
    """
    bearable = [_bearable(reading) for reading in readings if reading.lockout_threshold != 0]
    if not readings:
        return 1
    return min(bearable, default=None)


def _bearable(reading: AccountReading) -> int:
    left = (reading.lockout_threshold or 0) - reading.bad_passwords
    return max(1, left - SPARE_TRIES)


def retired(standing: GenerationStanding) -> Refusal:
    """The refusal of a generation that serves recovery only; the account itself is not looked at."""
    return Refusal(
        RefusalClass.RETIRED_GENERATION,
        "a rotation retired this credential generation; the device key gets the endpoint a newer one",
        presented=f"credential generation {standing.generation} of {standing.account}",
        expected=f"credential generation {standing.newest}" if standing.newest > standing.generation else "",
    )


def refused(standing: GenerationStanding, why: Logon) -> Refusal:
    """The refusal of a logon that was not tried; the endpoint may ask again soon, since asking costs nothing."""
    older = f"; it has changed since: this is generation {standing.generation} of {standing.newest}"
    return Refusal(
        RefusalClass.ACCOUNT_REFUSED,
        SENTENCES[why] + (older if why is Logon.WRONG_PASSWORD and standing.newest > standing.generation else ""),
        presented=f"credential generation {standing.generation} of {standing.account}",
        expected=f"credential generation {standing.newest}" if standing.newest > standing.generation else "",
        repair=f"keyfast account check {standing.account}",
        retry_after=ASK_AGAIN_SECONDS,
    )
