"""Real peers or an honest skip."""

import os
import shutil

import pytest


def require(tool: str, package: str) -> str:
    """Return the path of ``tool``; without it skip, and fail in CI, where nothing may be missing."""
    path = shutil.which(tool)
    if path is not None:
        return path
    reason = f"missing {tool}: install {package}"
    if os.environ.get("CI") == "true":
        pytest.fail(reason)
    pytest.skip(reason)
