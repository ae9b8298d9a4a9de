import itertools

import pytest

from keyfast.core.access import Access, Held, InForce, access_for, change_for, newest_proven
from keyfast.core.generation import GenerationState as S
from keyfast.core.mode import Mode

OWN, OTHER = "CORP\\svc-a", "CORP\\svc-b"
PROFILES = {Mode.OAUTH: 4, Mode.WINDOWS: 7}
BOTH = frozenset({Mode.OAUTH, Mode.WINDOWS})
GENERATIONS = {OWN: {1: S.RETIRED, 2: S.REFUSED, 3: S.PROVEN, 4: S.IN_QUESTION}, OTHER: {1: S.PROVEN}}


def now(profiles=PROFILES, generations=GENERATIONS, modes=BOTH):
    return InForce(profiles, generations, modes)


def windows(generation=3, account=OWN, profile=7, rotation=""):
    return Access(Mode.WINDOWS, profile, account, generation, rotation)


def oauth(profile=4, rotation=""):
    return Access(Mode.OAUTH, profile, rotation=rotation)


TARGETS = [windows(1, OTHER, 9, "r"), oauth(8, "r")]


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("held", [windows(), windows(9), oauth(), oauth(99)])
def test_a_rotation_s_target_is_what_an_endpoint_in_it_is_to_have(held, target):
    asked = Held(held, OWN)
    assert access_for(asked, target, now()) == target
    assert change_for(asked, target, now()) == target


@pytest.mark.parametrize("target", TARGETS)
def test_who_has_the_target_is_given_nothing(target):
    held = Held(Access(target.mode, target.profile_seq, target.account, target.generation), OWN)
    assert change_for(held, target, now()) is None


@pytest.mark.parametrize(("profile", "given"), [(3, True), (4, False), (5, False)])
def test_in_oauth_mode_a_newer_profile_is_given(profile, given):
    assert change_for(Held(oauth(profile)), None, now()) == (oauth() if given else None)


CELLS = [
    # generation held, profile held, refused -> given?
    *[((generation, 7, refused), True) for generation in (0, 1, 2, 4) for refused in (False, True)],
    ((3, 6, False), True),
    ((3, 7, False), False),
    ((3, 8, False), False),
    ((3, 7, True), True),  # a restored server may have given the number to another password
    ((5, 6, False), False),  # newer than anything on record: this server may have forgotten it
    ((5, 7, False), False),
    ((5, 7, True), True),
]


@pytest.mark.parametrize(("cell", "given"), CELLS)
def test_in_windows_mode_the_own_account_s_newest_proven_generation_is_given(cell, given):
    generation, profile, refused = cell
    held = Held(windows(generation, OWN, profile), OWN, refused=refused)
    assert change_for(held, None, now()) == (windows() if given else None)


@pytest.mark.parametrize(("refused", "account"), list(itertools.product([False, True], [OTHER, "CORP\\gone"])))
def test_nobody_is_given_another_account_than_the_one_on_record(refused, account):
    given = change_for(Held(windows(1, account), OWN, refused=refused), None, now())
    kept = account == OTHER and not refused  # this server may have forgotten that it moved there
    assert given == (None if kept else windows())


def test_without_an_account_that_works_there_is_nothing_to_give():
    assert access_for(Held(windows(), "CORP\\gone"), None, now()) is None
    assert change_for(Held(windows(), "CORP\\gone"), None, now()) is None


def test_without_a_profile_or_a_proven_password_there_is_nothing_to_give():
    assert access_for(Held(windows(), OWN), None, now(profiles={Mode.OAUTH: 4})) is None
    assert access_for(Held(windows(), OWN), None, now(generations={OWN: {1: S.REFUSED}})) is None
    assert access_for(Held(oauth()), None, now(profiles={Mode.WINDOWS: 7})) is None


def test_who_is_in_a_mode_that_is_closed_is_given_oauth_if_that_is_open():
    assert change_for(Held(windows(), OWN), None, now(modes=frozenset({Mode.OAUTH}))) == oauth()
    assert change_for(Held(windows(), OWN), None, now(modes=frozenset())) is None
    assert change_for(Held(oauth()), None, now(modes=frozenset({Mode.WINDOWS}))) is None


def test_who_moved_to_oauth_where_it_is_closed_is_given_its_account_back():
    """The server was restored from before OAuth was opened."""
    assert change_for(Held(oauth(9), OWN), None, now(modes=frozenset({Mode.WINDOWS}))) == windows()


def test_only_what_is_proven_is_handed_out():
    assert newest_proven({}) is None
    assert newest_proven({number: state for number, state in enumerate(S) if state is not S.PROVEN}) is None
    assert newest_proven({1: S.PROVEN, 2: S.PROVEN, 3: S.REFUSED}) == 2


def test_who_moved_to_oauth_and_came_back_with_an_older_disk_is_given_oauth_again():
    """Its record names no account any more, whatever its disk says; Windows mode is still open for others."""
    held = Held(windows(1), own_account="", refused=True)
    assert change_for(held, None, now()) == oauth()
    assert change_for(held, None, now(modes=frozenset({Mode.WINDOWS}))) is None
