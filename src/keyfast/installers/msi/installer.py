"""The builder of Windows packages: a base for each version of Keyfast, Python and libraries, and stamps of it."""

import shutil
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Protocol

from keyfast import __version__
from keyfast.core.package import PackageKind
from keyfast.installers.agent_rooms import agent_files
from keyfast.installers.msi import amend, base, names, tools
from keyfast.installers.msi.interpreter import Interpreter
from keyfast.installers.msi.runtime import LAUNCHER, assemble
from keyfast.installers.msi.signing import Signer
from keyfast.installers.stamp import Missing, Progress, Stamp
from keyfast.installers.wheels import WINDOWS_X86_64, Wheels


class TakeInterpreter(Protocol):
    """Returns the Python to ship; called only when a base must be built."""

    def __call__(self) -> Interpreter:
        """See ``keyfast.installers.msi.interpreter``."""
        ...


@dataclass(frozen=True, slots=True)
class MsiInstaller:
    """See ``keyfast.installers.stamp.Installer``.

    Attributes:
        folder: keeps bases, and working folders while something is made; nobody else may look into it.
        wheels: the agent's libraries.
        signer: signs every package.
        interpreter: the Python to ship.
        source: tells bases of one Python from those of another: a version, or the digest of a zip.
        version: of Keyfast.
        kind: what comes out.
    """

    folder: Path
    wheels: Wheels
    signer: Signer
    interpreter: TakeInterpreter
    source: str
    version: str = __version__
    kind: PackageKind = PackageKind.MSI

    def missing(self) -> tuple[Missing, ...]:
        """See ``Installer.missing``."""
        return tools.missing()

    def base(self, told: Progress) -> Path:
        """See ``Installer.base``."""
        made = self.folder / f"agent-{self.version}-{self._digest()}.msi"
        if not made.is_file():
            tools.demand()
            told("the Python for Windows", 0.0)
            interpreter = self.interpreter()
            told("the agent's libraries for Windows", 0.3)
            libraries = self.wheels.tree(WINDOWS_X86_64, interpreter.version)
            self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            with TemporaryDirectory(dir=self.folder, prefix=".building-") as scratch:
                told("the agent and its launcher", 0.6)
                tree = Path(scratch) / "tree"
                assemble(tree, interpreter, libraries)
                told("the MSI", 0.8)
                base.build(tree, self.version, made)
        told("the base of the Windows packages is ready", 1.0)
        return made

    def stamp(self, base: Path, stamp: Stamp) -> bytes:
        """See ``Installer.stamp``."""
        tools.demand()
        with TemporaryDirectory(dir=base.parent, prefix=".stamping-") as scratch:
            work = Path(scratch)
            unsigned, signed = work / "unsigned.msi", work / "agent.msi"
            shutil.copyfile(base, unsigned)
            write_stamp(unsigned, work, stamp)
            self.signer.sign(unsigned, signed)
            return signed.read_bytes()

    def _digest(self) -> str:
        """Everything a base is made of, so that a changed agent is never taken from an old base."""
        told = sha256(f"{self.source}\n{self.wheels.lock.read_text('utf-8')}".encode())
        for name, path in sorted(agent_files().items()):
            told.update(f"{name}\n".encode() + path.read_bytes())
        for path in (*sorted(LAUNCHER.iterdir()), *sorted(Path(__file__).parent.glob("*.py"))):
            told.update(f"{path.name}\n".encode() + path.read_bytes())
        return told.hexdigest()[:16]


def write_stamp(msi: Path, work: Path, stamp: Stamp) -> None:
    """Make a package out of a copy of a base, in place; not signed yet.

    Args:
        msi: the copy.
        work: a folder nobody else can look into.
        stamp: what makes it this package.
    """
    code = f"{{{stamp.package_code.upper()}}}"
    summary = ("-s", names.PRODUCT, names.VENDOR, "x64;1033", code)
    base.amend(msi, work, amend.stamp_statements(stamp), amend.registry_table(stamp.values()), stamp.secret, *summary)
