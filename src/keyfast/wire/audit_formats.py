"""The audit trail for other systems: JSON lines, syslog (RFC 5424) and CEF. One record, one line.

Whatever a person or an endpoint has sent may stand in a record. JSON escapes it all. In the other two formats
everything invisible is written out first (``core.visible``), so that nothing ends a line or reaches a terminal,
and then the format's own marks are escaped.
"""

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from enum import StrEnum

import msgspec

from keyfast import __version__
from keyfast.core.audit import LONGEST, Entry, Outcome
from keyfast.core.visible import visible

_AUDIT_FACILITY = 13
_NOTICE, _WARNING = 5, 4
_ENTERPRISE = 32473
"""The number for examples (RFC 5612): Keyfast has none of its own."""
_NOTHING = "-"
_WRITTEN_OUT = 10
"""Characters that an invisible one becomes at most."""
_CEF_LONGEST = 3600
"""Of the 4,000 characters that a custom field may have, what is left besides names and marks."""


class Format(StrEnum):
    """How the trail is exported."""

    JSONL = "jsonl"
    SYSLOG = "syslog"
    CEF = "cef"


def line(entry: Entry, form: Format, host: str) -> bytes:
    """Return a record as one line, with its end; ``host`` is the name of the server."""
    return _LINES[form](entry, host) + b"\n"


def jsonl(entry: Entry, host: str = "") -> bytes:  # noqa: ARG001 - the others need it
    """Return ``{"hash": ..., "record": {...}}`` as it is hashed: members sorted, no white space."""
    return msgspec.json.encode(entry, order="sorted")


def syslog(entry: Entry, host: str) -> bytes:
    """Return a record by RFC 5424, everything but the outcome as structured data."""
    record = entry.record
    severity = _NOTICE if record.outcome == Outcome.DONE else _WARNING
    at = datetime.fromtimestamp(record.at, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    header = f"<{8 * _AUDIT_FACILITY + severity}>1 {at} {_name(host)} keyfast - {_name(record.action)}"
    facts = "".join(f' {name}="{_syslog_value(value)}"' for name, value in _facts(entry).items())
    details = "".join(f' {name}="{_syslog_value(value)}"' for name, value in sorted(record.detail.items()))
    detail = f"[detail@{_ENTERPRISE}{details}]" if details else ""
    return f"{header} [act@{_ENTERPRISE}{facts}]{detail} {record.action} {record.outcome}".encode()


def cef(entry: Entry, host: str) -> bytes:
    """Return a record in the Common Event Format, particulars as JSON in ``cs6``."""
    record = entry.record
    severity = "3" if record.outcome == Outcome.DONE else "6"
    title = record.action.replace("_", " ")
    header = "|".join(map(_cef_header, ("CEF:0", "Keyfast", "Keyfast", __version__, record.action, title, severity)))
    fields = {
        "rt": str(1000 * record.at),
        "dvchost": host,
        "externalId": str(record.number),
        "suser": record.actor,
        "spriv": record.role,
        "act": record.action,
        "outcome": record.outcome,
        **_custom(1, "subject kind", record.subject_kind),
        **_custom(2, "subject", record.subject),
        **_custom(3, "via", record.via),
        **_custom(4, "request", record.request),
        **_custom(5, "hash", entry.hash),
        **_custom(6, "detail", _json(record.detail)),
    }
    return f"{header}|{' '.join(f'{name}={_cef_value(text)}' for name, text in fields.items() if text)}".encode()


def _facts(entry: Entry) -> Mapping[str, str]:
    record = entry.record
    return {
        "number": str(record.number),
        "actor": record.actor,
        "role": record.role,
        "via": record.via,
        "subjectKind": record.subject_kind,
        "subject": record.subject,
        "outcome": record.outcome,
        "request": record.request,
        "hash": entry.hash,
    }


def _custom(number: int, label: str, text: str) -> dict[str, str]:
    return {f"cs{number}Label": label, f"cs{number}": text} if text else {}


def _name(text: str) -> str:
    """Return a field of the syslog header: printable ASCII without blanks, or a dash."""
    return "".join(mark if "!" <= mark <= "~" else "?" for mark in text)[:255] or _NOTHING


def _shown(text: str) -> str:
    return visible(text, _WRITTEN_OUT * LONGEST)


def _syslog_value(text: str) -> str:
    return _shown(text).replace("\\", "\\\\").replace('"', '\\"').replace("]", "\\]")


def _cef_header(text: str) -> str:
    return _shown(text).replace("\\", "\\\\").replace("|", "\\|")


def _cef_value(text: str) -> str:
    return _shown(text).replace("\\", "\\\\").replace("=", "\\=")


def _json(detail: Mapping[str, str]) -> str:
    """Return particulars as JSON that is still JSON in a field of limited length: values are cut, not the whole."""
    most = _CEF_LONGEST // (2 * len(detail) or 1)  # a backslash or a quotation mark becomes two
    return msgspec.json.encode({name: visible(text, most) for name, text in sorted(detail.items())}).decode()


_LINES: Mapping[Format, Callable[[Entry, str], bytes]] = {
    Format.JSONL: jsonl,
    Format.SYSLOG: syslog,
    Format.CEF: cef,
}
