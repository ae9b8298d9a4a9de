"""What an account has beyond an ordinary user (MS-DTYP 2.4.2.4, well-known security identifiers)."""

from keyfast.core.directory import AccountReading, Group

BUILT_IN = "S-1-5-32-"
DOMAIN = "S-1-5-21-"

DOMAIN_GROUPS = {
    498: "Enterprise Read-only Domain Controllers",
    512: "Domain Admins",
    516: "Domain Controllers",
    517: "Cert Publishers",
    518: "Schema Admins",
    519: "Enterprise Admins",
    520: "Group Policy Creator Owners",
    521: "Read-only Domain Controllers",
    526: "Key Admins",
    527: "Enterprise Key Admins",
}
BUILT_IN_GROUPS = {
    544: "Administrators",
    547: "Power Users",
    548: "Account Operators",
    549: "Server Operators",
    550: "Print Operators",
    551: "Backup Operators",
    552: "Replicator",
    554: "Pre-Windows 2000 Compatible Access",
    555: "Remote Desktop Users",
    556: "Network Configuration Operators",
    557: "Incoming Forest Trust Builders",
    560: "Windows Authorization Access Group",
    562: "Distributed COM Users",
    569: "Cryptographic Operators",
    573: "Event Log Readers",
    574: "Certificate Service DCOM Access",
    578: "Hyper-V Administrators",
    580: "Remote Management Users",
}


def privileged(group: Group) -> str:
    """Return the well-known name of a privileged group, or an empty string."""
    known = BUILT_IN_GROUPS if group.sid.startswith(BUILT_IN) else DOMAIN_GROUPS
    last = group.sid.rpartition("-")[2]
    if not group.sid.startswith((BUILT_IN, DOMAIN)) or not last.isdecimal():
        return ""
    return known.get(int(last), "")


def beyond_user(reading: AccountReading) -> tuple[str, ...]:
    """Return, in words, what makes the account more than a member of Domain Users."""
    reasons = [_of_group(group) for group in reading.groups]
    if reading.admin_count:
        reasons.append("the directory protects it as an administrator (adminCount)")
    if reading.delegation:
        reasons.append("it is trusted for delegation")
    if reading.service_names:
        reasons.append(f"it carries service principal names ({', '.join(reading.service_names)})")
    return tuple(reasons)


def _of_group(group: Group) -> str:
    name = privileged(group)
    return f"in {name}, a privileged group" if name else f"in {group.name or group.sid}"
