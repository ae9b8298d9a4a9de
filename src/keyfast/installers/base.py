"""What is made once and kept: in a folder of its own, complete or not there at all."""

import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from keyfast.installers.stamp import Progress


@contextmanager
def made_once(place: Path) -> Iterator[Path]:
    """Hand out an empty folder to fill, and put it at ``place`` in one step when that is done."""
    place.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    with TemporaryDirectory(dir=place.parent, prefix=".making-") as scratch:
        made = Path(scratch) / "made"
        made.mkdir(mode=0o700)
        yield made
        try:
            made.rename(place)
        except OSError:
            # Another process was first; what it has is as good.
            if not place.is_dir():
                raise


def publish(folder: Path, files: Mapping[str, bytes]) -> Path:
    """Put ``files`` into ``folder`` in one step, and return it; one that is there is left as it is."""
    if folder.is_dir():
        return folder
    with made_once(folder) as made:
        for name, content in files.items():
            with (made / name).open("xb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
    return folder


def base_artefact(place: Path, make: Callable[[], Mapping[str, bytes]], told: Progress) -> Path:
    """Return a base artefact, made first if there is none; its name says what is in it."""
    if not place.is_dir():
        told("compressing", 0.8)
        publish(place, make())
    told("ready", 1.0)
    return place
