"""Idempotency keys against real servers: killed in between, broken connections, and what is on the disk."""

import asyncio
import socket
import threading
from pathlib import Path

import asyncpg
import httpx2
import msgspec
import pytest
from tests.support.mortal_site import DeadError, Fate, MortalSite
from tests.support.postgres import shared_cluster
from tests.support.server import RunningServer
from tests.support.witness import founded

from keyfast.cli.client import AdminClient
from keyfast.core.audit import Entry
from keyfast.errors import NotReadyError
from keyfast.simulation.moments import VirtualTime
from keyfast.simulation.run import START
from keyfast.wire.admin import Changed, ModeLine
from keyfast.wire.idempotency import KEY_HEADER, REPLAYED_HEADER

KEY = "8e03978e-40d5-43e8-bc93-6894a57f9324"
OPEN = "/admin/v1/modes/open"
LAB = {"mode": "oauth", "ring": "lab"}
PASSPHRASE = "a long passphrase of five words"


def ask(server: RunningServer, path: str, body: object, key: str = KEY) -> httpx2.Response:
    transport = httpx2.HTTPTransport(uds=str(server.settings.admin_socket))
    with httpx2.Client(transport=transport, base_url="http://keyfast", timeout=60) as http:
        return http.post(path, json=body, headers={KEY_HEADER: key})


def rings(server: RunningServer) -> set[str]:
    return {line.ring for line in server.admin.get("/admin/v1/modes", list[ModeLine])}


@pytest.fixture
def database() -> str:
    return shared_cluster().create_database()


@pytest.fixture
def over_postgres(database: str, tmp_path: Path):
    running = RunningServer(tmp_path / "server", database)
    yield running
    running.close()


@pytest.mark.timeout(300)  # three starts of a server
async def test_a_server_killed_between_claim_and_act_makes_the_next_one_look(over_postgres, database):
    server = over_postgres
    # 1. The act cannot end: somebody holds what its last statement needs.
    held = await asyncpg.connect(database)
    watching = await asyncpg.connect(database)
    lock = held.transaction()
    await lock.start()
    await held.execute("LOCK TABLE audit")
    asked = asyncio.create_task(asyncio.to_thread(ask, server, OPEN, LAB))
    # 2. The key is claimed, durably, and the act is under way: now everything is killed.
    while await watching.fetchval("SELECT count(*) FROM pg_locks WHERE NOT granted") == 0:
        await asyncio.wait({asked}, timeout=0.05)
        assert not asked.done()
    assert await watching.fetchval("SELECT state FROM kept_answer") == "begun"
    await asyncio.to_thread(server.kill)
    with pytest.raises(httpx2.HTTPError):
        await asked
    await lock.rollback()
    # 3. It comes back, and nobody knows what became of the first: look.
    await asyncio.to_thread(server.start)
    answer = await asyncio.to_thread(ask, server, OPEN, LAB)
    assert (answer.status_code, answer.json()["class"]) == (409, "look_first")
    assert "lab" not in await asyncio.to_thread(rings, server)
    # 4. Whoever looked sends it under a new key; and that is answered as often as it is asked.
    first = await asyncio.to_thread(ask, server, OPEN, LAB, KEY + "-2")
    await asyncio.to_thread(server.kill)
    await asyncio.to_thread(server.start)
    again = await asyncio.to_thread(ask, server, OPEN, LAB, KEY + "-2")
    assert (again.status_code, again.content, again.headers[REPLAYED_HEADER]) == (200, first.content, "true")
    await held.close()
    await watching.close()


DEATHS = [(write, after_commit) for write in (1, 2, 3, 4) for after_commit in (False, True)]
"""At the claim, at the act's two transactions, at the keeping of the answer; before and after the commit."""
KNOWN = {(1, False): "done", (4, True): "again"}
"""Where a retry need not look: nothing was claimed, or everything was kept."""


@pytest.mark.parametrize(("write", "after_commit"), DEATHS)
def test_a_server_that_dies_anywhere_never_acts_twice(tmp_path, write, after_commit):
    (tmp_path / "server").mkdir(mode=0o700)
    fate = Fate()
    site = MortalSite(founded(tmp_path / "server", {}), VirtualTime(START), "always", fate)

    async def asked():
        transport = httpx2.ASGITransport(site._admin.app)
        async with httpx2.AsyncClient(transport=transport, base_url="http://keyfast") as http:
            return await http.post(OPEN, json=LAB, headers={KEY_HEADER: KEY})

    async def life():
        await site.start()
        fate.die_at, fate.after_commit = fate.writes + write, after_commit
        with pytest.raises(DeadError):
            await asked()
        await site.come_back()
        answer = await asked()
        entries = await site.get("/admin/v1/audit?action=mode_opened", list[Entry])
        await site.stop()
        replayed = REPLAYED_HEADER in answer.headers
        said = ("again" if replayed else "done") if answer.is_success else answer.json()["class"]
        return said, len([entry for entry in entries if entry.record.detail.get("ring") == "lab"])

    acted = (write, after_commit) not in {(1, True), (2, False)}
    assert asyncio.run(life()) == (KNOWN.get((write, after_commit), "look_first"), int(acted))


def test_answers_and_requests_are_not_in_plain_on_the_disk(server):
    made = ask(server, "/admin/v1/people", {"name": "nora", "role": "operator"}, KEY + "-people")
    token = {"person": "nora", "name": "t", "scopes": ["read"], "days": 1}
    joined = ask(server, "/admin/v1/join", {"code": made.json()["code"], "password": PASSPHRASE}, KEY + "-join")
    assert joined.is_success, joined.text
    bearer = ask(server, "/admin/v1/tokens", token, KEY + "-token")
    export = ask(server, "/admin/v1/keys/export", {"passphrase": PASSPHRASE}, KEY + "-export")
    secrets = [made.json()["code"], bearer.json()["token"], PASSPHRASE, export.json()["export"][100:160]]
    for answer, path, body, key in (
        (bearer, "/admin/v1/tokens", token, KEY + "-token"),
        (export, "/admin/v1/keys/export", {"passphrase": PASSPHRASE}, KEY + "-export"),
    ):
        again = ask(server, path, body, key)
        assert (again.content, again.headers[REPLAYED_HEADER]) == (answer.content, "true")
    files = [path for path in server.data.rglob("*") if path.is_file() and path.suffix != ".sock"]
    assert any(path.name.endswith(".db-wal") for path in files)
    for path in files:
        content = path.read_bytes()
        assert [secret[:12] for secret in secrets if secret.encode() in content] == [], path
        assert KEY.encode() not in content, path


class Breaking:
    """Before a server's socket: passes requests on, and loses the first answers."""

    def __init__(self, path: Path, server: Path, losses: int) -> None:
        self.path, self._server, self._losses = path, server, losses
        self.requests: list[bytes] = []
        self._listening = socket.socket(socket.AF_UNIX)
        self._listening.bind(str(path))
        self._listening.listen()
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def close(self) -> None:
        self._listening.shutdown(socket.SHUT_RDWR)
        self._thread.join(10)
        self._listening.close()

    def _run(self) -> None:
        while True:
            try:
                conn, _ = self._listening.accept()
            except OSError:
                return
            with conn:
                self._pass_on(conn)

    def _pass_on(self, conn: socket.socket) -> None:
        request = b""
        while chunk := conn.recv(65536):
            request += chunk
            head, _, body = request.partition(b"\r\n\r\n")
            length = int(httpx2.Headers(_lines(head)).get("content-length", "0"))
            if b"\r\n\r\n" in request and len(body) >= length:
                break
        if not request:  # somebody only looks whether anyone listens
            return
        self.requests.append(request)
        with socket.socket(socket.AF_UNIX) as far:
            far.connect(str(self._server))
            far.sendall(request)
            answer = far.recv(65536)
        if len(self.requests) > self._losses:
            conn.sendall(answer)


def _lines(head: bytes) -> list[tuple[bytes, bytes]]:
    return [(name, value.strip()) for name, _, value in (line.partition(b":") for line in head.split(b"\r\n")[1:])]


@pytest.fixture
def breaking(server, tmp_path):
    made: list[Breaking] = []

    def make(losses: int) -> Breaking:
        made.append(Breaking(tmp_path / "s.sock", server.settings.admin_socket, losses))
        return made[-1]

    yield make
    for one in made:
        one.close()


def test_the_command_line_asks_once_more_under_the_same_key(server, breaking):
    front = breaking(1)
    AdminClient(front.path).post(OPEN, Changed, {"mode": "oauth", "ring": "once"})
    keys = [httpx2.Headers(_lines(request.partition(b"\r\n\r\n")[0]))[KEY_HEADER] for request in front.requests]
    assert len(keys) == 2
    assert len(set(keys)) == 1
    found = server.admin.get("/admin/v1/audit", list[Entry], {"action": "mode_opened"})
    assert len([entry for entry in found if entry.record.detail.get("ring") == "once"]) == 1


def test_and_no_more_than_once(breaking):
    front = breaking(9)
    with pytest.raises(NotReadyError):
        AdminClient(front.path).post(OPEN, Changed, {"mode": "oauth", "ring": "twice"})
    assert len(front.requests) == 2


def test_what_only_asks_is_not_asked_again(breaking):
    front = breaking(1)
    with pytest.raises(NotReadyError):
        AdminClient(front.path).get("/admin/v1/modes", list[ModeLine])
    assert len(front.requests) == 1


def test_each_write_has_a_key_of_its_own(breaking):
    front = breaking(0)
    for _ in range(2):
        AdminClient(front.path).post(OPEN, msgspec.Raw, {"mode": "oauth", "ring": "again"})
    heads = [httpx2.Headers(_lines(request.partition(b"\r\n\r\n")[0])) for request in front.requests]
    assert len({head[KEY_HEADER] for head in heads}) == 2
