import pytest

from keyfast.core.refusal import RULES, Refusal, RefusalClass, masked

UNPROVEN = {
    RefusalClass.USE_NONCE,
    RefusalClass.STALE_TIME,
    RefusalClass.UNAUTHENTICATED,
    RefusalClass.NOT_READY,
}
ABOUT_THE_REQUEST = {
    RefusalClass.MALFORMED,
    RefusalClass.TOO_LARGE,
    RefusalClass.WRONG_MEDIA_TYPE,
    RefusalClass.NOT_FOUND,
}

ABOUT_THE_LOGON = {
    RefusalClass.ACCOUNT_REFUSED,
    RefusalClass.ACCOUNT_NOT_ALLOWED,
    RefusalClass.MODE_CLOSED,
    RefusalClass.CONNECTION_BROKEN,
}


def test_every_class_has_a_rule():
    assert set(RULES) == set(RefusalClass)


@pytest.mark.parametrize("kind", RefusalClass)
def test_an_unproven_caller_learns_nothing_about_endpoints(kind):
    told = masked(Refusal(kind, "detail", presented="key 1"))
    if kind in UNPROVEN | ABOUT_THE_REQUEST | ABOUT_THE_LOGON:
        assert told.kind is kind
    else:
        assert told == Refusal(RefusalClass.UNAUTHENTICATED)


def test_an_outage_is_never_a_401():
    assert RULES[RefusalClass.NOT_READY].status == 503
