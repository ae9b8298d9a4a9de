"""``keyfast notify`` against a running server that tells a real web server."""

import asyncio
import json
import threading

import pytest
from tests.support import processes
from tests.support.receivers import Hook, serving
from tests.support.server import RunningServer


@pytest.fixture(scope="module")
def hook():
    """A web server in a thread of its own."""
    made, ready, loop = Hook(), threading.Event(), asyncio.new_event_loop()
    over = asyncio.Event()

    async def serve():
        async with serving(made):
            ready.set()
            await over.wait()

    thread = threading.Thread(target=loop.run_until_complete, args=(serve(),))
    thread.start()
    assert ready.wait(20)
    yield made
    loop.call_soon_threadsafe(over.set)
    thread.join()
    loop.close()


@pytest.fixture(scope="module")
def telling(tmp_path_factory, hook):
    data = tmp_path_factory.mktemp("telling")
    (data / "webhook.secret").touch(0o600)
    (data / "webhook.secret").write_text("a shared secret\n")
    table = f'[notify]\nwebhook = "http://127.0.0.1:{hook.port}/"\nwebhook_secret_file = "webhook.secret"\n'
    running = RunningServer(data, tables=table)
    yield running
    running.close()


def keyfast(server, *words):
    done = processes.run("keyfast.cli.main", *words, KEYFAST_DATA=str(server.data))
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_a_test_arrives_and_the_list_says_so(telling, hook):
    assert "Nobody was told anything" in keyfast(telling, "notify", "list")
    assert "is on its way" in keyfast(telling, "notify", "test")

    def sent():
        return [row["state"] for row in json.loads(keyfast(telling, "notify", "list", "--json"))] == ["sent"]

    processes.until(sent, "the test to be sent")
    ((headers, body),) = hook.posts
    assert json.loads(body)["title"] == "this is a test, ordered by local administrator"
    assert headers["keyfast-signature"].startswith("t=")
    assert json.loads(keyfast(telling, "notify", "test", "--json"))["state"] == "pending"
    assert "webhook" in keyfast(telling, "notify", "list")
    assert "notification_tested" in keyfast(telling, "audit", "list")
