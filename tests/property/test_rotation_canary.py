"""The canary: as large as it is to be, nobody twice, and everything represented that has room."""

from hypothesis import given
from hypothesis import strategies as st

from keyfast.core.rotation_canary import LATELY, Candidate, canary

NOW = 1_800_000_000
LONG_AGO = NOW - LATELY

SYSTEMS = st.sampled_from(["", "Debian", "Windows", "macOS"])
KINDS = st.lists(st.tuples(SYSTEMS, st.sampled_from("abcde"), st.sampled_from([NOW, LONG_AGO])), max_size=60)
CHANCE = st.floats(0, 1, exclude_max=True)


@given(kinds=KINDS, size=st.integers(0, 70), chance=CHANCE)
def test_a_canary_is_a_sample(kinds, size, chance):
    candidates = [Candidate(f"{number:02}", *kind) for number, kind in enumerate(kinds)]
    chosen = canary(candidates, size, chance, NOW)
    assert chosen == canary(candidates, size, chance, NOW)
    assert len(chosen) == len(set(chosen)) == min(size, len(candidates))
    by_id = {candidate.id: candidate for candidate in candidates}
    there = [by_id[one] for one in chosen]
    systems, rings = {one.os for one in candidates}, {one.ring for one in candidates}
    if size >= len(systems) + len(rings):
        assert {one.os for one in there} == systems
        assert {one.ring for one in there} == rings
    if there:  # the first brings a system and a ring, each further one what is missing
        represented = len({one.os for one in there}) + len({one.ring for one in there})
        assert represented >= min(len(there) + 1, len(systems) + len(rings))
    alike_and_left = {(one.os, one.ring) for one in candidates if one.seen_at == NOW and one.id not in chosen}
    assert not alike_and_left & {(one.os, one.ring) for one in there if one.seen_at == LONG_AGO}, (
        "whoever was heard goes first"
    )


def test_the_kinds_with_the_most_endpoints_are_met_where_not_all_have_room():
    kinds = [("Windows", "office")] * 90 + [("macOS", "office")] * 9 + [("Debian", "lab")]
    candidates = [Candidate(str(number), *kind, NOW) for number, kind in enumerate(kinds)]
    assert canary(candidates, 1, 0.0, NOW) == ("0",)
    assert canary(candidates, 2, 0.0, NOW) == ("0", "99")  # two kinds more at once
    assert canary(candidates, 3, 0.0, NOW) == ("0", "99", "90")
    assert canary(candidates, 3, 0.5, NOW) == ("45", "99", "94")


def test_nobody_waits_for_a_canary_in_a_drawer():
    candidates = [Candidate(str(number), "Windows", "office", NOW if number == 7 else LONG_AGO) for number in range(10)]
    assert canary(candidates, 2, 0.0, NOW) == ("7", "0")
    assert canary(candidates, 2, 0.9, NOW) == ("7", "9")
