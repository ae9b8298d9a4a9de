"""Everything that will end, and whom it leaves behind. Pure; times are unix seconds.

What never ends by itself is not in it: signing keys, delegations, root changes and device keys have no end date, and no
policy locks an endpoint for lack of contact.
"""

from collections.abc import Iterator, Mapping, Sequence
from enum import StrEnum

import msgspec

from keyfast.core.account import DAY, is_over
from keyfast.core.directory import AccountReading
from keyfast.core.powershell import quoted
from keyfast.core.visible import visible


class Thing(StrEnum):
    """What ends."""

    PASSWORD = "password"  # noqa: S105 - a name, not a secret
    ACCOUNT = "account"
    LOCKOUT = "lockout"
    GRACE = "grace"
    WINDOW = "window"
    SERVER_CERTIFICATE = "server-certificate"
    AUTHORITY = "authority"
    DIRECTORY_AUTHORITY = "directory-authority"
    ENROLMENT = "enrolment"
    SIGNING_CERTIFICATE = "signing-certificate"


class Ending(msgspec.Struct, frozen=True):
    """One thing that will end, or has ended.

    Attributes:
        thing: what kind.
        name: which; safe to show.
        at: when.
        strands: endpoints that cannot check in from then on.
        sentence: what happens then.
        command: what prevents it; empty if that happens by itself or nothing can.
    """

    thing: Thing
    name: str
    at: int
    strands: int
    sentence: str
    command: str = ""

    def days(self, now: int) -> int:
        """Whole days until then, negative when it is past."""
        return (self.at - now) // DAY


class AccountFacts(msgspec.Struct, frozen=True):
    r"""What is known of an account.

    Attributes:
        key: ``DOMAIN\name``.
        reading: of the domain controller that lags least, None if none was read.
        history: earlier readings of the same domain controller and it, oldest first.
        holders: endpoints by the generation that they hold.
        grace: when the directory stops taking a former password, by generation.
    """

    key: str
    reading: AccountReading | None = None
    history: tuple[AccountReading, ...] = ()
    holders: Mapping[int, int] = {}
    grace: Mapping[int, int] = {}

    @property
    def endpoints(self) -> int:
        """Everybody behind the account."""
        return sum(self.holders.values())


class CertificateEnd(msgspec.Struct, frozen=True):
    """A certificate: what it is, where it is kept, when it ends, and whether this server renews it itself."""

    thing: Thing
    name: str
    ends_at: int
    renewed: bool = False


class TokenEnd(msgspec.Struct, frozen=True):
    """An enrolment token: its package, when it ends, how many may still enrol, and how many have."""

    package: str
    ends_at: int
    remaining: int
    uses: int


class WindowEnd(msgspec.Struct, frozen=True):
    """A recovery window: its id, its deadline, and how many endpoints have not come back through it."""

    id: str
    deadline: int
    missing: int


class Facts(msgspec.Struct, frozen=True):
    """What a forecast is made of; ``endpoints`` is how many check in at this server."""

    endpoints: int = 0
    accounts: tuple[AccountFacts, ...] = ()
    certificates: tuple[CertificateEnd, ...] = ()
    tokens: tuple[TokenEnd, ...] = ()
    window: WindowEnd | None = None


def forecast(facts: Facts, now: int, days: int | None = None) -> tuple[Ending, ...]:
    """Return everything that ends, the first first; with ``days`` only what ends within so many."""
    found = [ending for account in facts.accounts for ending in of_account(account, now)]
    found += [_certificate(certificate, facts.endpoints) for certificate in facts.certificates]
    found += [_token(token) for token in facts.tokens]
    if facts.window is not None:
        found.append(_window(facts.window))
    within = (ending for ending in found if days is None or ending.at <= now + days * DAY)
    return tuple(sorted(within, key=lambda ending: (ending.at, ending.thing, ending.name)))


def of_account(facts: AccountFacts, now: int) -> Iterator[Ending]:
    """What ends of an account."""
    reading, who = facts.reading, quoted(visible(facts.key.rpartition("\\")[2]))
    if reading is not None and reading.exists:
        yield from _of_reading(facts, reading, who, now)
    for generation, at in sorted(facts.grace.items()):
        holders = facts.holders.get(generation, 0)
        if at > now and holders:
            yield Ending(
                Thing.GRACE,
                f"{visible(facts.key)} #{generation}",
                at,
                holders,
                "domain controllers stop taking the former password over NTLM and Basic",
                f"keyfast recover --account {quoted(visible(facts.key))}",
            )


def _of_reading(facts: AccountFacts, reading: AccountReading, who: str, now: int) -> Iterator[Ending]:
    name, endpoints = visible(facts.key), facts.endpoints
    if reading.password_expires_at is not None:
        over = is_over(reading.password_expires_at, now)
        sentence = "its password has expired" if over else "its password expires"
        never = f"Set-ADUser -Identity {who} -PasswordNeverExpires $true"
        yield Ending(Thing.PASSWORD, name, reading.password_expires_at, endpoints, sentence, never)
    if reading.expires_at is not None:
        sentence = "the account has expired" if is_over(reading.expires_at, now) else "the account itself expires"
        clear = f"Clear-ADAccountExpiration -Identity {who}"
        yield Ending(Thing.ACCOUNT, name, reading.expires_at, endpoints, sentence, clear)
    locked_at = lockout_at((*facts.history, reading), now)
    if locked_at is not None:
        sentence = (
            f"wrong passwords lock it if they go on coming as they do: {reading.bad_passwords} of"
            f" {reading.lockout_threshold} are counted"
        )
        look = f"Get-ADUser -Identity {who} -Properties badPwdCount,LastBadPasswordAttempt"
        yield Ending(Thing.LOCKOUT, name, locked_at, endpoints, sentence, look)


def lockout_at(readings: Sequence[AccountReading], now: int) -> int | None:
    """Return when wrong passwords lock an account if they go on coming as they do, None if they do not.

    The rate is that since the count last began to rise; a count that fell was set back by a good logon.

    Args:
        readings: of one domain controller, oldest first.
        now: the present.
    """
    if not readings:
        return None
    last = readings[-1]
    if not last.lockout_threshold or last.locked:
        return None
    first = last
    for reading in reversed(readings[:-1]):
        if reading.bad_passwords > first.bad_passwords:
            break
        if reading.bad_passwords < first.bad_passwords:
            first = reading
    rise, time = last.bad_passwords - first.bad_passwords, last.read_at - first.read_at
    missing = last.lockout_threshold - last.bad_passwords
    if rise <= 0 or time <= 0 or missing <= 0:
        return None
    return max(now, last.read_at + -(-missing * time // rise))


_CERTIFICATES: dict[Thing, tuple[str, str]] = {
    Thing.SERVER_CERTIFICATE: (
        "no endpoint trusts the server from then on",
        "put a certificate of the same names by the same authority in its place",
    ),
    Thing.AUTHORITY: (
        "no certificate of it is trusted any more: endpoints need another authority before that",
        "keyfast rotation plan address --ca NEWER.pem",
    ),
    Thing.DIRECTORY_AUTHORITY: (
        "domain controllers are not trusted any more: accounts are not read, and Basic logons are not judged",
        "put the newer authority's certificate into directory.ca",
    ),
    Thing.SIGNING_CERTIFICATE: (
        "packages cannot be signed any more; those that are signed stay good by their time stamp or not at all",
        "put another one into packages.signing_certificate, or let the server make its own",
    ),
}
_STRANDING = frozenset({Thing.SERVER_CERTIFICATE, Thing.AUTHORITY})


def _certificate(found: CertificateEnd, endpoints: int) -> Ending:
    sentence, command = _CERTIFICATES[found.thing]
    if found.renewed:
        return Ending(found.thing, found.name, found.ends_at, 0, "the server renews it by itself before that")
    strands = endpoints if found.thing in _STRANDING else 0
    return Ending(found.thing, found.name, found.ends_at, strands, sentence, command)


def _token(found: TokenEnd) -> Ending:
    sentence = (
        f"computers cannot join by it any more: {found.remaining:,} still may; the {found.uses:,} that have, stay"
    )
    return Ending(Thing.ENROLMENT, f"package {found.package}", found.ends_at, 0, sentence, "keyfast package create")


def _window(found: WindowEnd) -> Ending:
    sentence = f"it closes by itself; {found.missing:,} endpoints have not come back through it"
    return Ending(Thing.WINDOW, f"window {found.id}", found.deadline, found.missing, sentence, "keyfast window watch")
