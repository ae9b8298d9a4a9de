"""Settings of people, and where the command line finds a server elsewhere: what is wrong is said by name."""

import pytest

from keyfast import settings
from keyfast.cli.client import Far, far
from keyfast.core.person_groups import GroupRole
from keyfast.core.role import Permission, Role
from keyfast.errors import UsageError

DIRECTORY = (
    '[directory]\ndomain = "corp"\nrealm = "corp.example"\nservers = ["ldaps://dc1"]\nreader = "r"\n'
    'reader_keytab = "k"\nca = "ca.pem"\n'
)
GROUP = '[[directory.group]]\nname = "kf admins"\nrole = "administrator"\n'
OIDC = '[oidc]\nissuer = "https://id.example.com"\nclient_id = "k"\nclient_secret_file = "s"\n'


def _load(folder, text):
    (folder / settings.FILE_NAME).write_text(text)
    return settings.load(folder)


def test_what_is_set(tmp_path):
    text = f'second_person = ["key.move"]\n[console]\nport = 8444\nurl = "https://k.example.com/"\n{OIDC}'
    found = _load(tmp_path, text)
    assert found.second_person == (Permission.KEY_MOVE,)
    assert (found.console.port, found.console.home) == (8444, "https://k.example.com")
    assert (found.oidc.claim, found.oidc.client_secret_file) == ("preferred_username", tmp_path / "s")


def test_what_groups_give(tmp_path):
    found = _load(
        tmp_path, f'{DIRECTORY}{GROUP}[[directory.group]]\nname = "CN=b,DC=x"\nrole = "auditor"\nrings = ["r"]'
    )
    assert (found.directory.domain, found.directory.realm) == ("CORP", "CORP.EXAMPLE")
    assert (found.directory.reader_keytab, found.directory.ca) == (tmp_path / "k", tmp_path / "ca.pem")
    assert found.directory.group == (
        GroupRole("kf admins", Role.ADMINISTRATOR),
        GroupRole("CN=b,DC=x", Role.AUDITOR, ("r",)),
    )
    assert _load(tmp_path, DIRECTORY).directory.group == ()


def test_what_is_not_set(tmp_path):
    found = _load(tmp_path, "")
    assert (found.second_person, found.console.port, found.oidc) == ((), 0, None)
    assert _load(tmp_path, "[console]\nport = 1\n").console.home == "https://localhost:1"


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ('second_person = "key.move"', "second_person"),
        ('second_person = ["read"]', "second_person"),
        ('second_person = ["approval.decide"]', "second_person"),
        ("second_person = [1]", "second_person"),
        ("[console]\nport = 70000", "port"),
        ("[console]\nports = 1", "ports"),
        ('[console]\nurl = "http://k.example.com"', "console.url"),
        (OIDC.replace("https", "http"), "oidc"),
        (OIDC.replace('client_id = "k"', 'client_id = ""'), "oidc"),
        (OIDC.replace('client_secret_file = "s"', ""), "oidc"),
        (f"{OIDC}scope = 1", "scope"),
        (DIRECTORY.replace('"corp"', '""'), "domain and reader"),
        (DIRECTORY.replace('"ldaps://dc1"', ""), "directory.servers"),
        (DIRECTORY.replace('["ldaps://dc1"]', '"ldaps://dc1"'), "servers"),
        (DIRECTORY.replace('reader_keytab = "k"', ""), "either reader_password_file or reader_keytab"),
        (f'{DIRECTORY}reader_password_file = "p"', "either reader_password_file or reader_keytab"),
        (f"{DIRECTORY}watch_interval_s = 0", "watch_interval_s"),
        (f"{DIRECTORY}watch_interval_s = true", "watch_interval_s"),
        (f"{DIRECTORY}servants = 1", "servants"),
        (GROUP, "directory"),
        (DIRECTORY + GROUP.replace("kf admins", " "), "needs a name"),
        (DIRECTORY + GROUP.replace("administrator", "boss"), "boss"),
        (DIRECTORY + GROUP + GROUP.replace("kf", "KF"), "named once"),
        (f'{DIRECTORY}{GROUP}rings = [" "]', "rings"),
        (f"{DIRECTORY}{GROUP}ring = 1", "ring"),
        (DIRECTORY + "".join(GROUP.replace("kf", str(number)) for number in range(65)), "at most 64"),
    ],
)
def test_what_cannot_be_set(tmp_path, text, named):
    with pytest.raises(UsageError, match=named):
        _load(tmp_path, text)


def test_where_a_server_elsewhere_is(tmp_path):
    token = tmp_path / "token"
    token.write_text("kfa_secret\n")
    found = far("https://k.example.com:8444/", token, None, "because", "id")
    assert (found.url, found.token.reveal(), found.reason, found.approval) == (
        "https://k.example.com:8444",
        b"kfa_secret",
        "because",
        "id",
    )
    assert "kfa_secret" not in repr(found)
    assert far("https://k", None, None, "", "") == Far("https://k")


@pytest.mark.parametrize("content", [b"", b"\n", b"two words", b"a\nb", b"\xff", b"a\x1bb"])
def test_a_file_that_holds_no_token(tmp_path, content):
    token = tmp_path / "token"
    token.write_bytes(content)
    with pytest.raises(UsageError) as fault:
        far("https://k", token, None, "", "")
    assert "two words" not in fault.value.message
    with pytest.raises(UsageError):
        far("http://k", None, None, "", "")
    with pytest.raises(UsageError):
        far("https://k", tmp_path / "gone", None, "", "")
