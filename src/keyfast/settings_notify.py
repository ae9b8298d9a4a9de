"""Settings of notifications: the table ``notify`` of ``server.toml``."""

import re
from dataclasses import dataclass
from pathlib import Path

import msgspec

from keyfast.errors import UsageError

MAIL_TLS = ("starttls", "tls", "off")
_ADDRESS = re.compile(r"[^\s@<>,]+@[^\s@<>,]+")
_SERVER = re.compile(r"[^:\s]+:\d{1,5}")
_HERE = re.compile(r"http://(localhost|127\.0\.0\.1)[:/]")


@dataclass(frozen=True, slots=True)
class NotifySettings:
    """Who is told of what needs somebody; nobody, unless it names a webhook or mail addresses.

    Attributes:
        webhook: URL that messages are posted to; ``https``, or ``http`` on this machine.
        webhook_secret_file: file with the secret that they are signed with, mode 0600.
        mail_server: host and port of a mail server.
        mail_tls: ``starttls``, ``tls`` from the beginning, or ``off``.
        mail_user: logs on to it; empty for nobody.
        mail_password_file: file with the user's password, mode 0600.
        mail_from: address that mail comes from.
        mail_to: addresses that it goes to.
        ca: PEM file of the authorities behind both, None for the operating system's.
    """

    webhook: str = ""
    webhook_secret_file: Path | None = None
    mail_server: str = ""
    mail_tls: str = MAIL_TLS[0]
    mail_user: str = ""
    mail_password_file: Path | None = None
    mail_from: str = ""
    mail_to: tuple[str, ...] = ()
    ca: Path | None = None


NOBODY = NotifySettings()


class _Table(msgspec.Struct, forbid_unknown_fields=True):
    webhook: str = ""
    webhook_secret_file: str = ""
    mail_server: str = ""
    mail_tls: str = MAIL_TLS[0]
    mail_user: str = ""
    mail_password_file: str = ""
    mail_from: str = ""
    mail_to: tuple[str, ...] = ()
    ca: str = ""


def read(path: Path, found: dict[str, object]) -> NotifySettings:
    """Read the table.

    Args:
        path: the file, for sentences and for paths relative to it.
        found: the table.

    Raises:
        UsageError: it has an unknown member, one of a wrong type, or half of what belongs together.
    """
    try:
        table = msgspec.convert(found, _Table)
    except msgspec.ValidationError as cause:
        raise UsageError(f"{path}: notify: {cause}") from None
    fault = _webhook_fault(table) or _mail_fault(table)
    if fault:
        raise UsageError(f"{path}: {fault}")

    def file(name: str) -> Path | None:
        return path.parent / name if name else None

    return NotifySettings(
        table.webhook,
        file(table.webhook_secret_file),
        table.mail_server,
        table.mail_tls,
        table.mail_user,
        file(table.mail_password_file),
        table.mail_from,
        table.mail_to,
        file(table.ca),
    )


def _webhook_fault(table: _Table) -> str:
    if bool(table.webhook) != bool(table.webhook_secret_file):
        return "notify needs both webhook and webhook_secret_file, or neither"
    if table.webhook and not (table.webhook.startswith("https://") or _HERE.match(table.webhook)):
        return "notify.webhook must be an https URL, or http on this machine"
    return ""


def _mail_fault(table: _Table) -> str:
    addresses = (*table.mail_to, *([table.mail_from] if table.mail_from else []))
    rules = {
        "notify needs mail_server, mail_from and mail_to, or none of them": bool(table.mail_server)
        == bool(table.mail_from)
        == bool(table.mail_to),
        "notify.mail_server must be HOST:PORT": not table.mail_server or bool(_SERVER.fullmatch(table.mail_server)),
        "notify.mail_from and mail_to must be mail addresses": all(map(_ADDRESS.fullmatch, addresses)),
        f"notify.mail_tls must be one of {', '.join(MAIL_TLS)}": table.mail_tls in MAIL_TLS,
        "notify needs both mail_user and mail_password_file, or neither": bool(table.mail_user)
        == bool(table.mail_password_file),
        "notify.mail_user needs TLS: a password does not travel without it": not table.mail_user
        or table.mail_tls != "off",
    }
    return next((fault for fault, holds in rules.items() if not holds), "")
