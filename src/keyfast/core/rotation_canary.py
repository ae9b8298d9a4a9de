"""Who goes first: a canary in which every operating system and every ring is represented, as far as it is large enough.

What breaks only one kind of endpoint is to be met by the few that go first, not by all the others. Of those that are
alike, one that was heard lately goes first: nobody is to wait for a canary in a drawer.
"""

from collections.abc import Sequence

import msgspec

LATELY = 2 * 86_400
"""Seconds since its last check-in within which an endpoint is expected to answer soon."""


class Candidate(msgspec.Struct, frozen=True):
    """An endpoint that may go first.

    Attributes:
        os: operating system as its inventory names it, empty if none is known.
        ring: of its package.
        seen_at: when it checked in last, unix seconds.
    """

    id: str
    os: str
    ring: str
    seen_at: int


Stratum = tuple[str, str]
"""Operating system and ring."""


def canary(candidates: Sequence[Candidate], size: int, chance: float, now: int) -> tuple[str, ...]:
    """Choose the ids of ``size`` candidates, or of all if there are fewer; the same for the same chance.

    With at least as many places as there are operating systems and rings together, each is represented; with
    fewer, those with the most candidates are.

    Args:
        candidates: whom to choose from, each once.
        size: places, >= 0.
        chance: uniform random number in [0, 1): which of those that are alike.
        now: unix seconds.
    """
    strata: dict[Stratum, list[Candidate]] = {}
    for candidate in candidates:
        strata.setdefault((candidate.os, candidate.ring), []).append(candidate)
    waiting = {stratum: _in_turn(alike, chance, now - LATELY) for stratum, alike in strata.items()}
    chosen = [waiting[stratum].pop(0) for stratum in _cover(strata)[:size]]
    while len(chosen) < min(size, len(candidates)):
        turn = _largest_first(waiting)[: size - len(chosen)]
        chosen += [waiting[stratum].pop(0) for stratum in turn]
    return tuple(chosen)


def _in_turn(alike: Sequence[Candidate], chance: float, since: int) -> list[str]:
    lately = [candidate.id for candidate in alike if candidate.seen_at > since]
    others = [candidate.id for candidate in alike if candidate.seen_at <= since]
    return [*_from(lately, chance), *_from(others, chance)]


def _from(ids: Sequence[str], chance: float) -> list[str]:
    first = int(chance * len(ids))
    return [*ids[first:], *ids[:first]]


def _cover(strata: dict[Stratum, list[Candidate]]) -> list[Stratum]:
    """Strata that represent every operating system and every ring: always the one that adds most, then the largest."""
    left = {("os", os) for os, _ in strata} | {("ring", ring) for _, ring in strata}
    cover: list[Stratum] = []
    while left:
        best = min(strata, key=lambda stratum: (-len(left & _kinds(stratum)), -len(strata[stratum]), stratum))
        cover.append(best)
        left -= _kinds(best)
    return cover


def _kinds(stratum: Stratum) -> set[tuple[str, str]]:
    return {("os", stratum[0]), ("ring", stratum[1])}


def _largest_first(waiting: dict[Stratum, list[str]]) -> list[Stratum]:
    some = [stratum for stratum, ids in waiting.items() if ids]
    return sorted(some, key=lambda stratum: (-len(waiting[stratum]), stratum))
