"""Who came from a package, whom it let not in, and that the reason is told exactly."""

import uuid

import msgspec
import pytest
from msgspec.structs import replace
from tests.support.databases import NOW
from tests.support.desk import KEY, answered, kind
from tests.support.fake_windows import basic

from keyfast.core.account import DAY
from keyfast.core.mode import Mode
from keyfast.core.refusal import RefusalClass
from keyfast.services.authenticate import SignedRequest
from keyfast.services.package_report import PackageReports
from keyfast.store import package_endpoints, packages
from keyfast.trust.enrolment import TYP, EnrolmentToken
from keyfast.trust.keyset import Keyset
from keyfast.wire.bundle import Bundle
from keyfast.wire.messages import Hardware


@pytest.fixture
async def told(desk):
    """Returns the refused enrolments that were told so far."""

    async def read():
        await desk.tally.flush()
        return [detail for _, detail in await desk.site.events("enrolment_refused")]

    return read


async def test_an_endpoint_knows_its_package_and_a_package_its_endpoints(enrolled, desk):
    site, package = desk.site, enrolled.bundled.package
    reports = PackageReports(site.database, desk.packages, desk.workshop, site.clock)
    (came,) = await reports.endpoints(package, "", 10)
    assert (came.id, came.in_use, came.seen_at) == (enrolled.id, True, int(site.clock.now))
    assert await reports.endpoints(package, came.id, 10) == []
    view = await reports.show(package)
    assert (view.line.uses, view.line.using, view.line.used_at) == (1, 1, NOW)
    assert view.seen_at == int(site.clock.now)
    async with site.database.read() as conn:
        plan = await package_endpoints.page(conn, package, after="nonsense", limit=1)
    assert plan == []


@pytest.mark.parametrize("listed", [("SERIAL 9",), ("smbios-9",)])
async def test_an_allow_list_lets_in_whom_it_names_and_nobody_else(desk, told, listed):
    bundle = await desk.bundle(serials=listed)
    for hardware in (Hardware(), Hardware("other", "machine", "serial 8")):
        reply = await desk.join(bundle, join={"hardware": hardware})
        assert kind(reply) is RefusalClass.ENROLMENT_NOT_LISTED
    (event,) = await told()
    assert (event["reason"], event["package"], event["count"]) == ("not_listed", bundle.package, 2)
    assert "serial 8" in event["why"]
    reply = await desk.join(bundle, join={"hardware": Hardware("Smbios-9", "machine", "serial9")})
    assert answered(reply).registered.keyfast_state == "registered"


async def test_a_list_that_is_lost_lets_nobody_in(desk):
    bundle = await desk.bundle(serials=("a",))
    async with desk.site.database.write() as conn:
        await packages.forget_list(conn, bundle.package)
    assert kind(await desk.join(bundle, join={"hardware": Hardware("", "", "a")})) is RefusalClass.ENROLMENT_NOT_LISTED


async def _expired(desk, bundle):
    desk.site.clock.now += 31 * DAY
    desk.nonce = desk.fresh()
    return bundle


async def _revoked(desk, bundle):
    await desk.packages.revoke(bundle.package, "admin")
    return bundle


async def _forgotten(desk, bundle):
    keyset = desk.site.live.current.keyset
    token = keyset.verify(bundle.statement, TYP, EnrolmentToken)
    return replace(bundle, statement=keyset.sign(TYP, replace(token, jti="nobody's")))


async def _tampered(desk, bundle):
    head, payload, signature = bundle.statement.split(".")
    flipped = ("B" if signature[0] == "A" else "A") + signature[1:]
    return replace(bundle, statement=f"{head}.{payload}.{flipped}")


@pytest.mark.parametrize(
    ("spoil", "reason", "expected"),
    [
        (_expired, "expired", RefusalClass.ENROLMENT_EXPIRED),
        (_revoked, "revoked", RefusalClass.ENROLMENT_REVOKED),
        (_forgotten, "unknown", RefusalClass.ENROLMENT_REVOKED),
        (_tampered, "tampered", RefusalClass.UNAUTHENTICATED),
    ],
)
async def test_why_a_package_lets_nobody_in_is_told_exactly_and_once(desk, told, spoil, reason, expected):
    bundle = await spoil(desk, await desk.bundle())
    for _ in range(3):
        assert kind(await desk.join(bundle)) is expected
    (event,) = await told()
    known = event["package"] or event["claimed"]
    assert (event["reason"], known, event["count"], event["name"]) == (reason, bundle.package, 3, "lab-1")
    assert bool(event["claimed"]) is (reason == "tampered")
    assert event["address"]


async def test_a_used_up_package_is_told(desk, told):
    bundle = await desk.bundle(max_uses=1)
    answered(await desk.join(bundle))
    desk.key, desk.seal = type(desk.key).generate(), type(desk.seal).generate()
    desk.nonce = desk.fresh()
    assert kind(await desk.join(bundle)) is RefusalClass.ENROLMENT_EXHAUSTED
    (event,) = await told()
    assert (event["reason"], event["package"]) == ("exhausted", bundle.package)


async def test_a_package_whose_account_has_changed_since_is_told_as_that(desk, told):
    bundle = await desk.bundle()
    site = desk.site
    await site.change(after=10)
    await site.read()
    site.clock.now += 4000  # past the grace
    await site.read()
    desk.nonce = desk.fresh()
    for named in ("", KEY):
        assert kind(await desk.join(bundle, account=named)) is RefusalClass.ACCOUNT_REFUSED
    (event,) = await told()
    assert (event["reason"], event["package"], event["count"]) == ("account_changed", bundle.package, 2)
    assert "generation 1" in event["why"]


async def test_a_wrong_password_says_nothing_of_the_package_s_token(desk, told):
    bundle = await desk.bundle()
    reply = await desk.send(desk.body(join=desk.joining(bundle), account=KEY), basic(KEY, "Wrong"))
    assert kind(reply) is RefusalClass.ACCOUNT_REFUSED
    (event,) = await told()
    assert (event["reason"], event["package"]) == ("account_refused", bundle.package)


async def test_a_package_of_another_installation_is_told(desk, told):
    site = desk.site
    foreign = Keyset.generate("kf-elsewhere", NOW)
    package = str(uuid.uuid4())
    token = EnrolmentToken("kf-elsewhere", "j", package, "r", "auto", NOW, NOW + 60, 1, "windows")
    bundle = Bundle("kf-elsewhere", "", (), "", foreign.sign(TYP, token), package)
    assert kind(await desk.join(bundle)) is RefusalClass.FOREIGN_INSTALLATION
    (event,) = await told()
    assert (event["reason"], event["package"], event["claimed"]) == ("foreign", "", package)
    assert await site.events("endpoint_registered") == []


async def test_an_oauth_package_over_a_windows_endpoint_keeps_its_record(enrolled, desk):
    site = desk.site
    bundle = await desk.bundle(mode="oauth", account="")
    before = await desk.record()
    body = msgspec.json.encode(_registration(desk, bundle))
    desk.nonce = desk.fresh()
    proof = desk.prove("/oauth/register", body)
    answer = await desk.enrolments.register(SignedRequest("POST", "/oauth/register", "", proof, "192.0.2.7", 1), body)
    assert (answer.client_id, answer.keyfast_state) == (enrolled.id, "registered")
    after = await desk.record()
    assert (after.endpoint.mode, after.endpoint.account_key, after.endpoint.package_id) == (
        Mode.OAUTH,
        "",
        bundle.package,
    )
    assert (after.endpoint.thumbprint, after.presence) == (before.endpoint.thumbprint, before.presence)
    ((_, change),) = await site.events("endpoint_package_changed")
    assert (change["mode"], change["from"], change["package"]) == ("oauth", before.endpoint.package_id, bundle.package)
    async with site.database.read() as conn:
        uses = await packages.tokens(conn, [before.endpoint.package_id, bundle.package])
    assert [(uses[one].uses, uses[one].left) for one in (before.endpoint.package_id, bundle.package)] == [
        (1, 1),
        (1, 0),
    ]


def _registration(desk, bundle):
    keys = [desk.key.public_jwk() | {"use": "sig"}, desk.seal.public_jwk() | {"use": "enc"}]
    return {"software_statement": bundle.statement, "client_name": "lab-1", "jwks": {"keys": keys}}
