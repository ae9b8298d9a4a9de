"""The vaults of operating systems, and the file that is there where none is. DPAPI has a module of its own.

A data key goes to a program through its standard input alone. The key file is no more than what the state folder's
permissions are; it is the last choice.
"""

import contextlib
import os
import stat
import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path

from keyfast.errors import VaultError
from keyfast.trust.encoding import b64u, sha256, unb64u

PATIENCE = 60
"""Seconds that a vault's program may take: a TPM that is just starting is slow."""
_NAME = "keyfast-agent"
_EXPOSED = stat.S_IRWXG | stat.S_IRWXO
_SECURITY_NOT_FOUND = 44

Run = Callable[[Sequence[str], bytes], tuple[int, bytes, str]]
"""Runs a program with an input; returns exit code, output and what it complained of."""


def run_program(arguments: Sequence[str], given: bytes) -> tuple[int, bytes, str]:
    """Run a program of a vault.

    Raises:
        VaultError: it is not installed, or does not end.
    """
    try:
        done = subprocess.run(arguments, input=given, capture_output=True, timeout=PATIENCE, check=False)
    except FileNotFoundError as cause:
        raise VaultError(f"{arguments[0]} is not installed", repair=_REPAIRS.get(arguments[0], "")) from cause
    except (OSError, subprocess.TimeoutExpired) as cause:
        raise VaultError(f"{arguments[0]} cannot be run: {type(cause).__name__}") from cause
    return done.returncode, done.stdout, done.stderr.decode(errors="replace").strip()[-200:]


_REPAIRS = {"systemd-creds": "apt install systemd"}


class SystemdVault:
    """systemd-creds(1): the key of this installation of the system, and its TPM2 where there is one."""

    name = "systemd-creds"

    def __init__(self, run: Run = run_program) -> None:
        self._run = run

    def seal(self, key: bytes) -> bytes:
        """See ``Vault.seal``."""
        return self._do("encrypt", key)

    def open(self, sealed: bytes) -> bytes:
        """See ``Vault.open``."""
        return self._do("decrypt", sealed)

    def _do(self, verb: str, given: bytes) -> bytes:
        code, out, said = self._run(("systemd-creds", verb, f"--name={_NAME}", "-", "-"), given)
        if code or not out:
            raise VaultError(
                f"systemd-creds cannot {verb} the key: {said or 'no reason given'}",
                repair="bring back /var/lib/systemd/credential.secret, or the TPM, of this very system",
            )
        return out


class KeychainVault:
    """The system keychain of macOS, by security(1). Not tried on macOS."""

    name = "keychain"

    def __init__(self, run: Run = run_program, keychain: str = "/Library/Keychains/System.keychain") -> None:
        self._run = run
        self._keychain = keychain

    def seal(self, key: bytes) -> bytes:
        """See ``Vault.seal``; what it returns only names the item."""
        account = b64u(sha256(key))
        # In interactive mode the command is read from the input, so that the key is in nobody's argument list.
        command = f'add-generic-password -U -a {account} -s {_NAME} -w {b64u(key)} "{self._keychain}"\n'
        self._security(("security", "-i"), command.encode("ascii"))
        return account.encode("ascii")

    def open(self, sealed: bytes) -> bytes:
        """See ``Vault.open``."""
        account = sealed.decode("ascii", errors="replace")
        asked = ("security", "find-generic-password", "-a", account, "-s", _NAME, "-w", self._keychain)
        try:
            return unb64u(self._security(asked, b"").decode("ascii").strip())
        except ValueError as cause:
            raise VaultError("the item in the keychain is not a key") from cause

    def _security(self, arguments: Sequence[str], given: bytes) -> bytes:
        code, out, said = self._run(arguments, given)
        if code == _SECURITY_NOT_FOUND:
            raise VaultError("the key is not in the system keychain any more")
        if code:
            raise VaultError(f"security cannot use the system keychain: {said}")
        return out


class FileVault:
    """A file beside the client database that only its owner may read.

    Args:
        directory: of the client database.
    """

    name = "file"

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    def seal(self, key: bytes) -> bytes:
        """See ``Vault.seal``; what it returns only names the file."""
        digest = sha256(key)
        path, fresh = self._path(digest), self._path(digest).with_suffix(".new")
        try:
            fd = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | getattr(os, "O_NOFOLLOW", 0), 0o600)
            with os.fdopen(fd, "wb") as file:
                file.write(key)
                file.flush()
                os.fsync(fd)
            fresh.replace(path)
            _flush(self._directory)
        except OSError as cause:
            raise VaultError(f"cannot write {path}: {cause.strerror}") from cause
        return digest

    def open(self, sealed: bytes) -> bytes:
        """See ``Vault.open``."""
        path = self._path(sealed)
        try:
            facts = path.stat(follow_symlinks=False)
            key = path.read_bytes()
        except OSError as cause:
            raise VaultError(f"cannot read {path}: {cause.strerror}", repair=f"bring back {path}") from cause
        if os.name != "nt" and facts.st_uid != os.geteuid():
            raise VaultError(f"{path} belongs to user {facts.st_uid}", repair=f"chown {os.geteuid()} {path}")
        if os.name != "nt" and facts.st_mode & _EXPOSED:
            raise VaultError(f"{path} is open to other users", repair=f"chmod 600 {path}")
        if sha256(key) != sealed:
            raise VaultError(f"{path} does not hold the key it is named for", repair=f"bring back {path}")
        return key

    def _path(self, digest: bytes) -> Path:
        return self._directory / f"key-{digest[:8].hex()}"


def key_files(directory: Path) -> tuple[Path, ...]:
    """Return the key files in the folder of a client database."""
    return tuple(sorted(directory.glob("key-" + "[0-9a-f]" * 16)))


def _flush(directory: Path) -> None:
    with contextlib.suppress(PermissionError):  # Windows opens no folders
        fd = os.open(directory, os.O_RDONLY)
        try:
            os.fsync(fd)
        finally:
            os.close(fd)
