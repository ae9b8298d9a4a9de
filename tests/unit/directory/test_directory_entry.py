import pytest

from keyfast.core.directory import Group, Logon
from keyfast.directory import entry, logon_codes
from keyfast.directory.address import Address, parse
from keyfast.errors import UsageError

NEVER = b"9223372036854775807"
ORDINARY = {
    "samaccountname": (b"svc-see",),
    "useraccountcontrol": (b"512",),
    "msds-user-account-control-computed": (b"0",),
    "msds-userpasswordexpirytimecomputed": (b"134400000000000000",),
    "pwdlastset": (b"134399623686670580",),
    "accountexpires": (NEVER,),
}


def reading(**changes):
    values = ORDINARY | {name.replace("_", "-"): (value,) for name, value in changes.items()}
    return entry.reading("dc1", 7, values, groups=(Group("S-1"),), policy="", lockout_threshold=5)


def test_an_ordinary_account():
    found = reading()
    assert (found.server, found.read_at, found.name, found.exists) == ("dc1", 7, "svc-see", True)
    assert found.password_stamp == 134399623686670580
    assert found.password_set_at == 1795488768
    assert found.password_expires_at == 1795526400
    assert found.expires_at is None
    flags = ("never_expires", "disabled", "locked", "must_change", "password_expired", "admin_count", "delegation")
    assert not any(getattr(found, flag) for flag in flags)


@pytest.mark.parametrize(
    ("attribute", "value", "field"),
    [
        ("useraccountcontrol", 512 | 0x2, "disabled"),
        ("useraccountcontrol", 512 | 0x10000, "never_expires"),
        ("useraccountcontrol", 512 | 0x80000, "delegation"),
        ("useraccountcontrol", 512 | 0x1000000, "delegation"),
        ("msds_allowedtodelegateto", "cifs/x", "delegation"),
        ("msds_user_account_control_computed", 0x10, "locked"),
        ("msds_user_account_control_computed", 0x800000, "password_expired"),
        ("admincount", 1, "admin_count"),
    ],
)
def test_each_bit_has_its_meaning(attribute, value, field):
    assert getattr(reading(**{attribute: str(value).encode()}), field) is True
    assert getattr(reading(), field) is False


@pytest.mark.parametrize(
    ("stamp", "computed", "must_change"),
    [(b"0", b"8388608", True), (b"0", b"0", False), (b"134399623686670580", b"8388608", False)],
)
def test_must_change_is_no_stamp_where_passwords_can_expire(stamp, computed, must_change):
    found = reading(pwdlastset=stamp, msds_user_account_control_computed=computed)
    assert found.must_change is must_change


@pytest.mark.parametrize("value", [b"0", NEVER])
@pytest.mark.parametrize(
    ("attribute", "field"),
    [("accountexpires", "expires_at"), ("msds_userpasswordexpirytimecomputed", "password_expires_at")],
)
def test_zero_and_the_largest_number_are_never(attribute, field, value):
    assert getattr(reading(**{attribute: value}), field) is None


@pytest.mark.parametrize(
    ("hours", "restricted"), [(b"\xff" * 21, False), (b"\x00" * 21, True), (b"\xff" * 20 + b"\x7f", True)]
)
def test_logon_hours(hours, restricted):
    assert reading(logonhours=hours).hours_restricted is restricted


def test_workstations_and_persons():
    found = reading(userworkstations=b"PC1,PC2", mail=b"a@example.com", title=b"")
    assert (found.workstations, found.person) == (("PC1", "PC2"), ("mail",))


@pytest.mark.parametrize("name", ["samaccountname", "useraccountcontrol", "pwdlastset"])
def test_too_few_rights_are_noticed(name):
    (absent,) = entry.missing({key: value for key, value in ORDINARY.items() if key != name})
    assert absent.lower() == name
    assert entry.missing(ORDINARY) == ()


def test_a_value_that_is_no_number_is_an_error():
    with pytest.raises(ValueError, match="invalid literal"):
        reading(badpwdcount=b"many")


def binary_sid(*parts):
    return (
        bytes((1, len(parts) - 1)) + parts[0].to_bytes(6, "big") + b"".join(p.to_bytes(4, "little") for p in parts[1:])
    )


def test_security_identifiers_and_the_two_groups_everybody_is_in():
    domain = (5, 21, 1, 2, 3)
    raw = (binary_sid(*domain, 513), binary_sid(5, 32, 545), binary_sid(*domain, 512), binary_sid(5, 32, 513))
    assert entry.sid(raw[2]) == "S-1-5-21-1-2-3-512"
    assert entry.group_sids({"tokengroups": raw}) == ("S-1-5-21-1-2-3-512", "S-1-5-32-513")
    assert entry.group_sids({}) == ()


@pytest.mark.parametrize("raw", [b"", b"\x01", b"\x02" + binary_sid(5, 32, 545)[1:], binary_sid(5, 32, 545) + b"\0"])
def test_what_is_no_security_identifier(raw):
    with pytest.raises(ValueError, match="not a security identifier"):
        entry.sid(raw)


CODES = {
    "525": Logon.WRONG_PASSWORD,
    "52e": Logon.WRONG_PASSWORD,
    "530": Logon.HOURS,
    "531": Logon.WORKSTATION,
    "532": Logon.EXPIRED,
    "533": Logon.DISABLED,
    "701": Logon.ACCOUNT_EXPIRED,
    "773": Logon.MUST_CHANGE,
    "775": Logon.LOCKED,
    "999": Logon.OTHER,
}


@pytest.mark.parametrize("code", CODES)
def test_the_sub_code_of_a_refused_bind(code):
    text = f"80090308: LdapErr: DSID-0C0903A9, comment: AcceptSecurityContext error, data {code}, v1db1"
    assert logon_codes.of_refused_bind(text) is CODES[code]


@pytest.mark.parametrize("text", ["", "Invalid credentials", "data , v1db1", "metadata 52e"])
def test_a_refused_bind_without_a_sub_code(text):
    assert logon_codes.of_refused_bind(text) is Logon.OTHER


@pytest.mark.parametrize(
    ("url", "address", "name"),
    [
        ("ldaps://dc1.example.com", Address("dc1.example.com", 636, tls=True), "dc1.example.com"),
        ("ldap://dc1.example.com/", Address("dc1.example.com", 389, tls=False), "dc1.example.com"),
        ("LDAPS://[::1]:6360", Address("::1", 6360, tls=True), "::1:6360"),
    ],
)
def test_addresses(url, address, name):
    assert parse(url) == address
    assert address.name == name


@pytest.mark.parametrize(
    "url", ["", "dc1", "https://dc1", "ldap://", "ldap://dc1:x", "ldap://dc1/dc=x", "ldap://u:p@dc1", "ldap://dc1?x"]
)
def test_what_is_no_address(url):
    with pytest.raises(UsageError, match="not the address"):
        parse(url)
