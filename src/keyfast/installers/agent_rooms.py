"""Which of Keyfast's own modules an agent needs, found from its imports: nothing of the server goes to an endpoint."""

import ast
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
"""Folder of the package ``keyfast``."""

START = "agent"
"""Folder below it whose modules are all taken, with whatever they import, at whatever place in their code."""


@lru_cache(maxsize=1)
def agent_files() -> dict[str, Path]:
    """Return the files of the agent: path below ``site-packages`` (``keyfast/agent/main.py``) to where it lies here."""
    wanted = [_name(path) for path in sorted((ROOT / START).rglob("*.py"))]
    found: dict[str, Path] = {}
    while wanted:
        name = wanted.pop()
        path = _file(name)
        if path is None or _below(path) in found:
            continue
        found[_below(path)] = path
        wanted += _imports(path)
    return dict(sorted(found.items()))


def _imports(path: Path) -> Iterator[str]:
    """Every name that may be a module of ours; ``from a import b`` may mean the module ``a.b``."""
    for node in ast.walk(ast.parse(path.read_bytes())):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            names = [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
        else:
            continue
        for name in names:
            yield from _with_parents(name)


def _with_parents(name: str) -> Iterator[str]:
    parts = name.split(".")
    if parts[0] == ROOT.name:
        yield from (".".join(parts[:end]) for end in range(1, len(parts) + 1))


def _file(name: str) -> Path | None:
    place = ROOT.parent.joinpath(*name.split("."))
    return next((path for path in (place / "__init__.py", place.with_suffix(".py")) if path.is_file()), None)


def _name(path: Path) -> str:
    parts = path.relative_to(ROOT.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def _below(path: Path) -> str:
    return path.relative_to(ROOT.parent).as_posix()
