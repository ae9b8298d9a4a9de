"""What a group of endpoints holds, against what the server accepts now."""

from collections.abc import Mapping, Sequence

import msgspec

from keyfast.core.generation import GONE, GenerationState
from keyfast.core.logon import GenerationStanding, offer
from keyfast.core.mode import Mechanism, Mode, Modes
from keyfast.core.refusal import Refusal
from keyfast.core.roll_call import Key, Kind, credential_name, credential_of


class Holding(msgspec.Struct, frozen=True):
    """One thing held, and what is accepted of its kind; sentences.

    Attributes:
        accepted: whether what is held is accepted; None if that is no question of accepting.
    """

    held: str
    accepts: str
    accepted: bool | None = None


def accepted_generations(standings: Sequence[GenerationStanding], now: int) -> tuple[int, ...]:
    """Return the generations of an account with which a logon can succeed now, by some mechanism."""
    return tuple(found.generation for found in standings if _accepted(found, now))


def refused_credentials(standings: Mapping[str, Sequence[GenerationStanding]], now: int) -> frozenset[Key]:
    """Return the groups whose credential is known to be refused, and not by a decision of this server."""
    return frozenset(
        (Kind.CREDENTIAL, credential_name(account, found.generation))
        for account, held in standings.items()
        for found in held
        if found.state not in GONE and not _accepted(found, now)
    )


def closed_modes(modes: Modes) -> frozenset[Key]:
    """Return the groups whose authentication mode is open for nobody."""
    return frozenset((Kind.MODE, found.value) for found in Mode if not modes.anywhere(found))


def credential(name: str, standings: Sequence[GenerationStanding], now: int) -> Holding:
    """Say what a group holds that has one generation of an account's password."""
    account, generation = credential_of(name)
    good = accepted_generations(standings, now)
    accepts = f"generation {_listed(good)} of {account}" if good else f"no generation of {account} on record"
    return Holding(f"generation {generation} of {account}", accepts, generation in good)


def profile(name: str, in_force: Mapping[Mode, int]) -> Holding:
    """Say what a group holds that has one access profile."""
    told = ", ".join(f"{seq} for {mode}" for mode, seq in sorted(in_force.items())) or "none"
    return Holding(f"access profile {name}", f"access profiles in force: {told}", int(name) in in_force.values())


def mode(name: str, modes: Modes) -> Holding:
    """Say what a group holds that uses one authentication mode."""
    rings = sorted(ring or "every other ring" for ring, found in modes.rows if found.value == name)
    every = sorted({found.value for _, found in modes.rows})
    accepts = f"mode {name} is open for {', '.join(rings)}" if rings else f"open modes: {_listed(every)}"
    return Holding(f"authentication mode {name}", accepts, bool(rings))


def ring(name: str, modes: Modes) -> Holding:
    """Say what is open for a ring."""
    return Holding(f"ring {name}", f"open modes: {_listed(sorted(found.value for found in modes.open_for(name)))}")


def _accepted(standing: GenerationStanding, now: int) -> bool:
    """Whether a logon can succeed by some mechanism; one that the directory denied cannot, grace or not."""
    offered = offer(standing, tuple(Mechanism), now)
    return standing.state is not GenerationState.REFUSED and not isinstance(offered, Refusal)


def _listed(found: Sequence[object]) -> str:
    return ", ".join(map(str, found)) or "none"
