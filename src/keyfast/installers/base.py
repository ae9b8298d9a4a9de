"""Base artefacts: made once in a folder of their own, complete or not there at all."""

import os
import tempfile
from collections.abc import Mapping
from pathlib import Path


def publish(folder: Path, files: Mapping[str, bytes]) -> Path:
    """Put ``files`` into ``folder`` in one step, and return it; one that is there is left as it is."""
    if folder.is_dir():
        return folder
    folder.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=".making-") as scratch:
        made = Path(scratch) / "base"
        made.mkdir()
        for name, content in files.items():
            with (made / name).open("xb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
        try:
            made.rename(folder)
        except OSError:
            # Another process was first, with the same content: the folder's name says what is in it.
            if not folder.is_dir():
                raise
    return folder
