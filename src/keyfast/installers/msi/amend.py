"""What wixl cannot express, as statements for the finished database: once for a base, and once for each package.

Pure: texts in, texts out. Values travel in a table file, where they need no quoting; nothing here is secret.
"""

from keyfast.core.package import BUNDLE_FILE
from keyfast.errors import UsageError
from keyfast.installers.msi import names
from keyfast.installers.msi.document import product_version
from keyfast.installers.stamp import Stamp

DATABASE_ROW = "ClientDatabase"
LOCKED = {names.PACKAGE_FOLDER: "CreateFolder", names.BUNDLE_ID: "File", DATABASE_ROW: "Registry"}
"""What only ``CLOSED`` may touch: row to table."""

CLOSED = "D:P(A;OICI;GA;;;SY)(A;OICI;GA;;;BA)"
"""SYSTEM and the administrators, and nobody by inheritance."""

_SAME_VERSION = 1 | 512
"""Upgrade attributes: keep the choice of features, and count the version itself among those replaced."""
_OLDER, _NEWER = "WIX_UPGRADE_DETECTED", "WIX_DOWNGRADE_DETECTED"
_ATTRIBUTES = 512
# Right after the transaction begins: if the new product cannot be installed, the old one comes back.
_REMOVE_OLD = 1501
_LOCAL_MACHINE = 2
CODEPAGE = "\r\n\r\n65001\t_ForceCodepage\r\n"
"""Table file that says texts are UTF-8; wixl leaves that open, and Windows would take its own code page."""

_TABLE = "Registry\tRoot\tKey\tName\tValue\tComponent_\ns72\ti2\tl255\tL255\tL0\ts72\nRegistry\tRegistry\n"
_CLOSED = {"SDDLText": CLOSED}
_LOCKS = (
    "CREATE TABLE `MsiLockPermissionsEx` (`MsiLockPermissionsEx` CHAR(72) NOT NULL, `LockObject` CHAR(72) NOT NULL, "
    "`Table` CHAR(32) NOT NULL, `SDDLText` CHAR(0) NOT NULL, `Condition` CHAR(255) PRIMARY KEY `MsiLockPermissionsEx`)"
)
_FORBIDDEN = set("\t\r\n\0")


def base_statements(version: str, files: int) -> list[str]:
    """Return the statements that make a base out of what wixl wrote.

    Args:
        version: of Keyfast.
        files: how many files its cabinet holds.
    """
    last = files + 1
    top = product_version(version)
    cabinet, related = f"#{names.BUNDLE_CABINET}", f"{{{names.UPGRADE_CODE}}}"
    file: dict[str, str | int] = {"FileName": BUNDLE_FILE, "FileSize": 0, "Attributes": _ATTRIBUTES}
    older: dict[str, str | int] = {"VersionMax": top, "Attributes": _SAME_VERSION, "ActionProperty": _OLDER}
    secure = f"{_NEWER};{_OLDER};{names.SERVER_URL};{names.PURGE}"
    return [
        _insert("Media", DiskId=2, LastSequence=last, Cabinet=cabinet),
        _insert("File", File=names.BUNDLE_ID, Component_=names.BUNDLE_COMPONENT, Sequence=last, **file),
        # Attributes are part of the key, so the row is written anew.
        _delete("Upgrade", "ActionProperty", _OLDER),
        _insert("Upgrade", UpgradeCode=related, **older),
        _update("InstallExecuteSequence", "Action", "RemoveExistingProducts", Sequence=_REMOVE_OLD),
        _update("Property", "Property", "SecureCustomProperties", Value=secure),
        _LOCKS,
        *(
            _insert("MsiLockPermissionsEx", MsiLockPermissionsEx=f"Lock{what}", LockObject=what, Table=table, **_CLOSED)
            for what, table in LOCKED.items()
        ),
    ]


def stamp_statements(stamp: Stamp) -> list[str]:
    """Return the statements that make a package out of a base; the secret itself comes as a cabinet."""
    return [
        _update("Property", "Property", "ProductCode", Value=f"{{{stamp.product_code.upper()}}}"),
        _update("File", "File", names.BUNDLE_ID, FileSize=len(stamp.secret)),
    ]


def _insert(table: str, **cells: str | int) -> str:
    columns = ", ".join(f"`{name}`" for name in cells)
    values = ", ".join(map(_literal, cells.values()))
    return f"INSERT INTO `{table}` ({columns}) VALUES ({values})"  # noqa: S608 - names and numbers of our own


def _update(table: str, key: str, row: str, **cells: str | int) -> str:
    changes = ", ".join(f"`{name}` = {_literal(value)}" for name, value in cells.items())
    return f"UPDATE `{table}` SET {changes} WHERE `{key}` = {_literal(row)}"  # noqa: S608 - names of our own


def _delete(table: str, key: str, row: str) -> str:
    return f"DELETE FROM `{table}` WHERE `{key}` = {_literal(row)}"  # noqa: S608 - names of our own


def _literal(value: str | int) -> str:
    return str(value) if isinstance(value, int) else f"'{value}'"


def registry_table(values: dict[str, str]) -> str:
    """Return the table file (.idt) of all that the MSI writes into the registry.

    Raises:
        UsageError: a value cannot be written.
    """
    rows = [
        # "+": made by an installation, and never removed. What is in it is the agent's.
        (DATABASE_ROW, names.DATABASE_KEY, "+", ""),
        (f"Value{names.SERVER_URL_VALUE}", names.PACKAGE_KEY, names.SERVER_URL_VALUE, f"[{names.SERVER_URL}]"),
        *((f"Value{name}", names.PACKAGE_KEY, name, formatted(value)) for name, value in sorted(values.items())),
    ]
    lines = (
        f"{row}\t{_LOCAL_MACHINE}\t{key}\t{name}\t{value}\t{names.VALUES_COMPONENT}\n" for row, key, name, value in rows
    )
    return _TABLE + "".join(lines)


def formatted(value: str) -> str:
    """Return a text that Windows Installer expands to ``value``: brackets and a leading # mean something there.

    Raises:
        UsageError: it holds what no table file can.
    """
    if _FORBIDDEN & set(value):
        raise UsageError(f"{value!r} cannot be a value in the registry")
    # Two are one; one alone would say that a number follows.
    start = "#" if value.startswith("#") else ""
    return start + "".join(rf"[\{letter}]" if letter in "[]{}" else letter for letter in value)
