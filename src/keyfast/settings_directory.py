"""Settings of the directory: the table ``directory`` of ``server.toml``."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec

from keyfast.core.person_groups import MAX_GROUPS, MAX_RINGS, GroupRole
from keyfast.errors import UsageError

MAX_INTERVAL = 3600


@dataclass(frozen=True, slots=True)
class ActiveDirectorySettings:
    """Where the accounts are; without the table the embedded directory is used.

    Attributes:
        domain: short (NetBIOS) name of the domain.
        realm: its Kerberos realm.
        servers: URLs of its domain controllers, ``ldaps://`` or ``ldap://`` (then with StartTLS or sealing).
        ca: PEM file of the authority behind their certificates, None for the operating system's.
        reader: logon name or Kerberos principal by which this server reads.
        reader_password_file: file with its password, mode 0600; or
        reader_keytab: its keys.
        watch_interval_s: seconds between two readings of each account.
        group: groups whose members may sign in, and what they are here.
    """

    domain: str
    realm: str
    servers: tuple[str, ...]
    reader: str
    ca: Path | None = None
    reader_password_file: Path | None = None
    reader_keytab: Path | None = None
    watch_interval_s: int = 60
    group: tuple[GroupRole, ...] = ()


class _Table(msgspec.Struct, forbid_unknown_fields=True):
    domain: str = ""
    realm: str = ""
    servers: tuple[str, ...] = ()
    reader: str = ""
    ca: str = ""
    reader_password_file: str = ""
    reader_keytab: str = ""
    watch_interval_s: int = 60
    group: tuple[GroupRole, ...] = ()


def read(path: Path, found: dict[str, object] | None) -> ActiveDirectorySettings | None:
    """Read the table; None if it is not there.

    Args:
        path: the file, for sentences and for paths relative to it.
        found: the table.

    Raises:
        UsageError: it has an unknown member, one of a wrong type, or lacks what is needed.
    """
    if found is None:
        return None
    try:
        table = msgspec.convert(found, _Table)
    except msgspec.ValidationError as cause:
        raise UsageError(f"{path}: directory: {cause}") from None
    if fault := _fault(table) or _group_fault(table.group):
        raise UsageError(f"{path}: {fault}")

    def file(name: str) -> Path | None:
        return path.parent / name if name else None

    return ActiveDirectorySettings(
        domain=table.domain.upper(),
        realm=table.realm.upper(),
        servers=table.servers,
        reader=table.reader,
        ca=file(table.ca),
        reader_password_file=file(table.reader_password_file),
        reader_keytab=file(table.reader_keytab),
        watch_interval_s=table.watch_interval_s,
        group=table.group,
    )


def _fault(table: _Table) -> str:
    rules = {
        "directory.servers must be a list of URLs of domain controllers": bool(table.servers),
        f"directory.watch_interval_s must be a number of seconds from 1 to {MAX_INTERVAL}": 1
        <= table.watch_interval_s
        <= MAX_INTERVAL,
        "directory needs domain and reader": bool(table.domain and table.reader),
        "directory needs either reader_password_file or reader_keytab": bool(table.reader_password_file)
        != bool(table.reader_keytab),
    }
    return next((fault for fault, holds in rules.items() if not holds), "")


def _group_fault(groups: Sequence[GroupRole]) -> str:
    names = [group.name.strip().lower() for group in groups]
    rings = [group.rings for group in groups]
    rules = {
        f"directory.group: at most {MAX_GROUPS} groups": len(groups) <= MAX_GROUPS,
        "directory.group: each group needs a name": all(names),
        "directory.group: a group is named once": len(set(names)) == len(names),
        f"directory.group: at most {MAX_RINGS} rings, and none without a name": all(
            len(some) <= MAX_RINGS and all(ring.strip() for ring in some) for some in rings
        ),
    }
    return next((fault for fault, holds in rules.items() if not holds), "")
