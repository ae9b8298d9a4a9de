"""What an endpoint believes with one pinned key."""

import msgspec
import pytest

from keyfast.errors import ForeignError, TrustError
from keyfast.trust import delegation, statement
from keyfast.trust.chain import TrustChain
from keyfast.trust.device import DeviceKey
from keyfast.trust.keyset import Keyset, Role

PROFILE, COMMAND = "keyfast-profile+jwt", "keyfast-command+jwt"


class Claims(msgspec.Struct, frozen=True):
    installation: str
    value: int = 0


@pytest.fixture(scope="module")
def keyset():
    return Keyset.generate("kf-1", 1000)


@pytest.fixture(scope="module")
def chain(keyset):
    return TrustChain("kf-1", root_of(keyset), keyset.delegations())


def root_of(keyset):
    return keyset.keys[0].public_jwk


def private(keyset, role):
    return DeviceKey.from_pem(next(key.private for key in keyset.keys if key.role is role))


def payload(value=0, installation="kf-1"):
    return msgspec.json.encode(Claims(installation, value))


def test_every_role_is_believed_for_what_it_signs(keyset, chain):
    for typ in (PROFILE, COMMAND, "keyfast-receipt+jwt", "keyfast-time+jwt", "keyfast-delegation+jwt"):
        assert chain.verify(keyset.sign(typ, Claims("kf-1", 3)), typ, Claims).value == 3


@pytest.mark.parametrize("role", [role for role in Role if role is not Role.PROFILE])
def test_only_the_profile_role_moves_endpoints(keyset, chain, role):
    forged = statement.sign(private(keyset, role), PROFILE, payload())
    with pytest.raises(TrustError, match="no known key"):
        chain.verify(forged, PROFILE, Claims)


def test_nothing_is_believed_without_a_delegation(keyset):
    with pytest.raises(TrustError, match="no known key"):
        TrustChain("kf-1", root_of(keyset)).verify(keyset.sign(PROFILE, Claims("kf-1")), PROFILE, Claims)


def test_delegations_of_another_root_give_nothing(keyset):
    theirs = Keyset.generate("kf-1", 1)
    mixed = TrustChain("kf-1", root_of(keyset), (*theirs.delegations(), "junk", "", "a.b.c"))
    with pytest.raises(TrustError, match="no known key"):
        mixed.verify(theirs.sign(PROFILE, Claims("kf-1")), PROFILE, Claims)


def test_a_delegation_does_not_delegate(keyset):
    attacker = DeviceKey.generate()
    command = private(keyset, Role.COMMAND)
    forged = delegation.delegate(command, "kf-1", Role.PROFILE, attacker.public_jwk(), 1)
    mixed = TrustChain("kf-1", root_of(keyset), (*keyset.delegations(), forged))
    with pytest.raises(TrustError, match="no known key"):
        mixed.verify(statement.sign(attacker, PROFILE, payload()), PROFILE, Claims)


@pytest.mark.parametrize("broken", ["kid", "role", "jwk", "installation"])
def test_a_delegation_must_be_consistent(keyset, broken):
    root, key = private(keyset, Role.ROOT), DeviceKey.generate()
    said = {
        "installation": "kf-1",
        "role": "profile",
        "kid": key.thumbprint,
        "jwk": key.public_jwk(),
        "issued_at": 1,
    }
    wrong = {
        "kid": root.thumbprint,
        "role": "root",
        "jwk": {**key.public_jwk(), "crv": "x"},
        "installation": "kf-2",
    }
    text = statement.sign(root, "keyfast-delegation+jwt", msgspec.json.encode(said | {broken: wrong[broken]}))
    with pytest.raises(TrustError):
        delegation.read_delegation(text, "kf-1", root_of(keyset))
    good = statement.sign(root, "keyfast-delegation+jwt", msgspec.json.encode(said))
    assert delegation.read_delegation(good, "kf-1", root_of(keyset)).kid == key.thumbprint


def test_another_installation_is_named_so(keyset, chain):
    with pytest.raises(ForeignError):
        chain.verify(Keyset.generate("kf-2", 1).sign(PROFILE, Claims("kf-2")), PROFILE, Claims)


def test_a_root_that_is_not_a_key_is_refused():
    with pytest.raises(TrustError):
        TrustChain("kf-1", {"kty": "EC"}, ())


def test_root_changes_are_followed_from_any_version(keyset):
    second, _ = keyset.rotate_root(2000)
    third, _ = second.rotate_root(3000)
    newest = third.keys[-1].public_jwk
    jws = third.sign(PROFILE, Claims("kf-1", 9))
    for pinned in (key.public_jwk for key in third.keys if key.role is Role.ROOT):
        followed = TrustChain("kf-1", pinned, reversed(third.delegations()))
        assert followed.root == newest
        assert followed.verify(jws, PROFILE, Claims).value == 9


def test_walk_follows_changes_learned_later(keyset):
    second, first_change = keyset.rotate_root(2000)
    third, second_change = second.rotate_root(3000)
    early = TrustChain("kf-1", root_of(keyset), [key.delegation for key in third.keys if key.role is Role.PROFILE])
    jws = third.sign(PROFILE, Claims("kf-1"))
    with pytest.raises(TrustError):
        early.verify(jws, PROFILE, Claims)
    assert early.walk([second_change]).root == early.root
    assert early.walk([second_change, first_change]).verify(jws, PROFILE, Claims)


def test_once_walked_the_old_root_is_not_believed(keyset):
    second, _ = keyset.rotate_root(2000)
    attacker = DeviceKey.generate()
    forged = delegation.delegate(private(keyset, Role.ROOT), "kf-1", Role.PROFILE, attacker.public_jwk(), 1)
    followed = TrustChain("kf-1", root_of(keyset), (*second.delegations(), forged))
    with pytest.raises(TrustError, match="no known key"):
        followed.verify(statement.sign(attacker, PROFILE, payload()), PROFILE, Claims)


def test_a_root_change_needs_both_roots(keyset):
    old, new, other = private(keyset, Role.ROOT), DeviceKey.generate(), DeviceKey.generate()
    good = delegation.change_root(old, new, "kf-1", 1)
    assert delegation.read_root_change(good, "kf-1", root_of(keyset)).jwk == new.public_jwk()
    inner = statement.unverified_payload(good)
    forged = [
        statement.sign(other, "keyfast-root+jwt", inner),  # not by the old root
        statement.sign(old, "keyfast-root+jwt", statement.unverified_payload(inner.decode())),  # not by the new
        delegation.change_root(old, new, "kf-2", 1),
        delegation.change_root(other, new, "kf-1", 1),
        # the new root's half was made for another predecessor
        statement.sign(
            old,
            "keyfast-root+jwt",
            statement.unverified_payload(delegation.change_root(other, new, "kf-1", 1)),
        ),
    ]
    for text in forged:
        with pytest.raises(TrustError):
            delegation.read_root_change(text, "kf-1", root_of(keyset))
        assert TrustChain("kf-1", root_of(keyset), [text]).root == root_of(keyset)


def test_a_circle_of_roots_ends(keyset):
    old, new = private(keyset, Role.ROOT), DeviceKey.generate()
    there, back = delegation.change_root(old, new, "kf-1", 1), delegation.change_root(new, old, "kf-1", 2)
    assert TrustChain("kf-1", root_of(keyset), [there, back]).root == root_of(keyset)


def test_a_false_change_does_not_hide_a_true_one(keyset):
    second, change = keyset.rotate_root(2000)
    head, body, signature = change.split(".")
    broken = f"{head}.{body}.{signature[::-1]}"
    assert TrustChain("kf-1", root_of(keyset), [broken, change]).root == second.keys[-1].public_jwk


def test_a_huge_statement_is_not_parsed(chain):
    with pytest.raises(TrustError, match="too long"):
        chain.verify("A" * 10_000_000 + ".A.A", PROFILE, Claims)
