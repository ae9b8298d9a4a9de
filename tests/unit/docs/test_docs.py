"""The documentation says what the code does: nothing is missing, nothing is behind, no link leads nowhere."""

import ast
import dataclasses
import re
import tomllib
from pathlib import Path

import generate
import pytest
from scripts import check_docs

from keyfast.api.routes import ADMIN_ROUTES, ENDPOINT_ROUTES
from keyfast.core.account import AccountCondition, AccountEventKind
from keyfast.core.check_in import Fork
from keyfast.core.diagnosis.engine import CANNOT_TELL
from keyfast.core.diagnosis.table import RULES as DIAGNOSIS_RULES
from keyfast.core.endpoint import TABLE, EndpointEvent, EndpointState
from keyfast.core.generation import GenerationState
from keyfast.core.refusal import RULES, RefusalClass
from keyfast.core.rotation_state import RotationEvent
from keyfast.directory.entry import ACCOUNT, BASE_ONLY
from keyfast.services.keyring import MIN_PASSPHRASE
from keyfast.settings import (
    AuditSettings,
    ConsoleSettings,
    NotifySettings,
    OidcSettings,
    PackagesSettings,
    RecoverySettings,
    Settings,
    WindowsSettings,
)
from keyfast.settings_directory import ActiveDirectorySettings

ROOT = Path(__file__).resolve().parents[3]
DOCS = ROOT / "docs"


PAGES = [ROOT / "README.md", *sorted(DOCS.rglob("*.md"))]


def _text(name: str) -> str:
    return (DOCS / name).read_text("utf-8")


def _headings(name: str, level: int) -> dict[str, str]:
    """Every section of a level by its heading, without back-ticks."""
    parts = re.split(rf"^{'#' * level} +(.+)$", _text(name), flags=re.MULTILINE)
    return dict(zip((head.strip("`") for head in parts[1::2]), parts[2::2], strict=True))


def test_every_refusal_class_has_its_heading_and_no_other_has():
    headings = _headings("protocol/refusals.md", 2)
    assert {head for head in headings if re.fullmatch("[a-z_]+", head)} == {kind.value for kind in RefusalClass}


@pytest.mark.parametrize("kind", RefusalClass)
def test_a_refusal_is_described_as_it_is_told(kind):
    section = _headings("protocol/refusals.md", 2)[kind.value]
    rule = RULES[kind]
    assert f"Status {rule.status}{', anybody' if rule.anonymous else ''}. *{rule.title}.*" in section
    assert "- Agent: " in section
    assert "- A person: " in section


def test_every_setting_has_its_heading():
    found = _headings("operate/settings.md", 2)
    settings = {field.name for field in dataclasses.fields(Settings)}
    assert settings <= set(found)
    assert {head for head in found if head.islower() and " " not in head} == settings


@pytest.mark.parametrize(
    ("table", "kind"),
    [
        ("windows", WindowsSettings),
        ("directory", ActiveDirectorySettings),
        ("recovery", RecoverySettings),
        ("packages", PackagesSettings),
        ("console", ConsoleSettings),
        ("notify", NotifySettings),
        ("oidc", OidcSettings),
        ("audit", AuditSettings),
    ],
)
def test_every_member_of_a_table_of_settings_has_its_heading(table, kind):
    found = {head for head in _headings("operate/settings.md", 3) if head.startswith(f"{table}.")}
    assert found == {f"{table}.{field.name}" for field in dataclasses.fields(kind)}


@pytest.mark.parametrize(
    ("page", "named"),
    [
        ("operate/directory.md", (*ACCOUNT, *BASE_ONLY)),
        ("operate/account-watch.md", tuple(AccountCondition)),
        ("reference/events.md", tuple(AccountEventKind)),
    ],
)
def test_what_the_watch_reads_and_says_is_listed(page, named):
    text = _text(page)
    assert [name for name in named if f"`{name}`" not in text] == []


def test_every_diagnosis_rule_has_its_page_and_no_other_has():
    pages = {path.stem for path in (DOCS / "diagnosis/rules").glob("*.md")}
    assert pages == {CANNOT_TELL, *(rule.code for rule in DIAGNOSIS_RULES)}
    for rule in DIAGNOSIS_RULES:
        text = _text(f"diagnosis/rules/{rule.code}.md")
        assert all(sign.what in text for sign in (*rule.needs, *rule.proofs, *rule.supports, *rule.against))
        assert f"| [{rule.code}](rules/{rule.code}.md) |" in _text("diagnosis/README.md")


def test_every_route_is_listed():
    page = _text("reference/routes.md")
    for row in (*ENDPOINT_ROUTES, *ADMIN_ROUTES):
        who = f"{row.who}: `{row.permission}`" if row.permission else row.who
        assert f"| `{row.method} {row.path}` | {who} |" in page


def test_every_command_and_option_is_listed():
    sections = _headings("reference/cli.md", 3)
    commands = generate.cli_commands()
    assert len(commands) > 10
    for words, command in commands:
        section = sections[" ".join(words)]
        for param in command.params:
            shown = param.opts[0] if param.opts[0].startswith("-") else param.name.upper()
            assert shown in section, (words, shown)
    assert {f"keyfast-agent {verb}" for verb in ("install", "run", "check-in", "status", "uninstall")} <= set(sections)


def test_every_dependency_has_its_row():
    declared = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
    needs = [
        *declared["project"]["dependencies"],
        *(need for extra in declared["project"]["optional-dependencies"].values() for need in extra),
        *declared["dependency-groups"]["dev"],
        *declared["build-system"]["requires"],
    ]
    rows = {
        name.strip()
        for line in _text("adr/0004-dependencies.md").splitlines()
        if line.startswith("| ")
        for name in line.split("|")[1].split(",")
    }
    assert {re.match(r"[\w-]+", need).group() for need in needs} == rows - {"library", "tool"}


def test_every_link_leads_somewhere():
    assert [fault for page in PAGES for fault in check_docs.link_faults(page, ROOT)] == []


@pytest.mark.parametrize(
    ("path", "text"),
    [pytest.param(path, text, id=str(path.relative_to(DOCS))) for path, text in generate.generated()],
)
def test_generated_pages_are_current(path, text):
    assert path.read_text("utf-8") == text, "run: python docs/generate.py"


def test_the_lifecycle_in_the_architecture_is_the_table():
    page = _text("architecture.md")
    drawn = re.search(r"lifecycle endpoint -->\n```text\n(.*?)```", page, re.DOTALL).group(1)
    found, state = {}, None
    for line in drawn.splitlines():
        if head := re.match(r"\[(\w+)]", line):
            state = EndpointState(head.group(1))
        else:
            event, after = re.match(r"   [|`]-- (\w+) -+> (?:\[(\w+)]|stays)$", line).groups()
            found[state, EndpointEvent(event)] = EndpointState(after) if after else state
    assert found == TABLE


EVENT_FAMILIES = {
    "endpoint_{state.value}": {"endpoint_registered", "endpoint_pending"},
    "endpoint_{event.value}": {
        f"endpoint_{event.value}"
        for event in (
            EndpointEvent.APPROVED,
            EndpointEvent.REVOKED,
            EndpointEvent.REINSTATED,
            EndpointEvent.CLEARED,
        )
    },
    "endpoint_{move.value}": {f"endpoint_{move.value}" for move in (EndpointEvent.RETIRED, EndpointEvent.RETURNED)},
    "endpoint_{found.kind.value}": {f"endpoint_{fork.value}" for fork in Fork},
    "rotation_{event.value}": {f"rotation_{event.value}" for event in RotationEvent},
    "generation_{state.value}": {
        f"generation_{state.value}" for state in (GenerationState.PROVEN, GenerationState.REFUSED)
    },
}
"""Event kinds that code makes from a value, by the expression."""
EVENT_MAKERS = {"_save": 1, "_What": 0, "_happened": 1, "_invite": 2}
"""Calls that are given the kind of an event, and at which place."""


def _literal_kinds(path: Path) -> set[str]:
    """Event kinds that a module emits: literals of ``kind=``, of EVENT_MAKERS, and f-strings by expression."""
    tree = ast.parse(path.read_text("utf-8"))
    found: list[ast.expr] = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            found += [word.value for word in node.keywords if word.arg == "kind"]
            place = EVENT_MAKERS.get(getattr(node.func, "attr", "") or getattr(node.func, "id", ""))
            if place is not None:
                found.append(node.args[place])
        elif isinstance(node, ast.FunctionDef) and node.name in ("fork_event", "move_event"):
            found += [item for item in ast.walk(node) if isinstance(item, ast.JoinedStr)]
    kinds: set[str] = set()
    for value in found:
        if isinstance(value, ast.Constant) and isinstance(value.value, str):
            kinds.add(value.value)
        elif isinstance(value, ast.JoinedStr):
            kinds |= EVENT_FAMILIES[ast.unparse(value)[2:-1]]
    return kinds


def test_every_event_kind_is_listed_and_no_other():
    emitted = {kind.value for kind in AccountEventKind}
    for room in ("services", "store"):
        for path in (ROOT / "src" / "keyfast" / room).glob("*.py"):
            emitted |= _literal_kinds(path)
    assert "package_created" in emitted
    listed = set(re.findall(r"^\| `(\w+)` \|", _text("reference/events.md"), re.MULTILINE))
    assert listed == emitted


def _key_file_faults() -> set[str]:
    """Messages of every KeyFileError raised, values shown as an ellipsis, cut before the second one."""
    found = set()
    for path in (ROOT / "src" / "keyfast").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if not (isinstance(node, ast.Call) and getattr(node.func, "id", "") == "KeyFileError"):
                continue
            parts = getattr(node.args[0], "values", [node.args[0]])
            text = "".join(part.value if isinstance(part, ast.Constant) else "\u2026" for part in parts)
            found.add("\u2026".join(text.split("\u2026")[:2]).strip(": "))
    return found


def test_the_least_passphrase_is_the_one_demanded():
    page = " ".join(_text("protocol/keys.md").split())
    assert f"a passphrase of at least {MIN_PASSPHRASE} characters" in page


def test_every_key_file_fault_has_its_repair():
    page = _text("operate/troubleshooting.md")
    faults = _key_file_faults()
    assert len(faults) > 5
    assert [fault for fault in faults if fault not in page] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_pages_have_one_title_and_no_leftovers(page):
    text = check_docs._FENCE.sub("", page.read_text("utf-8"))
    assert len(re.findall(r"^# ", text, re.MULTILINE)) == 1
    assert not re.search(r"\bTODO\b|\bFIXME\b|_NOTE\b|[ \t]+$", text, re.MULTILINE)
