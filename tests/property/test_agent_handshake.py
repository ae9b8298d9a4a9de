"""Whatever a server or something in between answers, a logon ends, and shows the password at most once."""

import asyncio

from hypothesis import given, settings
from hypothesis import strategies as st
from tests.support.fake_agent import FakeClock

from keyfast.agent.handshake import Handshakes, Logon, Reply
from keyfast.agent.logon import Account, Failed, Ntlm
from keyfast.agent.outcome import Answered, Heard, Refused, Unreached
from keyfast.core.refusal import RefusalClass
from keyfast.core.secret import Secret

ACCOUNT = Account("svc-see", "CORP", Secret(b"hidden-words"), 1)
MOST_LEGS = 6  # remembered: 2, then the question, then NTLM and Basic
LINES = st.one_of(
    st.sampled_from(
        ["Negotiate", "NTLM", 'Basic realm="a, b"', "NTLM, Basic", "NTLM TlRMTVNTUAACAAAA", "NTLM ====", ""]
    ),
    st.text(max_size=30),
)
OUTCOMES = st.one_of(
    st.just(Answered(b"{}", Heard())),
    st.just(Unreached("no")),
    st.sampled_from([*(kind.value for kind in RefusalClass), "of_tomorrow"]).map(lambda kind: Refused(kind, Heard())),
    st.just(Refused("unauthenticated", Heard())),
)
REPLIES = st.builds(
    Reply,
    status=st.sampled_from([200, 401, 401, 401, 403, 503]),
    offers=st.lists(LINES, max_size=3).map(tuple),
    outcome=OUTCOMES,
    certificate=st.one_of(st.none(), st.binary(max_size=40)),
)
MECHANISMS = st.lists(st.sampled_from(["ntlm", "basic", "of_tomorrow"]), max_size=3, unique=True).map(tuple)


@settings(deadline=None)
@given(st.lists(st.lists(REPLIES, min_size=MOST_LEGS, max_size=MOST_LEGS), min_size=1, max_size=3), MECHANISMS)
def test_a_logon_ends_and_tries_a_password_once_per_verdict(visits: list[list[Reply]], mechanisms: tuple[str, ...]):
    handshakes = Handshakes(FakeClock())

    async def visit(replies: list[Reply]) -> None:
        legs: list[tuple[str, Reply]] = []

        async def send(authorization: str) -> Reply:
            legs.append((authorization, replies[len(legs)]))
            return legs[-1][1]

        outcome = await handshakes.run(send, Logon(ACCOUNT, "https://kf.example.com", mechanisms))
        assert len(legs) <= MOST_LEGS
        assert "hidden-words" not in repr(outcome)
        judged = [
            reply
            for authorization, reply in legs
            if authorization.startswith(("Basic", "NTLM TlRMTVNTUAADAAAA"))
            and reply.status == 401
            and (not isinstance(reply.outcome, Refused) or reply.outcome.kind == "account_refused")
        ]
        assert len(judged) <= 1
        assert (isinstance(outcome, Refused) and outcome.tried) is bool(judged)
        if judged:
            assert legs[-1][1] is judged[0]  # nothing follows a verdict
        if "basic" not in mechanisms:
            assert not any(authorization.startswith("Basic") for authorization, _ in legs)

    with asyncio.Runner() as runner:
        for replies in visits:
            runner.run(visit(replies))


@settings(deadline=None)
@given(st.binary(max_size=200), st.one_of(st.none(), st.binary(max_size=80)))
def test_a_challenge_of_any_bytes_is_answered_or_not_but_never_raises(tail: bytes, binding: bytes | None):
    for challenge in (tail, b"NTLMSSP\x00\x02\x00\x00\x00" + tail):
        ntlm = Ntlm(ACCOUNT, "kf.example.com")
        assert isinstance(ntlm.first(), bytes)
        assert isinstance(ntlm.answer(challenge, binding), bytes | Failed)
