"""Where to go, in order: every URL of every profile the endpoint holds, for ever."""

from dataclasses import dataclass

from keyfast.agent.client_database import Record
from keyfast.agent.evidence import chain_of, profile_in
from keyfast.errors import TrustError

ORDER = ("current", "candidate", "previous", "factory")


@dataclass(frozen=True, slots=True)
class Route:
    """One way to a server.

    Attributes:
        url: base URL without a slash at the end.
        ca: PEM of the authority to trust, empty for the operating system's.
        slot: which access profile named it.
        mechanisms: how a Windows logon may travel on it.
    """

    url: str
    ca: str
    slot: str
    mechanisms: tuple[str, ...] = ()


def routes(record: Record) -> tuple[Route, ...]:
    """Return every route, the most hopeful first.

    After failed tries the list is rotated, so that a server which answers but always refuses cannot
    keep the endpoint from one that would accept it.
    """
    chain = chain_of(record)
    found: dict[tuple[str, str], Route] = {}
    for slot in ORDER:
        statement: str = getattr(record.slots, slot)
        if not statement:
            continue
        try:
            profile = profile_in(chain, statement).profile
        except TrustError:
            continue  # a slot that does not hold is not used, and not erased either
        for url in profile.urls:
            base = url.rstrip("/")
            found.setdefault((base, profile.ca), Route(base, profile.ca, slot, profile.mechanisms))
    ways = tuple(found.values())
    start = record.failures % len(ways) if ways else 0
    return ways[start:] + ways[:start]
