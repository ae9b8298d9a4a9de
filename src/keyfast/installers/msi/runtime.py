"""The tree that an MSI installs: an interpreter, the agent's libraries, the agent, and the program that starts it."""

import shutil
import sys
from pathlib import Path

from keyfast.installers.agent_rooms import agent_files
from keyfast.installers.msi import tools
from keyfast.installers.msi.interpreter import Interpreter, bytecode

PROGRAM = "keyfast-agent.exe"
SITE = "site-packages"
LAUNCHER = Path(__file__).with_name("launcher")
_WARNINGS = ("-Wall", "-Wextra", "-Wpedantic", "-Wconversion", "-Wshadow", "-Werror")
_WINDOWS_10 = "-D_WIN32_WINNT=0x0A00"
_LIBRARIES = ("-ladvapi32", "-lshell32", "-lole32", "-luuid", "-lmsi")


def assemble(folder: Path, interpreter: Interpreter, libraries: Path) -> None:
    """Fill an empty folder with everything that goes to ``Places.program``.

    Args:
        folder: made here.
        interpreter: the Python.
        libraries: ``site-packages`` of the agent's libraries for it.

    Raises:
        KeyfastError: the launcher cannot be compiled.
    """
    site = folder / SITE
    shutil.copytree(libraries, site)
    for name, source in agent_files().items():
        (site / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source, site / name)
    if interpreter.version == f"{sys.version_info.major}.{sys.version_info.minor}":
        # Nothing is written into the program's folder later: without this every start would compile.
        bytecode(site, beside=False)
    for name, content in interpreter.files.items():
        (folder / name).write_bytes(content)
    (folder / f"{interpreter.stem}._pth").write_text(f"{interpreter.stem}.zip\n.\n{SITE}\n", "ascii")
    compile_launcher(folder / PROGRAM, f"{interpreter.stem}.dll")


def compile_launcher(program: Path, dll: str) -> None:
    """Compile the launcher; same sources, same bytes.

    Raises:
        MissingToolError: the compiler is not here.
        NotReadyError: it refuses.
    """
    sources = sorted(str(path) for path in LAUNCHER.glob("*.c"))
    defined = [_WINDOWS_10, "-DUNICODE", "-D_UNICODE", f'-DPYTHON_DLL=L"{dll}"']
    linked = ["-municode", "-static", "-s", "-Wl,--no-insert-timestamp", *_LIBRARIES]
    tools.run([tools.COMPILER, "-std=c11", "-O2", *_WARNINGS, *defined, "-o", str(program), *sources, *linked])
