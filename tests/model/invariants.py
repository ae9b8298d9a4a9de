"""What must hold in every state that is visited, and in every step between two."""

from tests.model import server
from tests.model.moves import Move, is_obliged
from tests.model.rotating import rotation_of
from tests.model.rules import Rules
from tests.model.state import Endpoint, World

from keyfast.core.change import ChangeState
from keyfast.core.recovery import Act
from keyfast.core.rotation_evidence import LEFT_OUT, MOVED


def holds(rules: Rules):
    """Return a check for ``search`` of invariants I1 to I4."""

    def check(world: World, possible: list[Move]) -> None:
        for index in range(len(world.endpoints)):
            assert not is_obliged(world, index) or _has_something(rules, world, index), "I1"
        for move in possible:
            if move.label == "rotation: retired":
                assert _everyone_proved(world), "I2"
            if move.label == "image rolled back":
                continue
            for before, after in zip(world.endpoints, move.world.endpoints, strict=True):
                _keeps(before, after, move.label)

    return check


def _has_something(rules: Rules, world: World, index: int) -> bool:
    """I1: what an endpoint has on disk is accepted, for work or for recovery."""
    one = world.endpoints[index]
    held = (one.current, one.previous, one.change.access if one.change else None)
    if any(access and not server.refusal(rules, world, index, access) for access in held):
        return True
    keys = (key for key in range(one.keys.bit_length()) if one.keys >> key & 1)
    state = world.server.kept[index].state
    acts = (server.judged(rules.recover, server.caller_of(rules, world, index, key), state) for key in keys)
    return any(isinstance(act, Act) and act is not Act.HOLD for act in acts)


def _everyone_proved(world: World) -> bool:
    """I2: nothing is refused before each endpoint of the rotation committed to what comes after, or was left out."""
    plan = rotation_of(world.server).plan
    for kept in world.server.kept:
        uses = kept.access is not None and kept.access.mode.value == plan.from_mode
        if kept.row is None and uses and plan.source in {"", kept.access.account}:
            return False
        if kept.row is not None and kept.row.state not in MOVED | LEFT_OUT:
            return False
    return True


def _keeps(before: Endpoint, after: Endpoint, label: str) -> None:
    """I3: deleted is only on an order for an access that is verified; I4: numbers never go back."""
    assert before.keys & ~after.keys == 0, "I3: a device key was deleted"
    assert after.current is not None, "I3: the access in use was deleted"
    assert after.receipt is not None or before.receipt is None, "I3: a receipt was deleted"
    if before.previous is not None and after.previous is None:
        assert label.endswith("takes a change along"), "I3: deleted without an order"
        assert after.watch is not None, "I3"
        assert after.watch.state is ChangeState.VERIFIED, "I3: deleted before it was verified"
    assert (after.epoch, after.seq) >= (before.epoch, before.seq), "I4"
    if label.endswith("replayed"):
        assert after == before, "I4: a repeated command is a no-op"
