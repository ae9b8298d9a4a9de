"""The test domain itself: what a real client is told in every state, and that nothing of it is left behind."""

import base64
import os
import signal
import socket
import ssl
import subprocess
import sys
import tempfile
import textwrap
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import gssapi
import psutil
import pytest
import spnego
from tests.support.processes import until
from tests.support.samba import READER_PASSWORD, SEE_PASSWORD, Account, Domain, start_domain
from tests.support.samba_database import DatabaseError
from tests.support.samba_processes import gone

pytestmark = pytest.mark.slow
GRANTED = "granted"
# The state, and what LDAP (MS-ERREF in hex), NTLM and Kerberos (RFC 4120 section 7.5.9) say to the right password.
STATES = [
    ("ok", GRANTED, GRANTED, GRANTED),
    ("never-expires", GRANTED, GRANTED, GRANTED),
    ("age:41", GRANTED, GRANTED, GRANTED),
    ("age:43", "532", "NT_STATUS_PASSWORD_EXPIRED", "expired"),
    ("expired", "532", "NT_STATUS_PASSWORD_EXPIRED", "expired"),
    ("expiring:600", GRANTED, GRANTED, GRANTED),
    ("must-change", "773", "NT_STATUS_PASSWORD_MUST_CHANGE", "expired"),
    ("disabled", "533", "NT_STATUS_ACCOUNT_DISABLED", "revoked"),
    ("account-expired", "701", "NT_STATUS_ACCOUNT_EXPIRED", "revoked"),
    ("locked", "775", "NT_STATUS_ACCOUNT_LOCKED_OUT", "revoked"),
    ("hours-none", "530", "NT_STATUS_INVALID_LOGON_HOURS", "revoked"),
    ("workstations", "531", "NT_STATUS_INVALID_WORKSTATION", GRANTED),
    ("deleted", "52e", "NT_STATUS_LOGON_FAILURE", "not found"),
]


def bind(domain: Domain, logon: str, password: str) -> str:
    """What a simple bind over TLS says: granted, or the directory's own code."""
    done = simple_bind(domain, domain.ldaps_url, logon, password)
    return GRANTED if done.returncode == 0 else done.stderr.partition(", data ")[2].partition(",")[0]


def simple_bind(domain: Domain, url: str, logon: str, password: str) -> subprocess.CompletedProcess[str]:
    """A search of nothing after a simple bind."""
    with tempfile.NamedTemporaryFile("w") as secret:
        secret.write(password)
        secret.flush()
        command = ["ldapsearch", "-x", "-LLL", "-H", url, "-D", logon, "-y", secret.name, "-b", "", "-s", "base", "1.1"]
        environment = {**os.environ, **domain.environment()}
        return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=20, check=False)


def ntlm(domain: Domain, logon: str, password: str) -> str:
    """What winbindd says to a logon by NTLM: granted, or the status."""
    client = spnego.client(logon, password, hostname="localhost", service="HTTP", protocol="ntlm")
    command = [domain.ntlm_auth, "--helper-protocol=squid-2.5-ntlmssp"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as helper:

        def ask(word: bytes, token: bytes | None) -> tuple[bytes, bytes]:
            assert token is not None
            assert helper.stdin is not None
            assert helper.stdout is not None
            helper.stdin.write(word + b" " + base64.b64encode(token) + b"\n")
            helper.stdin.flush()
            answer, _, rest = helper.stdout.readline().rstrip().partition(b" ")
            return answer, rest

        answer, challenge = ask(b"YR", client.step())
        assert answer == b"TT"
        answer, rest = ask(b"KK", client.step(base64.b64decode(challenge)))
    return GRANTED if answer == b"AF" else rest.decode()


def kerberos_logon(upn: str, password: str) -> str:
    """What the KDC says to a password: granted, or its words. Needs KRB5_CONFIG (fixture ``kerberos``)."""
    name = gssapi.Name(upn, gssapi.NameType.kerberos_principal)
    try:
        gssapi.raw.acquire_cred_with_password(name, password.encode(), usage="initiate")
    except gssapi.exceptions.GSSError as error:
        return str(error)
    return GRANTED


@pytest.mark.parametrize(("state", "ldap_says", "ntlm_says", "kerberos_says"), STATES, ids=[row[0] for row in STATES])
def test_every_state_is_what_real_logons_say(
    kerberos: Domain, account: Account, state: str, ldap_says: str, ntlm_says: str, kerberos_says: str
) -> None:
    account.state(state)
    assert bind(kerberos, account.logon, account.password) == ldap_says
    assert ntlm_says in ntlm(kerberos, account.logon, account.password)
    assert kerberos_says in kerberos_logon(account.upn, account.password)


@pytest.mark.parametrize("state", [row[0] for row in STATES if row[0] != "deleted"])
def test_ok_ends_every_state(ad: Domain, account: Account, state: str) -> None:
    account.state(state)
    account.state("ok")
    assert bind(ad, account.logon, account.password) == GRANTED


def test_a_wrong_password_is_refused_and_counted(ad: Domain, account: Account) -> None:
    assert bind(ad, account.logon, "certainly-Wr0ng") == "52e"
    assert account.read()["badPwdCount"] == ["1"]


def test_an_unknown_state_is_said(account: Account) -> None:
    with pytest.raises(ValueError, match="unknown state"):
        account.state("tired")
    with pytest.raises(DatabaseError, match="no account nobody"):
        account.domain.state("nobody", "ok")


def test_the_previous_password_works_an_hour_longer_but_not_with_kerberos(kerberos: Domain, account: Account) -> None:
    account.domain.password(account.name, "Next-Passw0rd-1")
    assert bind(kerberos, account.logon, account.password) == GRANTED
    assert "Preauthentication failed" in kerberos_logon(account.upn, account.password)
    account.state("age:0.05")
    assert bind(kerberos, account.logon, account.password) == "52e"
    assert bind(kerberos, account.logon, "Next-Passw0rd-1") == GRANTED


def test_a_user_changes_a_password(ad: Domain, account: Account) -> None:
    before = account.read()["pwdLastSet"]
    ad.password(account.name, "Next-Passw0rd-1", old=account.password)
    assert account.read()["pwdLastSet"] != before
    assert bind(ad, account.logon, "Next-Passw0rd-1") == GRANTED
    with pytest.raises(AssertionError, match="kpasswd"):
        ad.password(account.name, "Third-Passw0rd-1", old="certainly-Wr0ng")


def test_a_policy_of_its_own_decides_for_an_account(ad: Domain, make_account: Callable[[], Account]) -> None:
    one, other = make_account(), make_account()
    ad.pso(f"short-{one.name}", one.name, max_age_days=3, lockout_threshold=2)
    for account in (one, other):
        account.state("age:4")
    assert bind(ad, one.logon, one.password) == "532"
    assert bind(ad, other.logon, other.password) == GRANTED
    one.state("ok")
    one.state("locked")
    assert one.read()["badPwdCount"] == ["2"]
    ad.delete_pso(f"short-{one.name}")
    assert "msDS-ResultantPSO" not in one.read()


def test_the_domain_policy_decides_for_all(private: Domain) -> None:
    private.policy(max_age_days=10, lockout_threshold=0, min_length=8, history=3, min_age_days=0, lockout_minutes=1)
    private.state("alice", "age:11")
    assert private.read("alice")["msDS-User-Account-Control-Computed"] == [str(0x800000)]
    with pytest.raises(DatabaseError, match="lockout threshold"):
        private.state("alice", "locked")
    private.policy(max_age_days=0)
    with pytest.raises(DatabaseError, match="live for ever"):
        private.state("alice", "expired")
    with pytest.raises(ValueError, match="unknown setting"):
        private.policy(colour=1)
    with pytest.raises(ValueError, match="unknown settings"):
        private.pso("x", "alice", colour=1)


def test_users_are_made_with_groups_and_attributes(ad: Domain) -> None:
    ad.add_user("boss", "Boss-Passw0rd-1", groups=["Domain Admins"], attributes={"mail": "boss@example.test"})
    try:
        found = ad.read("boss")
        assert found["mail"] == ["boss@example.test"]
        assert any(sid.endswith("-512") for sid in found["tokenGroups"])
    finally:
        ad.delete_user("boss")
    assert not ad.exists("boss")


def test_the_seeded_accounts_are_what_they_say(ad: Domain) -> None:
    assert bind(ad, "CORP\\svc-see", SEE_PASSWORD) == GRANTED
    assert bind(ad, "svc-reader@corp.example.test", READER_PASSWORD) == GRANTED
    see = ad.read("svc-see")
    assert see["userAccountControl"] == [str(0x10200)]
    assert [sid.rpartition("-")[2] for sid in see["tokenGroups"]] == ["513", "545"]


def accepts_kerberos(domain: Domain, logon: Account, host: str, keytab: Path) -> str:
    """Log on to HTTP/host and accept that with a keytab: the principal the acceptor sees."""
    user = gssapi.Name(logon.upn, gssapi.NameType.kerberos_principal)
    ticket = gssapi.raw.acquire_cred_with_password(user, logon.password.encode(), usage="initiate").creds
    target = gssapi.Name(f"HTTP@{host}", gssapi.NameType.hostbased_service)
    client = gssapi.SecurityContext(name=target, creds=gssapi.Credentials(base=ticket), usage="initiate")
    keys = gssapi.Credentials(usage="accept", store={"keytab": f"FILE:{keytab}"})
    server = gssapi.SecurityContext(creds=keys, usage="accept")
    server.step(client.step())
    return str(server.initiator_name)


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1"])
def test_the_web_servers_keytab_accepts_tickets(kerberos: Domain, account: Account, host: str) -> None:
    assert accepts_kerberos(kerberos, account, host, kerberos.http_keytab) == account.upn


def test_more_web_hosts_and_keytabs(kerberos: Domain, account: Account, tmp_path: Path) -> None:
    kerberos.serve_http("see.corp.example.test")
    keytab = kerberos.keytab("HTTP/see.corp.example.test", tmp_path / "see.keytab")
    assert accepts_kerberos(kerberos, account, "see.corp.example.test", keytab) == account.upn


def test_a_reader_with_a_ticket_asks_by_kerberos(kerberos: Domain) -> None:
    keytab = kerberos.keytab("svc-reader", kerberos.directory / "keytabs/reader.keytab")
    assert keytab.exists()
    env = os.environ | kerberos.environment(resolve=True)
    subprocess.run(["kinit", "-k", "-t", keytab, "svc-reader"], env=env, check=True, timeout=20, capture_output=True)
    for url in (kerberos.ldap_url, f"ldap://{kerberos.host}"):
        search = ["ldapsearch", "-N", "-Q", "-LLL", "-Y", "GSSAPI", "-H", url, "-b", kerberos.base_dn]
        done = subprocess.run(
            [*search, "(sAMAccountName=svc-see)", "pwdLastSet"], env=env, check=True, timeout=20, capture_output=True
        )
        assert b"pwdLastSet: " in done.stdout


@pytest.fixture
def start(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[..., Domain]]:
    """Start domains that end with the test."""
    with ExitStack() as stack:

        def begin(**settings: object) -> Domain:
            domain = start_domain(tmp_path_factory.mktemp("dc") / "dc", **settings)
            stack.callback(domain.close)
            return domain

        yield begin


@pytest.fixture
def private(start: Callable[..., Domain]) -> Domain:
    """A domain for this test alone."""
    return start()


def test_a_start_from_the_cache_takes_seconds(ad: Domain, start: Callable[..., Domain]) -> None:
    began = time.monotonic()
    start(old_password_minutes=0, http_hosts=["web.example.test"])
    assert time.monotonic() - began < 10


def test_twins_share_everything_and_never_replicate(ad: Domain, account: Account, private: Domain) -> None:
    assert private.address != ad.address
    assert private.read("svc-see")["objectSid"] == ad.read("svc-see")["objectSid"]
    assert not private.exists(account.name)
    private.password("svc-see", "Other-Passw0rd-1")
    private.state("svc-see", "age:0.05")
    assert bind(private, "CORP\\svc-see", SEE_PASSWORD) == "52e"
    assert bind(ad, "CORP\\svc-see", SEE_PASSWORD) == GRANTED
    assert private.ca.read_bytes() == ad.ca.read_bytes()


def test_a_foreign_realm(ad: Domain, start: Callable[..., Domain]) -> None:
    foreign = start(realm="OTHER.EXAMPLE.TEST", netbios="OTHER")
    assert bind(foreign, "OTHER\\svc-see", SEE_PASSWORD) == GRANTED
    assert foreign.ca.read_bytes() != ad.ca.read_bytes()


@pytest.mark.parametrize("how", ["stop", "kill"])
def test_down_and_up_again_with_the_same_data(private: Domain, how: str) -> None:
    private.password("alice", "Next-Passw0rd-1")
    processes = private.processes()
    assert len(processes) > 1
    getattr(private, how)()
    assert all(map(gone, processes))
    for port in (88, 389, 636):
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection((private.address, port), 1)
    private.start_again()
    private.start_again()
    assert bind(private, "CORP\\alice", "Next-Passw0rd-1") == GRANTED


def test_a_paused_controller_takes_calls_and_never_answers(private: Domain) -> None:
    private.pause()
    with socket.create_connection((private.address, 636), 1) as plain, pytest.raises(TimeoutError):
        ssl.create_default_context(cafile=private.ca).wrap_socket(plain, server_hostname=private.address)
    private.resume()
    assert bind(private, "CORP\\svc-see", SEE_PASSWORD) == GRANTED


@pytest.mark.parametrize("paused", [False, True])
def test_nothing_is_left_when_the_parent_is_killed(tmp_path_factory: pytest.TempPathFactory, paused: bool) -> None:
    folder = tmp_path_factory.mktemp("dc") / "dc"
    script = textwrap.dedent(f"""
        import sys, time
        from pathlib import Path
        from tests.support.samba import start_domain
        domain = start_domain(Path(sys.argv[1]))
        if {paused}:
            domain.pause()
        print("up", flush=True)
        time.sleep(600)
    """)
    parent = subprocess.Popen([sys.executable, "-c", script, str(folder)], stdout=subprocess.PIPE, cwd=Path.cwd())
    with parent:
        assert parent.stdout is not None
        assert parent.stdout.readline() == b"up\n"
        children = psutil.Process(parent.pid).children(recursive=True)
        assert len(children) > 2
        parent.send_signal(signal.SIGKILL)
        parent.wait(10)
    until(lambda: all(map(gone, children)), "Samba to end with its parent", 10)


def test_too_long_a_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="too long"):
        start_domain(tmp_path / ("x" * 80))


def test_a_plaintext_bind_is_refused(ad: Domain) -> None:
    done = simple_bind(ad, ad.ldap_url, "CORP\\svc-see", SEE_PASSWORD)
    assert done.returncode != 0
    assert "transport encryption required" in done.stderr.lower()
