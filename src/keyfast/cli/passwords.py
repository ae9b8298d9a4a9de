"""Passwords come from a person's keyboard, a file or standard input, never from the command line."""

import getpass
import sys
from pathlib import Path

from keyfast.errors import UsageError


def ask(what: str, file: Path | None) -> str:
    """Return a password or passphrase; ``what`` is how a person is asked for it.

    Raises:
        UsageError: it is empty, or the file cannot be read.
    """
    if file is None and sys.stdin.isatty():
        return _demand(what, getpass.getpass(f"{what}: "))
    try:
        text = sys.stdin.readline() if file is None or str(file) == "-" else file.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as cause:
        raise UsageError(f"cannot read {file}: {cause}") from cause
    return _demand(what, text.rstrip("\r\n"))


def _demand(what: str, text: str) -> str:
    if not text:
        raise UsageError(f"the {what.lower()} is empty")
    return text
