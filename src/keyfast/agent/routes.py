"""Where to go, in order: every URL of every profile the endpoint holds, for ever."""

from collections.abc import Iterable
from dataclasses import dataclass, replace

from keyfast.agent.client_database import Record
from keyfast.agent.evidence import chain_of, profile_in, usable
from keyfast.core.change import ChangeState
from keyfast.core.mode import Mode
from keyfast.errors import TrustError

CURRENT, CANDIDATE, PREVIOUS, FACTORY = "current", "candidate", "previous", "factory"
OVERRIDE = "override"
ORDER = (CURRENT, CANDIDATE, PREVIOUS, FACTORY)


@dataclass(frozen=True, slots=True)
class Route:
    """One way to a server.

    Attributes:
        url: base URL without a slash at the end.
        ca: PEM of the authority to trust, empty for the operating system's.
        slot: which access profile named it, ``override`` for one that an installer was given.
        mechanisms: how a Windows logon may travel on it.
        known_as: URL by which the server knows itself, where that is another; proofs are made for it.
    """

    url: str
    ca: str
    slot: str
    mechanisms: tuple[str, ...] = ()
    known_as: str = ""

    @property
    def audience(self) -> str:
        """The URL that a proof for this route names."""
        return self.known_as or self.url


def routes(record: Record, extra: str = "") -> tuple[Route, ...]:
    """Return every route for ordinary check-ins, the most hopeful first.

    Args:
        record: as it is.
        extra: URL that an installer was given; empty if none.

    They all carry the access in use, so a profile of another mode names none. While a change is watched,
    only its own routes count: over the old ones it would seem to work.

    After failed tries the list is rotated, so that a server which answers but always refuses cannot
    keep the endpoint from one that would accept it.
    """
    watched = record.watch is not None and record.watch.state is ChangeState.COMMITTED
    ways = _named(record, (CURRENT,) if watched else (CURRENT, PREVIOUS, FACTORY), record.mode.value)
    if watched or (record.mode is Mode.WINDOWS and not all(way.ca for way in ways if way.slot == CURRENT)):
        # A password goes only to where the profile names the authority itself; the system's would do for anybody.
        extra = ""
    return _rotated(ways + _overridden(ways, extra), record.failures)


def _overridden(ways: tuple[Route, ...], extra: str) -> tuple[Route, ...]:
    """Return the route of a URL that nobody signed: the server there must be one that the profile in use trusts."""
    first = next((way for way in ways if way.slot == CURRENT), None)
    base = extra.rstrip("/")
    if first is None or not usable(base) or base in {way.url for way in ways}:
        return ()
    return (replace(first, url=base, slot=OVERRIDE, known_as=first.url),)


def candidate_routes(record: Record) -> tuple[Route, ...]:
    """Return the routes of the access that waits to be proven."""
    return _named(record, (CANDIDATE,))


def recovery_routes(record: Record, extra: str = "") -> tuple[Route, ...]:
    """Return every route the endpoint ever learned: a recovery needs no more than a server of its installation.

    Args:
        record: as it is.
        extra: URL that an installer was given; empty if none. No password travels in a recovery.
    """
    ways = _named(record, ORDER)
    asks = record.recovery.asks - 1 if record.recovery and record.recovery.asks else 0
    return _rotated(ways + _overridden(ways, extra), asks)


def same_servers(record: Record) -> bool:
    """Tell whether the access in use and the previous one have the same URLs, and trust the same authority there."""
    now, before = ({(way.url, way.ca) for way in _named(record, (slot,))} for slot in (CURRENT, PREVIOUS))
    return now == before


def _named(record: Record, slots: Iterable[str], mode: str = "") -> tuple[Route, ...]:
    chain = chain_of(record)
    found: dict[tuple[str, str], Route] = {}
    for slot in slots:
        statement: str = getattr(record.slots, slot)
        if not statement:
            continue
        try:
            profile = profile_in(chain, statement).profile
        except TrustError:
            continue  # a slot that does not hold is not used, and not erased either
        if mode and profile.mode != mode:
            continue
        for url in profile.urls:
            base = url.rstrip("/")
            found.setdefault((base, profile.ca), Route(base, profile.ca, slot, profile.mechanisms))
    return tuple(found.values())


def _rotated(ways: tuple[Route, ...], failures: int) -> tuple[Route, ...]:
    start = failures % len(ways) if ways else 0
    return ways[start:] + ways[:start]
