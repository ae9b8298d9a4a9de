"""The operating system, chosen in one place."""

import sys

from keyfast.agent.platform.port import LocalDatabase, Platform

__all__ = ["LocalDatabase", "Platform", "here"]


def here() -> Platform:
    """Return the operating system of this machine."""
    if sys.platform == "win32":
        from keyfast.agent.platform.windows import Windows  # noqa: PLC0415 - its libraries are nowhere else

        return Windows()
    from keyfast.agent.platform.posix import Posix  # noqa: PLC0415 - its libraries are not everywhere

    return Posix()
