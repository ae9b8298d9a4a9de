"""The link over real TLS: only the profile's authority counts, and a wrong clock does not matter."""

import datetime as dt
import ssl
import uuid
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from tests.support.fake_agent import FakeClock
from tests.support.fake_server import Answer, FakeServer
from tests.support.tls_server import served

from keyfast.agent.evidence import trust_chain
from keyfast.agent.link import MAX_ANSWER_BYTES, Link
from keyfast.agent.outcome import Answered, Refused, Unreached
from keyfast.agent.requests import Request
from keyfast.agent.routes import Route
from keyfast.core.refusal import Refusal, RefusalClass
from keyfast.trust.keyset import TrustChain
from keyfast.trust.tls import create_authority, issue_certificate

NOW = dt.datetime.now(dt.UTC)
JWKS = Request("GET", "/oauth/jwks", {})
LONG_AGO = NOW - dt.timedelta(days=3000)


class Authority:
    def __init__(self, folder: Path, made: dt.datetime = LONG_AGO) -> None:
        self.folder = folder
        self.pem, self.key = create_authority("test authority", made)

    @property
    def text(self) -> str:
        return self.pem.decode()

    def issue(self, since: dt.datetime, days: int = 90, names: tuple[str, ...] = ("localhost",)) -> tuple[Path, Path]:
        pem, key = issue_certificate(self.pem, self.key, names, since, days)
        paths = self.folder / f"{uuid.uuid4()}.crt", self.folder / f"{uuid.uuid4()}.key"
        paths[0].write_bytes(pem)
        paths[1].write_bytes(key.reveal())
        return paths


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path)


@pytest.fixture
async def link() -> AsyncIterator[Link]:
    made = Link(FakeClock(), lambda: str(uuid.uuid4()))
    yield made
    await made.rest()


def chain_of(server: FakeServer) -> TrustChain:
    bundle = server.bundle()
    return trust_chain(bundle.installation, bundle.root, bundle.delegations)


def route(port: int, ca: str, host: str = "localhost") -> Route:
    return Route(f"https://{host}:{port}", ca, "current")


async def test_a_valid_certificate_is_accepted_and_the_connection_kept(authority, link):
    server = FakeServer()
    async with served(server, *authority.issue(NOW)) as port:
        for _ in range(2):
            outcome = await link.send(route(port, authority.text), JWKS, chain_of(server))
            assert isinstance(outcome, Answered)


async def test_another_authority_is_refused(authority, link, tmp_path):
    server = FakeServer()
    async with served(server, *authority.issue(NOW)) as port:
        outcome = await link.send(route(port, Authority(tmp_path).text), JWKS, chain_of(server))
    assert isinstance(outcome, Unreached)
    assert "certificate verify failed" in outcome.why
    assert server.requests == []


async def test_the_system_s_authorities_do_not_vouch_for_a_pinned_server(authority, link):
    server = FakeServer()
    async with served(server, *authority.issue(NOW)) as port:
        assert isinstance(await link.send(route(port, ""), JWKS, chain_of(server)), Unreached)


async def test_another_name_is_refused(authority, link):
    server = FakeServer()
    async with served(server, *authority.issue(NOW, names=("kf.example.com",))) as port:
        assert isinstance(await link.send(route(port, authority.text), JWKS, chain_of(server)), Unreached)
    assert server.requests == []


async def test_older_tls_is_refused(authority, link):
    server = FakeServer()
    async with served(server, *authority.issue(NOW), newest=ssl.TLSVersion.TLSv1_2) as port:
        assert isinstance(await link.send(route(port, authority.text), JWKS, chain_of(server)), Unreached)


@pytest.mark.parametrize(
    ("valid_since", "server_time"),
    [
        (NOW + dt.timedelta(days=365), NOW + dt.timedelta(days=380)),  # our clock is a year behind
        (NOW - dt.timedelta(days=365), NOW - dt.timedelta(days=350)),  # our clock is a year ahead
    ],
)
async def test_a_wrong_clock_is_overruled_by_a_signed_time(authority, link, valid_since, server_time):
    server = FakeServer(now=int(server_time.timestamp()))
    async with served(server, *authority.issue(valid_since)) as port:
        outcome = await link.send(route(port, authority.text), JWKS, chain_of(server))
        assert isinstance(outcome, Answered)
        assert server.requests == [("localhost", "/endpoint/v1/time"), ("localhost", "/oauth/jwks")]
        await link.rest()
        assert isinstance(await link.send(route(port, authority.text), JWKS, chain_of(server)), Answered)


async def test_a_certificate_that_really_expired_is_refused_by_the_signed_time(authority, link):
    server = FakeServer(now=int(NOW.timestamp()))
    async with served(server, *authority.issue(NOW - dt.timedelta(days=365))) as port:
        outcome = await link.send(route(port, authority.text), JWKS, chain_of(server))
    assert isinstance(outcome, Unreached)
    assert "signed time" in outcome.why
    assert ("localhost", "/oauth/jwks") not in server.requests


async def test_a_time_signed_by_nobody_we_trust_does_not_help(authority, link):
    server, stranger = FakeServer(now=int(NOW.timestamp()) - 350 * 86400), FakeServer()
    async with served(server, *authority.issue(NOW - dt.timedelta(days=365))) as port:
        outcome = await link.send(route(port, authority.text), JWKS, chain_of(stranger))
    assert isinstance(outcome, Unreached)
    assert ("localhost", "/oauth/jwks") not in server.requests


async def test_a_replayed_time_does_not_help(authority, link):
    server = FakeServer(now=int(NOW.timestamp()) - 350 * 86400)
    genuine = server.handle

    def replaying(request):
        if request.url.path == "/endpoint/v1/time":
            request.url = request.url.copy_set_param("challenge", "an older one")
        return genuine(request)

    server.handle = replaying
    async with served(server, *authority.issue(NOW - dt.timedelta(days=365))) as port:
        outcome = await link.send(route(port, authority.text), JWKS, chain_of(server))
    assert isinstance(outcome, Unreached)
    assert "challenge" in outcome.why


async def test_an_endless_answer_is_cut_off(authority, link):
    server = FakeServer()
    server.handle = lambda _request: Answer(200, b"x" * (MAX_ANSWER_BYTES + 1))
    async with served(server, *authority.issue(NOW)) as port:
        outcome = await link.send(route(port, authority.text), JWKS, chain_of(server))
    assert outcome == Unreached(f"the answer of https://localhost:{port} is too large")


async def test_a_redirect_is_not_followed(authority, link):
    server = FakeServer()
    server.handle = lambda _request: Answer(302, b"", {"location": "https://localhost:1/"})
    async with served(server, *authority.issue(NOW)) as port:
        assert isinstance(await link.send(route(port, authority.text), JWKS, chain_of(server)), Unreached)


async def test_a_proxy_in_the_environment_is_not_used(authority, link, monkeypatch):
    for name in ("HTTPS_PROXY", "https_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    server = FakeServer()
    async with served(server, *authority.issue(NOW)) as port:
        assert isinstance(await link.send(route(port, authority.text), JWKS, chain_of(server)), Answered)


async def test_a_refusal_carries_its_class_nonce_and_retry_after(authority, link):
    server = FakeServer()
    server.say_instead = lambda _path: Refusal(RefusalClass.NOT_READY, "the database is down", retry_after=77)
    async with served(server, *authority.issue(NOW)) as port:
        outcome = await link.send(route(port, authority.text), JWKS, chain_of(server))
    assert isinstance(outcome, Refused)
    assert (outcome.kind, outcome.detail, outcome.retry_after) == ("not_ready", "the database is down", 77)
    assert outcome.heard.nonce
    assert outcome.heard.server_time == server.now


async def test_nobody_there_is_an_outcome_not_an_exception(authority, link):
    server = FakeServer()
    async with served(server, *authority.issue(NOW)) as port:
        pass
    outcome = await link.send(route(port, authority.text), JWKS, chain_of(server))
    assert isinstance(outcome, Unreached)
    assert isinstance(await link.send(replace_ca(route(port, "x")), JWKS, chain_of(server)), Unreached)


def replace_ca(way: Route) -> Route:
    return Route(way.url, "this is not PEM", way.slot)


async def test_a_certificate_that_does_not_hold_is_told_apart_from_silence(authority, link, tmp_path):
    server = FakeServer()
    other = Authority(tmp_path)
    async with served(server, *authority.issue(NOW)) as port:
        refused = await link.send(route(port, other.text), JWKS, chain_of(server))
        unnamed = await link.send(route(port, authority.text, "127.0.0.1"), JWKS, chain_of(server))
    silent = await link.send(route(port, authority.text), JWKS, chain_of(server))
    assert [getattr(outcome, "untrusted", None) for outcome in (refused, unnamed, silent)] == [True, True, False]


@pytest.mark.parametrize("since", [NOW, LONG_AGO])
async def test_tls_that_proves_nothing_is_there_for_who_asks_for_it(authority, link, tmp_path, since):
    server = FakeServer()
    other = Authority(tmp_path)
    async with served(server, *authority.issue(since)) as port:
        assert isinstance(await link.send_unverified(route(port, other.text, "127.0.0.1"), JWKS), Answered)
        # And what follows is verified as before.
        assert isinstance(await link.send(route(port, other.text), JWKS, chain_of(server)), Unreached)
    assert isinstance(await link.send_unverified(route(port, other.text), JWKS), Unreached)
