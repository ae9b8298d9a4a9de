"""Keys leave and come back whole, under a passphrase."""

import pytest
from joserfc import jwe
from joserfc.jwk import OctKey

from keyfast.core.secret import Secret
from keyfast.errors import ForeignError, TrustError, UsageError
from keyfast.trust.encoding import b64u
from keyfast.trust.export import export_keys, import_keys
from keyfast.trust.keyset import Keyset, Role

PASSPHRASE = Secret(b"correct horse battery")


@pytest.fixture(scope="module")
def keyset():
    return Keyset.generate("kf-1", 1).rotate(Role.TOKEN, 2)


@pytest.fixture(scope="module")
def text(keyset):
    return export_keys(keyset, PASSPHRASE)


def facts(keyset):
    def shown(secret):
        return secret and secret.reveal()

    return [
        (
            key.kid,
            key.role,
            key.status,
            key.public_jwk,
            shown(key.private),
            shown(key.mac),
            key.delegation,
            key.created_at,
        )
        for key in keyset.keys
    ]


def test_everything_comes_back(keyset, text):
    back = import_keys(text, PASSPHRASE, "kf-1")
    assert facts(back) == facts(keyset)
    assert back.rotate(Role.PROFILE, 3)


def test_any_jose_tool_opens_it(text):
    opened = jwe.decrypt_compact(
        text, OctKey.import_key(PASSPHRASE.reveal()), algorithms=["PBES2-HS512+A256KW", "A256GCM"]
    )
    assert opened.plaintext.startswith(b'{"installation":"kf-1"')


def test_a_wrong_passphrase(text):
    with pytest.raises(TrustError, match="passphrase is wrong") as caught:
        import_keys(text, Secret(b"correct horse staple!"), "kf-1")
    assert not isinstance(caught.value, ForeignError)
    assert caught.value.__cause__ is None


def test_another_installation(text):
    with pytest.raises(ForeignError, match="'kf-1'"):
        import_keys(text, PASSPHRASE, "kf-2")


def test_a_passphrase_that_protects_nothing_is_refused(keyset, text):
    with pytest.raises(UsageError, match="14"):
        export_keys(keyset, Secret(b"short"))
    with pytest.raises(TrustError, match="passphrase is wrong"):
        import_keys(text, Secret(b"short"), "kf-1")


@pytest.mark.parametrize("part", range(5))
def test_every_part_is_protected(text, part):
    parts = text.split(".")
    parts[part] = ("B" if parts[part][0] == "A" else "A") + parts[part][1:]
    with pytest.raises(TrustError):
        import_keys(".".join(parts), PASSPHRASE, "kf-1")


HEADER = '{"typ":"keyfast-keys+jwe","alg":"%s","enc":"%s","p2c":%s,"p2s":"AAAAAAAAAAAAAAAAAAAAAA"}'


@pytest.mark.parametrize(
    "text",
    [
        "",
        "a.b.c.d.e",
        "A" * 5_000_000,
        b64u(b"{}") + ".a.b.c.d",
        b64u((HEADER % ("dir", "A256GCM", 300_000)).encode()) + ".a.b.c.d",
        b64u((HEADER % ("PBES2-HS512+A256KW", "A128GCM", 300_000)).encode()) + ".a.b.c.d",
        b64u((HEADER % ("PBES2-HS512+A256KW", "A256GCM", 10**12)).encode()) + ".a.b.c.d",
        b64u((HEADER % ("PBES2-HS512+A256KW", "A256GCM", 300_000)).encode()) + ".a.b.c",
    ],
)
def test_what_is_not_an_export(text):
    with pytest.raises(TrustError):
        import_keys(text, PASSPHRASE, "kf-1")


def test_an_export_with_less_work_in_it_is_not_ours():
    header = {"typ": "keyfast-keys+jwe", "alg": "PBES2-HS512+A256KW", "enc": "A256GCM", "p2c": 2000}
    key = OctKey.import_key(PASSPHRASE.reveal())
    weak = jwe.encrypt_compact(
        header, b'{"installation":"kf-1","keys":[]}', key, algorithms=[header["alg"], header["enc"]]
    )
    with pytest.raises(TrustError, match="this version reads"):
        import_keys(weak, PASSPHRASE, "kf-1")
