"""The measurement of pages: it thinks of every route, and every request of it is answered over a small fleet."""

import time
from dataclasses import replace

import pytest
from benchmarks import installation, page_paths, page_report, pages
from benchmarks.estate import Estate
from benchmarks.page_paths import Ask, Scene
from benchmarks.pages import Taken
from starlette.routing import Route
from tests.support import processes
from tests.support.console import ConsoleTown

from keyfast.api.console.pages import PAGES, Row
from keyfast.core.role import Permission

FEW = 200


@pytest.fixture(scope="module")
def taken(tmp_path_factory):
    data = tmp_path_factory.mktemp("estate") / "data"
    estate = Estate(FEW, int(time.time()))
    founded = installation.found(data, processes.free_port(), "", 0, pages.TABLES)
    rows = []
    pages.fill_estate(founded.url, estate, founded.maker.installation, rows.append)
    assert sum(rows) > 10 * FEW
    return pages.measure(data, estate, 1, lambda _: None, preferred=False)


def test_every_page_is_answered(taken):
    assert [(one.route, one.ask.path, one.status) for one in taken if not one.answered] == []
    assert {one.route for one in taken} == set(page_paths.routes())
    assert {one.ask.scene for one in taken} == set(Scene)
    assert all(one.size for one in taken)


def test_what_is_searched_for_is_found(taken):
    """A page that shows nothing says nothing about what a full one costs."""
    size = {(one.route, one.ask.what): one.size for one in taken}
    nobody = size["console /endpoints", "by name of nobody"]
    for what in (
        "after the middle",
        "last",
        "by name",
        "by serial",
        "by user",
        "by package",
        "by disks",
        "by account",
        "active",
        "pending",
        "retired",
    ):
        assert size["console /endpoints", what] > nobody + 100, what


def test_every_route_of_the_console_is_measured_or_needs_a_provider(tmp_path):
    town = ConsoleTown(tmp_path / "data")
    try:
        real = {route.path for route in town.app.routes if isinstance(route, Route) and "GET" in route.methods}
    finally:
        town.close()
    named = {route.removeprefix("console ") for route in page_paths.routes() if route.startswith("console ")}
    assert real - set(page_paths.BY_PROVIDER) - page_paths.streams() == named


def test_a_route_that_nobody_thought_of_ends_the_measurement(monkeypatch):
    more = (*PAGES, Row("GET", "/news", Permission.READ, "home.news"))
    monkeypatch.setattr(page_paths, "PAGES", more)
    with pytest.raises(LookupError, match="console /news"):
        page_paths.asked(Estate(FEW, 0), "", "")


def test_what_is_late_misses_the_goal():
    quick = Taken("sqlite", "console /", Ask("/"), 900.0, (10.0, 20.0, 5000.0), 9.0, 200, 1000)
    late = replace(quick, route="api /admin/v1/self", times=(299.0, 301.0, 305.0))
    assert [goal.verdict for goal in page_report.goals([quick])] == ["reached", "reached"]
    assert [goal.verdict for goal in page_report.goals([quick, late])] == ["MISSED", "reached"]
    assert page_report.goals([replace(quick, status=503)])[1].verdict == "MISSED"
    assert [one["late"] for one in page_report.as_json([quick, late])] == [False, True]
