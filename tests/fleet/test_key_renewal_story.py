"""Every device key of a fleet is renewed under load, over TLS: nobody misses a check-in, and no key is lost."""

import asyncio
import contextlib
import sqlite3
import ssl
from collections.abc import AsyncIterator
from pathlib import Path

import httpx2
import pytest
from tests.support.device import read_bundle
from tests.support.fleet import RigFleet, visit_when_due
from tests.support.rotation_fleet import Site
from tests.support.server import RunningServer
from tests.support.windows import WindowsRig

from keyfast.agent.client_database import Record
from keyfast.agent.evidence import device_key
from keyfast.agent.link import direct
from keyfast.wire.rotation import PreviewView, RotationOrder

pytestmark = [pytest.mark.e2e, pytest.mark.slow, pytest.mark.timeout(900)]

FLEET = 100
OFFLINE = 5


class LossyRig(WindowsRig):
    """An agent over real TLS, whose network may lose answers."""

    lose_answers = False

    def _connect(self, context: ssl.SSLContext) -> httpx2.AsyncBaseTransport:
        return _Lossy(direct(context), self)


class _Lossy(httpx2.AsyncBaseTransport):
    def __init__(self, inner: httpx2.AsyncBaseTransport, rig: LossyRig) -> None:
        self._inner, self._rig = inner, rig

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        response = await self._inner.handle_async_request(request)
        if self._rig.lose_answers:
            await response.aread()
            await response.aclose()
            raise httpx2.ReadError("the answer was lost", request=request)
        return response

    async def aclose(self) -> None:
        await self._inner.aclose()


class KeySite(Site):
    """A server over TLS with a fleet in OAuth mode."""

    def __init__(self, server: RunningServer) -> None:
        self.server = server  # type: ignore[assignment] - all that is used of it is the admin API
        bundle = read_bundle(server.package(max_uses=FLEET).path)
        rigs = [LossyRig(bundle, number) for number in range(FLEET)]
        self.fleet = RigFleet(rigs)
        self.late, self.present = rigs[:OFFLINE], rigs[OFFLINE:]  # type: ignore[assignment]


@pytest.fixture
async def site(tmp_path: Path) -> AsyncIterator[KeySite]:
    server = RunningServer(tmp_path / "server")
    made = KeySite(server)
    await made.fleet.check_in()
    assert all(record.receipt for record in made.fleet.records()), made.fleet.said()
    yield made
    server.close()


async def test_all_device_keys_are_renewed_under_load(site: KeySite):
    first = {record.endpoint_id: record.device_key for record in site.fleet.records()}
    # 1. The preview says how many, and that nothing is taken away.
    order = RotationOrder("device_key")
    seen = site.server.admin.post("/admin/v1/rotations/preview", PreviewView, order)
    assert (seen.targets, seen.stranded, seen.recovering) == (FLEET, 0, 0)
    # 2. The rotation runs, wave by wave, while 95 % of the fleet check in all the time; nobody misses one.
    rotation = site.plan("device_key", canary_percent=10, canary_most=10)  # some of them are there
    load = await site.fleet.under_load(site.reached(rotation, "draining"), site.present)
    assert load.missed == []
    assert load.check_ins > 2 * len(site.present)
    # 3. One of those who were off comes back, and the answer that names its new key is lost.
    unlucky, late = site.late[0], site.late[1:]
    await loses_the_answer(site, unlucky)
    assert unlucky.agent.record.device_key == first[unlucky.agent.record.endpoint_id]
    # 4. It tries its new key by itself, as the server does not take the old one for work any more.
    await site.fleet.until(lambda: well([unlucky]), "the one whose answer was lost", [unlucky])
    # 5. The others come back late, by themselves.
    await site.fleet.until(lambda: well(late), "the late ones to have new keys", late)
    # 6. Every key is new, verified by a check-in with it, and kept on both sides beside the former one.
    await site.fleet.until(lambda: site.rotation(rotation).verified == FLEET, "all to be verified")
    for record in site.fleet.records():
        assert record.key_history == (first[record.endpoint_id],)
        assert record.device_key != first[record.endpoint_id]
    assert on_record(site) == {"current": sorted(map(current, site.fleet.records())), "superseded": FLEET}
    # 7. There is nothing to refuse: it is finished, and all go on.
    await site.acted(rotation, "finish")
    await site.fleet.check_in()
    assert set(site.fleet.said()) == {"ok "}


async def loses_the_answer(site: KeySite, rig: LossyRig) -> None:
    """Let it visit until the server has its new key on record, and lose every answer from when it brings it along."""
    before = current(rig.agent.record)
    for _ in range(40):
        renewal = rig.agent.record.renewal
        rig.lose_answers = bool(renewal and renewal.keys)
        await visit_when_due(rig)
        if before not in on_record(site)["current"]:
            rig.lose_answers = False
            return
        await asyncio.sleep(0.2)
    raise AssertionError("no new key was brought")


def well(rigs: list[WindowsRig]) -> bool:
    return all(record.key_history and not record.failures for record in (rig.agent.record for rig in rigs))


def current(record: Record) -> str:
    return device_key(record.device_key).thumbprint


def on_record(site: KeySite) -> dict[str, list[str] | int]:
    with contextlib.closing(sqlite3.connect(site.server.data / "keyfast.db")) as database:
        rows = database.execute("SELECT thumbprint, status FROM device_key").fetchall()
    in_use = sorted(key for key, status in rows if status == "current")
    return {"current": in_use, "superseded": len(rows) - len(in_use)}
