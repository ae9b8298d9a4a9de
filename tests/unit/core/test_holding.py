"""What a group holds, against what the server accepts."""

import pytest

from keyfast.core import holding
from keyfast.core.directory import Logon
from keyfast.core.generation import GenerationState as S
from keyfast.core.logon import GenerationStanding
from keyfast.core.mode import Mode, Modes
from keyfast.core.roll_call import Kind

NOW = 1_800_000_000
KEY = "CORP\\a"


def standing(number, state, **more):
    return GenerationStanding(KEY, number, 5, state, **more)


@pytest.mark.parametrize(
    ("state", "more", "accepted", "refused"),
    [
        (S.PROVEN, {}, True, False),
        (S.REFUSED, {}, False, True),
        (S.REFUSED, {"grace_ends_at": NOW + 1}, False, True),
        (S.IN_QUESTION, {}, False, True),
        (S.IN_QUESTION, {"grace_ends_at": NOW + 1}, True, False),
        (S.PROVEN, {"unusable": Logon.LOCKED}, False, True),
        (S.RETIRED, {}, False, False),
        (S.DESTROYED, {}, False, False),
    ],
)
def test_a_credential(state, more, accepted, refused):
    held = (standing(3, state, **more), standing(4, S.PROVEN), standing(5, S.PROVEN))
    told = holding.credential(f"{KEY} #3", held, NOW)
    assert told.accepted is accepted
    assert told.held == f"generation 3 of {KEY}"
    assert told.accepts == f"generation {'3, 4, 5' if accepted else '4, 5'} of {KEY}"
    assert ((Kind.CREDENTIAL, f"{KEY} #3") in holding.refused_credentials({KEY: held}, NOW)) is refused


def test_no_generation_is_accepted():
    told = holding.credential(f"{KEY} #1", (), NOW)
    assert (told.accepts, told.accepted) == (f"no generation of {KEY} on record", False)


def test_a_profile():
    assert holding.profile("2", {Mode.OAUTH: 2, Mode.WINDOWS: 3}).accepted
    told = holding.profile("1", {Mode.OAUTH: 2, Mode.WINDOWS: 3})
    assert not told.accepted
    assert told.accepts == "access profiles in force: 2 for oauth, 3 for windows"
    assert holding.profile("1", {}).accepts == "access profiles in force: none"


def test_a_mode():
    modes = Modes(frozenset({("", Mode.OAUTH), ("lab", Mode.WINDOWS)}))
    assert holding.mode("windows", modes).accepts == "mode windows is open for lab"
    assert holding.mode("oauth", modes).accepts == "mode oauth is open for every other ring"
    closed = holding.mode("anonymous", modes)
    assert (closed.accepts, closed.accepted) == ("open modes: oauth, windows", False)
    assert holding.closed_modes(modes) == {(Kind.MODE, "anonymous")}


def test_a_ring():
    modes = Modes(frozenset({("", Mode.OAUTH), ("lab", Mode.WINDOWS)}))
    assert holding.ring("lab", modes).accepts == "open modes: windows"
    assert holding.ring("lab", Modes(frozenset())).accepts == "open modes: none"
