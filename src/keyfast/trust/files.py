"""Write a small secret file so that it is whole or absent, and only its owner reads it."""

import os
from pathlib import Path


def write_private(path: Path, content: bytes, *, replace: bool) -> None:
    """Write ``content`` with mode 0600, durably.

    Args:
        path: the file.
        content: all of it.
        replace: take the place of an existing file in one step; otherwise an existing file is left alone.

    Raises:
        FileExistsError: the file exists and is not to be replaced.
        OSError: it cannot be written; an existing file is unchanged.
    """
    beside = path.with_name(f".{path.name}.new")
    beside.unlink(missing_ok=True)
    try:
        descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        if replace:
            beside.replace(path)
        else:
            path.hardlink_to(beside)  # unlike a rename, it fails when the name is taken
    finally:
        beside.unlink(missing_ok=True)
    _sync_directory(path.parent)


def _sync_directory(directory: Path) -> None:
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
