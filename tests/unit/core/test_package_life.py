"""The life of a package's record, what stands against a package, and whom an allow-list names."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keyfast.core import package_standing, serials
from keyfast.core.generation import GenerationState
from keyfast.core.package_life import TABLE, PackageEvent, PackageState, step
from keyfast.core.package_standing import PackageFacts, PackageFault
from keyfast.errors import TransitionError, UsageError

NOW = 1_800_000_000


@pytest.mark.parametrize(("state", "event"), list(itertools.product(PackageState, PackageEvent)))
def test_an_unlisted_pair_raises(state, event):
    if (state, event) in TABLE:
        assert step(state, event) is TABLE[state, event]
    else:
        with pytest.raises(TransitionError, match=state):
            step(state, event)


def test_what_failed_or_was_revoked_never_enrols_again():
    for gone in (PackageState.FAILED, PackageState.REVOKED):
        assert {after for (before, _), after in TABLE.items() if before is gone} <= {gone}


def facts(state=PackageState.READY, **changes):
    plain = {"expires_at": NOW + 1, "uses": 1, "max_uses": 2}
    return PackageFacts(state, **(plain | changes))


@pytest.mark.parametrize(
    ("known", "expected"),
    [
        (facts(), ()),
        (facts(PackageState.BUILDING, expires_at=0, uses=0, max_uses=0), (PackageFault.BUILDING,)),
        (facts(PackageState.FAILED, expires_at=0, uses=0, max_uses=0), (PackageFault.FAILED,)),
        (facts(PackageState.REVOKED, expires_at=NOW), (PackageFault.REVOKED,)),
        (facts(expires_at=NOW), (PackageFault.EXPIRED,)),
        (facts(uses=2), (PackageFault.EXHAUSTED,)),
        (facts(account="CORP\\svc", generation=GenerationState.PROVEN), ()),
        (facts(account="CORP\\svc", generation=GenerationState.IN_QUESTION), (PackageFault.ACCOUNT_CHANGED,)),
        (facts(account="CORP\\svc"), (PackageFault.ACCOUNT_CHANGED,)),
        (
            facts(expires_at=0, uses=2, account="CORP\\svc", generation=GenerationState.RETIRED),
            (PackageFault.EXPIRED, PackageFault.EXHAUSTED, PackageFault.ACCOUNT_CHANGED),
        ),
    ],
)
def test_everything_that_stands_against_a_package_is_told(known, expected):
    found = package_standing.faults(known, NOW)
    assert found == expected
    assert package_standing.told(found).count(";") == max(len(expected) - 1, 0)


def test_each_fault_has_its_sentence():
    assert set(package_standing.SENTENCES) == set(PackageFault)


@given(st.lists(st.text(max_size=40)))
def test_an_allow_list_names_each_computer_once_however_it_is_spelled(lines):
    found = serials.listed(lines)
    assert found == serials.listed([*reversed(lines), *found])
    assert all(serials.plain(name) == name for name in found)
    assert list(found) == sorted(set(found))


def test_a_computer_is_found_by_either_name_and_never_by_none():
    assert serials.shown(" 5cg 123\n", "aa-bb") == ("5CG123", "AA-BB")
    assert serials.shown("", " ") == ()


@pytest.mark.parametrize("lines", [["x" * 129], [str(number) for number in range(serials.MAX_SERIALS + 1)]])
def test_an_allow_list_is_bounded(lines):
    with pytest.raises(UsageError):
        serials.listed(lines)
