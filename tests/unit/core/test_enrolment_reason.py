"""Why a package let somebody not in: each class, and the two that say more than their class."""

import pytest

from keyfast.core.enrolment_reason import NOT_ON_RECORD, REASONS, Brought, Reason, reason_of
from keyfast.core.generation import GenerationState
from keyfast.core.refusal import Refusal, RefusalClass

OLD = Brought("CORP\\svc", 3, 5, GenerationState.REFUSED)


@pytest.mark.parametrize("kind", RefusalClass)
def test_only_classes_that_are_about_the_package_are_told(kind):
    found = reason_of(Refusal(kind, "detail"), sound=False, brought=None)
    assert found == ((REASONS[kind], "detail") if kind in REASONS else None)


def test_every_reason_is_given_by_something():
    assert {*REASONS.values(), Reason.UNKNOWN} == set(Reason)


def test_a_request_that_does_not_hold_says_nothing_against_a_sound_package():
    assert reason_of(Refusal(RefusalClass.UNAUTHENTICATED), sound=True, brought=None) is None


def test_a_token_that_is_not_on_record_is_unknown_and_not_revoked():
    refusal = Refusal(RefusalClass.ENROLMENT_REVOKED, NOT_ON_RECORD)
    assert reason_of(refusal, sound=True, brought=None) == (Reason.UNKNOWN, NOT_ON_RECORD)


@pytest.mark.parametrize("kind", [RefusalClass.ACCOUNT_REFUSED, RefusalClass.RETIRED_GENERATION])
def test_a_password_that_was_changed_is_told_from_an_account_in_trouble(kind):
    found = reason_of(Refusal(kind), sound=True, brought=OLD)
    assert found == (
        Reason.ACCOUNT_CHANGED,
        "the password of CORP\\svc has changed since the package was built: it brings generation 3 of 5",
    )
    newest = Brought("CORP\\svc", 5, 5, GenerationState.IN_QUESTION)
    _, why = reason_of(Refusal(kind), sound=True, brought=newest)
    assert why.endswith("it brings generation 5, and no newer one is on record")
    proven = Brought("CORP\\svc", 5, 5, GenerationState.PROVEN)
    assert reason_of(Refusal(kind, "it is locked"), sound=True, brought=proven) == (REASONS[kind], "it is locked")


def test_the_sentence_is_the_most_exact_one_there_is():
    kind = RefusalClass.ENROLMENT_EXPIRED
    assert reason_of(Refusal(kind, presented="a token"), sound=True, brought=None) == (Reason.EXPIRED, "a token")
    assert reason_of(Refusal(kind), sound=True, brought=None)[1] == Refusal(kind).rule.title
