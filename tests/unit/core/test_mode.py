import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keyfast.core.mode import SCHEMES, Mechanism, Mode, Modes

RINGS = ("", "labs", "offices")
ROWS = list(itertools.product(("", "labs"), (Mode.WINDOWS, Mode.OAUTH)))
TABLE = [frozenset(rows) for size in range(len(ROWS) + 1) for rows in itertools.combinations(ROWS, size)]


@pytest.mark.parametrize("rows", TABLE, ids=lambda rows: ",".join(sorted(f"{r or '*'}:{m}" for r, m in rows)) or "none")
@pytest.mark.parametrize("ring", RINGS, ids=lambda ring: ring or "*")
def test_a_ring_has_its_own_modes_or_everybody_s(rows, ring):
    own = {mode for name, mode in rows if name == ring}
    common = {mode for name, mode in rows if name == ""}
    assert Modes(rows).open_for(ring) == (own or common)


@given(st.frozensets(st.tuples(st.sampled_from(RINGS), st.sampled_from(list(Mode)))), st.sampled_from(list(Mode)))
def test_open_everywhere_means_open_for_any_ring(rows, mode):
    modes = Modes(rows)
    rings = (*RINGS, "a ring without rows")
    assert modes.everywhere(mode) == all(mode in modes.open_for(ring) for ring in rings)
    assert modes.anywhere(mode) == any(mode in modes.open_for(ring) for ring in RINGS)


def test_mechanisms_are_listed_strongest_first():
    assert tuple(SCHEMES) == (Mechanism.KERBEROS, Mechanism.NTLM, Mechanism.BASIC)
