"""Pictures that browsers take in tests: kept after the run, in a folder of the tree that git ignores."""

import os
import shutil
from pathlib import Path

KEPT = Path(os.environ.get("KEYFAST_PICTURES") or Path(__file__).resolve().parents[2] / "build" / "pictures")
"""One folder for each test in it."""


def empty_folder(test: str) -> Path:
    """The folder of a test, without what a former run left."""
    folder = KEPT / test.translate(str.maketrans("[]/", "-__")).rstrip("-")
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    return folder


def taken_since(moment: float) -> list[Path]:
    """Folders with pictures that are younger than a moment (unix seconds)."""
    young = {picture.parent for picture in KEPT.rglob("*.png") if picture.stat().st_mtime >= moment}
    return sorted(young)
