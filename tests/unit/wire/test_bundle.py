"""The secrets of a package, and what its seal covers."""

from msgspec.structs import replace

from keyfast.wire.bundle import Bundle, BundleAccount, sealed_bytes

ACCOUNT = BundleAccount("svc-see", "CORP", "the-password", 3)
BUNDLE = Bundle("kf-1", "{}", ("d1",), "profile", "the-enrolment-token", "p1", ACCOUNT, "the-seal")


def test_it_shows_neither_token_nor_password():
    assert "the-enrolment-token" not in repr(BUNDLE)
    assert "the-password" not in repr(BUNDLE)
    assert "p1" in repr(BUNDLE)
    assert "svc-see" in repr(BUNDLE)


def test_the_seal_covers_all_but_itself():
    assert sealed_bytes(BUNDLE) == sealed_bytes(replace(BUNDLE, seal="another"))
    for name in ("installation", "root", "profile", "statement", "package"):
        assert sealed_bytes(BUNDLE) != sealed_bytes(replace(BUNDLE, **{name: "another"}))
    assert sealed_bytes(BUNDLE) != sealed_bytes(replace(BUNDLE, delegations=()))
    assert sealed_bytes(BUNDLE) != sealed_bytes(replace(BUNDLE, account=replace(ACCOUNT, password="another")))
