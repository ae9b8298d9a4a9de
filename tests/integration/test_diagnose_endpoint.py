"""``keyfast-agent diagnose`` against real parts that are broken for real: the first finding counts.

The tables of made situations and first findings are in docs/diagnosis/confusion.md; KEYFAST_WRITE_DOCS=1 writes them.
"""

from collections.abc import Iterator

import pytest
from tests.support import endpoint_accounts
from tests.support.confusion import linked, stands, table
from tests.support.endpoint_accounts import Desk
from tests.support.endpoint_site import NOTHING, Fronted, first
from tests.support.endpoint_situations import SITUATIONS, Lab
from tests.support.postgres import Cluster
from tests.support.samba import Domain
from tests.support.server import RunningServer
from tests.support.windows import WindowsServer, bad_passwords

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    folder = tmp_path_factory.mktemp("endpoint")
    cluster = Cluster()
    cluster.start()
    server = Fronted(folder / "server", cluster.create_database(migrated=False))
    other = RunningServer(folder / "other")
    yield Lab(server, cluster, folder, other)
    for each in (other, server):
        each.close()
    cluster.remove()


@pytest.mark.timeout(400)
def test_no_situation_is_named_wrongly(lab):
    rows, wrong = [], []
    for situation, make, expected, confidence in SITUATIONS:
        with make(lab) as ask:
            report = ask()
        code, sure = first(report)
        rows.append((situation, linked(code), sure or "-"))
        if code != expected or sure != confidence:
            wrong.append((situation, code, sure, report["told"], report["looked"]))
    found = table(("made situation", "first finding", "how sure"), rows)
    print(f"\n{found}")  # noqa: T201 - the confusion table is what this test is for
    assert not wrong, wrong
    stands("endpoint", found)


@pytest.fixture(scope="module")
def site(ad: Domain, tmp_path_factory: pytest.TempPathFactory) -> Iterator[WindowsServer]:
    running = WindowsServer(tmp_path_factory.mktemp("windows") / "data", ad, interval=3600)
    yield running
    running.close()


@pytest.mark.timeout(400)
def test_no_situation_of_an_account_is_named_wrongly(site, make_account, tmp_path):
    rows, wrong = [], []
    for situation, make, expected in endpoint_accounts.SITUATIONS:
        with make(Desk(site, make_account(), tmp_path)) as ask:
            report = ask()
        code, sure = first(report)
        rows.append((situation, linked(code), sure or "-", report["told"].partition("It says: ")[2] or "-"))
        if (code, sure) != (expected, "" if expected == NOTHING else "certain"):
            wrong.append((situation, code, sure, report["told"], report["looked"]))
    found = table(("made situation", "first finding", "how sure", "in the server's words"), rows)
    print(f"\n{found}")  # noqa: T201 - as above
    assert not wrong, wrong
    stands("endpoint accounts", found)


def test_a_password_that_is_on_hold_is_not_presented(site, make_account, tmp_path):
    desk = Desk(site, make_account(), tmp_path)
    with endpoint_accounts.refused_before(desk) as ask:
        before = bad_passwords(desk.account)
        for _ in range(3):
            report = ask()
        assert bad_passwords(desk.account) == before
    (access,) = [line for line in report["looked"] if line["what"] == "access"]
    assert "the password was not presented" in access["detail"]


def test_looking_changes_nothing_and_shows_no_secret(site, make_account, tmp_path):
    desk = Desk(site, make_account(), tmp_path)
    agent = desk.agent()
    before = {path.name: path.read_bytes() for path in agent.state.iterdir() if path.is_file()}
    seq = site.endpoint(agent.status()["endpoint"]).seq
    target = tmp_path / "report.json"
    done = agent.do("diagnose", "--json", "--to", str(target))
    assert (done.returncode, done.stderr) == (0, "")
    assert target.read_text() == done.stdout
    assert target.stat().st_mode & 0o077 == 0
    assert {path.name: path.read_bytes() for path in agent.state.iterdir() if path.is_file()} == before
    assert site.endpoint(agent.status()["endpoint"]).seq == seq
    assert desk.account.password not in done.stdout + agent.do("diagnose").stdout
