"""Kerberos and NTLM logons by real clients, judged by a real domain controller."""

import asyncio
import contextlib
import subprocess
import sys
from base64 import b64encode
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import psutil
import pytest
import spnego
from spnego.channel_bindings import GssChannelBindings
from tests.support import processes
from tests.support.processes import until
from tests.support.require import require
from tests.support.samba import Account, Domain, start_domain
from tests.support.samba_processes import gone

from keyfast.core.directory import Logon
from keyfast.errors import NotReadyError
from keyfast.trust import negotiate
from keyfast.trust.kerberos import Accepted, Acceptor, Reason, Refused
from keyfast.trust.negotiate import TokenKind, classify
from keyfast.trust.ntlm import Denied, Exchange, Granted, NtlmHelpers
from keyfast.trust.ntlm_message import channel_binding_of, expected_md5

CHANNEL, OTHER_CHANNEL = b"tls-server-end-point:" + bytes(32), b"tls-server-end-point:" + b"x" * 32
STATES = [
    ("ok", None),
    ("never-expires", None),
    ("expired", Logon.EXPIRED),
    ("must-change", Logon.MUST_CHANGE),
    ("disabled", Logon.DISABLED),
    ("locked", Logon.LOCKED),
    ("account-expired", Logon.ACCOUNT_EXPIRED),
    ("hours-none", Logon.HOURS),
    ("workstations", Logon.WORKSTATION),
    ("deleted", Logon.WRONG_PASSWORD),
]
ACCEPT = """
import sys
from pathlib import Path
from keyfast.trust.kerberos import Acceptor
print(Acceptor(Path(sys.argv[1])).accept(sys.stdin.buffer.read(), None).reason)
"""


def client(
    account: Account, protocol: str, *, binding: bytes | None = None, host: str = "localhost", password: str = ""
):
    bindings = GssChannelBindings(application_data=binding) if binding else None
    name = account.logon if protocol == "ntlm" or "\\" in account.name else account.upn
    return spnego.client(
        name, password or account.password, hostname=host, service="HTTP", protocol=protocol, channel_bindings=bindings
    )


def wrapped_ntlm(account: Account, *, binding: bytes | None = None, password: str = ""):
    """NTLM in a negotiation, as Windows does it where it has no Kerberos."""
    bindings = GssChannelBindings(application_data=binding) if binding else None
    options = spnego.NegotiateOptions.use_negotiate
    return spnego.client(
        account.logon, password or account.password, hostname="localhost", channel_bindings=bindings, options=options
    )


def ntlm_client(account: Account, *, wrapped: bool, **more):
    return wrapped_ntlm(account, **more) if wrapped else client(account, "ntlm", **more)


# --- Kerberos


@pytest.mark.parametrize("protocol", ["kerberos", "negotiate"])
def test_a_ticket_is_accepted_and_the_server_proven(kerberos: Domain, account: Account, protocol: str) -> None:
    peer = client(account, protocol)
    token = peer.step()
    assert classify(token) is TokenKind.KERBEROS
    accepted = Acceptor(kerberos.http_keytab).accept(token, CHANNEL)
    assert isinstance(accepted, Accepted)
    assert (accepted.principal, accepted.bound) == (account.upn, False)
    peer.step(accepted.answer)
    assert peer.complete


def test_the_case_of_a_name_is_the_clients(kerberos: Domain, account: Account) -> None:
    typed = Account(kerberos, account.name.upper(), account.password)
    accepted = Acceptor(kerberos.http_keytab).accept(client(typed, "kerberos").step(), None)
    assert isinstance(accepted, Accepted)
    assert accepted.principal.casefold() == account.upn.casefold()


def test_the_server_needs_no_kerberos_configuration(
    kerberos: Domain, account: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    token = client(account, "kerberos").step()
    monkeypatch.setenv("KRB5_CONFIG", "/dev/null")
    assert isinstance(Acceptor(kerberos.http_keytab).accept(token, None), Accepted)


@pytest.mark.parametrize("protocol", ["kerberos", "negotiate"])
@pytest.mark.parametrize(
    ("sent", "ours", "bound"),
    [
        (None, None, False),
        (None, CHANNEL, False),
        (CHANNEL, CHANNEL, True),
        (CHANNEL, None, False),
        (OTHER_CHANNEL, CHANNEL, None),
    ],
)
def test_a_channel_binding_that_was_sent_must_hold(
    kerberos: Domain, account: Account, protocol: str, sent: bytes | None, ours: bytes | None, bound: bool | None
) -> None:
    outcome = Acceptor(kerberos.http_keytab).accept(client(account, protocol, binding=sent).step(), ours)
    if bound is None:
        assert isinstance(outcome, Refused)
        assert outcome.reason is Reason.BAD_BINDING
    else:
        assert isinstance(outcome, Accepted)
        assert outcome.bound is bound


@pytest.fixture
def service(ad: Domain, make_account: Callable[[], Account], tmp_path: Path) -> tuple[Account, str, Path]:
    """An HTTP service of its own: account, host and keytab."""
    account = make_account()
    host = f"{account.name}.keyfast.example"
    ad.modify(account.name, servicePrincipalName=f"HTTP/{host}")
    return account, host, ad.keytab(f"HTTP/{host}", tmp_path / "http.keytab")


@pytest.mark.parametrize("protocol", ["kerberos", "negotiate"])
def test_a_keytab_that_was_overtaken_is_said_and_a_new_one_counts_at_once(
    kerberos: Domain, account: Account, service: tuple[Account, str, Path], protocol: str
) -> None:
    owner, host, keytab = service
    acceptor = Acceptor(keytab)
    assert isinstance(acceptor.accept(client(account, protocol, host=host).step(), None), Accepted)
    kerberos.password(owner.name, "Next-Passw0rd-1")
    token = client(account, protocol, host=host).step()
    with pytest.raises(NotReadyError, match="password was changed") as caught:
        acceptor.accept(token, None)
    assert account.name not in str(caught.value)
    kerberos.keytab(f"HTTP/{host}", keytab)
    assert isinstance(acceptor.accept(token, None), Accepted)


@pytest.mark.parametrize("protocol", ["kerberos", "negotiate"])
def test_a_keytab_without_the_service_name(
    kerberos: Domain, account: Account, service: tuple[Account, str, Path], protocol: str
) -> None:
    with pytest.raises(NotReadyError, match="no key for the service name"):
        Acceptor(service[2]).accept(client(account, protocol).step(), None)


@pytest.mark.parametrize("protocol", ["kerberos", "negotiate"])
def test_a_damaged_ticket_is_not_accepted(kerberos: Domain, account: Account, protocol: str) -> None:
    token = client(account, protocol).step()
    acceptor = Acceptor(kerberos.http_keytab)
    for position in range(0, len(token), 41):
        damaged = bytearray(token)
        damaged[position] ^= 1
        try:
            outcome = acceptor.accept(bytes(damaged), None)
        except NotReadyError:
            continue
        # Fields that nothing protects (flags, names sent in clear) may change: whose ticket it is never does.
        assert isinstance(outcome, Refused) or outcome.principal == account.upn


@pytest.mark.parametrize(
    ("shift", "reason"), [("+1h", Reason.CLOCK_SKEW), ("-1h", Reason.CLOCK_SKEW), ("+11h", Reason.EXPIRED_TICKET)]
)
@pytest.mark.parametrize("protocol", ["kerberos", "negotiate"])
def test_clocks_that_are_apart(kerberos: Domain, account: Account, protocol: str, shift: str, reason: Reason) -> None:
    faketime = require("faketime", "faketime")
    done = subprocess.run(
        [faketime, "-f", shift, sys.executable, "-c", ACCEPT, kerberos.http_keytab],
        input=client(account, protocol).step(),
        capture_output=True,
        check=True,
        timeout=60,
    )
    assert done.stdout.decode().strip() == reason.value


@pytest.mark.parametrize("state", ["disabled", "locked", "expired", "deleted"])
def test_a_ticket_outlives_its_account(kerberos: Domain, account: Account, state: str) -> None:
    """Why the account's attributes must be read as well."""
    token = client(account, "kerberos").step()
    account.state(state)
    assert isinstance(Acceptor(kerberos.http_keytab).accept(token, None), Accepted)


# --- NTLM


@pytest.fixture
async def helpers(ad: Domain) -> AsyncIterator[NtlmHelpers]:
    made = NtlmHelpers([str(ad.ntlm_auth)], processes=3)
    yield made
    await made.close()
    assert not running(ad)


def running(domain: Domain) -> list[psutil.Process]:
    """Helper processes of this process."""
    children = psutil.Process().children(recursive=True)
    lines = ((each, " ".join(processes.command_line(each))) for each in children)
    return [each for each, line in lines if "ntlm_auth" in line and str(domain.directory) in line]


async def logon(helpers: NtlmHelpers, account: Account, *, wrapped: bool, password: str = ""):
    peer = ntlm_client(account, wrapped=wrapped, password=password)
    exchange = await helpers.begin(peer.step(), spnego=wrapped)
    assert isinstance(exchange, Exchange)
    return await exchange.finish(peer.step(exchange.challenge))


@pytest.mark.parametrize("wrapped", [False, True])
@pytest.mark.parametrize(("state", "reason"), STATES)
async def test_every_state(helpers, account: Account, state: str, reason: Logon | None, wrapped: bool) -> None:
    account.state(state)
    outcome = await logon(helpers, account, wrapped=wrapped)
    if reason is None:
        assert isinstance(outcome, Granted)
        assert (outcome.domain, outcome.name) == (account.domain.netbios, account.name)
        assert bool(outcome.answer) == wrapped
    else:
        assert isinstance(outcome, Denied)
        assert outcome.reason is reason
        assert account.name not in outcome.status


@pytest.mark.parametrize("wrapped", [False, True])
async def test_a_wrong_password_is_counted_once(helpers, account: Account, wrapped: bool) -> None:
    outcome = await logon(helpers, account, wrapped=wrapped, password="certainly-Wr0ng")
    assert outcome == Denied(Logon.WRONG_PASSWORD, "NT_STATUS_LOGON_FAILURE")
    assert account.read()["badPwdCount"] == ["1"]


@pytest.mark.parametrize("wrapped", [False, True])
@pytest.mark.parametrize("binding", [None, CHANNEL])
async def test_the_binding_is_read_from_what_was_granted(
    helpers, account: Account, wrapped: bool, binding: bytes | None
) -> None:
    peer = ntlm_client(account, wrapped=wrapped, binding=binding)
    first = peer.step()
    assert classify(first) is (TokenKind.SPNEGO_NTLM if wrapped else TokenKind.NTLM)
    exchange = await helpers.begin(first, spnego=wrapped)
    last = peer.step(exchange.challenge)
    assert classify(last) is (TokenKind.SPNEGO_MORE if wrapped else TokenKind.NTLM)
    assert isinstance(await exchange.finish(last), Granted)
    message = negotiate.ntlm_message(last)
    assert message is not None
    assert channel_binding_of(message) == (expected_md5(binding) if binding else None)


async def test_a_binding_that_was_put_in_later_breaks_the_logon(helpers, account: Account) -> None:
    peer = client(account, "ntlm", binding=OTHER_CHANNEL)
    exchange = await helpers.begin(peer.step())
    last = peer.step(exchange.challenge)
    relayed = last.replace(expected_md5(OTHER_CHANNEL), expected_md5(CHANNEL))
    assert channel_binding_of(relayed) == expected_md5(CHANNEL)
    assert isinstance(await exchange.finish(relayed), Denied)


async def test_logons_at_once_share_few_processes_and_are_not_mixed_up(helpers, ad: Domain, make_account) -> None:
    accounts = [make_account() for _ in range(5)]
    outcomes = await asyncio.gather(*(logon(helpers, accounts[each % 5], wrapped=False) for each in range(40)))
    assert [outcome.name for outcome in outcomes] == [accounts[each % 5].name for each in range(40)]
    assert len(running(ad)) <= 3


async def test_an_exchange_that_was_dropped_leaves_nothing_behind(helpers, ad: Domain, make_account) -> None:
    one, other = make_account(), make_account()
    for _ in range(8):
        exchange = await helpers.begin(client(one, "ntlm").step())
        exchange.drop()
    outcome = await logon(helpers, other, wrapped=False)
    assert outcome == Granted(ad.netbios, other.name)
    assert len(running(ad)) == 1


async def test_an_answer_to_another_challenge_is_refused(helpers, account: Account) -> None:
    one, other = client(account, "ntlm"), client(account, "ntlm")
    first, second = await helpers.begin(one.step()), await helpers.begin(other.step())
    assert not isinstance(await second.finish(one.step(first.challenge)), Granted)
    first.drop()


async def test_a_helper_that_is_killed_is_an_outage_for_its_logon_and_replaced(helpers, ad: Domain, account) -> None:
    peer = client(account, "ntlm")
    exchange = await helpers.begin(peer.step())
    for process in running(ad):
        process.kill()
    with pytest.raises(NotReadyError) as caught:
        await exchange.finish(peer.step(exchange.challenge))
    assert account.name not in str(caught.value)
    assert isinstance(await logon(helpers, account, wrapped=False), Granted)


# --- outages


@pytest.fixture(scope="module")
def private(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Domain]:
    """A domain whose controller may be broken."""
    domain = start_domain(tmp_path_factory.mktemp("own") / "dc")
    yield domain
    domain.close()


@pytest.fixture
def user(private: Domain) -> Iterator[Account]:
    private.resume()
    private.start_again()
    private.add_user("user", "User-Passw0rd-1")
    yield Account(private, "user", "User-Passw0rd-1")
    private.resume()
    private.start_again()
    private.delete_user("user")


def without_winbindd(domain: Domain) -> None:
    processes = [each for each in domain.processes() if each.name() == "winbindd"]
    for process in processes:
        with contextlib.suppress(psutil.NoSuchProcess):  # children go with their parent
            process.kill()
    until(lambda: all(map(gone, processes)), "its end")


@pytest.mark.parametrize("wrapped", [False, True])
@pytest.mark.parametrize("broken", [Domain.kill, Domain.stop, Domain.pause, without_winbindd])
async def test_an_outage_is_never_a_verdict_on_the_account_and_it_ends(
    private: Domain, user: Account, broken: Callable[[Domain], None], wrapped: bool
) -> None:
    helpers = NtlmHelpers([str(private.ntlm_auth)], processes=2, answer_s=2)
    assert isinstance(await logon(helpers, user, wrapped=wrapped), Granted)
    broken(private)
    for password in (user.password, "certainly-Wr0ng"):
        with pytest.raises(NotReadyError) as caught:
            await logon(helpers, user, wrapped=wrapped, password=password)
        assert caught.value.retry_after == 30
        assert caught.value.repair
        assert user.name not in caught.value.message.replace("cannot be used", "")
    private.resume()
    if broken is not Domain.pause:
        private.kill()
    private.start_again()
    assert isinstance(await logon(helpers, user, wrapped=wrapped), Granted)
    await helpers.close()


def test_tokens_are_small_enough(kerberos: Domain, account: Account) -> None:
    assert negotiate.decode(b64encode(client(account, "negotiate").step()).decode()) is not None
