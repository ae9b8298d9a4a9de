"""Look into a finished MSI and say what is wrong with it, as a person would with msiinfo."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from keyfast.core.package import BUNDLE_FILE
from keyfast.installers.msi import names, tools
from keyfast.installers.msi.amend import CLOSED, LOCKED, formatted
from keyfast.installers.msi.cabinet import cabinet
from keyfast.installers.msi.document import product_version
from keyfast.installers.stamp import Stamp

Row = Mapping[str, str]
_HEAD = 3
_INSTALL_BEGINS, _NEXT = 1500, 1600
_OWN = "\x05"
"""Begins the names of the summary and the signature, which are no streams of the database."""


@dataclass(frozen=True, slots=True)
class Contents:
    """All that is in an MSI.

    Attributes:
        tables: name to rows, each by its columns' names.
        streams: name to content, without the signature's.
        summary: the summary information, as text.
    """

    tables: Mapping[str, tuple[Row, ...]]
    streams: Mapping[str, bytes]
    summary: str

    def by(self, table: str, column: str) -> dict[str, Row]:
        """Return the rows of a table by the values of a column."""
        return {row[column]: row for row in self.tables.get(table, ())}


def read(msi: Path) -> Contents:
    """Read everything in an MSI.

    Raises:
        KeyfastError: it cannot be read, or msiinfo is not here.
    """
    tables = [name for name in _ask("tables", msi).split() if not name.startswith("_")]
    streams = [name for name in _ask("streams", msi).split("\n") if name and not name.startswith(_OWN)]
    return Contents(
        {name: _rows(_ask("export", msi, name)) for name in tables},
        {name: tools.run(["msiinfo", "extract", str(msi), name]) for name in streams},
        _ask("suminfo", msi),
    )


def _ask(*arguments: str | Path) -> str:
    verb, *rest = map(str, arguments)
    return tools.run(["msiinfo", verb, *rest]).decode("utf-8").replace("\r\n", "\n")


def _rows(exported: str) -> tuple[Row, ...]:
    lines = exported.split("\n")
    columns = lines[0].split("\t")
    return tuple(dict(zip(columns, line.split("\t"), strict=True)) for line in lines[_HEAD:] if line)


def faults(contents: Contents, stamp: Stamp, version: str) -> list[str]:
    """Return one sentence for everything that is not as it should be. Pure.

    Args:
        contents: of the MSI.
        stamp: what it was made from.
        version: of Keyfast.
    """
    checks = (_identity, _replacement, _service, _registry, _file, _secrecy)
    return [fault for check in checks for fault in check(contents, stamp, version)]


def _identity(contents: Contents, stamp: Stamp, version: str) -> Iterator[str]:
    properties = {name: row["Value"] for name, row in contents.by("Property", "Property").items()}
    wanted = {
        "ProductCode": f"{{{stamp.product_code.upper()}}}",
        "UpgradeCode": f"{{{names.UPGRADE_CODE}}}",
        "ProductVersion": product_version(version),
        "ALLUSERS": "1",
    }
    for name, value in wanted.items():
        if properties.get(name) != value:
            yield f"{name} is {properties.get(name)!r}, not {value!r}"
    if names.SERVER_URL not in properties.get("SecureCustomProperties", "").split(";"):
        yield f"{names.SERVER_URL} does not reach the part of the installation that is run by SYSTEM"
    for text in (stamp.package_code.upper(), "x64;1033"):
        if text not in contents.summary:
            yield f"the summary does not say {text}"


def _replacement(contents: Contents, stamp: Stamp, version: str) -> Iterator[str]:
    del stamp
    top, rows = product_version(version), contents.by("Upgrade", "ActionProperty")
    older, newer = rows.get("WIX_UPGRADE_DETECTED", {}), rows.get("WIX_DOWNGRADE_DETECTED", {})
    if (older.get("VersionMax"), older.get("Attributes")) != (top, "513"):
        yield "it does not replace packages of its own version and older ones"
    if (newer.get("VersionMin"), newer.get("Attributes")) != (top, "2"):
        yield "it does not look for newer versions"
    if "NOT WIX_DOWNGRADE_DETECTED" not in contents.by("LaunchCondition", "Condition"):
        yield "it installs over a newer version"
    order = contents.by("InstallExecuteSequence", "Action").get("RemoveExistingProducts", {"Sequence": "0"})
    if not _INSTALL_BEGINS < int(order["Sequence"]) < _NEXT:
        yield "the old product is not removed inside the transaction, before anything is installed"


def _service(contents: Contents, stamp: Stamp, version: str) -> Iterator[str]:
    del stamp, version
    if contents.by("ServiceInstall", "Name").get(names.SERVICE, {}).get("Arguments") != "--service":
        yield "the service is not installed"
    # Started by an installation; stopped by both; deleted by an uninstallation.
    if contents.by("ServiceControl", "Name").get(names.SERVICE, {}).get("Event") != str(1 | 2 | 32 | 128):
        yield "the service is not started, stopped and removed"


def _registry(contents: Contents, stamp: Stamp, version: str) -> Iterator[str]:
    del version
    wanted = {(names.PACKAGE_KEY, name): formatted(value) for name, value in stamp.values().items()}
    wanted[names.PACKAGE_KEY, names.SERVER_URL_VALUE] = f"[{names.SERVER_URL}]"
    wanted[names.DATABASE_KEY, "+"] = ""
    found = {(row["Key"], row["Name"]): row["Value"] for row in contents.tables.get("Registry", ())}
    yield from (
        f"the registry value {key[1]} is not as it should be" for key in sorted(wanted) if wanted[key] != found.get(key)
    )
    yield from (f"the registry value {key[1]} should not be there" for key in sorted(set(found) - set(wanted)))


def _file(contents: Contents, stamp: Stamp, version: str) -> Iterator[str]:
    del version
    row = contents.by("File", "File").get(names.BUNDLE_ID, {})
    if (row.get("FileName"), row.get("FileSize")) != (BUNDLE_FILE, str(len(stamp.secret))):
        yield f"{BUNDLE_FILE} is not described as it is"
    if contents.streams.get(names.BUNDLE_CABINET) != cabinet(names.BUNDLE_ID, stamp.secret):
        yield f"{BUNDLE_FILE} is not what the package was made from"
    locked = {row["LockObject"]: row["SDDLText"] for row in contents.tables.get("MsiLockPermissionsEx", ())}
    for name in LOCKED:
        if locked.get(name) != CLOSED:
            yield f"anybody may read {name}"


def _secrecy(contents: Contents, stamp: Stamp, version: str) -> Iterator[str]:
    """Whatever an installer may log, or anybody may read in the registry, holds nothing secret."""
    del version
    secrets = [stamp.bundle.statement, *([stamp.bundle.account.password] if stamp.bundle.account else [])]
    for table, rows in contents.tables.items():
        if any(secret in cell for secret in secrets for row in rows for cell in row.values()):
            yield f"a secret is in the table {table}"
    for name, content in contents.streams.items():
        if name != names.BUNDLE_CABINET and any(secret.encode() in content for secret in secrets):
            yield f"a secret is in the stream {name}"
    if any(secret in contents.summary for secret in secrets):
        yield "a secret is in the summary"
