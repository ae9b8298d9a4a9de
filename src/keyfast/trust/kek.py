"""The key-encryption key: what seals the installation's secrets at rest.

File: JSON ``{"installation", "current", "keys": {id: base64url of 32 bytes}}``, mode 0600. More than one
key is in it only while secrets are being sealed again.
"""

import os
import secrets
import stat
from pathlib import Path

import msgspec
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from keyfast.core.secret import Secret
from keyfast.errors import ForeignError, KeyFileError, TrustError
from keyfast.trust.encoding import b64u, decode_json, framed, unb64u
from keyfast.trust.files import write_private

_VERSION = "v1"
_KEY_BYTES = 32
_NONCE_BYTES = 12
_ID_BYTES = 6
_MAX_FILE_BYTES = 64 * 1024
_FROM_BACKUP = "restore the file from a backup, or export and import the keys"


class _Content(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    installation: str
    current: str
    keys: dict[str, str]


class Kek:
    """Seals and opens secrets of one installation with AES-256-GCM.

    Args:
        installation: installation id.
        current: id of the key that seals.
        keys: every key that opens, by id.
    """

    def __init__(self, installation: str, current: str, keys: dict[str, Secret]) -> None:
        self.installation = installation
        self.current = current
        self._keys = dict(keys)

    def seal(self, plaintext: bytes | Secret, *, bound_to: str) -> str:
        """Seal ``plaintext`` for one place; the result is ``v1.<key id>.<base64url>``."""
        raw = plaintext.reveal() if isinstance(plaintext, Secret) else plaintext
        nonce = secrets.token_bytes(_NONCE_BYTES)
        sealed = AESGCM(self._keys[self.current].reveal()).encrypt(nonce, raw, self._binding(bound_to))
        return f"{_VERSION}.{self.current}.{b64u(nonce + sealed)}"

    def open(self, sealed: str, *, bound_to: str) -> Secret:
        """Open what was sealed for this place.

        Raises:
            TrustError: it was altered, belongs to another place, or needs a key that is not here.
        """
        version, _, rest = sealed.partition(".")
        kek_id, _, text = rest.partition(".")
        if version != _VERSION:
            raise TrustError(f"the sealed value for {bound_to} is not in a form this version reads")
        if kek_id not in self._keys:
            raise TrustError(
                f"the sealed value for {bound_to} needs the key {kek_id[:32]!r}, which is not here",
                repair=_FROM_BACKUP,
            )
        try:
            raw = unb64u(text)
            nonce, body = raw[:_NONCE_BYTES], raw[_NONCE_BYTES:]
            return Secret(AESGCM(self._keys[kek_id].reveal()).decrypt(nonce, body, self._binding(bound_to)))
        except (ValueError, InvalidTag) as cause:
            raise TrustError(f"the sealed value for {bound_to} was altered or is another place's") from cause

    def add_key(self) -> None:
        """Make a new key and seal with it from now on; the others still open."""
        self.current = b64u(secrets.token_bytes(_ID_BYTES))
        self._keys[self.current] = Secret(secrets.token_bytes(_KEY_BYTES))

    def drop_keys(self) -> None:
        """Forget every key but the current one."""
        self._keys = {self.current: self._keys[self.current]}

    def save(self, path: Path) -> None:
        """Replace the file in one step, durably.

        Raises:
            KeyFileError: it cannot be written; the old file is unchanged.
        """
        _write(path, self._encoded(), replace=True)

    def _encoded(self) -> bytes:
        keys = {kek_id: b64u(key.reveal()) for kek_id, key in self._keys.items()}
        return msgspec.json.encode(_Content(self.installation, self.current, keys)) + b"\n"

    def _binding(self, bound_to: str) -> bytes:
        return framed("keyfast sealed", _VERSION, self.installation, bound_to)

    def __repr__(self) -> str:
        return f"Kek({self.installation}, current {self.current}, {len(self._keys)} keys)"


def create_kek_file(path: Path, installation: str) -> None:
    """Make a new key in a new file, durably.

    Raises:
        KeyFileError: the file exists, or cannot be written.
    """
    kek = Kek(installation, "", {})
    kek.add_key()
    _write(path, kek._encoded(), replace=False)  # noqa: SLF001 - same module


def load_kek(path: Path, installation: str) -> Kek:
    """Read the file.

    Raises:
        KeyFileError: it is missing, unreadable, exposed to others, or damaged; the repair says what helps.
        ForeignError: it is another installation's.
    """
    try:
        with path.open("rb") as file:
            _check_owner(path, os.fstat(file.fileno()))
            raw = file.read(_MAX_FILE_BYTES)
    except FileNotFoundError as cause:
        raise KeyFileError(f"the key file {path} is missing", repair=_FROM_BACKUP) from cause
    except OSError as cause:
        raise KeyFileError(
            f"the key file {path} cannot be read: {cause.strerror}",
            repair=f"chown {os.geteuid()} {path} && chmod 600 {path}",
        ) from cause
    return parse_kek(raw.decode("utf-8", "replace"), installation, str(path))


def parse_kek(text: str, installation: str, source: str) -> Kek:
    """Read the content of a key file from elsewhere, for example the environment or a credential store.

    Raises:
        KeyFileError: it is damaged.
        ForeignError: it is another installation's.
    """
    try:
        content = decode_json(text, _Content)
        keys = {kek_id: Secret(unb64u(key)) for kek_id, key in content.keys.items()}
    except ValueError:
        # The cause is dropped: it may quote the key.
        raise KeyFileError(f"the key file {source} is damaged", repair=_FROM_BACKUP) from None
    if content.current not in keys or any(len(key.reveal()) != _KEY_BYTES for key in keys.values()):
        raise KeyFileError(f"the key file {source} is damaged", repair=_FROM_BACKUP)
    if content.installation != installation:
        raise ForeignError(
            f"the key file {source} is of installation {content.installation[:64]!r}, not {installation!r}",
            repair="put the key file of this installation there",
        )
    return Kek(installation, content.current, keys)


def _check_owner(path: Path, facts: os.stat_result) -> None:
    if facts.st_uid != os.geteuid():
        raise KeyFileError(
            f"the key file {path} belongs to user {facts.st_uid}, not to the user this runs as",
            repair=f"chown {os.geteuid()} {path}",
        )
    if stat.S_IMODE(facts.st_mode) & 0o077:
        raise KeyFileError(f"the key file {path} can be read by others", repair=f"chmod 600 {path}")


def _write(path: Path, content: bytes, *, replace: bool) -> None:
    try:
        write_private(path, content, replace=replace)
    except FileExistsError as cause:
        raise KeyFileError(f"the key file {path} exists and is left alone") from cause
    except OSError as cause:
        raise KeyFileError(f"the key file {path} cannot be written: {cause.strerror}") from cause
