"""``keyfast diagnose see`` against a real domain: each situation of an account is made, and the first finding counts.

The table of made situations and first findings is docs/diagnosis/confusion.md; KEYFAST_WRITE_DOCS=1 writes it.
"""

import csv
import json
import time
from collections.abc import Callable

import pytest
from tests.support.confusion import linked, stands, table
from tests.support.see_situations import (
    DAY,
    HOUR,
    SITUATIONS,
    Site,
    changed_with_both,
    changed_with_build_date,
)

from keyfast.core.diagnosis.engine import CANNOT_TELL


@pytest.fixture
def make_site(ad, make_account, tmp_path_factory) -> Callable[[], Site]:
    return lambda: Site(ad, make_account(), tmp_path_factory.mktemp("site"))


def test_no_situation_is_named_wrongly(make_site):
    rows = []
    for situation, known, make, expected, confidence in SITUATIONS:
        site = make_site()
        make(site)
        first = site.findings()[0]
        sure = "-" if first["code"] == CANNOT_TELL else first["confidence"]
        rows.append((situation, known, linked(first["code"]), sure))
        assert first["code"] == expected, (situation, known, first)
        assert confidence in ("", first["confidence"]), (situation, known, first)
    found = table(("made situation", "what was given", "first finding", "how sure"), rows)
    print(f"\n{found}")  # noqa: T201 - the confusion table is what this test is for
    stands("confusion", found)


def test_the_change_is_dated_by_the_log_and_not_by_the_first_failure(make_site):
    site = make_site()
    changed_with_both(site)
    first = site.findings()[0]
    began = time.time() - (0.5 * DAY - 0.75 * HOUR)
    assert abs(first["since"] - began) < HOUR
    assert any("minutes after it" in sentence for sentence in first["evidence_for"])
    assert "password-grace" in {finding["code"] for finding in site.findings()}


def test_looking_counts_no_wrong_password(make_site):
    site = make_site()
    changed_with_build_date(site)
    for _ in range(6):
        site.run("--json")
    assert site.account.read().get("badPwdCount", ["0"]) == ["0"]


def test_every_output_says_the_same(make_site, tmp_path):
    site = make_site()
    site.account.state("disabled")
    page, lines = tmp_path / "report.html", tmp_path / "machines.csv"
    text = site.run("--html", str(page), "--csv-out", str(lines))
    assert "account-disabled" in text
    assert f"Enable-ADAccount -Identity '{site.account.name}'" in text
    assert "account-disabled" in page.read_text("utf-8")
    with lines.open(encoding="utf-8-sig", newline="") as file:
        (row,) = csv.DictReader(file)
    assert (row["machine"], row["finding"]) == ("PC-0815", "account-disabled")


def test_a_domain_controller_that_is_down_is_said_and_the_others_are_read(make_site):
    site = make_site()
    site.account.state("disabled")
    site.options += ["--ad", "ldaps://127.0.0.1:1"]
    report = json.loads(site.run("--json"))
    assert report["groups"][0]["findings"][0]["code"] == "account-disabled"
    assert "127.0.0.1" in report["notes"][0] or "Connect" in report["notes"][0]


def test_with_no_domain_controller_nothing_is_guessed(make_site):
    site = make_site()
    site.account.state("disabled")
    site.reads = False
    site.options += ["--ad", "ldaps://127.0.0.1:1", "--ad-user", "CORP\\svc-reader"]
    site.options += ["--ad-password-file", str(site.folder / "password")]
    report = json.loads(site.run("--json"))
    assert report["groups"][0]["findings"][0]["code"] == CANNOT_TELL
    assert report["notes"]
