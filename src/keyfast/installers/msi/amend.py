"""What wixl cannot express, as statements for the finished database: once for a base, and once for each package.

Pure: texts in, texts out. Values travel in a table file, where they need no quoting; nothing here is secret.
"""

from keyfast.core.package import BUNDLE_FILE
from keyfast.errors import UsageError
from keyfast.installers.msi import names
from keyfast.installers.msi.document import product_version
from keyfast.installers.stamp import Stamp

CLOSED = "D:P(A;OICI;GA;;;SY)(A;OICI;GA;;;BA)"
"""SYSTEM and the administrators, and nobody by inheritance."""

_SAME_VERSION = 1 | 512
"""Upgrade attributes: keep the choice of features, and count the version itself among those replaced."""
_ONLY_DETECT = 2
# Right after the transaction begins: if the new product cannot be installed, the old one comes back.
_REMOVE_OLD = 1501
_LOCK_MACHINE = 2
_TABLE = "Registry\tRoot\tKey\tName\tValue\tComponent_\ns72\ti2\tl255\tL255\tL0\ts72\nRegistry\tRegistry\n"
_FORBIDDEN = set("\t\r\n\0")


def base_statements(version: str, files: int) -> list[str]:
    """Return the statements that make a base out of what wixl wrote.

    Args:
        version: of Keyfast.
        files: how many files its cabinet holds.
    """
    secret = files + 1
    top = product_version(version)
    related = f"{{{names.UPGRADE_CODE}}}"
    return [
        "INSERT INTO `Media` (`DiskId`, `LastSequence`, `Cabinet`) "
        f"VALUES (2, {secret}, '#{names.SECRET_CABINET}')",
        "INSERT INTO `File` (`File`, `Component_`, `FileName`, `FileSize`, `Attributes`, `Sequence`) VALUES "
        f"('{names.SECRET_FILE}', '{names.SECRET_COMPONENT}', '{BUNDLE_FILE}', 0, 512, {secret})",
        # Attributes are part of the key, so the row is written anew.
        "DELETE FROM `Upgrade` WHERE `ActionProperty` = 'WIX_UPGRADE_DETECTED'",
        "INSERT INTO `Upgrade` (`UpgradeCode`, `VersionMax`, `Attributes`, `ActionProperty`) "
        f"VALUES ('{related}', '{top}', {_SAME_VERSION}, 'WIX_UPGRADE_DETECTED')",
        f"UPDATE `InstallExecuteSequence` SET `Sequence` = {_REMOVE_OLD} WHERE `Action` = 'RemoveExistingProducts'",
        "UPDATE `Property` SET `Value` = "
        f"'WIX_DOWNGRADE_DETECTED;WIX_UPGRADE_DETECTED;{names.SERVER_URL};{names.PURGE}' "
        "WHERE `Property` = 'SecureCustomProperties'",
        "CREATE TABLE `MsiLockPermissionsEx` (`MsiLockPermissionsEx` CHAR(72) NOT NULL, `LockObject` CHAR(72) NOT NULL, "
        "`Table` CHAR(32) NOT NULL, `SDDLText` CHAR(0) NOT NULL, `Condition` CHAR(255) "
        "PRIMARY KEY `MsiLockPermissionsEx`)",
        _lock("LockPackage", names.PACKAGE_FOLDER, "CreateFolder"),
        _lock("LockDatabase", "ClientDatabase", "Registry"),
        _lock("LockSecret", names.SECRET_FILE, "File"),
    ]


def _lock(name: str, what: str, table: str) -> str:
    return (
        "INSERT INTO `MsiLockPermissionsEx` (`MsiLockPermissionsEx`, `LockObject`, `Table`, `SDDLText`) "
        f"VALUES ('{name}', '{what}', '{table}', '{CLOSED}')"
    )


def stamp_statements(stamp: Stamp) -> list[str]:
    """Return the statements that make a package out of a base; the secret itself comes as a cabinet."""
    code = stamp.product_code.upper()
    return [
        f"UPDATE `Property` SET `Value` = '{{{code}}}' WHERE `Property` = 'ProductCode'",
        f"UPDATE `File` SET `FileSize` = {len(stamp.secret)} WHERE `File` = '{names.SECRET_FILE}'",
    ]


def registry_table(values: dict[str, str]) -> str:
    """Return the table file (.idt) of all that the MSI writes into the registry.

    Raises:
        UsageError: a value cannot be written.
    """
    rows = [
        # "+": made by an installation, and never removed. What is in it is the agent's.
        ("ClientDatabase", names.DATABASE_KEY, "+", ""),
        (f"Value{names.SERVER_URL_VALUE}", names.PACKAGE_KEY, names.SERVER_URL_VALUE, f"[{names.SERVER_URL}]"),
        *((f"Value{name}", names.PACKAGE_KEY, name, formatted(value)) for name, value in sorted(values.items())),
    ]
    lines = (
        f"{row}\t{_LOCK_MACHINE}\t{key}\t{name}\t{value}\t{names.VALUES_COMPONENT}\n" for row, key, name, value in rows
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
