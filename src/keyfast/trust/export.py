"""All keys of an installation in one text, encrypted under a passphrase, for a backup kept elsewhere."""

import msgspec
from joserfc import jwe
from joserfc.errors import JoseError
from joserfc.jwk import OctKey

from keyfast.core.secret import Secret
from keyfast.errors import ForeignError, TrustError, UsageError
from keyfast.trust.encoding import decode_json, unb64u
from keyfast.trust.keyset import Keyset, KeyStatus, Role, SigningKey

TYP = "keyfast-keys+jwe"
_ALG, _ENC = "PBES2-HS512+A256KW", "A256GCM"
_ROUNDS = 300_000
"""Above the 210,000 that OWASP asks of PBKDF2 with SHA-512, and the most that joserfc takes."""
MIN_PASSPHRASE = 14
"""Bytes; the 112 bits below which joserfc takes no key."""
_MAX_CHARS = 4 * 1024 * 1024


class _Header(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    typ: str
    alg: str
    enc: str
    p2s: str
    p2c: int


class _Key(msgspec.Struct, frozen=True):
    kid: str
    role: Role
    status: KeyStatus
    public_jwk: dict[str, str]
    private: str | None
    mac: bytes | None
    delegation: str
    created_at: int


class _Content(msgspec.Struct, frozen=True):
    installation: str
    keys: tuple[_Key, ...]


def export_keys(keyset: Keyset, passphrase: Secret) -> str:
    """Return every key as a JWE in compact form (RFC 7516; PBES2, RFC 7518 section 4.8). Takes a while.

    Raises:
        UsageError: the passphrase has less than 14 bytes.
    """
    if len(passphrase.reveal()) < MIN_PASSPHRASE:
        raise UsageError(f"the passphrase must have at least {MIN_PASSPHRASE} characters")
    content = _Content(keyset.installation, tuple(_plain(key) for key in keyset.keys))
    header = {"typ": TYP, "alg": _ALG, "enc": _ENC, "p2c": _ROUNDS}
    return jwe.encrypt_compact(header, msgspec.json.encode(content), _key(passphrase), algorithms=[_ALG, _ENC])


def import_keys(text: str, passphrase: Secret, installation: str) -> Keyset:
    """Read an export of this installation. Takes a while.

    Raises:
        TrustError: it is not an export, the passphrase is wrong, or it was altered.
        ForeignError: it is another installation's.
    """
    _check_header(text)
    if len(passphrase.reveal()) < MIN_PASSPHRASE:
        raise TrustError(f"the passphrase is wrong: no export has one of less than {MIN_PASSPHRASE} characters")
    try:
        plain = jwe.decrypt_compact(text, _key(passphrase), algorithms=[_ALG, _ENC]).plaintext or b""
        content = decode_json(plain, _Content)
    except (JoseError, ValueError):
        # The cause is dropped: what was decrypted must not be quoted.
        raise TrustError("the passphrase is wrong, or the export was altered") from None
    if content.installation != installation:
        raise ForeignError(f"the export is of installation {content.installation[:64]!r}, this is {installation!r}")
    return Keyset(installation, tuple(_signing_key(key) for key in content.keys))


def _check_header(text: str) -> None:
    """Take only what ``export_keys`` writes: no other algorithm, and no more work than it asks for."""
    if len(text) > _MAX_CHARS:
        raise TrustError("the export is too long")
    try:
        header = decode_json(unb64u(text.partition(".")[0]), _Header)
    except ValueError as cause:
        raise TrustError("it is not an export of keys") from cause
    if (header.typ, header.alg, header.enc, header.p2c) != (TYP, _ALG, _ENC, _ROUNDS):
        raise TrustError("it is not an export of keys that this version reads")


def _key(passphrase: Secret) -> OctKey:
    return OctKey.import_key(passphrase.reveal())


def _plain(key: SigningKey) -> _Key:
    return _Key(
        kid=key.kid,
        role=key.role,
        status=key.status,
        public_jwk=key.public_jwk,
        private=None if key.private is None else key.private.reveal().decode("ascii"),
        mac=None if key.mac is None else key.mac.reveal(),
        delegation=key.delegation,
        created_at=key.created_at,
    )


def _signing_key(key: _Key) -> SigningKey:
    return SigningKey(
        kid=key.kid,
        role=key.role,
        status=key.status,
        public_jwk=key.public_jwk,
        private=None if key.private is None else Secret(key.private.encode("ascii")),
        mac=None if key.mac is None else Secret(key.mac),
        delegation=key.delegation,
        created_at=key.created_at,
    )
