"""Inventories in CSV: one line for each machine, or one for each registry value of a machine.

Delimiter and columns are found by the names in the header, or named by the caller. Lines are read one by one, so an
open quote damages a few lines and not the rest of the file.
"""

import csv
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import NamedTuple

from keyfast.core.visible import visible
from keyfast.errors import UsageError
from keyfast.see.client import Client, client
from keyfast.see.registry_text import Damaged

ALIASES: dict[str, tuple[str, ...]] = {
    "machine": (
        "machine",
        "machinename",
        "computer",
        "computername",
        "pscomputername",
        "host",
        "hostname",
        "device",
        "devicename",
        "netbiosname",
        "dnshostname",
        "name",
    ),
    "account": (
        "accountname",
        "account",
        "clientauthenticationaccount",
        "iisclientauthenticationaccount",
        "iisaccount",
    ),
    "domain": ("accountdomain", "domain", "iisdomain"),
    "version": ("clientversion", "seeversion", "productversion", "displayversion", "agentversion", "version"),
    "seen": ("lastcheckin", "lastcheckindate", "lastcheckintime", "lastcontact", "lastseen", "lastreported"),
    "value": ("valuename", "value", "registryvalue", "property"),
    "data": ("valuedata", "data", "registrydata"),
}
"""Names of columns, in lower case and without anything but letters and digits, the surest first."""
_DELIMITERS = ",;\t|"
_HEAD_LINES = 10
_JOINED_LINES = 4
_FORMATS = (
    "%d.%m.%Y %H:%M:%S",
    "%d.%m.%Y %H:%M",
    "%d.%m.%Y",
    "%Y/%m/%d %H:%M:%S",
    "%Y/%m/%d",
    "%m/%d/%Y %I:%M:%S %p",
    "%m/%d/%Y %I:%M %p",
)


class Table(NamedTuple):
    """How a file is read.

    Attributes:
        delimiter: between fields.
        places: place of each column that was found, by its key in ALIASES.
    """

    delimiter: str
    places: Mapping[str, int]


def read(
    lines: Iterable[str | None], columns: Mapping[str, str], needed: Sequence[str] = ("machine", "account")
) -> Iterator[Client | Damaged]:
    """Yield a client for every machine.

    Args:
        lines: of the file.
        columns: names of columns by their key in ALIASES, where they cannot be found.
        needed: keys without which the file is of no use.

    Raises:
        UsageError: it is no such file, or columns cannot be found.
    """
    source = iter(lines)
    table = _table(source, columns, needed)
    rows = _rows(source, table.delimiter)
    if {"value", "data"} <= table.places.keys() and "account" not in table.places:
        yield from _folded(rows, table)
        return
    last = max(table.places.values())
    for row in rows:
        if row is None or len(row) <= last or not row[table.places["machine"]].strip():
            yield Damaged()
        else:
            yield _client({key: row[place] for key, place in table.places.items()})


def moment(text: str) -> int:
    """Unix seconds of a date in an inventory, taken as UTC where it does not say; 0 for one that is not clear.

    Day and month of ``03/04/2026`` cannot be told apart, so it is not clear; with AM or PM it is American.
    """
    text = text.strip()
    found: datetime | None = None
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        for form in _FORMATS:
            try:
                found = datetime.strptime(text, form).replace(tzinfo=UTC)
            except ValueError:
                continue
            break
    if found is None:
        return 0
    try:
        return max(int((found if found.tzinfo else found.replace(tzinfo=UTC)).timestamp()), 0)
    except (OverflowError, ValueError):
        return 0


def _client(fields: Mapping[str, str]) -> Client:
    values = {"AccountName": fields.get("account", ""), "AccountDomain": fields.get("domain", "")}
    return client(fields["machine"], values, version=fields.get("version", ""), seen_at=moment(fields.get("seen", "")))


def _folded(rows: Iterable[list[str] | None], table: Table) -> Iterator[Client | Damaged]:
    """Read rows of one value each; those of a machine follow one another."""
    machine, values = "", dict[str, str]()
    last = max(table.places.values())
    for row in rows:
        if row is None or len(row) <= last:
            yield Damaged()
            continue
        name = row[table.places["machine"]].strip()
        if name != machine and values:
            yield client(machine, values)
            values = {}
        machine = name
        values[row[table.places["value"]].strip()] = row[table.places["data"]]
        if len(values) > len(ALIASES) * 10:
            yield Damaged()
            values = {}
    if values:
        yield client(machine, values)


def _table(lines: Iterator[str | None], columns: Mapping[str, str], needed: Sequence[str]) -> Table:
    head = ""
    for line, _ in zip(lines, range(_HEAD_LINES), strict=False):
        text = (line or "").strip()
        if not text or text.startswith("#TYPE") or text.lower().startswith("sep="):
            continue
        head = head or text
        best = max((_places(text, mark, columns) for mark in _DELIMITERS), key=lambda table: len(table.places))
        if _enough(best.places, needed):
            return best
    raise UsageError(
        f"no line of columns with {' and '.join(needed)} in it was found; the file begins: {visible(head, 120)}",
        repair=f"name the columns, for example: --column {needed[0]}='{ALIASES[needed[0]][0]}'",
    )


def _enough(places: Mapping[str, int], needed: Sequence[str]) -> bool:
    long = {"machine", "value", "data"} <= places.keys() and "account" in needed
    return long or set(needed) <= places.keys()


def _places(text: str, delimiter: str, columns: Mapping[str, str]) -> Table:
    names = [re.sub(r"[^a-z0-9]", "", name.lower()) for name in _fields(text, delimiter) or ()]
    places: dict[str, int] = {}
    for key, aliases in ALIASES.items():
        wanted = (re.sub(r"[^a-z0-9]", "", columns[key].lower()),) if key in columns else aliases
        found = next((names.index(alias) for alias in wanted if alias in names), None)
        if found is not None and found not in places.values():
            places[key] = found
    return Table(delimiter, places)


def _rows(lines: Iterator[str | None], delimiter: str) -> Iterator[list[str] | None]:
    """Split lines; a field may hold line breaks, of which a few are tried. None for each line that is damaged."""
    waiting: list[str] = []
    while True:
        line = waiting.pop(0) if waiting else next(lines, "\0end")
        if line == "\0end":
            return
        if line is None:
            yield None
        elif line.strip():
            row = _fields(line, delimiter)
            parts = [line]
            while row is None and len(parts) < _JOINED_LINES:
                more = waiting.pop(0) if waiting else next(lines, None)
                if more is None:
                    break
                parts.append(more)
                row = _fields("\n".join(parts), delimiter)
            if row is None:
                waiting = parts[1:] + waiting
            yield row


def _fields(text: str, delimiter: str) -> list[str] | None:
    try:
        rows = list(csv.reader(text.splitlines(keepends=True), delimiter=delimiter, strict=True))
    except csv.Error:
        return None
    return rows[0] if len(rows) == 1 else None
