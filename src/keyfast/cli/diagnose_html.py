"""A diagnosis as one HTML file: no script, and nothing fetched from elsewhere.

Jinja2 escapes every text. The page forbids itself everything but its own style sheet, by its digest.
"""

import hashlib
from base64 import b64encode
from collections.abc import Sequence
from importlib import resources
from pathlib import Path
from typing import NamedTuple

from keyfast.cli.diagnose_text import lockouts, machines, moment
from keyfast.errors import MissingToolError, UsageError
from keyfast.see.report import GroupReport, SiteReport

WIDTH, HEIGHT = 1000, 120
_MARGIN = 3600
_APART = 16
"""Numbers that are nearer than this would be written over each other."""


class Bar(NamedTuple):
    """One bar of the chart."""

    kind: str
    x: float
    y: float
    width: float
    height: float


class Mark(NamedTuple):
    """Moments of the timeline at one place of the chart, by their numbers there."""

    x: float
    number: str


class Chart(NamedTuple):
    """The web server's history with the moments of one group."""

    begin: int
    end: int
    bars: tuple[Bar, ...]
    marks: tuple[Mark, ...]


def write(report: SiteReport, path: Path) -> None:
    """Write the report.

    Raises:
        UsageError: the file cannot be written.
        MissingToolError: Jinja2 is not installed.
    """
    text = render(report)
    try:
        path.write_text(text, "utf-8", errors="backslashreplace")
    except OSError as cause:
        raise UsageError(f"cannot write {path}: {cause.strerror or cause}") from cause


def render(report: SiteReport) -> str:
    """Return the page."""
    try:
        from jinja2 import Environment, PackageLoader  # noqa: PLC0415 - an optional extra
        from markupsafe import Markup  # noqa: PLC0415
    except ImportError as cause:
        raise MissingToolError(
            "the HTML report needs the Python package Jinja2", repair="pip install 'keyfast[see]'"
        ) from cause
    style = resources.files("keyfast.cli").joinpath("templates/diagnosis.css").read_text("utf-8")
    environment = Environment(loader=PackageLoader("keyfast.cli"), autoescape=True, trim_blocks=True)
    return environment.get_template("diagnosis.html").render(
        report=report,
        charts=[chart(group, report) for group in report.groups],
        moment=moment,
        machines=machines,
        lockouts=lockouts,
        style=Markup(style),  # noqa: S704 - our own file
        style_hash=b64encode(hashlib.sha256(style.encode()).digest()).decode(),
    )


def chart(group: GroupReport, report: SiteReport) -> Chart | None:
    """Lay out the history and the group's moments; None if there is no history."""
    steps = report.history
    if not steps:
        return None
    begin, end = steps[0].at, steps[-1].at + report.step_s
    scale = WIDTH / max(end - begin, 1)
    most = max(step.granted + step.refused for step in steps) or 1
    bars: list[Bar] = []
    for step in steps:
        left, width = (step.at - begin) * scale, max(report.step_s * scale, 0.5)
        bottom = float(HEIGHT)
        for kind, count in (("granted", step.granted), ("refused", step.refused)):
            height = HEIGHT * count / most
            bottom -= height
            if count:
                bars.append(Bar(kind, round(left, 2), round(bottom, 2), round(width, 2), round(height, 2)))
    return Chart(begin, end, tuple(bars), _marks(group, begin, end, scale))


def _marks(group: GroupReport, begin: int, end: int, scale: float) -> tuple[Mark, ...]:
    inside: Sequence[tuple[int, int]] = [
        (number, point.at)
        for number, point in enumerate(group.timeline, 1)
        if begin - _MARGIN <= point.at <= end + _MARGIN
    ]
    marks: list[Mark] = []
    for number, at in inside:
        x = round(min(max((at - begin) * scale, 0), WIDTH), 2)
        if marks and x - marks[-1].x < _APART:
            marks[-1] = Mark(marks[-1].x, f"{marks[-1].number}, {number}")
        else:
            marks.append(Mark(x, str(number)))
    return tuple(marks)
