"""A device key is renewed on the real server by the real agent, in virtual time; no key is lost on the way."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace
from tests.support.town import Town, thumbprint

from keyfast.agent.client_database import encode_record
from keyfast.agent.evidence import device_key
from keyfast.simulation.endpoint import Endpoint, NetFault, StoreFault
from keyfast.simulation.habits import DAY, HOUR
from keyfast.wire.admin import EventLine
from keyfast.wire.rotation import PreviewView, RotationOrder, RotationView


@pytest.fixture(params=["oauth", "windows"])
def town(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Town]:
    made = Town(tmp_path / "server", request.param)
    yield made
    made.close()


def stored_keys(endpoint: Endpoint) -> tuple[str, str, tuple[str, ...]]:
    """What is on its disk: the key in use, the new one that lies beside it (or the same), the former ones."""
    stored = endpoint.disk.load()
    assert stored is not None
    new = stored.renewal.keys.device if stored.renewal and stored.renewal.keys else stored.device_key
    return stored.device_key, new, stored.key_history


def renewed(town: Town, endpoint: Endpoint) -> None:
    command = town.renew(endpoint)
    town.live(endpoint, lambda: town.state(endpoint, command) == "verified")


def test_a_key_is_renewed_and_every_former_one_kept_on_both_sides(town: Town):
    endpoint = town.join()
    first, sealed = endpoint.record.device_key, endpoint.record.seal_key
    renewed(town, endpoint)
    record = endpoint.record
    assert record.device_key != first
    assert record.seal_key != sealed
    assert (record.key_history, record.seal_history) == ((first,), (sealed,))
    assert (record.renewal, record.failures) == (None, 0)
    assert town.keys(endpoint) == {device_key(first).thumbprint: "superseded", thumbprint(endpoint): "current"}
    second = record.device_key
    renewed(town, endpoint)
    assert endpoint.record.key_history == (second, first)
    assert sorted(town.keys(endpoint).values()) == ["current", "superseded", "superseded"]
    told = [row for row in town.run(town.site.get("/admin/v1/events", list[EventLine])) if "renewed" in row.kind]
    assert [row.detail["way"] for row in told] == ["check-in", "check-in"]


@pytest.mark.parametrize("recovers", ["always", "window"])
@pytest.mark.parametrize("mode", ["oauth", "windows"])
def test_where_the_answer_was_lost_the_new_key_is_tried_and_taken_without_a_recovery(
    tmp_path: Path, mode: str, recovers: str
):
    town = Town(tmp_path / "server", mode, recovers)
    endpoint = town.join()
    first = endpoint.record.device_key
    command = town.loses_the_answer_to_a_renewal(endpoint)
    endpoint.restart()
    town.live(endpoint, lambda: town.state(endpoint, command) == "verified")
    assert endpoint.record.key_history == (first,)
    assert endpoint.record.recovery is None
    events = town.run(town.site.get("/admin/v1/events", list[EventLine]))
    assert not {row.kind for row in events} & {"endpoint_recovered", "endpoint_readopted"}
    assert len([row for row in events if row.kind == "endpoint_key_renewed"]) == 1
    town.close()


def test_an_image_from_before_a_renewal_comes_back_with_a_key_of_its_own(town: Town):
    endpoint = town.join()
    first, image = endpoint.record.device_key, endpoint.disk.content
    renewed(town, endpoint)
    renewed(town, endpoint)
    gone = thumbprint(endpoint)
    endpoint.restart(image)
    town.live(endpoint, town.works(endpoint))
    assert thumbprint(endpoint) not in {gone, device_key(first).thumbprint}
    assert endpoint.record.key_history == (first,)
    assert town.keys(endpoint)[gone] == "superseded"


def test_an_image_from_before_it_joined_comes_back_as_the_same_endpoint(town: Town):
    endpoint = town.install()
    while not endpoint.record.device_key:
        town.run(endpoint.agent.step())
    image = endpoint.disk.content
    town.join(endpoint)
    renewed(town, endpoint)
    own = endpoint.record.endpoint_id
    endpoint.restart(image)
    town.live(endpoint, lambda: bool(endpoint.record.endpoint_id))
    town.live(endpoint, town.works(endpoint))
    assert endpoint.record.endpoint_id == own


def test_an_image_with_a_new_key_that_has_a_successor_already_comes_back(town: Town):
    endpoint = town.join()
    first = endpoint.record.device_key
    command = town.renew(endpoint)
    endpoint.agent.make_due()
    while not (endpoint.record.renewal and endpoint.record.renewal.keys):
        town.run(endpoint.agent.step())
    image, second = endpoint.disk.content, endpoint.record.renewal.keys.device
    town.live(endpoint, lambda: town.state(endpoint, command) == "verified")
    assert endpoint.record.device_key == second
    renewed(town, endpoint)
    endpoint.restart(image)
    town.live(endpoint, town.works(endpoint))
    assert {first, second} <= {endpoint.record.device_key, *endpoint.record.key_history}


@pytest.mark.parametrize("answer_lost", [False, True])
def test_a_server_restored_to_before_a_renewal_takes_the_endpoint_back(town: Town, answer_lost: bool):
    endpoint = town.join()
    first = endpoint.record.device_key
    backup = town.back_up()
    if answer_lost:
        town.loses_the_answer_to_a_renewal(endpoint)
    else:
        renewed(town, endpoint)
    town.run(town.site.restore(backup))
    town.let_pass(HOUR)
    town.live(endpoint, town.works(endpoint))
    assert first in {endpoint.record.device_key, *endpoint.record.key_history}


def test_where_the_receipt_is_gone_too_a_former_key_vouches_for_the_one_in_use(town: Town):
    endpoint = town.join()
    backup = town.back_up()
    renewed(town, endpoint)
    in_use = thumbprint(endpoint)
    endpoint.restart(encode_record(replace(endpoint.record, receipt="not.a.receipt")))
    town.run(town.site.restore(backup))
    town.let_pass(HOUR)
    town.live(endpoint, town.works(endpoint))
    assert thumbprint(endpoint) == in_use


def test_a_change_of_the_access_comes_first(tmp_path: Path):
    town = Town(tmp_path / "server", "windows")
    endpoint = town.join()
    order = RotationOrder("oauth", source="svc-a", soak_s=1)
    made = town.run(town.site.post("/admin/v1/rotations", RotationView, order))
    town.run(town.site.post(f"/admin/v1/rotations/{made.id}/start", RotationView))
    town.live(endpoint, lambda: endpoint.record.watch is not None)
    endpoint.agent.keeps_running = False  # or it would restart itself and be done with the change
    command = town.renew(endpoint)
    for _ in range(5):
        town.let_pass(town.visit(endpoint) + 0.1)
        assert endpoint.record.watch.state == "committed"
        assert (town.state(endpoint, command), endpoint.record.renewal) == ("queued", None)
    endpoint.restart()
    town.live(endpoint, lambda: town.state(endpoint, command) == "verified")
    assert endpoint.record.watch.state == "verified"
    town.close()


def faults_at(endpoint: Endpoint, at: int, fault: StoreFault | NetFault) -> None:
    coming: list[Any] = [*([None] * at), fault]
    if isinstance(fault, StoreFault):
        endpoint.disk.coming = coming
    else:
        endpoint.faults.coming = coming


@pytest.mark.parametrize("fault", [*StoreFault, *NetFault])
@pytest.mark.parametrize("dies", [False, True])
def test_a_fault_or_an_end_at_any_store_and_any_request_loses_no_key(
    town: Town, fault: StoreFault | NetFault, dies: bool
):
    for at in range(24):
        endpoint = town.join()
        first = endpoint.record.device_key
        command = town.renew(endpoint)
        faults_at(endpoint, at, fault)
        for _ in range(6):
            wait = town.visit(endpoint)
            in_use, new, former = stored_keys(endpoint)
            assert first in {in_use, *former}
            current = next(key for key, status in town.keys(endpoint).items() if status == "current")
            assert current in {device_key(key).thumbprint for key in (in_use, new)}
            if dies:
                endpoint.restart_agent()
            town.let_pass(wait + 0.1)
        reached = not (endpoint.disk.coming or endpoint.faults.coming)
        endpoint.disk.coming, endpoint.faults.coming = [], []
        town.live(endpoint, lambda: town.state(endpoint, command) == "verified")  # noqa: B023 - called at once
        assert endpoint.record.key_history == (first,)
        assert len(town.keys(endpoint)) == 2
        if not reached:
            assert at >= 4
            return
    raise AssertionError("more happens than was tried")


def test_a_rotation_renews_every_key_and_takes_nothing_away(town: Town):
    endpoints = [town.join() for _ in range(3)]
    before = {thumbprint(endpoint) for endpoint in endpoints}
    order = RotationOrder("device_key", soak_s=1, canary_most=1, percents=())
    seen = town.run(town.site.post("/admin/v1/rotations/preview", PreviewView, order))
    assert (seen.targets, seen.waves, seen.stranded, seen.recovering, seen.against) == (3, (1, 2), 0, 0, ())
    made = town.run(town.site.post("/admin/v1/rotations", RotationView, order))
    town.run(town.site.post(f"/admin/v1/rotations/{made.id}/start", RotationView))
    end = town.time.now + 10 * DAY
    while (view := town.run(town.site.get(f"/admin/v1/rotations/{made.id}", RotationView))).verified < 3:
        assert town.time.now < end, view
        assert not view.paused
        for endpoint in endpoints:
            town.visit(endpoint)
        town.let_pass(HOUR)
    assert view.state == "draining"
    town.run(town.site.post(f"/admin/v1/rotations/{made.id}/finish", RotationView))
    town.let_pass(5)
    view = town.run(town.site.get(f"/admin/v1/rotations/{made.id}", RotationView))
    assert view.state == "done"
    assert [act.act for act in view.acts] == ["plan_targets", "release_wave", "release_wave"]
    assert not before & {thumbprint(endpoint) for endpoint in endpoints}
    assert all(endpoint.record.failures == 0 for endpoint in endpoints)
