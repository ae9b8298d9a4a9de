"""The client database sealed at rest: one random data key, kept by a vault of the operating system.

A sealed record carries, in the clear, which vault sealed its data key and the sealed key itself. So a record and the
key to it become durable in one write, and whoever finds a record finds what it needs beside it. The vault is chosen
once, when the first record is sealed, and named in every record since.

What lies there is magic (4 bytes), length of the head (2, big endian), head (JSON), nonce (12), and the record under
AES-256-GCM; magic and head are authenticated with it, so a record opens under its own installation and key alone.
"""

import secrets
import struct
from collections.abc import Callable, Sequence
from typing import Protocol

import msgspec
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from keyfast.errors import VaultError
from keyfast.trust.encoding import b64u, decode_json, unb64u

MAGIC = b"KFS1"
KEY_BYTES = 32
_NONCE_BYTES = 12
_LENGTH = struct.Struct(">H")
_START = len(MAGIC) + _LENGTH.size


class Vault(Protocol):
    """Seals a data key so that only this machine opens it."""

    name: str

    def seal(self, key: bytes) -> bytes:
        """Return the sealed key; whatever it depends on is durable before this returns.

        Raises:
            VaultError: it cannot be used here.
        """
        ...

    def open(self, sealed: bytes) -> bytes:
        """Return the key.

        Raises:
            VaultError: it does not open, now or ever.
        """
        ...


class _Head(msgspec.Struct, frozen=True):
    """What a sealed record says in the clear.

    Attributes:
        vault: name of the vault.
        installation: of the record.
        key: the sealed data key (base64url).
    """

    vault: str
    installation: str
    key: str


class Safe:
    """Seals and opens records; keeps the data key of the one it opened or sealed last.

    Args:
        vaults: of this machine; a new data key goes to the first that works.
        entropy: returns that many random bytes.
    """

    def __init__(self, vaults: Sequence[Vault], entropy: Callable[[int], bytes] = secrets.token_bytes) -> None:
        self._vaults = tuple(vaults)
        self._entropy = entropy
        self._head: _Head | None = None
        self._key = b""

    @property
    def vault(self) -> str:
        """Name of the vault in use, empty before anything was sealed or opened."""
        return self._head.vault if self._head else ""

    def seal(self, record: bytes, installation: str) -> bytes:
        """Seal an encoded record of an installation.

        Raises:
            VaultError: no vault of this machine takes a data key.
        """
        if self._head is None or self._head.installation != installation:
            self._key, self._head = self._new_key(installation)
        head = msgspec.json.encode(self._head)
        clear = MAGIC + _LENGTH.pack(len(head)) + head
        nonce = self._entropy(_NONCE_BYTES)
        return clear + nonce + AESGCM(self._key).encrypt(nonce, record, clear)

    def open(self, data: bytes) -> bytes:
        """Return the encoded record; one that was never sealed as it is.

        Raises:
            VaultError: it is sealed and does not open.
        """
        if not is_sealed(data):
            return data
        end = _START + _LENGTH.unpack_from(data.ljust(_START, b"\0"), len(MAGIC))[0]
        try:
            head = decode_json(data[_START:end], _Head)
            sealed = unb64u(head.key)
        except (ValueError, UnicodeError) as cause:
            raise VaultError("the client database is sealed in a way this agent does not know") from cause
        key = self._key if head == self._head else self._vault(head.vault).open(sealed)
        nonce, cipher = data[end : end + _NONCE_BYTES], data[end + _NONCE_BYTES :]
        try:
            record = AESGCM(key).decrypt(nonce, cipher, data[:end])
        except (InvalidTag, ValueError) as cause:
            raise VaultError(f"the client database does not open with the key that {head.vault} keeps") from cause
        self._head, self._key = head, key
        return record

    def forget(self) -> None:
        """Let the next record be sealed under a new key."""
        self._head, self._key = None, b""

    def _new_key(self, installation: str) -> tuple[bytes, _Head]:
        """Have a vault keep a new data key; one that could not give it back is no vault."""
        key, faults = self._entropy(KEY_BYTES), []
        for vault in self._vaults:
            try:
                sealed = vault.seal(key)
                if vault.open(sealed) == key:
                    return key, _Head(vault.name, installation, b64u(sealed))
            except VaultError as cause:
                faults.append(f"{vault.name}: {cause.message}")
        raise VaultError(f"no vault of this machine can be used ({'; '.join(faults) or 'there is none'})")

    def _vault(self, name: str) -> Vault:
        for vault in self._vaults:
            if vault.name == name:
                return vault
        raise VaultError(f"the client database is sealed by {name}, which is not on this machine")


def is_sealed(data: bytes) -> bool:
    """Tell whether a record is sealed; one that is not is JSON."""
    return data.startswith(MAGIC)
