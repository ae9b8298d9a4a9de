"""The agent begins anew as another process, so that it is seen to come up with the access that it uses now."""

import os
import sys
from collections.abc import Callable, Mapping

from keyfast.errors import EXIT_START_AGAIN

Execute = Callable[[str, list[str]], object]


def begin_anew(environment: Mapping[str, str] = os.environ, execute: Execute = os.execv) -> int:
    """Put a new process of this program in the place of this one; return the exit code where that is not ours to do.

    A service manager starts again what ends. Windows cannot replace a process, so there the service manager must.
    Everything that another process of this agent needs must have been closed.

    Args:
        environment: of this process.
        execute: replaces this process by a program (path, arguments); returns only in tests.
    """
    if os.name == "nt" or environment.get("SYSTEMD_EXEC_PID") == str(os.getpid()):
        return EXIT_START_AGAIN
    sys.stdout.flush()
    sys.stderr.flush()
    # As it was started, by this very interpreter: PATH and the working directory may say something else by now.
    execute(sys.executable, [sys.executable, *sys.orig_argv[1:]])
    return EXIT_START_AGAIN
