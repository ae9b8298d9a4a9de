"""A real agent that takes its packages from a folder, as installers leave them."""

from pathlib import Path

from tests.support import processes
from tests.support.agent import MODULE, RealAgent

from keyfast.core.package import BUNDLE_FILE
from keyfast.wire.bundle import Bundle
from keyfast.wire.messages import encode

LOOKS = frozenset({"install", "run", "status", "self-check"})
"""Verbs that look into the folder."""


class PackagedAgent(RealAgent):
    """See the module. ``start`` runs it as a service does."""

    def __init__(self, state: Path) -> None:
        super().__init__(state)
        self.packages = state.with_name(state.name + ".packages")
        self.packages.mkdir(mode=0o700, exist_ok=True)
        self.file = self.packages / BUNDLE_FILE

    def leave(self, content: Bundle | bytes) -> "PackagedAgent":
        """Leave a package, and no more."""
        self.file.write_bytes(content if isinstance(content, bytes) else encode(content))
        self.file.chmod(0o600)
        return self

    def do(self, verb, *arguments):
        """Run one command to its end."""
        folder = ("--package-dir", str(self.packages)) if verb in LOOKS else ()
        return super().do(verb, *folder, *arguments)

    def start(self) -> "PackagedAgent":
        """Start the service."""
        arguments = ("run", "--state-dir", str(self.state), "--package-dir", str(self.packages))
        self.process = processes.start(MODULE, *arguments, log=self.log, prefix=self.prefix)
        return self

    def restart(self) -> "PackagedAgent":
        """End it in good order and start it again, as an installer does after it has left a package."""
        self.close()
        return self.start()
