"""The base of all Windows packages of one version: everything but what a stamp brings."""

import os
from pathlib import Path
from tempfile import TemporaryDirectory

from keyfast.installers.msi import names, tools
from keyfast.installers.msi.amend import CODEPAGE, base_statements, registry_table
from keyfast.installers.msi.cabinet import cabinet
from keyfast.installers.msi.document import document
from keyfast.installers.msi.runtime import PROGRAM


def build(tree: Path, version: str, base: Path) -> None:
    """Compile the MSI of a tree; it appears at ``base`` whole or not at all.

    Args:
        tree: from ``runtime.assemble``.
        version: of Keyfast.
        base: where it goes.

    Raises:
        KeyfastError: a program is missing, or refuses.
    """
    files = sorted(path.relative_to(tree).as_posix() for path in tree.rglob("*") if path.is_file())
    base.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    with TemporaryDirectory(dir=base.parent, prefix=".building-") as name:
        work = Path(name)
        source, made = work / "agent.wxs", work / "agent.msi"
        source.write_bytes(document(version, PROGRAM, files))
        tools.run(["wixl", "--arch", "x64", "--output", str(made), str(source)], folder=tree, silent=True)
        codepage = work / "_ForceCodepage.idt"
        codepage.write_text(CODEPAGE, "ascii", newline="")
        tools.run(["msibuild", str(made), "-i", str(codepage)], silent=True)
        amend(made, work, base_statements(version, len(files)), registry_table({"PackageId": "-"}), b"")
        made.replace(base)


def amend(msi: Path, work: Path, statements: list[str], registry: str, secret: bytes, *more: str) -> None:
    """Change an MSI in place: statements, the Registry table, and the cabinet of the secret.

    Args:
        msi: the file.
        work: a folder nobody else can look into.
        statements: SQL.
        registry: the table file.
        secret: content of the file in the second cabinet.
        more: arguments of msibuild that come last.
    """
    table, stream = work / "Registry.idt", work / names.BUNDLE_CABINET
    table.write_text(registry, "utf-8", newline="\r\n")
    with os.fdopen(os.open(stream, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
        file.write(cabinet(names.BUNDLE_ID, secret))
    tools.run(
        ["msibuild", str(msi), "-q", *statements, "-i", str(table), "-a", names.BUNDLE_CABINET, str(stream), *more],
        silent=True,
    )
