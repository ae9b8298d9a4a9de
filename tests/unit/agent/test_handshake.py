"""The legs of a logon against answers of every kind: pure of network, with a server that is a list."""

from base64 import b64decode

import pytest
from tests.support.fake_agent import FakeClock

from keyfast.agent.handshake import Handshakes, Logon, Reply
from keyfast.agent.logon import Account, Ntlm, Then, _failed, basic
from keyfast.agent.outcome import Answered, Heard, Refused, Unreached
from keyfast.core.secret import Secret

ACCOUNT = Account("svc-see", "CORP", Secret("p\u00e4ss:word".encode()), 1)
DONE = Reply(200, (), Answered(b"{}", Heard()))
ASKED = Refused("unauthenticated", Heard())


def asks(*offers: str) -> Reply:
    return Reply(401, offers, ASKED)


def said(kind: str, status: int = 401) -> Reply:
    return Reply(status, (), Refused(kind, Heard()))


class Scripted:
    """Answers legs from a list and remembers them."""

    def __init__(self, *replies: Reply) -> None:
        self.replies = list(replies)
        self.legs: list[str] = []

    async def __call__(self, authorization: str) -> Reply:
        self.legs.append(authorization)
        return self.replies.pop(0)

    @property
    def schemes(self) -> list[str]:
        return [leg.partition(" ")[0] for leg in self.legs]


def logon(*mechanisms: str) -> Logon:
    return Logon(ACCOUNT, "https://kf.example.com:8443", mechanisms)


async def run(server: Scripted, *mechanisms: str):
    return await Handshakes(FakeClock()).run(server, logon(*mechanisms))


async def test_basic_is_sent_in_utf8_with_the_domain():
    server = Scripted(asks('Basic realm="keyfast"'), DONE)
    outcome = await run(server, "basic")
    assert outcome == Answered(b"{}", Heard(), "basic")
    assert server.legs[0] == ""
    assert b64decode(server.legs[1].removeprefix("Basic ")).decode() == "CORP\\svc-see:p\u00e4ss:word"


@pytest.mark.parametrize(
    ("offers", "mechanisms", "schemes"),
    [
        (("NTLM", "Basic"), ("ntlm", "basic"), ["", "NTLM"]),
        (("ntlm, basic realm=x",), ("ntlm", "basic"), ["", "NTLM"]),
        (("NTLM", "Basic"), ("basic",), ["", "Basic"]),
        (("Basic",), (), [""]),  # a profile that names none does not allow what shows the password
        (("NTLM",), (), ["", "NTLM"]),
        (("Digest", "", ","), ("ntlm", "basic"), [""]),
    ],
)
async def test_the_strongest_of_what_is_offered_and_allowed(offers, mechanisms, schemes):
    server = Scripted(asks(*offers), said("not_ready", 503))
    await run(server, *mechanisms)
    assert server.schemes == schemes


@pytest.mark.parametrize(
    ("reply", "tried"),
    [
        (said("account_refused"), True),
        (said("unauthenticated"), False),
        (said("connection_broken"), False),
        (Reply(401, (), Unreached("?")), True),
        (said("use_nonce"), False),
        (said("account_not_allowed", 403), False),
        (said("not_ready", 503), False),
        (Reply(502, (), Unreached("?")), False),
    ],
)
async def test_what_counts_as_a_refused_password(reply, tried):
    outcome = await run(Scripted(asks("Basic"), reply), "basic")
    assert (isinstance(outcome, Refused) and outcome.tried) is tried


@pytest.mark.parametrize("first", [said("account_refused"), said("use_nonce"), said("not_ready", 503), DONE])
async def test_an_answer_to_the_first_leg_that_offers_nothing_is_the_answer(first):
    server = Scripted(first)
    assert await run(server, "basic") == first.outcome
    assert server.legs == [""]


async def test_a_refusal_before_the_password_was_shown_is_no_try():
    outcome = await run(Scripted(asks("NTLM"), said("account_refused")), "ntlm")
    assert outcome == Refused("account_refused", Heard())


@pytest.mark.parametrize("challenge", ["NTLM", "NTLM !!", "NTLM AAAA", "NTLM TlRMTVNTUAACAAAA"])
async def test_a_challenge_that_is_none_leads_on(challenge):
    server = Scripted(asks("NTLM", "Basic"), asks(challenge), DONE)
    outcome = await run(server, "ntlm", "basic")
    assert isinstance(outcome, Answered)
    assert server.schemes == ["", "NTLM", "Basic"]


async def test_what_worked_is_remembered_until_it_does_not():
    handshakes = Handshakes(FakeClock())
    server = Scripted(asks("Basic"), DONE, DONE, said("not_ready", 503), asks("Basic"), DONE)
    for _ in range(4):
        await handshakes.run(server, logon("basic"))
    assert server.schemes == ["", "Basic", "Basic", "Basic", "", "Basic"]
    other = Logon(ACCOUNT, "https://other.example.com", ("basic",))
    server = Scripted(asks("Basic"), DONE)
    await handshakes.run(server, other)
    assert server.schemes == ["", "Basic"]


@pytest.mark.parametrize(
    "challenge", [b"", b"NTLMSSP\x00", b"NTLMSSP\x00\x02\x00\x00\x00" + b"\xff" * 60, b"\x60" * 40]
)
def test_a_stranger_s_challenge_never_raises(challenge):
    ntlm = Ntlm(ACCOUNT, "kf.example.com")
    ntlm.first()
    ntlm.answer(challenge, b"tls-server-end-point:x")


def test_the_credentials_mask_themselves():
    assert "ss:word" not in repr(ACCOUNT) + repr(logon())
    assert basic(ACCOUNT)


class _SspiError(Exception):
    winerror = -2146893044


class _GssError(Exception):
    min_code = 2529638936  # unsigned, as GSSAPI has it


@pytest.mark.parametrize(
    ("cause", "then"),
    [
        (_SspiError(), Then.REFUSED),
        (_GssError(), Then.REFUSED),
        (ImportError("gssapi"), Then.NEXT),
        (OSError("secret word"), Then.NEXT),
        (ValueError("secret word"), Then.NEXT),
    ],
)
def test_only_a_wrong_password_ends_the_logon(cause, then):
    failed = _failed(cause)
    assert failed.then is then
    assert "secret word" not in failed.why
