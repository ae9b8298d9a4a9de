"""When an enrolment token still buys a registration."""

import msgspec
import pytest

from keyfast.errors import TrustError
from keyfast.trust.enrolment import TYP, EnrolmentToken, judge
from keyfast.trust.keyset import Keyset

TOKEN = EnrolmentToken("kf-1", "j-1", "p-1", "default", "auto", issued_at=100, expires_at=200, max_uses=2)


@pytest.mark.parametrize(
    ("now", "uses", "revoked", "kind"),
    [
        (100, 0, False, None),
        (199, 1, False, None),
        (0, 0, False, None),
        (200, 0, False, "enrolment_expired"),
        (199, 2, False, "enrolment_exhausted"),
        (199, 3, False, "enrolment_exhausted"),
        (100, 0, True, "enrolment_revoked"),
        (200, 2, True, "enrolment_revoked"),
    ],
)
def test_judged(now, uses, revoked, kind):
    refusal = judge(TOKEN, now, uses, revoked=revoked)
    assert (refusal and refusal.kind) == kind
    assert refusal is None or (refusal.repair and TOKEN.jti in refusal.presented)


def test_it_is_signed_by_the_token_role_and_read_back():
    keyset = Keyset.generate("kf-1", 1)
    assert keyset.verify(keyset.sign(TYP, TOKEN), TYP, EnrolmentToken) == TOKEN


def test_an_admission_this_version_does_not_know_is_refused():
    keyset = Keyset.generate("kf-1", 1)
    with pytest.raises(TrustError):
        keyset.verify(keyset.sign(TYP, msgspec.structs.replace(TOKEN, admission="later")), TYP, EnrolmentToken)
