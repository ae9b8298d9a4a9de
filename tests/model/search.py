"""Visit every state breadth-first, then go backwards from the good ones along what happens by itself."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise

from tests.model.moves import Bounds, Move, has_credential, is_obliged, moves, refusals, start
from tests.model.rules import Rules
from tests.model.state import World, in_order

from keyfast.errors import KeyfastError

RECORDED = "is put on record"
Check = Callable[[World, list[Move]], None]


@dataclass(frozen=True)
class Found:
    """What a search found.

    Attributes:
        states: visited.
        stranded: of those, an endpoint that was enrolled gets no more in by itself although a credential is on record.
        waiting: none is on record: somebody has to say the password first; from there it gets in by itself.
        hopeless: not even then.
        path: shortest path to the first stranded or hopeless state.
        seconds: it took.
    """

    states: int
    stranded: int
    waiting: int
    hopeless: int
    path: tuple[str, ...]
    seconds: float


class TooManyStatesError(KeyfastError):
    """The bounds are too wide."""


def search(rules: Rules, bounds: Bounds, *, check: Check | None = None, most: int = 3_000_000) -> Found:
    """Search; raise TooManyStatesError rather than to report on a part.

    ``check`` is told of every state with its moves, and raises what it finds.
    """
    began = time.perf_counter()
    first = start(bounds)
    numbers = {first: 0}
    worlds, parents, labels = [first], [-1], [""]
    back: list[list[int]] = [[]]
    recorded: list[tuple[int, int]] = []
    at = 0
    while at < len(worlds):
        possible = list(moves(rules, bounds, worlds[at]))
        if check is not None:
            check(worlds[at], possible)
        for move in possible:
            after = in_order(move.world)
            number = numbers.get(after)
            if number is None:
                number = numbers[after] = len(worlds)
                worlds.append(after)
                parents.append(at)
                labels.append(move.label)
                back.append([])
            if move.by_itself and number != at:
                back[number].append(at)
            elif move.label.endswith(RECORDED):
                recorded.append((at, number))
        at += 1
        if len(worlds) > most:
            raise TooManyStatesError(f"more than {most} states")
    graph = _Graph(worlds, parents, labels, back, recorded)
    return _judged(rules, bounds, graph, began)


@dataclass(frozen=True)
class _Graph:
    worlds: list[World]
    parents: list[int]
    labels: list[str]
    back: list[list[int]]
    recorded: list[tuple[int, int]]


def _judged(rules: Rules, bounds: Bounds, graph: _Graph, began: float) -> Found:
    said = [refusals(rules, world) for world in graph.worlds]
    stranded, waiting, hopeless = set(), set(), set()
    for index in range(bounds.endpoints):
        good = [number for number, found in enumerate(said) if not found[index]]
        returns = _backwards(good, graph.back, ())
        told = _backwards(good, graph.back, graph.recorded)
        for number, world in enumerate(graph.worlds):
            if returns[number] or not is_obliged(world, index):
                continue
            lost = stranded if has_credential(rules, world, index) else waiting if told[number] else hopeless
            lost.add(number)
    first = min(stranded | hopeless, default=0)
    path = _path(first, graph.parents, graph.labels)
    seconds = time.perf_counter() - began
    return Found(len(graph.worlds), len(stranded), len(waiting), len(hopeless - stranded), path, seconds)


def _backwards(good: list[int], back: list[list[int]], more) -> bytearray:
    also: dict[int, list[int]] = {}
    for before, after in more:
        also.setdefault(after, []).append(before)
    reached = bytearray(len(back))
    for number in good:
        reached[number] = 1
    todo = list(good)
    while todo:
        number = todo.pop()
        for before in (*back[number], *also.get(number, ())):
            if not reached[before]:
                reached[before] = 1
                todo.append(before)
    return reached


def _path(number: int, parents: list[int], labels: list[str]) -> tuple[str, ...]:
    steps = []
    while number > 0:
        steps.append(labels[number])
        number = parents[number]
    return tuple(_folded(steps[::-1]))


def _folded(steps: list[str]) -> list[str]:
    """Say what happens several times in a row once."""
    return [step for step, following in pairwise([*steps, ""]) if step != following]
