"""Tables for people, JSON for programs, errors for both."""

import sys
import time
from collections.abc import Iterable, Sequence
from urllib.parse import quote

import msgspec
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from keyfast.errors import KeyfastError

console = Console(highlight=False)
errors = Console(stderr=True, highlight=False)

STATE_COLOUR = {
    "active": "green",
    "pending": "yellow",
    "registered": "yellow",
    "clone_suspect": "red",
    "retired": "dim",
    "revoked": "dim",
}
DISKS_COLOUR = {"protected": "green", "exposed": "red", "unknown": "yellow"}


def as_json(view: object) -> None:
    """Print a value as JSON."""
    sys.stdout.buffer.write(msgspec.json.format(msgspec.json.encode(view), indent=2) + b"\n")
    sys.stdout.buffer.flush()


def table(columns: Sequence[str], rows: Iterable[Sequence[str]], empty: str) -> None:
    """Print rows as a table, or say that there are none."""
    found = list(rows)
    if not found:
        console.print(empty)
        return
    view = Table(box=None, header_style="bold", pad_edge=False)
    for column in columns:
        view.add_column(column, overflow="fold")
    for row in found:
        view.add_row(*row)
    console.print(view)


def coloured(text: str, colours: dict[str, str]) -> str:
    """Give a word its colour, if it has one."""
    colour = colours.get(text)
    return f"[{colour}]{text}[/]" if colour else text


def moment(unix: int, now: float | None = None) -> str:
    """A time as people say it: how long ago or ahead, 'never' for 0."""
    if unix <= 0:
        return "never"
    delta = round((time.time() if now is None else now) - unix)
    return f"{span(delta)} ago" if delta >= 0 else f"in {span(-delta)}"


def span(seconds: int) -> str:
    """A duration in its largest unit."""
    for unit, size in (("d", 86400), ("h", 3600), ("min", 60)):
        if seconds >= 2 * size:
            return f"{seconds // size} {unit}"
    return f"{seconds} s"


def in_path(text: str) -> str:
    """Write something that somebody typed as one part of a path."""
    return quote(text, safe="")


def banner(text: str) -> None:
    """Say something that everybody should know, beside the output."""
    errors.print(f"[yellow]keyfast:[/] {escape(text)}", soft_wrap=True)


def fail(fault: KeyfastError) -> int:
    """Print a fault and what mends it; return the exit code."""
    errors.print(f"[red]keyfast:[/] {escape(fault.message)}", soft_wrap=True)
    if fault.repair:
        errors.print(f"  try: {escape(fault.repair)}", soft_wrap=True)
    return fault.exit_code
