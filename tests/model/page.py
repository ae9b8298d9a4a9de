"""docs/security/rotation-model.md: its tables are what the searches found; ``KEYFAST_WRITE_DOCS=1`` writes them anew.

With one worker only (-n 0), since each test puts its own row in its place.
"""

import os
from pathlib import Path

from tests.model.search import Found

PAGE = Path(__file__).resolve().parents[2] / "docs/security/rotation-model.md"
WRITE = os.environ.get("KEYFAST_WRITE_DOCS") == "1"
HEADS = {
    "worlds": "| world | states | stranded | must be told a password |",
    "variants": "| without | world | states | stranded | shortest path |",
    "open": "| world | rules | states | stranded | shortest path |",
}


def row(*cells: object) -> str:
    return "| " + " | ".join(f"{cell:,}" if isinstance(cell, int) else str(cell) for cell in cells) + " |"


def told(found: Found) -> str:
    """The shortest path in words; what happens to a rotation at its beginning is always the same."""
    return "; ".join(found.path) if found.path else "-"


def stands(table: str, line: str, order: list[str]) -> None:
    """Compare a line with the page, or write it.

    Args:
        table: name of the table.
        line: as it is to stand there.
        order: first cells of all lines of the table.
    """
    text = PAGE.read_text("utf-8")
    begin, end = f"<!-- {table} -->\n", f"<!-- end of {table} -->"
    before, _, rest = text.partition(begin)
    inside, _, after = rest.partition(end)
    lines = {_key(known): known for known in inside.splitlines()[2:] if known}
    if WRITE:
        lines[_key(line)] = line
        kept = [lines[name] for name in order if name in lines]
        ruler = "| " + " | ".join("---" for _ in HEADS[table].split("|")[1:-1]) + " |"
        inside = "\n".join((HEADS[table], ruler, *kept)) + "\n"
        PAGE.write_text(before + begin + inside + end + after, "utf-8")
    else:
        assert lines.get(_key(line)) == line, "found otherwise; KEYFAST_WRITE_DOCS=1 writes it"
        assert [name for name in lines if name not in order] == []


def _key(line: str) -> str:
    return line.split(" | ", maxsplit=1)[0].removeprefix("| ")
