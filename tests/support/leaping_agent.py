"""An agent's service whose clocks a test sets ahead: ``python -m tests.support.leaping_agent STATE AHEAD [MANAGED]``.

Everything but the clock is that of ``keyfast-agent run``; the file AHEAD says by how many seconds it is ahead.
MANAGED: it is told what systemd tells the process that it starts.
"""

import logging
import os
import sys
from pathlib import Path

from msgspec.structs import replace

from keyfast.agent.local import system_clock
from keyfast.agent.running import keep_running
from keyfast.agent.timing import Moment


class LeapingClock:
    """This machine's clocks, ahead by what a file says."""

    def __init__(self, ahead: Path) -> None:
        self._ahead = ahead

    def now(self) -> Moment:
        """See ``Clock.now``."""
        now, ahead = system_clock().now(), float(self._ahead.read_text())
        return replace(now, wall=now.wall + ahead, boot=now.boot + ahead)


if __name__ == "__main__":
    if len(sys.argv) > 3:
        os.environ["SYSTEMD_EXEC_PID"] = str(os.getpid())
    logging.basicConfig(stream=sys.stderr, level=logging.INFO)
    sys.exit(keep_running(Path(sys.argv[1]), LeapingClock(Path(sys.argv[2]))))
