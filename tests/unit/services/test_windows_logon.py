"""Windows logons: who is let in by what, who hears of refusals, and whom the directory is never asked about."""

import asyncio
from base64 import b64encode
from dataclasses import replace

import pytest
from tests.support.databases import NOW
from tests.support.fake_windows import TICKET, FakeAcceptor, FakeHelpers, Heard, NtlmClient, basic

from keyfast.core.directory import Logon
from keyfast.core.logon import SENTENCES
from keyfast.core.mode import Mechanism
from keyfast.core.refusal import Refusal, RefusalClass
from keyfast.core.secret import Secret
from keyfast.errors import NotReadyError
from keyfast.services import windows_logon
from keyfast.services.authenticate import SignedRequest
from keyfast.services.basic_cache import BasicCache
from keyfast.services.windows_logon import Challenge, Doors, LoggedOn, WindowsLogon, offer_lines
from keyfast.trust.kerberos import Accepted, Reason, Refused
from keyfast.trust.ntlm import Denied, Granted, Malformed

KEY = "CORP\\svc-see"
PASSWORD = "Old-Passw0rd"
ADDRESS = "192.0.2.7"
BINDING = b"tls-server-end-point:" + bytes(32)
OUTAGE = NotReadyError("the domain is down")
NEGOTIATE = "Negotiate " + b64encode(TICKET).decode()
C = RefusalClass


class Door:
    """A server's logon with everything around it."""

    def __init__(self, site):
        self.site, self.heard = site, Heard()
        self.acceptor, self.helpers = FakeAcceptor(), FakeHelpers()
        doors = Doors(
            kerberos=self.acceptor,
            ntlm=self.helpers,
            directory=site.directory,
            binding=BINDING,
            binding_required=False,
            realm="CORP.EXAMPLE.TEST",
            domain="CORP",
        )
        self.logon = WindowsLogon(site.live, doors, BasicCache(Secret(bytes(32)), site.clock), self.heard, site.clock)

    def set(self, **changes):
        self.logon.doors = replace(self.logon.doors, **changes)

    async def send(self, authorization, port=1, *, proven=True):
        request = SignedRequest("GET", "/endpoint/v1/probe", authorization, "", ADDRESS, port, proven)
        return await self.logon.log_on(request)

    async def ntlm(self, user="CORP\\svc-see", binding=BINDING, first=1, last=1):
        client = NtlmClient(user, PASSWORD, binding)
        begun = await self.send(client.first(), first)
        assert isinstance(begun, Challenge)
        assert begun.lines[0].startswith("NTLM ")
        return await self.send(client.last(), last)


@pytest.fixture
async def door(site):
    await site.add(PASSWORD)
    site.directory.tried.clear()
    return Door(site)


def kind(answer):
    assert isinstance(answer, Refusal), answer
    return answer.kind


GARBAGE = [
    "",
    "Basic",
    "Basic !!!",
    basic("no colon", "").replace("Og==", ""),
    "Digest username=x",
    "Bearer abc",
    "Negotiate",
    "Negotiate !!!",
    "Negotiate " + b64encode(b"hello").decode(),
    "NTLM " + b64encode(b"NTLMSSP\0").decode(),
    "NTLM " + b64encode(TICKET).decode(),
    "NTLM " + "A" * 100_000,
    "\x00",
]


@pytest.mark.parametrize("header", GARBAGE, ids=range(len(GARBAGE)))
async def test_what_is_no_logon_is_refused_and_nobody_is_asked(door, header):
    assert kind(await door.send(header)) in (C.UNAUTHENTICATED, C.CONNECTION_BROKEN)
    assert (door.site.directory.tried, door.helpers.exchanges, door.acceptor.bindings) == ([], [], [])
    assert door.heard == Heard()


@pytest.mark.parametrize("closed", ["kerberos", "ntlm", "basic"])
async def test_a_mechanism_that_is_not_configured_is_neither_offered_nor_taken(door, closed):
    door.set(**{closed: False if closed == "basic" else None})
    assert Mechanism(closed) not in door.logon.doors.mechanisms
    header = {"kerberos": NEGOTIATE, "ntlm": NtlmClient(KEY, PASSWORD).first(), "basic": basic(KEY, PASSWORD)}[closed]
    assert kind(await door.send(header)) is C.UNAUTHENTICATED


def test_mechanisms_are_offered_one_line_each_strongest_first():
    assert offer_lines(tuple(Mechanism)) == ("Negotiate", "NTLM", 'Basic realm="keyfast", charset="UTF-8"')


# --- Kerberos


@pytest.mark.parametrize("principal", ["svc-see@CORP.EXAMPLE.TEST", "SVC-See@corp.example.test"])
async def test_a_ticket_of_the_account_logs_on(door, principal):
    door.acceptor.says = Accepted(principal, b"answer", bound=True)
    told = await door.send(NEGOTIATE)
    assert told == LoggedOn(KEY, Mechanism.KERBEROS, "Negotiate " + b64encode(b"answer").decode())
    assert door.acceptor.bindings == [BINDING]


@pytest.mark.parametrize("principal", ["alice@CORP.EXAMPLE.TEST", "svc-see@OTHER.EXAMPLE.TEST", "svc-see"])
async def test_a_ticket_of_somebody_else_is_refused_and_told(door, principal):
    door.acceptor.says = Accepted(principal, b"", bound=True)
    told = await door.send(NEGOTIATE)
    assert kind(told) is C.ACCOUNT_NOT_ALLOWED
    assert [mechanism for _, mechanism, _ in door.heard.strangers] == [Mechanism.KERBEROS]


@pytest.mark.parametrize("reason", Reason)
async def test_a_ticket_that_does_not_hold_says_nothing_about_the_account(door, reason):
    door.acceptor.says = Refused(reason, "the sentence")
    told = await door.send(NEGOTIATE)
    assert (kind(told), told.detail) == (C.UNAUTHENTICATED, "the sentence")
    assert door.heard == Heard()


@pytest.mark.parametrize(
    ("change", "logon"),
    [
        ({"disabled": True}, Logon.DISABLED),
        ({"locked": True}, Logon.LOCKED),
        ({"password_expired": True}, Logon.EXPIRED),
        ({"must_change": True}, Logon.MUST_CHANGE),
        ({"expires_at": NOW}, Logon.ACCOUNT_EXPIRED),
        ({"exists": False}, Logon.WRONG_PASSWORD),
    ],
)
async def test_a_ticket_does_not_outlive_what_the_watch_has_read(door, change, logon):
    door.site.directory.alter("svc-see", **change)
    await door.site.read()
    told = await door.send(NEGOTIATE)
    assert kind(told) is C.ACCOUNT_REFUSED
    assert told.detail == SENTENCES[logon]


async def test_a_server_without_a_key_is_not_ready(door):
    door.acceptor.says = OUTAGE
    with pytest.raises(NotReadyError):
        await door.send(NEGOTIATE)


# --- channel bindings


@pytest.mark.parametrize(("bound", "required", "let_in"), [(1, 0, 1), (0, 0, 1), (1, 1, 1), (0, 1, 0)])
async def test_a_ticket_must_be_bound_where_that_is_required(door, bound, required, let_in):
    door.set(binding_required=bool(required))
    door.acceptor.says = Accepted("svc-see@CORP.EXAMPLE.TEST", b"", bound=bool(bound))
    assert isinstance(await door.send(NEGOTIATE), LoggedOn) is bool(let_in)


@pytest.mark.parametrize("required", [False, True])
@pytest.mark.parametrize("own", [BINDING, None])
@pytest.mark.parametrize("sent", [BINDING, b"tls-server-end-point:another", None])
async def test_an_ntlm_binding_is_checked_where_it_is_sent(door, required, own, sent):
    door.set(binding_required=required, binding=own)
    told = await door.ntlm(binding=sent)
    right = sent is None or own is None or sent == own
    if right and not (required and sent is None):
        assert told == LoggedOn(KEY, Mechanism.NTLM)
        return
    assert kind(told) is C.UNAUTHENTICATED
    assert [found.over for found in door.helpers.exchanges] == ["dropped"]


# --- NTLM


@pytest.mark.parametrize("user", ["CORP\\svc-see", "corp\\SVC-SEE", "svc-see@corp.example.test", "svc-see"])
async def test_ntlm_logs_on_in_two_legs_on_one_connection(door, user):
    assert await door.ntlm(user) == LoggedOn(KEY, Mechanism.NTLM)
    assert [found.over for found in door.helpers.exchanges] == ["finished"]


async def test_ntlm_legs_on_two_connections_are_told_as_such(door):
    assert kind(await door.ntlm(first=1, last=2)) is C.CONNECTION_BROKEN
    assert [found.over for found in door.helpers.exchanges] == [""]


async def test_the_connection_is_not_the_login(door):
    assert isinstance(await door.ntlm(), LoggedOn)
    client = NtlmClient(KEY, PASSWORD)
    client.first()
    assert kind(await door.send(client.last())) is C.CONNECTION_BROKEN


async def test_a_stranger_s_ntlm_password_never_reaches_the_domain(door):
    told = await door.ntlm("CORP\\alice")
    assert kind(told) is C.ACCOUNT_NOT_ALLOWED
    assert told.repair == "keyfast account add CORP\\alice"
    assert [found.over for found in door.helpers.exchanges] == ["dropped"]
    assert door.heard.strangers == [("CORP\\alice", Mechanism.NTLM, ADDRESS)]


async def test_whoever_winbind_recognised_counts_and_not_who_the_client_said(door):
    door.helpers.says = Granted("CORP", "alice")
    assert kind(await door.ntlm()) is C.ACCOUNT_NOT_ALLOWED


@pytest.mark.parametrize("why", [logon for logon in Logon if logon is not Logon.GRANTED])
async def test_a_denied_ntlm_logon_is_refused_and_told(door, why):
    door.helpers.says = Denied(why, "NT_STATUS")
    told = await door.ntlm()
    assert kind(told) is C.ACCOUNT_REFUSED
    assert door.heard.refused == [(KEY, Mechanism.NTLM, why, ADDRESS)]
    assert "NT_STATUS" not in repr(told)


async def test_of_a_whole_fleet_with_a_stale_password_a_few_try_it(door):
    door.site.directory.alter("svc-see", lockout_threshold=5, bad_passwords=0)
    await door.site.read()
    door.helpers.says = Denied(Logon.WRONG_PASSWORD, "NT_STATUS_WRONG_PASSWORD")
    door.helpers.takes = asyncio.Event()
    fleet = [asyncio.create_task(door.ntlm(first=port, last=port)) for port in range(100)]
    await asyncio.wait_for(door.helpers.asked.wait(), 5)
    door.helpers.takes.set()
    answers = await asyncio.gather(*fleet)
    assert sorted(map(kind, answers)) == [C.ACCOUNT_REFUSED] * 2 + [C.NOT_READY] * 98
    assert len(door.heard.refused) == 2
    assert [exchange.over for exchange in door.helpers.exchanges].count("dropped") == 98


@pytest.mark.parametrize("leg", ["begins", "says"])
async def test_an_outage_of_winbind_is_no_refusal(door, leg):
    setattr(door.helpers, leg, OUTAGE)
    with pytest.raises(NotReadyError):
        await door.ntlm()
    assert door.heard == Heard()
    setattr(door.helpers, leg, None if leg == "begins" else Granted("CORP", "svc-see"))
    assert isinstance(await door.ntlm(), LoggedOn)


@pytest.mark.parametrize("leg", ["begins", "says"])
async def test_what_winbind_cannot_read_is_no_verdict(door, leg):
    setattr(door.helpers, leg, Malformed("it cannot be read"))
    client = NtlmClient(KEY, PASSWORD)
    told = await door.send(client.first())
    if leg == "says":
        told = await door.send(client.last())
    assert (kind(told), told.detail) == (C.UNAUTHENTICATED, "it cannot be read")
    assert door.heard == Heard()


async def test_a_new_first_leg_gives_the_old_logon_up(door):
    for _ in range(2):
        await door.send(NtlmClient(KEY, PASSWORD).first())
    assert [found.over for found in door.helpers.exchanges] == ["dropped", ""]


async def test_logons_that_are_never_finished_make_room(door):
    first = NtlmClient(KEY, PASSWORD).first()
    for port in range(windows_logon.MAX_EXCHANGES + 2):
        await door.send(first, port)
    over = [found.over for found in door.helpers.exchanges]
    assert over[:3] == ["dropped", "dropped", ""]
    assert over.count("dropped") == 2


# --- Basic


@pytest.mark.parametrize(
    "user", ["CORP\\svc-see", "corp\\Svc-See", "svc-see", "svc-see@CORP", "svc-see@corp.example.test"]
)
async def test_basic_asks_the_directory_once(door, user):
    for _ in range(5):
        assert await door.send(basic(user, PASSWORD)) == LoggedOn(KEY, Mechanism.BASIC)
    assert door.site.directory.tried == [("verify", "svc-see", PASSWORD.encode())]


@pytest.mark.parametrize(
    "user", ["CORP\\alice", "OTHER\\svc-see", "svc-see@other.test", "nobody", "*", "svc-see)(cn=*"]
)
async def test_the_directory_is_never_asked_about_strangers(door, user):
    assert kind(await door.send(basic(user, PASSWORD))) is C.ACCOUNT_NOT_ALLOWED
    assert door.site.directory.tried == []
    assert [mechanism for _, mechanism, _ in door.heard.strangers] == [Mechanism.BASIC]


async def test_a_wrong_password_is_asked_and_told_once(door):
    for _ in range(5):
        assert kind(await door.send(basic(KEY, "Wrong"))) is C.ACCOUNT_REFUSED
    assert len(door.site.directory.tried) == 1
    assert door.heard.refused == [(KEY, Mechanism.BASIC, Logon.WRONG_PASSWORD, ADDRESS)]


async def test_a_stranger_gets_one_wrong_try_until_the_account_was_read(door):
    assert kind(await door.send(basic(KEY, "Wrong"), proven=False)) is C.ACCOUNT_REFUSED
    for other in ("Worse", PASSWORD):
        assert kind(await door.send(basic(KEY, other), proven=False)) is C.NOT_READY
    assert len(door.site.directory.tried) == 1
    door.site.clock.now += 1
    await door.site.read()
    assert isinstance(await door.send(basic(KEY, PASSWORD), proven=False), LoggedOn)


async def test_strangers_try_one_at_a_time(door):
    answers = await asyncio.gather(*(door.send(basic(KEY, f"Wrong {n}"), proven=False) for n in range(20)))
    assert sorted(map(kind, answers)) == [C.ACCOUNT_REFUSED] + [C.NOT_READY] * 19
    assert len(door.site.directory.tried) == 1


@pytest.mark.parametrize(
    ("threshold", "counted", "let_in"),
    [(0, 99, True), (5, 2, True), (5, 3, False), (3, 0, True), (3, 1, False), (None, 0, True), (None, 1, False)],
)
async def test_a_stranger_never_comes_near_the_lockout(door, threshold, counted, let_in):
    door.site.directory.alter("svc-see", lockout_threshold=threshold, bad_passwords=counted)
    await door.site.read()
    answer = await door.send(basic(KEY, PASSWORD), proven=False)
    assert isinstance(answer, LoggedOn) if let_in else kind(answer) is C.NOT_READY
    assert isinstance(await door.send(basic(KEY, PASSWORD)), LoggedOn)  # an endpoint is let in all the same


async def test_a_stranger_tries_nothing_at_an_account_that_does_not_work(door):
    door.site.directory.alter("svc-see", locked=True, bad_passwords=5, lockout_threshold=5)
    await door.site.read()
    answer = await door.send(basic(KEY, PASSWORD), proven=False)
    assert kind(answer) is C.ACCOUNT_REFUSED
    assert "locked" not in str(answer)
    assert door.site.directory.tried == []


async def test_a_stranger_s_ntlm_logon_gives_its_helper_back(door):
    await door.send(basic(KEY, "Wrong"), proven=False)
    client = NtlmClient("CORP\\svc-see", PASSWORD, BINDING)
    assert isinstance(await door.send(client.first(), proven=False), Challenge)
    assert kind(await door.send(client.last(), proven=False)) is C.NOT_READY
    assert door.helpers.exchanges[-1].over == "dropped"


async def test_a_password_set_anew_is_another_question(door):
    assert isinstance(await door.send(basic(KEY, PASSWORD)), LoggedOn)
    assert kind(await door.send(basic(KEY, "New-Passw0rd"))) is C.ACCOUNT_REFUSED
    await door.site.change("New-Passw0rd")
    await door.site.read()
    assert isinstance(await door.send(basic(KEY, "New-Passw0rd")), LoggedOn)
    assert isinstance(await door.send(basic(KEY, PASSWORD)), LoggedOn)  # the directory's grace for the old one


async def test_an_outage_of_the_directory_is_no_refusal(door):
    door.site.directory.down = {"dc1"}
    with pytest.raises(NotReadyError):
        await door.send(basic(KEY, PASSWORD))
    door.site.directory.down = set()
    assert isinstance(await door.send(basic(KEY, PASSWORD)), LoggedOn)


async def test_no_password_is_in_what_is_said(door):
    for header in (basic(KEY, "Wr0ng-Secret"), basic("alice", "Wr0ng-Secret")):
        assert "Wr0ng-Secret" not in repr(await door.send(header))
    assert "Wr0ng-Secret" not in repr(door.heard)
