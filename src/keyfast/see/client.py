r"""One client as an export tells of it, and the registry key it is read from.

Source: the maker's article 152429: ``HKLM\SOFTWARE\Encryption Anywhere\Framework\Client Database`` with the values
``AccountName`` and ``AccountDomain``. No other value is documented, so only the names of others are kept, and web
addresses among them: a value could be a secret.
"""

import re
from collections.abc import Iterable, Mapping

import msgspec

from keyfast.core.visible import visible

KEY = ("ENCRYPTION ANYWHERE", "FRAMEWORK", "CLIENT DATABASE")
_MACHINE = re.compile(r"^\\\\([^\\]+)\\")
_ADDRESS = re.compile(r"^https?://[^/?#@\s]+(?=[/?#\s]|$)", re.IGNORECASE)
_MOST_VALUES = 64


class Client(msgspec.Struct, frozen=True):
    """One client.

    Attributes:
        machine: name of the computer, safe to show, as the export or its file name has it.
        account: logon name without the domain, safe to show; empty where the client has none.
        domain: the account's domain, safe to show; empty where it is not said.
        version: of the client, empty if not known.
        seen_at: when it last checked in, unix seconds, 0 if not known.
        server: web address found in its client database, empty for none.
        others: names of other values in its client database, safe to show.
    """

    machine: str
    account: str
    domain: str = ""
    version: str = ""
    seen_at: int = 0
    server: str = ""
    others: tuple[str, ...] = ()


def is_client_database(path: str) -> bool:
    """Whether a registry path leads to the client database, wherever its hive is loaded; ``-`` before it deletes it."""
    if path.startswith("-"):
        return False
    parts = path.strip().rstrip("\\").upper().split("\\")
    return tuple(parts[-len(KEY) :]) == KEY


def machine_in(path: str) -> str:
    r"""The computer in a path such as ``\\PC1\HKLM\...``, empty for none."""
    found = _MACHINE.match(path.strip())
    return found.group(1) if found else ""


def logon_name(account: str, domain: str) -> tuple[str, str]:
    r"""Return name and domain, where the name may itself be ``DOMAIN\name`` or ``name@domain``."""
    account, domain = account.strip(), domain.strip()
    before, slash, after = account.partition("\\")
    if slash:
        return after, before or domain
    name, at, realm = account.partition("@")
    return (name, domain or realm) if at else (account, domain)


def client(machine: str, values: Mapping[str, str], *, version: str = "", seen_at: int = 0) -> Client:
    """Make a client of the values of its client database; names of values do not distinguish case."""
    found = {name.casefold(): text for name, text in values.items()}
    account, domain = logon_name(found.get("accountname", ""), found.get("accountdomain", ""))
    others = [name for name in values if name.casefold() not in ("accountname", "accountdomain")]
    return Client(
        visible(machine.strip()),
        visible(account),
        visible(domain),
        visible(version.strip(), 64),
        seen_at,
        _address(values.values()),
        tuple(visible(name, 64) for name in others[:_MOST_VALUES]),
    )


def _address(texts: Iterable[str]) -> str:
    found = (_ADDRESS.match(text.strip()) for text in texts)
    return next((visible(match.group(0)) for match in found if match), "")
