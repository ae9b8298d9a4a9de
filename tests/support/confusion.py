"""The tables of docs/diagnosis/confusion.md: what was made, and what was said first. KEYFAST_WRITE_DOCS=1 writes."""

import os
from collections.abc import Sequence
from pathlib import Path

PAGE = Path(__file__).resolve().parents[2] / "docs/diagnosis/confusion.md"
WRITE = os.environ.get("KEYFAST_WRITE_DOCS") == "1"


def table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Lines of a table; a finding is a link to its page."""
    lines = [f"| {' | '.join(heads)} |", f"|{' --- |' * len(heads)}"]
    return "\n".join([*lines, *(f"| {' | '.join(row)} |" for row in rows)]) + "\n"


def linked(code: str) -> str:
    """A link to the page of a finding; what is no finding as it is."""
    known = (PAGE.parent / "rules" / f"{code}.md").exists()
    return f"[{code}](rules/{code}.md)" if known else code


def stands(name: str, found: str) -> None:
    """Compare a table with the page's, or write it there."""
    begin, end = f"<!-- {name} -->\n", f"<!-- end of {name} -->"
    before, _, rest = PAGE.read_text("utf-8").partition(begin)
    inside, _, after = rest.partition(end)
    if WRITE:
        PAGE.write_text(before + begin + found + end + after, "utf-8")
    else:
        assert inside == found, "found otherwise; KEYFAST_WRITE_DOCS=1 writes it"
