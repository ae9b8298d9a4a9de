"""kill -9 of the whole server under load: nothing that was acknowledged may be lost."""

import threading
import time

import httpx2
import pytest
from tests.support import processes
from tests.support.device import Device, read_bundle
from tests.support.postgres import Cluster
from tests.support.server import RunningServer

pytestmark = [pytest.mark.e2e, pytest.mark.slow, pytest.mark.timeout(300)]

DEVICES = 24
ROUNDS = 3
LOAD_SECONDS = 3.0


class Load(threading.Thread):
    """One endpoint that checks in as fast as it can and remembers what it was told."""

    def __init__(self, device: Device, tls) -> None:
        super().__init__()
        self.device = device
        self.tls = tls
        self.stopping = threading.Event()
        self.answered = 0
        self.surprises: list[str] = []

    def run(self) -> None:
        with httpx2.Client(base_url=self.device.url, verify=self.tls, timeout=10, trust_env=False) as http:
            self.device.http = http
            while not self.stopping.is_set():
                try:
                    answer = self.device.check_in()
                except httpx2.HTTPError:
                    self.device.seq += 1  # sent, but no answer: the next number, as an agent does
                    time.sleep(0.05)
                    continue
                if answer.status_code == 200:
                    self.answered += 1
                elif answer.status_code != 503:
                    self.surprises.append(answer.text)
                    return


def test_no_acknowledged_check_in_is_lost(any_server):
    server = any_server

    # 1. Enrol a small fleet.
    bundle = read_bundle(server.package(max_uses=DEVICES).path)
    with server.client() as http:
        devices = [Device(http, server.url, f"lab-{n}").enrol(bundle) for n in range(DEVICES)]

    told = 0
    for _ in range(ROUNDS):
        # 2. Load, and in the middle of it kill every process of the server at once.
        loads = [Load(device, server.tls()) for device in devices]
        for load in loads:
            load.start()
        time.sleep(LOAD_SECONDS)
        server.kill()
        for load in loads:
            load.stopping.set()
        for load in loads:
            load.join(30)
        assert not [load.surprises for load in loads if load.surprises]
        told += sum(load.answered for load in loads)

        # 3. Start again: every record is at least where its endpoint was told it is.
        server.start()
        lost = {device.name: (device.acked_seq, server.endpoint(device.id).seq) for device in devices}
        assert all(on_record >= acknowledged for acknowledged, on_record in lost.values()), lost

    # 4. Everyone goes on without help.
    assert told > ROUNDS * DEVICES
    with server.client() as http:
        for device in devices:
            device.http = http
            assert device.check_in().status_code == 200


def test_one_service_killed_is_started_again_and_the_other_never_stopped(start_server):
    server = start_server()
    bundle = read_bundle(server.package().path)
    with server.client() as http:
        device = Device(http, server.url).enrol(bundle)
        server.child("admin").kill()
        assert device.check_in().status_code == 200
        processes.until(lambda: server._answers() or None, "the admin service to come back")
        assert server.endpoint(device.id).seq == 1
        server.child("check-in").kill()
        assert server.endpoint(device.id).seq == 1
        processes.until(lambda: server._answers() or None, "the check-in service to come back")
    with server.client() as http:
        device.http = http
        assert device.check_in().status_code == 200


def test_services_do_not_outlive_a_killed_supervisor(start_server):
    server = start_server()
    services = [server.child("check-in"), server.child("admin")]
    assert server.process is not None
    server.process.kill()
    server.process.wait(10)
    for service in services:
        service.wait(20)
    server.start()


def test_a_database_outage_is_503_with_retry_after_and_never_a_401(tmp_path):
    cluster = Cluster()
    cluster.start()
    try:
        server = RunningServer(tmp_path / "server", cluster.create_database(migrated=False))
        try:
            bundle = read_bundle(server.package().path)
            with server.client() as http:
                device = Device(http, server.url).enrol(bundle)
                assert device.check_in().status_code == 200
                cluster.kill()
                for ask in (device.check_in, device.ask_token):
                    answer = ask()
                    assert answer.status_code == 503, answer.text
                    assert int(answer.headers["retry-after"]) > 0
                    assert answer.json()["class"] == "not_ready"
                cluster.start()

                def works_again():
                    return device.check_in(seq=device.seq + 10).status_code == 200 or None

                processes.until(works_again, "check-ins to work again")
        finally:
            server.close()
    finally:
        cluster.remove()
