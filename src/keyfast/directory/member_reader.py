"""Read an account of somebody who signs in, and which of some groups it is in.

Groups come from ``tokenGroups``, which the domain controller computes: groups within groups and the primary group are
in it, groups for mail alone are not (MS-ADTS 3.1.1.4.5.19).
"""

from collections.abc import Sequence

from keyfast.core.directory import AccountReading
from keyfast.core.person_groups import Member
from keyfast.directory import entry
from keyfast.directory.account_reader import demand_readable, domain_dn, read_base
from keyfast.directory.connection import Connection
from keyfast.directory.ldap_message import Both, Equals, Scope
from keyfast.errors import NotReadyError

_SID = "objectSid"
_GROUPS = "tokenGroups"


async def read_member(
    connection: Connection, *, base_dn: str, server: str, by: Equals, groups: Sequence[str], now: int
) -> Member:
    """Read an account.

    Args:
        connection: bound as the reader.
        base_dn: where accounts are searched, empty for the whole domain.
        server: name of the domain controller, for the reading.
        by: what finds the account.
        groups: names of groups, see ``GroupRole``.
        now: for the reading.

    Raises:
        NotReadyError: the domain controller cannot be read, or the reader has too few rights.
    """
    root = await domain_dn(connection)
    sids = {name: await _group_sid(connection, root, name) for name in groups}
    unknown = frozenset(name for name, sid in sids.items() if not sid)
    an_account = Both((Equals("objectClass", "user"), by))
    found = await connection.search(base_dn or root, Scope.SUBTREE, an_account, (*entry.ACCOUNT, _SID))
    if not found:
        return Member(AccountReading(server, now, exists=False), unknown=unknown)
    account = found[0]
    computed = await read_base(connection, account.dn, (_GROUPS,))
    values = {**account.values, **computed.values}
    demand_readable([*entry.missing(values), *(name for name in (_SID, _GROUPS) if name.lower() not in values)])
    try:
        reading = entry.reading(server, now, values, groups=(), policy="", lockout_threshold=None)
        held = {entry.sid(raw) for raw in values[_GROUPS.lower()]}
        sid = entry.sid(values[_SID.lower()][0])
    except ValueError:
        raise NotReadyError(f"{server} returned an attribute that is not of its type") from None
    return Member(reading, sid, frozenset(name for name, group in sids.items() if group in held), unknown)


async def _group_sid(connection: Connection, root: str, name: str) -> str:
    """Return the security identifier of a group, empty if there is none of that name."""
    attribute = "distinguishedName" if "=" in name else "sAMAccountName"  # no logon name has an equals sign
    a_group = Both((Equals("objectClass", "group"), Equals(attribute, name)))
    found = await connection.search(root, Scope.SUBTREE, a_group, (_SID,))
    raw = found[0].values.get(_SID.lower(), ()) if found else ()
    try:
        return entry.sid(raw[0]) if raw else ""
    except ValueError:
        return ""
