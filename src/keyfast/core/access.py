r"""Which access an endpoint is to have: mode, access profile, account and credential generation.

The target of the rotation it is in, or else what is in force for how it authenticates already: the profile of
its mode, and in Windows mode the newest proven generation of its own account. An endpoint is only ever given
the account that is on record for it, whatever it says that it holds. No secret is in any of this.
"""

from collections.abc import Mapping

import msgspec

from keyfast.core.generation import GenerationState
from keyfast.core.mode import Mode


class Access(msgspec.Struct, frozen=True):
    r"""An access.

    Attributes:
        mode: authentication mode.
        profile_seq: number of the access profile; numbers are never reused and rise over epochs too.
        account: ``DOMAIN\name``, empty but in Windows mode.
        generation: credential generation of that account.
        rotation: id of the rotation that wants it, empty if none does.
    """

    mode: Mode
    profile_seq: int
    account: str = ""
    generation: int = 0
    rotation: str = ""


class Held(msgspec.Struct, frozen=True):
    """What an endpoint has.

    Attributes:
        access: as it says itself, or else as it is on record.
        own_account: account that is on record for it, empty if none.
        refused: its account was refused when it last tried it.
    """

    access: Access
    own_account: str = ""
    refused: bool = False


class InForce(msgspec.Struct, frozen=True):
    """What is in force for an endpoint.

    Attributes:
        profiles: number of the access profile in force for each mode that has one.
        generations: state of each generation on record, for each account that can log on now.
        modes: modes that are open for its ring.
    """

    profiles: Mapping[Mode, int]
    generations: Mapping[str, Mapping[int, GenerationState]]
    modes: frozenset[Mode]


def access_for(held: Held, target: Access | None, now: InForce) -> Access | None:
    """Return the access an endpoint is to have; None if there is none that would work.

    A mode that is closed for its ring does not work; OAuth, if it is open, does for every endpoint, since
    it needs the device key alone. Who has no account on record has moved to OAuth, and came back with an
    older disk if it says otherwise.
    """
    if target is not None:
        return target
    by_windows = Mode.WINDOWS in now.modes and bool(held.own_account)
    if held.access.mode is Mode.WINDOWS and by_windows:
        return _by_account(held.own_account, now)
    if Mode.OAUTH in now.modes and Mode.OAUTH in now.profiles:
        return Access(Mode.OAUTH, now.profiles[Mode.OAUTH])
    # A server that was restored from before OAuth was opened still has the endpoint's account.
    return _by_account(held.own_account, now) if by_windows else None


def change_for(held: Held, target: Access | None, now: InForce) -> Access | None:
    """Return the access an endpoint is to be given; None if it has that already, or something newer.

    A number says little about a password: a server that was restored gives the number of a password that it
    forgot to the next one. Who was refused with the right number gets what is behind it once more.
    """
    wanted = access_for(held, target, now)
    if wanted is None:
        return None
    if same(wanted, held.access):
        return wanted if held.refused else None
    if target is not None or wanted.mode is not held.access.mode:
        return wanted
    if (wanted.account, wanted.generation) != (held.access.account, held.access.generation):
        return None if _may_be_newer(held, now) else wanted
    return wanted if wanted.profile_seq > held.access.profile_seq else None


def same(wanted: Access, held: Access) -> bool:
    """Tell whether two accesses are the same one, whichever rotation wants it."""
    return (wanted.mode, wanted.profile_seq, wanted.account, wanted.generation) == (
        held.mode,
        held.profile_seq,
        held.account,
        held.generation,
    )


def newest_proven(generations: Mapping[int, GenerationState]) -> int | None:
    """Return the newest generation whose password works."""
    proven = [number for number, state in generations.items() if state is GenerationState.PROVEN]
    return max(proven, default=None)


def _by_account(account: str, now: InForce) -> Access | None:
    generation = newest_proven(now.generations.get(account, {}))
    if generation is None or Mode.WINDOWS not in now.profiles:
        return None
    return Access(Mode.WINDOWS, now.profiles[Mode.WINDOWS], account, generation)


def _may_be_newer(held: Held, now: InForce) -> bool:
    """Whether it holds an account or a generation that this server may only have forgotten that it gave."""
    known = now.generations.get(held.access.account)
    if held.refused or known is None:
        return False
    return held.access.account != held.own_account or held.access.generation > max(known, default=0)
