"""Which accounts may be embedded in a package, and what whoever builds it hears."""

import pytest

from keyfast.core.account import AccountCondition as C
from keyfast.core.account import Severity
from keyfast.core.embedding import SOON, UNFIT, is_warning, may_embed


@pytest.mark.parametrize("condition", C)
def test_only_what_works_and_will_go_on_working_is_embedded(condition):
    assert may_embed(condition) is (condition not in UNFIT)


@pytest.mark.parametrize("condition", sorted(UNFIT))
def test_only_an_end_that_is_still_to_come_can_be_waived_and_by_its_own_name(condition):
    assert may_embed(condition, {condition.value}) is (condition in SOON)
    assert not may_embed(condition, {other.value for other in UNFIT - {condition}})


def test_what_says_nothing_against_the_newest_password_is_no_warning():
    assert is_warning(C.EXPIRES_SOON, Severity.WARNING)
    assert is_warning(C.LAGGING, Severity.OUTAGE)
    assert not is_warning(C.CHANGED, Severity.OUTAGE)
    assert not is_warning(C.UNREADABLE, Severity.WARNING)
    assert not is_warning(C.EXPIRES_SOON, Severity.NOTICE)
