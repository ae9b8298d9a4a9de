"""Single sign-on against a provider on real TLS that can be told to lie."""

import time
from functools import partial

import httpx2
import pytest
import trustme
from joserfc.jwk import ECKey
from tests.support.databases import new_database
from tests.support.identity_provider import PLACES, IdentityProvider
from tests.support.office import HOME, Office
from tests.support.tls_server import served

from keyfast.core.role import Role
from keyfast.core.secret import Secret
from keyfast.errors import ForbiddenError, KeyfastError, NotReadyError, NotSignedInError, TrustError
from keyfast.server.windows import read_password
from keyfast.services.oidc import KEEP_SECONDS, MAX_ANSWER, OidcService
from keyfast.services.waiting import MOST, SECONDS
from keyfast.settings import OidcSettings
from keyfast.store.database import Database
from keyfast.wire.people import PersonOrder

HOUSE = "https://keyfast.example.com"
DISCOVERY = "/.well-known/openid-configuration"


class Desk:
    """A person's browser between our server and the provider."""

    def __init__(self, office, provider, service):
        self.office, self.provider, self.service = office, provider, service

    async def enter(self, next_="/", **who):
        leaving = await self.service.begin(next_)
        brought = self.provider.log_in(leaving.url, **who)
        return await self.service.finish(leaving.ticket.reveal().decode(), brought, HOME)


@pytest.fixture
def url(tmp_path):
    return new_database("sqlite", tmp_path)


@pytest.fixture
async def desk(url, tmp_path):
    authority, provider = trustme.CA(), IdentityProvider()
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    issued = authority.issue_cert("localhost")
    issued.cert_chain_pems[0].write_to_path(tmp_path / "cert.pem")
    issued.private_key_pem.write_to_path(tmp_path / "key.pem")
    (tmp_path / "secret").touch(mode=0o600)
    (tmp_path / "secret").write_text(f"{provider.secret}\n")
    database = await Database.open(url)
    office = Office(database)
    office.now = int(time.time())
    await office.hire()
    async with served(provider, tmp_path / "cert.pem", tmp_path / "key.pem") as port:
        provider.issuer = f"https://localhost:{port}"
        settings = OidcSettings(provider.issuer, "keyfast", tmp_path / "secret", ca=tmp_path / "ca.pem")
        secret = partial(read_password, settings.client_secret_file, "the secret")
        yield Desk(office, provider, OidcService(settings, secret, HOUSE, office.sign_in, office.clock))
    await database.close()


async def test_whom_the_provider_knows_is_in(desk):
    session, next_ = await desk.enter("/endpoints", name=" Alice ", auth_time=desk.office.now - 5)
    signed = await desk.office.sign_in.person_of(session.token.reveal().decode())
    assert (next_, signed.person.name, signed.proved_at) == ("/endpoints", "alice", desk.office.now - 5)


async def test_who_did_not_prove_it_now_has_not_proved_it(desk):
    session, _ = await desk.enter()
    assert (await desk.office.sign_in.person_of(session.token.reveal().decode())).proved_at == 0
    ahead, _ = await desk.enter(auth_time=desk.office.now + 50)
    assert (await desk.office.sign_in.person_of(ahead.token.reveal().decode())).proved_at <= desk.office.now


async def test_proving_again_asks_the_provider_to_ask(desk):
    assert "prompt=login&max_age=0" in (await desk.service.begin("/", again=True)).url


async def test_an_invited_person_joins_by_it(desk):
    invited = await desk.office.people.add(PersonOrder("bob", Role.AUDITOR), "test")
    await desk.enter(name="bob", subject="sub-2")
    assert (await desk.office.people.show("bob")).state == "active"
    with pytest.raises(KeyfastError):
        await desk.office.people.join(invited.code, desk.provider)  # the code is void


async def test_a_name_that_was_given_to_somebody_else_does_not_come_in(desk):
    await desk.enter(subject="sub-1")
    with pytest.raises(ForbiddenError):
        await desk.enter(subject="sub-2")
    await desk.office.people.reset("alice", "test")
    await desk.enter(subject="sub-2")


async def test_who_is_nobody_here_or_switched_off_does_not_come_in(desk):
    with pytest.raises(ForbiddenError):
        await desk.enter(name="mallory")
    await desk.office.people.disable("alice", "test")
    with pytest.raises(ForbiddenError):
        await desk.enter()


@pytest.mark.parametrize("name", [None, "", "  ", 7, ["alice"], {}])
async def test_an_identity_without_a_name_is_nobody(desk, name):
    desk.provider.lies = {"preferred_username": name}
    with pytest.raises(ForbiddenError):
        await desk.enter()


@pytest.mark.parametrize(
    "lies",
    [
        {"nonce": "another"},
        {"nonce": None},
        {"aud": "another"},
        {"aud": ["keyfast", "another"]},
        {"azp": "another"},
        {"iss": "https://evil.example"},
        {"exp": 1},
        {"exp": None},
        {"iat": 2**40},
        {"iat": None},
        {"sub": None},
        {"sub": ""},
        {"sub": 7},
        {"auth_time": "now"},
    ],
)
async def test_a_token_that_says_something_else_does_not_hold(desk, lies):
    desk.provider.lies = lies
    with pytest.raises(TrustError):
        await desk.enter()


@pytest.mark.parametrize("algorithm", ["none", "HS256", "ES256"])
async def test_a_token_that_the_provider_did_not_sign_does_not_hold(desk, algorithm):
    key = ECKey.generate_key("P-256") if algorithm == "ES256" else desk.provider.secret
    desk.provider.signs = ({"alg": algorithm, "kid": desk.provider.key.kid}, key)
    with pytest.raises(TrustError):
        await desk.enter()


async def test_new_keys_are_looked_for_once(desk):
    await desk.enter()
    desk.provider.rotate()
    await desk.enter()
    assert desk.provider.asked.count("/keys") == 2


async def test_the_provider_is_read_again_every_hour(desk):
    for after, reads in ((0, 1), (KEEP_SECONDS - 1, 1), (1, 2)):
        desk.office.now += after
        await desk.service.begin("/")
        assert desk.provider.asked.count(DISCOVERY) == reads


async def test_an_answer_that_another_browser_began_is_nobodys(desk):
    mine, theirs = await desk.service.begin("/"), await desk.service.begin("/")
    brought = desk.provider.log_in(theirs.url)
    for ticket in ("", "x", "\ud800", mine.ticket.reveal().decode()):
        with pytest.raises(NotSignedInError):
            await desk.service.finish(ticket, brought, HOME)


async def test_an_answer_is_taken_once_and_in_time(desk):
    leaving = await desk.service.begin("/")
    brought, ticket = desk.provider.log_in(leaving.url), leaving.ticket.reveal().decode()
    await desk.service.finish(ticket, brought, HOME)
    with pytest.raises(NotSignedInError):
        await desk.service.finish(ticket, brought, HOME)
    late = await desk.service.begin("/")
    desk.office.now += SECONDS
    with pytest.raises(NotSignedInError):
        await desk.service.finish(late.ticket.reveal().decode(), desk.provider.log_in(late.url), HOME)


@pytest.mark.parametrize("changed", [{"error": "access_denied"}, {"iss": "https://evil.example"}, {"code": "stolen"}])
async def test_what_the_browser_brings_is_judged(desk, changed):
    leaving = await desk.service.begin("/")
    brought = desk.provider.log_in(leaving.url) | changed
    with pytest.raises(NotSignedInError):
        await desk.service.finish(leaving.ticket.reveal().decode(), brought, HOME)


async def test_what_waits_is_bounded(desk):
    first = await desk.service.begin("/")
    for _ in range(MOST):
        await desk.service.begin("/")
    with pytest.raises(NotSignedInError):
        await desk.service.finish(first.ticket.reveal().decode(), desk.provider.log_in(first.url), HOME)


@pytest.mark.parametrize(
    ("path", "answer", "fault"),
    [
        (DISCOVERY, httpx2.Response(404), NotSignedInError),
        (DISCOVERY, httpx2.Response(302, headers={"location": "https://localhost:1/"}), NotSignedInError),
        (DISCOVERY, httpx2.Response(200, content=b"<html>"), TrustError),
        (
            DISCOVERY,
            httpx2.Response(200, json={"issuer": "https://x"} | dict.fromkeys(PLACES, "https://x")),
            TrustError,
        ),
        (DISCOVERY, httpx2.Response(200, content=b" " * (MAX_ANSWER + 1)), TrustError),
        ("/keys", httpx2.Response(200, json={"keys": "none"}), TrustError),
        ("/keys", httpx2.Response(200, json={"keys": [{"kty": "EC"}]}), TrustError),
        ("/token", httpx2.Response(200, json={}), TrustError),
        ("/token", httpx2.Response(500), NotSignedInError),
    ],
)
async def test_a_provider_that_answers_nonsense_lets_nobody_in(desk, path, answer, fault):
    desk.provider.broken[path] = answer
    with pytest.raises(fault):
        await desk.enter()


async def test_places_without_tls_are_not_spoken_to(desk):
    plain = {"issuer": desk.provider.issuer} | dict.fromkeys(PLACES, "http://localhost/")
    desk.provider.broken[DISCOVERY] = httpx2.Response(200, json=plain)
    with pytest.raises(TrustError):
        await desk.enter()


async def test_a_provider_that_cannot_be_reached_or_is_another_is_told(desk, tmp_path):
    others = OidcSettings(desk.provider.issuer, "keyfast", tmp_path / "secret")
    with pytest.raises(NotReadyError):
        await OidcService(others, lambda: Secret(b""), HOUSE, desk.office.sign_in, desk.office.clock).begin("/")
    (tmp_path / "secret").chmod(0o640)
    with pytest.raises(NotReadyError):
        await desk.enter()
    (tmp_path / "secret").unlink()
    with pytest.raises(NotReadyError):
        await desk.enter()
