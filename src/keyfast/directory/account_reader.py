"""Read one account at one domain controller, or set its password: the messages, and nothing of what they mean."""

from collections.abc import Sequence

from keyfast.core.directory import AccountReading, Group
from keyfast.core.secret import Secret
from keyfast.directory import entry
from keyfast.directory.connection import Connection
from keyfast.directory.ldap_message import Both, Entry, Equals, Present, Result, Scope
from keyfast.errors import NotReadyError, UsageError

_ANYTHING = Present("objectClass")
_MAX_NAMED = 32
"""Groups whose names are looked up; an account in more of them is odd enough without."""


async def read_account(connection: Connection, base_dn: str, server: str, name: str, now: int) -> AccountReading:
    """Read an account by its logon name.

    Args:
        connection: bound as the reader.
        base_dn: where to search, empty for the whole domain.
        server: name of the domain controller, for the reading.
        name: logon name without the domain.
        now: for the reading.

    Raises:
        NotReadyError: the domain controller cannot be read, or the reader has too few rights.
    """
    root = await domain_dn(connection)
    by_name = Both((Equals("objectClass", "user"), Equals("sAMAccountName", name)))
    found = await connection.search(base_dn or root, Scope.SUBTREE, by_name, entry.ACCOUNT)
    if not found:
        return AccountReading(server, now, exists=False, name=name)
    account = found[0]
    demand_readable(entry.missing(account.values))
    computed = await read_base(connection, account.dn, entry.BASE_ONLY)
    pso = entry.text(computed.values, "msds-resultantpso")
    try:
        return entry.reading(
            server,
            now,
            account.values,
            groups=await _named(connection, entry.group_sids(computed.values)),
            policy=pso,
            lockout_threshold=await _threshold(connection, root, pso),
        )
    except ValueError:
        raise NotReadyError(f"{server} returned an attribute that is not of its type") from None


async def read_names(connection: Connection) -> tuple[str, ...]:
    """Read what the domain is called, its short (NetBIOS) name first, then its DNS name.

    Source: MS-ADTS 6.1.1.2.1.1 (crossRef objects in the partitions container).

    Raises:
        NotReadyError: the domain controller cannot be read.
    """
    names = ("defaultNamingContext", "configurationNamingContext")
    root = (await read_base(connection, "", names)).values
    domain, configuration = (entry.text(root, name.lower()) for name in names)
    by_domain = Both((Equals("objectClass", "crossRef"), Equals("nCName", domain)))
    found = await connection.search(configuration, Scope.SUBTREE, by_domain, ("nETBIOSName", "dnsRoot"))
    values = found[0].values if found else {}
    told = (entry.text(values, "netbiosname"), entry.text(values, "dnsroot"))
    return tuple(name for name in told if name)


async def reset_password(connection: Connection, base_dn: str, name: str, password: Secret) -> Result | None:
    """Set an account's password; None if there is no such account, else what the directory said.

    Raises:
        NotReadyError: the domain controller cannot be asked.
        UsageError: the password is no text.
    """
    by_name = Both((Equals("objectClass", "user"), Equals("sAMAccountName", name)))
    found = await connection.search(base_dn or await domain_dn(connection), Scope.SUBTREE, by_name, ("objectClass",))
    if not found:
        return None
    try:
        quoted = f'"{password.reveal().decode()}"'.encode("utf-16-le")
    except UnicodeDecodeError:
        raise UsageError("a password is text") from None
    return await connection.replace(found[0].dn, "unicodePwd", quoted)


def demand_readable(absent: Sequence[str]) -> None:
    """Make sure that the reader was given everything that is needed.

    Raises:
        NotReadyError: it was not: nothing can be said.
    """
    if absent:
        raise NotReadyError(
            f"the reader account may not read {', '.join(absent)}",
            repair="grant it read access to the account, as any ordinary user has",
        )


async def domain_dn(connection: Connection) -> str:
    """Return the distinguished name of the domain.

    Raises:
        NotReadyError: the server is no domain controller.
    """
    root = entry.text((await read_base(connection, "", ("defaultNamingContext",))).values, "defaultnamingcontext")
    if not root:
        raise NotReadyError("the server is no domain controller: it names no domain")
    return root


async def _threshold(connection: Connection, root: str, pso: str) -> int | None:
    if pso:
        values = (await read_base(connection, pso, ("msDS-LockoutThreshold",))).values
        return entry.threshold(values, "msds-lockoutthreshold")
    return entry.threshold((await read_base(connection, root, ("lockoutThreshold",))).values, "lockoutthreshold")


async def _named(connection: Connection, sids: tuple[str, ...]) -> tuple[Group, ...]:
    # A distinguished name may be given as a security identifier (MS-ADTS 3.1.1.3.1.2.4).
    names = [(await read_base(connection, f"<SID={sid}>", ("distinguishedName",))).dn for sid in sids[:_MAX_NAMED]]
    return tuple(Group(sid, name) for sid, name in zip(sids, names + [""] * len(sids), strict=False))


async def read_base(connection: Connection, dn: str, attributes: tuple[str, ...]) -> Entry:
    """Read one entry by its name; without values where there is none, or it may not be read."""
    found = await connection.search(dn, Scope.BASE, _ANYTHING, attributes)
    return found[0] if found else Entry("", {})
