"""What one server process accepts, as it says itself; no rotation offers what one of them would refuse (I8).

Several servers may share one database. Each reads keys, modes and accounts again every few seconds, and one
that cannot goes on with what it knows: only its own word tells what it would say to an endpoint.
"""

import msgspec

from keyfast.core.mode import Mode, Modes
from keyfast.core.rotation_plan import Kind
from keyfast.core.rotation_state import Rotation


class Accepts(msgspec.Struct, frozen=True):
    r"""What a node has read.

    Attributes:
        profile_seq: highest number of any access profile.
        modes: ring and authentication mode of each that is open; the ring "" is every other one.
        generations: account (``DOMAIN\name``) and number of each credential generation not refused by decision.
        token_keys: ids of the keys whose access tokens it takes.
    """

    profile_seq: int = 0
    modes: tuple[tuple[str, str], ...] = ()
    generations: tuple[tuple[str, int], ...] = ()
    token_keys: tuple[str, ...] = ()


class Node(msgspec.Struct, frozen=True):
    """A process that endpoints speak to (times in unix seconds).

    Attributes:
        name: host name and port.
        started_at: when it began to serve.
        seen_at: when it last said what it accepts.
        accepts: what it said.
    """

    name: str
    started_at: int
    seen_at: int
    accepts: Accepts


def lacking(accepts: Accepts, rotation: Rotation, next_key: str) -> str | None:
    """Say what a node would refuse of what a rotation needs, old and new; None if nothing.

    Args:
        accepts: what the node has read.
        rotation: the rotation; ``facts`` name its profile and generation.
        next_key: id of the next token key, empty if none is published.
    """
    plan, facts = rotation.plan, rotation.facts
    if plan.kind is Kind.TOKEN_KEY:
        return f"the next token key {next_key}" if next_key and next_key not in accepts.token_keys else None
    if facts.profile_seq > accepts.profile_seq:
        return f"access profile {facts.profile_seq}"
    opened = Modes(frozenset((ring, Mode(mode)) for ring, mode in accepts.modes)).open_for(plan.ring)
    wanted = (mode for mode in (plan.mode, plan.from_mode) if mode and Mode(mode) not in opened)
    if (closed := next(wanted, None)) is not None:
        return f"mode {closed}"
    if plan.uses_account and facts.generation and (plan.target, facts.generation) not in accepts.generations:
        return f"generation {facts.generation} of {plan.target}"
    return None
