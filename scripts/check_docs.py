"""Check the documentation: every link and anchor leads somewhere, every host is one we chose to name.

Reads all ``*.md`` of the tree. A relative link must name an existing file inside the tree, an anchor an
existing heading; a link may not be an absolute path. Hosts named in documentation, scripts, locks and
workflow files must be in ``HOSTS`` or be examples (RFC 2606). Prints one line per fault; exit code 1 if any.
"""

import re
import sys
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import unquote

ROOT = Path(__file__).resolve().parent.parent
SKIPPED = {"build", "dist", "data", "htmlcov"}
HIDDEN_BUT_OURS = {".ci", ".github", ".pre-commit-config.yaml"}

HOSTS = {
    "datatracker.ietf.org",
    "json-schema.org",
    "keepachangelog.com",
    "localhost",
    "openid.net",
    "semver.org",
    "spec.openapis.org",
    "www.apache.org",
    "www.iana.org",
    "www.rfc-editor.org",
    "www.w3.org",
}
_EXAMPLE = re.compile(r"(^|\.)(example|test|invalid|localhost)(\.(com|net|org))?$|^127\.|^\[::1]$")

_FENCE = re.compile(r"^(```|~~~).*?^\1", re.MULTILINE | re.DOTALL)
_INLINE_CODE = re.compile(r"`[^`\n]*`")
_LINK = re.compile(
    r"""(?<!\\)\[[^\]]*\]\(\s*<?([^)\s>]+)>?(?:\s+"[^"]*")?\s*\)|^\[[^\]]+\]:\s*(\S+)""",
    re.MULTILINE,
)
_HEADING = re.compile(r"^#{1,6}\s+(.+?)\s*#*\s*$", re.MULTILINE)
_URL_HOST = re.compile(r"\b(?:https?|git|ssh|ftp)://(?:[^/@\s]*@)?(\[[^\]]*\]|[A-Za-z0-9.-]+)")


def main() -> int:
    """Check the whole tree; the exit code is 1 if there is any fault."""
    faults = [fault for page in _files("*.md") for fault in link_faults(page, ROOT)]
    for pattern in ("*.md", "*.lock", "*.yaml", "*.yml", "*.toml", "Makefile", "scripts/*", ".ci/*"):
        faults += [fault for file in _files(pattern) for fault in host_faults(file, ROOT)]
    sys.stdout.writelines(f"{fault}\n" for fault in sorted(set(faults)))
    return 1 if faults else 0


def link_faults(page: Path, root: Path) -> Iterator[str]:
    """Yield one line for every link of ``page`` (inside ``root``) that leads nowhere."""
    text = _INLINE_CODE.sub("", _FENCE.sub("", page.read_text()))
    for match in _LINK.finditer(text):
        link = match.group(1) or match.group(2)
        if re.match(r"[a-z][a-z0-9+.-]*:", link):
            continue
        path, _, anchor = unquote(link).partition("#")
        target = (page.parent / path).resolve() if path else page
        where = f"{page.relative_to(root)}: link {link}"
        if path.startswith("/"):
            yield f"{where}: an absolute path; link relative to the page"
        elif not target.is_relative_to(root):
            yield f"{where}: outside this tree"
        elif not target.exists():
            yield f"{where}: no such file"
        elif anchor and target.suffix == ".md" and anchor not in anchors(target.read_text()):
            yield f"{where}: no such heading"


def anchors(text: str) -> set[str]:
    """Anchors of all headings of a Markdown text, made the way code hosts make them."""
    found: set[str] = set()
    for match in _HEADING.finditer(_FENCE.sub("", text)):
        plain = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", match.group(1)).replace("`", "")
        slug = re.sub(r"[^\w\- ]", "", plain.lower()).replace(" ", "-")
        again = (f"{slug}-{n}" for n in range(1, len(found) + 2))
        found.add(slug if slug not in found else next(name for name in again if name not in found))
    return found


def host_faults(file: Path, root: Path) -> Iterator[str]:
    """Yield one line for every host that ``file`` names and that is neither chosen nor an example."""
    for match in _URL_HOST.finditer(file.read_text(errors="replace")):
        host = match.group(1).lower().rstrip(".")
        if host not in HOSTS and not _EXAMPLE.search(host):
            yield f"{file.relative_to(root)}: names the host {host}"


def _files(pattern: str) -> list[Path]:
    found = ROOT.rglob(pattern) if "/" not in pattern else ROOT.glob(pattern)
    return [path for path in found if path.is_file() and _is_ours(path.relative_to(ROOT).parts)]


def _is_ours(parts: tuple[str, ...]) -> bool:
    return not any(part in SKIPPED or (part.startswith(".") and part not in HIDDEN_BUT_OURS) for part in parts)


if __name__ == "__main__":
    sys.exit(main())
