"""What a helper process may answer, and what becomes of one that does not; ``cat`` and ``sh`` stand in for bad ones."""

import asyncio

import pytest

from keyfast.core.directory import Logon
from keyfast.errors import MissingToolError, NotReadyError
from keyfast.trust.ntlm import Denied, Exchange, Granted, Malformed, NtlmHelpers
from keyfast.trust.ntlm_helper import BARE, WRAPPED, Answer, Helper, Said, parse
from keyfast.trust.ntlm_status import UNNAMED, VERDICTS, Trouble, status_of, verdict_of

TYPE1 = b"NTLMSSP\0\1\0\0\0" + bytes(20)
TYPE3 = b"NTLMSSP\0\3\0\0\0" + bytes(8) + bytes([24, 0, 24, 0, 64, 0, 0, 0]) + bytes(60)


@pytest.mark.parametrize(
    ("protocol", "line", "answer"),
    [
        (BARE, b"TT QUJD\n", Answer(Said.CHALLENGE, b"ABC", "")),
        (BARE, b"AF CORP\\svc see\n", Answer(Said.GRANTED, b"", "CORP\\svc see")),
        (BARE, "AF CORP\\jörg\n".encode(), Answer(Said.GRANTED, b"", "CORP\\jörg")),
        (BARE, b"NA NT_STATUS_X\n", Answer(Said.DENIED, b"", "NT_STATUS_X")),
        (BARE, b"BH NT_STATUS_X NT_STATUS_X\n", Answer(Said.BROKEN, b"", "NT_STATUS_X NT_STATUS_X")),
        (WRAPPED, b"TT QUJD *\n", Answer(Said.CHALLENGE, b"ABC", "*")),
        (WRAPPED, b"AF QUJD CORP\\svc see\n", Answer(Said.GRANTED, b"ABC", "CORP\\svc see")),
        (WRAPPED, b"AF * CORP\\svc\n", Answer(Said.GRANTED, b"", "CORP\\svc")),
        (WRAPPED, b"NA * NT_STATUS_X\n", Answer(Said.DENIED, b"", "NT_STATUS_X")),
    ],
)
def test_answers(protocol, line, answer):
    assert parse(line, protocol) == answer


@pytest.mark.parametrize("line", [b"", b"\n", b"XX YY\n", b"TT !\n", b"TT QUJ\n", b"\xff\n", b"AFCORP\\x\n"])
def test_what_is_no_answer(line):
    with pytest.raises(ValueError):  # noqa: PT011 - every ValueError is the documented outcome
        parse(line, BARE)


def test_only_the_name_of_a_status_is_taken_from_what_is_said():
    assert status_of("user=x NT_STATUS_LOGON_FAILURE y") == "NT_STATUS_LOGON_FAILURE"
    assert status_of("user=x") == UNNAMED


def test_what_does_not_surely_speak_of_the_account_is_an_outage():
    unheard = {"NT_STATUS_NO_LOGON_SERVERS", "NT_STATUS_IO_TIMEOUT", "NT_STATUS_UNSUCCESSFUL", UNNAMED}
    assert unheard.isdisjoint(VERDICTS)
    assert {verdict_of(status) for status in unheard} == {Trouble.OUTAGE}
    assert Logon.GRANTED not in VERDICTS.values()


def scripted(tmp_path, *answers):
    """A helper that gives these answers, one per request."""
    file = tmp_path / "ntlm_auth"
    said = "".join(f"read -r _; printf '%s\\n' '{answer}'\n" for answer in answers)
    file.write_text(f"#!/bin/sh\n{said}read -r _\n")
    file.chmod(0o755)
    return [str(file)]


@pytest.mark.parametrize(
    ("answer", "outcome"),
    [
        ("AF CORP\\svc", Granted("CORP", "svc")),
        ("NA NT_STATUS_LOGON_FAILURE", Denied(Logon.WRONG_PASSWORD, "NT_STATUS_LOGON_FAILURE")),
        ("NA NT_STATUS_INVALID_PARAMETER", Malformed("winbind cannot read the NTLM message")),
        ("NA NT_STATUS_IO_TIMEOUT", "NT_STATUS_IO_TIMEOUT"),
        ("NA some words", "cannot verify"),
        ("BH NT_STATUS_LOGON_FAILURE", "cannot verify"),
        ("TT QUJD", "cannot verify"),
        ("AF svc", "hides their domain"),
        ("AF \\svc", "hides their domain"),
        ("AF CORP\\", "hides their domain"),
        ("nonsense", "no answer"),
    ],
)
async def test_verdicts(tmp_path, answer, outcome):
    helpers = NtlmHelpers(scripted(tmp_path, "TT QUJD", answer))
    exchange = await helpers.begin(TYPE1)
    assert isinstance(exchange, Exchange)
    assert exchange.challenge == b"ABC"
    if isinstance(outcome, str):
        with pytest.raises(NotReadyError, match=outcome) as caught:
            await exchange.finish(TYPE3)
        assert caught.value.repair
        assert caught.value.retry_after == 30
    else:
        assert await exchange.finish(TYPE3) == outcome
    await helpers.close()


@pytest.mark.parametrize("answer", ["BH NT_STATUS_ACCESS_DENIED", "AF CORP\\svc", "NA NT_STATUS_LOGON_FAILURE", "?"])
async def test_a_first_leg_gets_a_challenge_or_it_is_an_outage(tmp_path, answer):
    helpers = NtlmHelpers(scripted(tmp_path, answer), processes=1)
    for _ in range(2):
        with pytest.raises(NotReadyError):
            await helpers.begin(TYPE1)
        # A helper that is sound but said something odd is asked again; it ends now, and is replaced.
    await helpers.close()


@pytest.mark.parametrize("token", [b"", b"x", TYPE1, TYPE3[:30], b"NTLMSSP\0\3\0\0\0" + bytes(80)])
async def test_a_last_leg_that_is_none_never_reaches_the_domain_controller(tmp_path, token):
    helpers = NtlmHelpers(scripted(tmp_path, "TT QUJD", "AF CORP\\svc"))
    exchange = await helpers.begin(TYPE1)
    assert isinstance(await exchange.finish(token), Malformed)
    with pytest.raises(NotReadyError):
        await exchange.finish(TYPE3)  # an exchange is finished once
    await helpers.close()


async def test_a_first_leg_that_winbind_cannot_read(tmp_path):
    helpers = NtlmHelpers(scripted(tmp_path, "NA NT_STATUS_INVALID_PARAMETER"))
    assert isinstance(await helpers.begin(TYPE1), Malformed)
    await helpers.close()


@pytest.mark.parametrize(("token", "spnego"), [(b"", False), (TYPE3, False), (TYPE1, True), (b"\x60\x00", True)])
async def test_a_first_leg_that_is_none_starts_no_process(tmp_path, token, spnego):
    helpers = NtlmHelpers(scripted(tmp_path), processes=0, wait_s=0)
    assert isinstance(await helpers.begin(token, spnego=spnego), Malformed)
    await helpers.close()


async def test_a_helper_that_hangs_is_ended_and_replaced(tmp_path):
    helpers = NtlmHelpers(["sh", "-c", "read -r _; read -r _"], processes=1, answer_s=0.05)
    for _ in range(2):
        with pytest.raises(NotReadyError, match="no answer"):
            await helpers.begin(TYPE1)
    await helpers.close()


async def test_a_helper_that_floods_is_ended(tmp_path):
    helpers = NtlmHelpers(["sh", "-c", "exec head -c 1000000 /dev/zero"], processes=1)
    with pytest.raises(NotReadyError, match="no answer"):
        await helpers.begin(TYPE1)
    await helpers.close()


async def test_a_request_that_is_cancelled_leaves_a_helper_that_is_not_used_again():
    helper = await Helper.start(["sh", "-c", "read -r _; read -r _"], BARE, 60)
    asking = asyncio.create_task(helper.ask("YR", b"x"))
    await asyncio.sleep(0)
    asking.cancel()
    await asyncio.wait([asking])
    assert not helper.alive
    helper.kill()
    helper.kill()
    await helper.ended()


async def test_a_program_that_cannot_run(tmp_path):
    (tmp_path / "ntlm_auth").write_text("#!/nonexistent/interpreter\n")
    (tmp_path / "ntlm_auth").chmod(0o755)
    helpers = NtlmHelpers([str(tmp_path / "ntlm_auth")])
    with pytest.raises(NotReadyError, match="cannot be started"):
        await helpers.begin(TYPE1)
    await helpers.close()


def test_a_program_that_is_missing():
    with pytest.raises(MissingToolError) as caught:
        NtlmHelpers(["keyfast-no-such-program"])
    assert "winbind" in caught.value.repair
