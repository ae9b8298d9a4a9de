"""An account's entry in Active Directory, turned into a reading: pure.

Sources: MS-ADTS 2.2.16 (userAccountControl), 3.1.1.4.5.17 and .34 (computed bits and expiry), MS-DTYP 2.3.3
(FILETIME), 2.4.2.2 (binary security identifiers).
"""

from collections.abc import Mapping, Sequence

from keyfast.core.directory import AccountReading, Group

PERSON = ("employeeID", "employeeNumber", "mail", "manager", "mobile", "telephoneNumber", "thumbnailPhoto", "title")
"""Attributes that people's accounts have and accounts of services have not."""
ACCOUNT = (
    "sAMAccountName",
    "userAccountControl",
    "msDS-User-Account-Control-Computed",
    "msDS-UserPasswordExpiryTimeComputed",
    "msDS-AllowedToDelegateTo",
    "pwdLastSet",
    "accountExpires",
    "lockoutTime",
    "badPwdCount",
    "adminCount",
    "servicePrincipalName",
    "logonHours",
    "userWorkstations",
    "lastLogon",
    *PERSON,
)
"""Attributes read with the account itself."""
BASE_ONLY = ("tokenGroups", "msDS-ResultantPSO")
"""Attributes that a directory computes only when the entry itself is the base of the search."""
REQUIRED = ("sAMAccountName", "userAccountControl", "msDS-User-Account-Control-Computed", "pwdLastSet")
"""Without these the reader account has too few rights, and nothing can be said."""

NEVER = 0x7FFFFFFFFFFFFFFF
_EPOCH = 11_644_473_600
_TICKS = 10_000_000
_DISABLED, _NEVER_EXPIRES, _DELEGATION, _PROTOCOL_TRANSITION = 0x2, 0x10000, 0x80000, 0x1000000
_LOCKED, _PASSWORD_EXPIRED = 0x10, 0x800000
_USERS = "S-1-5-32-545"
_DOMAIN_USERS = "-513"

Values = Mapping[str, Sequence[bytes]]


def filetime(value: int) -> int:
    """Return unix seconds of a FILETIME (100 ns since 1601), 0 for 0."""
    return value // _TICKS - _EPOCH if value > 0 else 0


def stamp_of(moment: float) -> int:
    """Return the FILETIME of a moment in unix seconds."""
    return int((moment + _EPOCH) * _TICKS)


def moment(value: int) -> int | None:
    """Return unix seconds of a FILETIME that stands for an end; None for never (0 and the largest number)."""
    return None if value <= 0 or value >= NEVER else filetime(value)


def sid(raw: bytes) -> str:
    """Return the text form of a binary security identifier.

    Raises:
        ValueError: it is malformed.
    """
    if len(raw) < 8 or raw[0] != 1 or len(raw) != 8 + 4 * raw[1]:  # noqa: PLR2004 - MS-DTYP 2.4.2.2
        raise ValueError("not a security identifier")
    parts = [int.from_bytes(raw[at : at + 4], "little") for at in range(8, len(raw), 4)]
    return "-".join(map(str, ("S", raw[0], int.from_bytes(raw[2:8], "big"), *parts)))


def group_sids(values: Values) -> tuple[str, ...]:
    """Return the groups in ``tokenGroups``, without Domain Users and the built-in Users."""
    sids = sorted({sid(raw) for raw in values.get("tokengroups", ())})
    return tuple(text for text in sids if text != _USERS and not _is_domain_users(text))


def missing(values: Values) -> tuple[str, ...]:
    """Return what a reader with too few rights was not given."""
    return tuple(name for name in REQUIRED if name.lower() not in values)


def reading(
    server: str, read_at: int, values: Values, *, groups: tuple[Group, ...], policy: str, lockout_threshold: int | None
) -> AccountReading:
    """Turn attribute values into a reading.

    Args:
        server: name of the domain controller.
        read_at: when.
        values: of ACCOUNT, by name in lower case.
        groups: what ``group_sids`` found, with names.
        policy: name of the fine-grained password policy.
        lockout_threshold: of the policy in force, None if it may not be read.

    Raises:
        ValueError: a value is not of its type.
    """
    control = _number(values, "useraccountcontrol")
    computed = _number(values, "msds-user-account-control-computed")
    stamp = _number(values, "pwdlastset")
    expired = bool(computed & _PASSWORD_EXPIRED)
    return AccountReading(
        server=server,
        read_at=read_at,
        exists=True,
        name=text(values, "samaccountname"),
        password_stamp=max(stamp, 0),
        password_set_at=filetime(stamp),
        password_expires_at=moment(_number(values, "msds-userpasswordexpirytimecomputed")),
        password_expired=expired,
        # The bit honours "never expires" and smart cards, which 0 alone does not.
        must_change=stamp == 0 and expired,
        never_expires=bool(control & _NEVER_EXPIRES),
        disabled=bool(control & _DISABLED),
        locked=bool(computed & _LOCKED),
        locked_at=filetime(_number(values, "lockouttime")),
        expires_at=moment(_number(values, "accountexpires")),
        bad_passwords=_number(values, "badpwdcount"),
        lockout_threshold=lockout_threshold,
        policy=policy,
        groups=groups,
        admin_count=_number(values, "admincount") > 0,
        delegation=bool(control & (_DELEGATION | _PROTOCOL_TRANSITION) or values.get("msds-allowedtodelegateto")),
        service_names=tuple(sorted(_decode(raw) for raw in values.get("serviceprincipalname", ()))),
        hours_restricted=any(set(raw) - {0xFF} for raw in values.get("logonhours", ())),
        workstations=tuple(name for name in text(values, "userworkstations").split(",") if name),
        person=tuple(name for name in PERSON if any(values.get(name.lower(), ()))),
        last_logon_at=filetime(_number(values, "lastlogon")),
    )


def text(values: Values, name: str) -> str:
    """Return the first value as text, empty without one."""
    found = values.get(name, ())
    return _decode(found[0]) if found else ""


def threshold(values: Values, name: str) -> int | None:
    """Return a lockout threshold, None where it was not given."""
    return _number(values, name) if values.get(name) else None


def _is_domain_users(text: str) -> bool:
    return text.startswith("S-1-5-21-") and text.endswith(_DOMAIN_USERS)


def _number(values: Values, name: str) -> int:
    found = text(values, name)
    return int(found) if found else 0


def _decode(raw: bytes) -> str:
    return raw.decode("utf-8", "replace")
