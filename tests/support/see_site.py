"""A site of Symantec Endpoint Encryption as its exports tell of it: registry files, inventories, logs of IIS."""

from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path

KEY = r"HKEY_LOCAL_MACHINE\SOFTWARE\Encryption Anywhere\Framework\Client Database"
FIELDS = (
    "date time s-ip cs-method cs-uri-stem cs-uri-query s-port cs-username c-ip cs(User-Agent) "
    "sc-status sc-substatus sc-win32-status time-taken"
)


def reg_export(account: str, domain: str, **others: str) -> str:
    """What regedit exports of a client database."""
    values = {"AccountName": account, "AccountDomain": domain, **others}
    lines = [f'"{name}"="{_escaped(text)}"' for name, text in values.items()]
    return "\r\n".join(["Windows Registry Editor Version 5.00", "", f"[{KEY}]", *lines, "", ""])


def write_reg(path: Path, account: str, domain: str, **others: str) -> Path:
    """The same as a file, in UTF-16 with its mark as regedit writes it."""
    path.write_bytes(b"\xff\xfe" + reg_export(account, domain, **others).encode("utf-16-le"))
    return path


def iis_line(at: float, status: int, substatus: int = 0, win32: int = 0, user: str = "-", machine: int = 1) -> str:
    """One request in a log of IIS."""
    moment = datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%d %H:%M:%S")
    address = f"10.0.{machine // 250}.{machine % 250 + 1}"
    return f"{moment} 10.0.0.1 POST /service/checkin.asmx - 443 {user} {address} client {status} {substatus} {win32} 15"


def iis_log(path: Path, lines: Iterable[str]) -> Path:
    """A log of IIS."""
    with path.open("w", encoding="utf-8") as file:
        file.write(f"#Software: Microsoft Internet Information Services 10.0\n#Fields: {FIELDS}\n")
        file.writelines(line + "\n" for line in lines)
    return path


def check_in(at: float, user: str, machine: int) -> list[str]:
    """A check-in by NTLM that succeeds: two challenges, then the request."""
    return [
        iis_line(at, 401, 2, 5, machine=machine),
        iis_line(at, 401, 1, 2148074254, machine=machine),
        iis_line(at, 200, user=user, machine=machine),
    ]


def refused(at: float, win32: int, machine: int) -> list[str]:
    """A check-in by NTLM that is refused."""
    return [
        iis_line(at, 401, 2, 5, machine=machine),
        iis_line(at, 401, 1, 2148074254, machine=machine),
        iis_line(at, 401, 1, win32, machine=machine),
    ]


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"')
