"""Real agents: the agent's command line, each with a state folder of its own."""

import json
import shutil
import signal
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tests.support import processes

from keyfast.wire.bundle import Bundle
from keyfast.wire.messages import encode

MODULE = "keyfast.agent.main"


class RealAgent:
    """One endpoint's agent."""

    def __init__(self, state: Path, prefix: Sequence[str] = ()) -> None:
        self.state = state
        self.prefix = prefix
        self.log = state.with_name(state.name + ".log")
        self.process: subprocess.Popen[bytes] | None = None

    def do(self, verb: str, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run one command to its end."""
        return processes.run(MODULE, verb, "--state-dir", str(self.state), *arguments, prefix=self.prefix)

    def install(self, bundle: Bundle) -> "RealAgent":
        """Install from a bundle."""
        file = self.state.with_name(self.state.name + ".bundle")
        file.write_bytes(encode(bundle))
        file.chmod(0o600)
        done = self.do("install", "--bundle", str(file))
        assert done.returncode == 0, done.stderr
        return self

    def check_in(self) -> bool:
        """Check in once; tell whether it worked."""
        done = self.do("check-in")
        self.output = done.stdout + done.stderr
        return done.returncode == 0

    def status(self) -> dict[str, Any]:
        """The agent's own view, as a program reads it."""
        done = self.do("status", "--json")
        return json.loads(done.stdout)

    def copy(self, to: Path) -> "RealAgent":
        """What an image of the disk is: the same folder elsewhere."""
        shutil.copytree(self.state, to)
        return RealAgent(to, self.prefix)

    def start(self) -> "RealAgent":
        """Start the service."""
        self.process = processes.start(MODULE, "run", "--state-dir", str(self.state), log=self.log, prefix=self.prefix)
        return self

    def kill(self) -> None:
        """kill -9."""
        assert self.process is not None
        processes.stop(self.process, signal.SIGKILL)

    def close(self) -> None:
        """End it in good order."""
        if self.process is not None:
            processes.stop(self.process)
