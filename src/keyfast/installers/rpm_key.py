"""The OpenPGP key that signs RPM packages: given by the administrator, or made once by this installation.

``rpm`` of RHEL 8 knows RSA and not yet Ed25519, so ours is RSA. The secret half is a file of mode 0600; it reaches
programs by their standard input and never as an argument.
"""

import os
import shutil
import stat
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path

from keyfast.errors import KeyFileError, MissingToolError
from keyfast.installers.stamp import Missing

GPG = Missing("gpg", "gnupg")
KIND = "rsa3072"
OWNER = "Keyfast packages"
_BLOCK = b"-----BEGIN PGP PRIVATE KEY BLOCK-----"
_TIMEOUT_S = 120


def ensure(file: Path) -> bytes:
    """Return the secret key in ``file`` (armoured); made first if there is none.

    Raises:
        MissingToolError: one must be made, and gpg is not here.
        KeyFileError: the file is open to others, or holds no secret key.
    """
    if not file.exists():
        with tempfile.TemporaryDirectory(prefix="keyfast-gpg-") as home:
            _gpg(home, ["--quick-generate-key", OWNER, KIND, "sign", "never"])
            _keep(file, _gpg(home, ["--export-secret-keys", "--armor"]))
    if stat.S_IMODE(file.stat().st_mode) & 0o077:
        raise KeyFileError(f"{file} may be read by others", repair=f"chmod 600 {file}")
    content = file.read_bytes()
    if _BLOCK not in content:
        raise KeyFileError(f"{file} holds no armoured OpenPGP secret key")
    return content


def public(secret: bytes) -> bytes:
    """Return the public half (armoured), which endpoints import to check packages.

    Raises:
        MissingToolError: gpg is not here.
        KeyFileError: gpg cannot read the key.
    """
    with tempfile.TemporaryDirectory(prefix="keyfast-gpg-") as home:
        _gpg(home, ["--import"], secret)
        return _gpg(home, ["--export", "--armor"])


def missing() -> tuple[Missing, ...]:
    """Return gpg if it is not here."""
    return () if shutil.which(GPG.program) else (GPG,)


def _gpg(home: str, arguments: Sequence[str], given: bytes = b"") -> bytes:
    if missing():
        raise MissingToolError("gpg is needed for keys of RPM packages", repair=f"apt-get install {GPG.package}")
    quiet = ["--homedir", home, "--batch", "--quiet", "--pinentry-mode", "loopback"]
    command = [GPG.program, *quiet, "--passphrase", "", *arguments]
    try:
        done = subprocess.run(command, input=given, capture_output=True, timeout=_TIMEOUT_S, check=False)
    finally:
        _end_agent(home)
    if done.returncode or ("--export" in arguments and not done.stdout):
        said = done.stderr.decode("utf-8", "replace").strip().splitlines()
        raise KeyFileError(f"gpg refused the key for RPM packages: {said[-1][:200] if said else 'no reason given'}")
    return done.stdout


def _end_agent(home: str) -> None:
    """End the agent that gpg started for ``home``; nothing else knows it."""
    subprocess.run(["gpgconf", "--homedir", home, "--kill", "all"], capture_output=True, timeout=30, check=False)


def _keep(file: Path, content: bytes) -> None:
    """Write durably, complete or not at all; whoever was first wins, so that there is one key."""
    file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    descriptor, name = tempfile.mkstemp(dir=file.parent, prefix=".key-")
    try:
        with os.fdopen(descriptor, "wb") as stream:
            stream.write(content)
            stream.flush()
            os.fsync(stream.fileno())
        try:
            os.link(name, file)
        except FileExistsError:
            return
    finally:
        Path(name).unlink()
