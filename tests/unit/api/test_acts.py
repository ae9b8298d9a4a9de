"""What is a refusal, and so on the audit trail: an answer to somebody, not an outage."""

import pytest

from keyfast import errors
from keyfast.api.acts import is_refusal

REFUSALS = [
    errors.ConflictError("in use"),
    errors.TransitionError("not from here"),
    errors.UsageError("makes no sense"),
    errors.ForbiddenError("not theirs"),
    errors.TrustError("does not hold"),
    errors.ForeignError("of another installation"),
]
NONE = [
    errors.ApprovalNeededError("may be done once another agrees", approval="1"),
    errors.KeyFileError("cannot be read"),
    errors.NotFoundError("no such thing"),
    errors.NotReadyError("the database is away"),
    errors.NotSignedInError("who is it"),
    errors.MissingToolError("not installed"),
]


@pytest.mark.parametrize("fault", REFUSALS, ids=lambda fault: fault.code)
def test_a_refusal_goes_on_the_trail(fault):
    assert is_refusal(fault)


@pytest.mark.parametrize("fault", NONE, ids=lambda fault: fault.code)
def test_what_refuses_nobody_does_not(fault):
    assert not is_refusal(fault)
