"""Nobody is stranded in any state that is reached; without any one rule somebody is, or another rule covers it.

See docs/security/rotation-model.md, whose tables these tests compare with what they find, or write.
"""

import pytest
from tests.model import page
from tests.model.invariants import holds
from tests.model.moves import Bounds, Move
from tests.model.rotating import rotation_of
from tests.model.rules import Rules
from tests.model.search import Found, search
from tests.model.state import World
from tests.model.variants import LARGE, VARIANTS, WORLDS, Variant, rules_of

from keyfast.core import rotation_guards as guards
from keyfast.core.change import ChangeState
from keyfast.core.generation import GenerationState
from keyfast.core.rotation_state import RotationState

ALL = {**WORLDS, **LARGE}
slow = pytest.mark.slow
BIG = pytest.mark.timeout(600)


def _case(name: str, *, large: bool):
    return pytest.param(name, marks=[slow, BIG] if large else [], id=name)


def _said(title: str, found: Found) -> None:
    lost = found.stranded + found.hopeless
    print(f"{title}: {found.states:,} states, {lost:,} stranded, {found.seconds:.1f} s")  # noqa: T201 - shown by -s


@pytest.mark.parametrize("world", [*(_case(n, large=False) for n in WORLDS), *(_case(n, large=True) for n in LARGE)])
def test_nobody_is_stranded(world: str):
    found = search(Rules(), ALL[world], check=holds(Rules()))
    _said(world, found)
    assert (found.stranded, found.hopeless) == (0, 0), found.path
    page.stands("worlds", page.row(world, found.states, 0, found.waiting), [*WORLDS, *LARGE])


@pytest.mark.parametrize(
    "variant",
    [pytest.param(v, marks=[slow, BIG] if v.world in LARGE else [], id=v.title) for v in VARIANTS],
)
def test_each_rule_is_needed_or_covered(variant: Variant):
    bounds = ALL[variant.world]
    found = search(rules_of(variant), bounds)
    _said(variant.title, found)
    order = [line for one in VARIANTS for line in _titles(one)]
    _stands(_titles(variant)[0], variant, found, order)
    if variant.cover is None:
        assert found.stranded + found.hopeless > 0, "this rule seems not to be needed"
        return
    assert found.stranded + found.hopeless == 0, found.path
    other = search(rules_of(variant, cover=True, only_cover=True), bounds)
    assert other.stranded + other.hopeless == 0, other.path
    both = search(rules_of(variant, cover=True), bounds)
    _said(_titles(variant)[1], both)
    assert both.stranded + both.hopeless > 0, "something else covers it"
    _stands(_titles(variant)[1], variant, both, order)


def _titles(variant: Variant) -> tuple[str, ...]:
    return (variant.title, f"{variant.title}, nor {variant.cover[0]}") if variant.cover else (variant.title,)


def _stands(title: str, variant: Variant, found: Found, order: list[str]) -> None:
    path = page.told(found) if found.path else f"covered by {variant.cover[0]}"
    line = page.row(title, variant.world, found.states, found.stranded + found.hopeless, path)
    page.stands("variants", line, order)


def test_the_model_gets_everywhere():
    """A search that never came to a phase would prove nothing about it."""
    phases, changes, generations, labels = set(), set(), set(), set()

    def see(world: World, possible: list[Move]) -> None:
        one = rotation_of(world.server)
        phases.add(one.state if one else None)
        changes.update(held.state for end in world.endpoints for held in (end.change, end.watch) if held)
        generations.update(state for known in world.server.generations for state, _ in known)
        labels.update(move.label for move in possible)

    for name in ("rotation", "rotation, target changed", "both ways", "two endpoints"):
        search(Rules(), WORLDS[name], check=see)
    # These two end in the step that reaches them: a rotation that is over is let go of at once.
    assert phases >= set(RotationState) - {RotationState.DONE, RotationState.ABANDONED}
    assert {"rotation: finished", "rotation: abandoned", "rotation: returned", "rotation: retrusted"} <= labels
    assert changes == set(ChangeState)
    assert generations >= set(GenerationState) - {GenerationState.IN_QUESTION}  # asked and answered in one step


LATE = frozenset({guards.everyone_verified})


@pytest.mark.parametrize(
    "missing",
    [{"may_erase": lambda state: True}, {"may_erase": lambda state: True, "without_guards": LATE}],
    ids=["the endpoint's rule", "both rules"],
)
def test_erasing_before_the_new_access_is_verified_is_noticed(missing: dict):
    rules = Rules(**missing)
    with pytest.raises(AssertionError, match="I3: deleted before it was verified"):
        search(rules, WORLDS["rotation"], check=holds(rules))


def test_an_endpoint_does_not_erase_early_whatever_the_server_says():
    rules = Rules(without_guards=LATE)
    found = search(rules, WORLDS["rotation"], check=holds(rules))
    assert (found.stranded, found.hopeless) == (0, 0)


def test_the_administrator_may_leave_nothing_but_a_password_to_say():
    found = search(Rules(), Bounds(changes=1, lost=False))
    assert found.waiting > 0
    assert found.stranded == found.hopeless == 0
