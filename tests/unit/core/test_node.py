"""What a node must have read before a rotation offers anything."""

import pytest
from msgspec.structs import replace

from keyfast.core.node import Accepts, lacking
from keyfast.core.rotation_plan import Kind, Plan
from keyfast.core.rotation_state import Facts, Rotation

PASSWORD = Rotation(Plan(Kind.PASSWORD, mode="windows", source="CORP\\a", target="CORP\\b"), facts=Facts(generation=4))
OAUTH = Rotation(Plan(Kind.OAUTH, mode="oauth", source="CORP\\a", ring="lab"), facts=Facts(profile_seq=7))
TOKEN = Rotation(Plan(Kind.TOKEN_KEY))
READY = Accepts(
    profile_seq=7,
    modes=(("", "windows"), ("lab", "oauth"), ("lab", "windows")),
    generations=(("CORP\\a", 2), ("CORP\\b", 4)),
    token_keys=("k1", "k2"),
)


@pytest.mark.parametrize("rotation", [PASSWORD, OAUTH, TOKEN], ids=["password", "oauth", "token_key"])
def test_a_node_that_has_read_everything_lacks_nothing(rotation):
    assert lacking(READY, rotation, "k2") is None


@pytest.mark.parametrize(
    ("rotation", "missed", "what"),
    [
        (PASSWORD, {"generations": (("CORP\\a", 4), ("CORP\\b", 3))}, "generation 4 of CORP\\b"),
        (PASSWORD, {"modes": (("", "oauth"),)}, "mode windows"),
        (OAUTH, {"profile_seq": 6}, "access profile 7"),
        (OAUTH, {"modes": (("", "oauth"), ("lab", "windows"))}, "mode oauth"),
        (OAUTH, {"modes": (("", "windows"), ("lab", "oauth"))}, "mode windows"),
        (TOKEN, {"token_keys": ("k1",)}, "the next token key k2"),
    ],
)
def test_a_node_says_what_it_would_refuse_old_or_new(rotation, missed, what):
    assert lacking(replace(READY, **missed), rotation, "k2") == what


def test_nothing_is_lacking_of_what_is_not_there_yet():
    unprepared = replace(PASSWORD, facts=Facts())
    assert lacking(replace(READY, generations=()), unprepared, "") is None
    assert lacking(replace(READY, token_keys=()), TOKEN, "") is None
