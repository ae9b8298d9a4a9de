"""What will end, collected from what is on record and from the server's files."""

from dataclasses import replace
from datetime import UTC, datetime

import pytest
from tests.support.databases import KINDS, NOW, endpoint_row, new_database

from keyfast.core.account import DAY
from keyfast.core.endpoint import EndpointState
from keyfast.core.forecast import Thing
from keyfast.core.roll_call import EVERYBODY, Group
from keyfast.services.forecast import CertificateFile, ForecastService
from keyfast.services.recovery_window import RecoveryWindowService
from keyfast.store import endpoints, roll_calls
from keyfast.store.roll_calls import Counted
from keyfast.trust import tls
from keyfast.wire.window import WindowOrder

KEY = "CORP\\svc-see"


@pytest.fixture(params=KINDS)
def url(request, tmp_path) -> str:
    return new_database(request.param, tmp_path)


@pytest.fixture
def service(site):
    folder = site.settings.tls
    files = (
        CertificateFile(Thing.SERVER_CERTIFICATE, folder / "own.pem"),
        CertificateFile(Thing.AUTHORITY, folder / "ca.pem"),
        CertificateFile(Thing.SIGNING_CERTIFICATE, folder / "not-there.pem"),
        CertificateFile(Thing.SERVER_CERTIFICATE, folder / "server.pem", folder / "ca.key.sealed"),
    )
    authority, key = tls.create_authority("Example", datetime.fromtimestamp(NOW, UTC))
    pem, _ = tls.issue_certificate(authority, key, ["localhost"], datetime.fromtimestamp(NOW, UTC), days=5)
    (folder / "own.pem").write_bytes(pem)
    return ForecastService(site.database, files, site.clock)


async def told(service, days=None):
    return {found.thing: found for found in (await service.forecast(days)).endings}


async def test_accounts_end_with_their_endpoints(site, service):
    await site.add()
    await site.package()
    site.directory.alter("svc-see", password_expires_at=NOW + 3 * DAY, expires_at=NOW + 9 * DAY, lockout_threshold=10)
    for bad in (0, 2, 4):
        site.clock.now += 600
        site.directory.alter("svc-see", bad_passwords=bad)
        await site.read()
    found = await told(service)
    assert [(found[kind].strands, found[kind].days) for kind in ("lockout", "password", "account")] == [
        (3, 0),
        (3, 2),
        (3, 8),
    ]
    assert found["lockout"].at == NOW + 1800 + 1800
    await site.change()
    await site.read()
    grace = (await told(service))["grace"]
    assert (grace.name, grace.strands, grace.days) == (f"{KEY} #1", 3, 0)


async def test_certificates_end_for_everybody_unless_they_are_renewed(site, service):
    async with site.database.write() as conn:
        await roll_calls.put_groups(conn, {EVERYBODY: Counted(Group(70), (), NOW)})
    view = await service.forecast(None)
    found = [(line.thing, line.strands, line.command != "") for line in view.endings]
    assert found == [("server-certificate", 70, True), ("server-certificate", 0, False), ("authority", 70, True)]
    assert (view.endpoints, view.counted_at) == (70, NOW)
    assert [line.thing for line in (await service.forecast(10)).endings] == ["server-certificate"]


async def test_tokens_of_packages_in_use_and_the_open_window(site, service):
    await site.add()
    await site.package()
    async with site.database.write() as conn:
        await endpoints.insert(conn, replace(endpoint_row(), account_key=KEY), EndpointState.ACTIVE)
    windows = RecoveryWindowService(site.live, site.database, site.clock)
    await windows.open_(WindowOrder("a test", 60, ("any",), KEY), "admin")
    found = await told(service, 1)
    assert found["enrolment"].sentence.startswith("computers cannot join by it any more: 6 still may; the 3 that have")
    assert (found["window"].at, found["window"].strands) == (NOW + 3600, 1)
