"""Lockouts ahead in each output of ``keyfast diagnose see``."""

import csv
import io

import pytest
from rich.console import Console

from keyfast.cli import diagnose_csv, diagnose_html, diagnose_text
from keyfast.core.account import DAY
from keyfast.see.client import Client
from keyfast.see.tally import Tally
from keyfast.services.diagnose_see import Known, diagnose_site

NOW = 1_800_000_000 - 1_800_000_000 % 3600
HEARD = {"PC-1": 40, "PC-2": 25, "PC-3": 10}
CLIENTS = [
    *(Client(name, "svc-see", "CORP", seen_at=NOW - days * DAY) for name, days in HEARD.items()),
    Client("PC-4", "svc-see", "CORP"),
]


@pytest.fixture
def tally():
    tally = Tally()
    for client in CLIENTS:
        tally.add(client)
    return tally


async def of(tally, lock_after):
    return await diagnose_site(tally.groups, [], Known(lock_after=lock_after), (), NOW)


def text_of(report):
    out = io.StringIO()
    diagnose_text.show(report, Console(file=out, width=160, force_terminal=False, highlight=False))
    return out.getvalue()


async def test_on_the_terminal_and_in_the_page_they_are_told_by_day(tally):
    report = await of(tally, 30)
    page = diagnose_html.render(report)
    for sentence in (
        "locked after 30 days without contact: 1 machine already, 2 to follow if nothing changes",
        f"from {diagnose_text.moment(NOW + 5 * DAY)} on: 1 machine more, 2 in all",
        "of 1 machine the last check-in is not known",
    ):
        assert sentence in text_of(report)
        assert sentence in page


async def test_every_machine_has_the_moment_of_its_own(tally, tmp_path):
    path = tmp_path / "machines.csv"
    diagnose_csv.write(CLIENTS, tally, await of(tally, 30), path)
    with path.open(encoding="utf-8-sig", newline="") as file:
        locked = {row["machine"]: row["locked_from"] for row in csv.DictReader(file)}
    assert locked == {
        **{name: diagnose_text.moment(NOW + (30 - days) * DAY) for name, days in HEARD.items()},
        "PC-4": "",
    }


async def test_of_many_days_the_first_are_listed_and_the_last_is_told():
    tally = Tally()
    for day in range(20):
        tally.add(Client(f"PC-{day}", "svc-see", "CORP", seen_at=NOW - day * DAY))
    text = text_of(await of(tally, 30))
    assert text.count("more, ") == diagnose_text.DAYS
    assert f"and so on, until {diagnose_text.moment(NOW + 30 * DAY)}" in text


async def test_where_no_policy_locks_there_is_no_word_of_it(tally, tmp_path):
    report = await of(tally, 0)
    diagnose_csv.write(CLIENTS, tally, report, tmp_path / "machines.csv")
    for output in (text_of(report), diagnose_html.render(report)):
        assert "without contact" not in output
