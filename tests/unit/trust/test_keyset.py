"""The installation's keys through their whole life."""

import msgspec
import pytest

from keyfast.core.secret import Secret
from keyfast.errors import ConflictError, ForeignError, TrustError, UsageError
from keyfast.trust.access_token import AccessTokens
from keyfast.trust.device import DeviceKey
from keyfast.trust.encoding import thumbprint
from keyfast.trust.keyset import Keyset, KeyStatus, Role, SigningKey, TrustChain
from keyfast.trust.nonce import Nonces
from keyfast.trust.roles import SIGNS

BELOW_ROOT = [role for role in Role if role is not Role.ROOT]


class Claims(msgspec.Struct, frozen=True):
    installation: str
    value: int = 0


class OtherClaims(msgspec.Struct, frozen=True):
    installation: str
    needed: str


@pytest.fixture(scope="module")
def keyset():
    return Keyset.generate("kf-1", 1000)


def statuses(keyset, role):
    return [key.status for key in keyset.keys if key.role is role]


def current(keyset, role):
    return next(key for key in keyset.keys if key.role is role and key.status is KeyStatus.CURRENT)


def test_a_new_set_has_what_each_role_needs(keyset):
    assert statuses(keyset, Role.TOKEN) == [KeyStatus.CURRENT, KeyStatus.NEXT]
    for role in (Role.ROOT, Role.PROFILE, Role.COMMAND, Role.RECEIPT):
        assert statuses(keyset, role) == [KeyStatus.CURRENT]
    for key in keyset.keys:
        assert key.kid == thumbprint(key.public_jwk) == DeviceKey.from_pem(key.private).thumbprint
        assert (key.mac is not None) == (key.role is Role.TOKEN)
        assert (key.delegation == "") == (key.role is Role.ROOT)
        assert key.created_at == 1000


def test_secrets_are_not_shown(keyset):
    assert "PRIVATE" not in repr(keyset)
    assert "****" in repr(keyset)


@pytest.mark.parametrize("typ", SIGNS)
def test_what_one_signs_the_other_verifies(keyset, typ):
    jws = keyset.sign(typ, Claims("kf-1", 5))
    assert keyset.verify(jws, typ, Claims) == Claims("kf-1", 5)


@pytest.mark.parametrize("typ", SIGNS)
@pytest.mark.parametrize("other", SIGNS)
def test_a_statement_is_good_as_its_own_type_only(keyset, typ, other):
    if typ != other:
        with pytest.raises(TrustError, match="type"):
            keyset.verify(keyset.sign(typ, Claims("kf-1")), other, Claims)


def test_a_type_nobody_signs(keyset):
    with pytest.raises(TrustError, match="no key may sign"):
        keyset.sign("JWT", Claims("kf-1"))
    with pytest.raises(TrustError, match="no key may sign"):
        keyset.verify("a.b.c", "JWT", Claims)


def test_another_installation_is_named_so(keyset):
    theirs = Keyset.generate("kf-2", 1).sign("keyfast-enrolment+jwt", Claims("kf-2"))
    with pytest.raises(ForeignError, match="'kf-2'"):
        keyset.verify(theirs, "keyfast-enrolment+jwt", Claims)


def test_another_installation_cannot_speak_for_this_one(keyset):
    theirs = Keyset.generate("kf-2", 1).sign("keyfast-profile+jwt", Claims("kf-1"))
    with pytest.raises(TrustError, match="no known key") as caught:
        keyset.verify(theirs, "keyfast-profile+jwt", Claims)
    assert not isinstance(caught.value, ForeignError)


def test_our_own_key_does_not_sign_for_another_installation(keyset):
    with pytest.raises(ForeignError):
        keyset.verify(keyset.sign("keyfast-profile+jwt", Claims("kf-2")), "keyfast-profile+jwt", Claims)


def test_claims_must_be_what_the_type_says(keyset):
    with pytest.raises(TrustError, match="claims"):
        keyset.verify(keyset.sign("keyfast-profile+jwt", Claims("kf-1")), "keyfast-profile+jwt", OtherClaims)


@pytest.mark.parametrize("role", BELOW_ROOT)
def test_what_was_signed_before_a_rotation_still_verifies(keyset, role):
    typ = next(name for name, signer in SIGNS.items() if signer is role)
    before = keyset.sign(typ, Claims("kf-1", 1))
    rotated = keyset.rotate(role, 2000).rotate(role, 3000)
    after = rotated.sign(typ, Claims("kf-1", 2))
    assert rotated.verify(before, typ, Claims).value == 1
    assert rotated.verify(after, typ, Claims).value == 2
    assert current(rotated, role).kid != current(keyset, role).kid
    chain = TrustChain("kf-1", keyset.keys[0].public_jwk, rotated.delegations())
    assert [chain.verify(jws, typ, Claims).value for jws in (before, after)] == [1, 2]


def test_the_next_token_key_is_the_one_published_before(keyset):
    following = next(key for key in keyset.keys if key.status is KeyStatus.NEXT)
    rotated = keyset.rotate(Role.TOKEN, 2000)
    assert current(rotated, Role.TOKEN).kid == following.kid
    assert sorted(statuses(rotated, Role.TOKEN)) == ["current", "next", "previous"]


def test_a_key_that_signs_no_more_has_no_private_half(keyset):
    rotated = keyset.rotate(Role.COMMAND, 2000)
    held = [key.private is not None for key in rotated.keys if key.role is Role.COMMAND]
    assert held == [False, True]


def test_tokens_and_nonces_outlive_one_rotation_and_not_two(keyset):
    def readers(keys):
        return AccessTokens("kf-1", *keys.access_token_keys()), Nonces(keys.nonce_keys())

    tokens, nonces = readers(keyset)
    token = tokens.mint(
        endpoint_id="0" * 8 + "-0000" * 3 + "-" + "0" * 12,
        thumbprint=keyset.keys[0].kid,
        now=1,
        lifetime=9,
        token_id=bytes(8),
    )
    nonce = nonces.issue(1)
    once = keyset.rotate(Role.TOKEN, 2)
    tokens, nonces = readers(once)
    assert tokens.read(token, 2).issued_at == 1
    assert nonces.read(nonce).issued_at == 1
    tokens, nonces = readers(once.rotate(Role.TOKEN, 3))
    assert tokens.read(token, 3).kind == "token_expired"
    assert nonces.read(nonce) is None


def test_a_process_that_is_one_rotation_behind_reads_what_the_new_one_issues(keyset):
    behind = AccessTokens("kf-1", *keyset.access_token_keys())
    ahead = AccessTokens("kf-1", *keyset.rotate(Role.TOKEN, 2).access_token_keys())
    token = ahead.mint(
        endpoint_id="00000000-0000-0000-0000-000000000000",
        thumbprint=keyset.keys[0].kid,
        now=1,
        lifetime=9,
        token_id=bytes(8),
    )
    assert behind.read(token, 2).issued_at == 1
    assert Nonces(keyset.nonce_keys()).read(Nonces(keyset.rotate(Role.TOKEN, 2).nonce_keys()).issue(1))


def test_tokens_and_nonces_never_share_a_key(keyset):
    macs = [key.reveal() for key in keyset.access_token_keys()[0].values()]
    nonce_keys = [key.reveal() for key in keyset.nonce_keys()]
    assert len({*macs, *nonce_keys}) == len(macs) + len(nonce_keys) == 4


def test_the_root_is_not_rotated_like_the_others(keyset):
    with pytest.raises(UsageError):
        keyset.rotate(Role.ROOT, 2)


def test_without_the_root_daily_work_goes_on_and_rotation_says_what_to_do(keyset):
    away = keyset.without_root_private()
    assert [key.role for key in away.keys if key.private is None] == [Role.ROOT]
    assert away.verify(away.sign("keyfast-receipt+jwt", Claims("kf-1")), "keyfast-receipt+jwt", Claims)
    for act in (lambda: away.rotate(Role.COMMAND, 2), lambda: away.rotate_root(2)):
        with pytest.raises(ConflictError, match="root key") as caught:
            act()
        assert "keys import" in caught.value.repair


def test_a_new_root_takes_everything_over(keyset):
    changed, statement = keyset.rotate_root(2000)
    assert statuses(changed, Role.ROOT) == [KeyStatus.PREVIOUS, KeyStatus.CURRENT]
    assert [key.private is not None for key in changed.keys if key.role is Role.ROOT] == [False, True]
    assert current(changed, Role.ROOT).delegation == statement
    assert changed.rotate(Role.PROFILE, 3000).sign("keyfast-profile+jwt", Claims("kf-1"))
    assert {key.kid for key in keyset.keys} < {key.kid for key in changed.keys}


def test_the_published_set_is_public(keyset):
    changed, _ = keyset.rotate_root(2000)
    published = changed.jwks()["keys"]
    assert [key["kid"] for key in published] == [key.kid for key in changed.keys]
    for key in published:
        assert set(key) == {"kty", "crv", "x", "y", "kid", "use", "alg", "keyfast_delegation"}
        assert (key["use"], key["alg"]) == ("sig", "ES256")


def test_a_set_without_a_current_key_says_so():
    with pytest.raises(ConflictError, match="0 current keys of role 'command'"):
        Keyset("kf-1", ()).sign("keyfast-command+jwt", Claims("kf-1"))


def test_a_stored_private_half_that_is_damaged_is_a_trust_error(keyset):
    key = current(keyset, Role.PROFILE)
    damaged = SigningKey(
        key.kid, key.role, key.status, key.public_jwk, Secret(b"x"), None, key.delegation, key.created_at
    )
    with pytest.raises(TrustError, match="cannot be read"):
        Keyset("kf-1", (damaged,)).sign("keyfast-profile+jwt", Claims("kf-1"))
