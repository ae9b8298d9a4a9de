import itertools

import pytest

from keyfast.core.directory import AccountReading, Logon
from keyfast.core.generation import GONE, GenerationState
from keyfast.core.logon import ASK_AGAIN_SECONDS, IN_GRACE, SENTENCES, GenerationStanding, offer, tries_at_once
from keyfast.core.mode import Mechanism
from keyfast.core.refusal import Refusal, RefusalClass

NOW = 1_800_000_000
ALL = tuple(Mechanism)
S = GenerationState
STATES = (*S, None)
GRACES = (0, NOW - 1, NOW, NOW + 1)
UNUSABLE = (None, *(logon for logon in Logon if logon is not Logon.GRANTED))
OFFERS = [tuple(chosen) for size in range(4) for chosen in itertools.combinations(ALL, size)]


def standing(state=S.PROVEN, grace_ends_at=0, unusable=None, generation=1, newest=2):
    return GenerationStanding("CORP\\svc-see", generation, newest, state, grace_ends_at, unusable)


@pytest.mark.parametrize(("state", "ends", "unusable"), list(itertools.product(STATES, GRACES, UNUSABLE)))
def test_every_standing_is_offered_what_can_succeed_and_nothing_else(state, ends, unusable):
    for configured in OFFERS:
        told = offer(standing(state, ends, unusable), configured, NOW)
        graced = tuple(found for found in configured if found is not Mechanism.KERBEROS)
        if state in GONE:
            assert isinstance(told, Refusal)
            assert told.kind is RefusalClass.RETIRED_GENERATION
        elif unusable is not None:
            assert isinstance(told, Refusal)
            assert told.detail.startswith(SENTENCES[unusable])
        elif state is S.PROVEN:
            assert told == configured
        elif ends > NOW and graced:
            assert told == graced
        else:
            assert isinstance(told, Refusal)
            assert told.detail.startswith(SENTENCES[Logon.WRONG_PASSWORD])


def test_a_stale_password_never_meets_kerberos_where_each_try_counts():
    assert Mechanism.KERBEROS not in IN_GRACE


def test_a_refusal_says_which_generation_is_expected_and_when_to_ask_again():
    told = offer(standing(S.REFUSED), ALL, NOW)
    assert told == Refusal(
        RefusalClass.ACCOUNT_REFUSED,
        "the directory refuses the account's password; it has changed since: this is generation 1 of 2",
        presented="credential generation 1 of CORP\\svc-see",
        expected="credential generation 2",
        repair="keyfast account check CORP\\svc-see",
        retry_after=ASK_AGAIN_SECONDS,
    )


@pytest.mark.parametrize("newest", [0, 1])
def test_the_newest_generation_is_not_told_to_expect_another(newest):
    told = offer(standing(S.REFUSED, newest=newest), ALL, NOW)
    assert isinstance(told, Refusal)
    assert told.expected == ""


@pytest.mark.parametrize("state", sorted(GONE))
def test_a_retired_generation_is_named_with_the_one_to_have(state):
    told = offer(standing(state, generation=3, newest=5), ALL, NOW)
    assert isinstance(told, Refusal)
    assert told.presented == "credential generation 3 of CORP\\svc-see"
    assert told.expected == "credential generation 5"
    assert (told.rule.status, told.retry_after) == (403, 0)
    newest = offer(standing(state, generation=5, newest=5), ALL, NOW)
    assert isinstance(newest, Refusal)
    assert newest.expected == ""


@pytest.mark.parametrize(("generation", "tried"), [(1, False), (2, False), (3, True)])
def test_a_generation_above_the_newest_on_record_is_not_stale_but_unknown(generation, tried):
    told = offer(standing(None, generation=generation, newest=2), ALL, NOW)
    assert (told == ALL) is tried
    assert isinstance(offer(standing(None, unusable=Logon.LOCKED, generation=generation), ALL, NOW), Refusal)


def test_there_is_a_sentence_for_every_refusal():
    assert set(SENTENCES) == set(Logon) - {Logon.GRANTED}


@pytest.mark.parametrize(
    ("read", "at_once"),
    [
        ([(0, 0)], None),
        ([(0, 99), (0, 0)], None),
        ([(10, 0)], 7),
        ([(10, 4)], 3),
        ([(10, 0), (10, 5)], 2),
        ([(0, 0), (5, 0)], 2),
        ([(5, 2)], 1),
        ([(5, 4)], 1),
        ([(3, 0)], 1),
        ([(None, 0)], 1),
        ([], 1),
    ],
)
def test_no_more_tries_are_under_way_than_an_account_can_bear(read, at_once):
    readings = [
        AccountReading("dc", NOW, True, lockout_threshold=threshold, bad_passwords=bad) for threshold, bad in read
    ]
    assert tries_at_once(readings) == at_once
