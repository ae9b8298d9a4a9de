# ruff: noqa: INP001 - a script beside the pages it writes
"""Write the generated pages and blocks of the documentation from the code they describe.

``python docs/generate.py`` writes, ``python docs/generate.py --check`` only compares (exit code 1 if a page
is behind). A page under ``PAGES`` is generated as a whole; elsewhere the text between the lines
``<!-- generated: NAME -->`` and ``<!-- end generated -->`` is replaced.
"""

import argparse
import inspect
import re
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from enum import StrEnum
from functools import partial
from pathlib import Path
from typing import Any, get_type_hints

import msgspec
from message_tables import message
from typer.main import get_command

from keyfast.api.openapi import OpenApi
from keyfast.api.routes import ADMIN_ROUTES, ENDPOINT_ROUTES, AdminHandlers, EndpointHandlers, Row
from keyfast.cli.main import app
from keyfast.core import (
    approval,
    change,
    command,
    endpoint,
    generation,
    idempotency,
    incident,
    package_life,
    person_life,
    rotation,
    window,
    window_endpoint,
)
from keyfast.core.audit_actions import ACTIONS
from keyfast.core.diagnosis import page as diagnosis
from keyfast.core.notification import RULES as NOTICES
from keyfast.core.role import DANGEROUS, MEANING, PER_RING, ROLES, Permission, Role
from keyfast.errors import ClientDatabaseError, KeyfastError, RepeatedError

DOCS = Path(__file__).resolve().parent
_BLOCK = re.compile(r"(<!-- generated: (.+?) -->\n).*?(<!-- end generated -->)", re.DOTALL)
_NOTE = "<!-- Written by docs/generate.py; do not edit. -->\n"


def main() -> int:
    """Write or compare; the exit code is 1 if ``--check`` finds a page that is behind."""
    parser = argparse.ArgumentParser(description="write the generated documentation")
    parser.add_argument("--check", action="store_true", help="compare only")
    checking = parser.parse_args().check
    behind = [path for path, text in generated() if not path.exists() or path.read_text("utf-8") != text]
    for path, text in generated():
        if path in behind and not checking:
            path.parent.mkdir(exist_ok=True)
            path.write_text(text, "utf-8")
    sys.stdout.writelines(f"{'behind' if checking else 'written'}: {path}\n" for path in behind)
    return 1 if checking and behind else 0


def generated() -> Iterator[tuple[Path, str]]:
    """Every page that holds anything generated, with the text it should have."""
    for name, make in PAGES.items():
        yield DOCS / name, make()
    for page in sorted(DOCS.rglob("*.md")):
        text = page.read_text("utf-8")
        if str(page.relative_to(DOCS)) not in PAGES and _BLOCK.search(text):
            yield page, _BLOCK.sub(_filled, text)


def _filled(match: "re.Match[str]") -> str:
    kind, _, name = match.group(2).partition(" ")
    return f"{match.group(1)}{BLOCKS[kind](name)}\n{match.group(3)}"


# --- command lines ---


def cli() -> str:
    """The page of both command lines."""
    parts = [
        _NOTE,
        "# Command lines\n",
        "Both commands end with 0 (done), 1 (refused or failed), 2 (wrong usage) or 3 (not finished yet; try",
        "again later). `--json` prints JSON for programs. A fault is one sentence on standard error, often",
        "with a second line that says what mends it.\n",
        "## `keyfast`\n",
        "For administrators, on the server's own machine: every command but `up`, `diagnose see`,",
        "`diagnose explain`, `simulate`, `server init`, `server run` and `version` speaks to the running",
        "server over the socket",
        "`run/admin.sock` in its data directory. The data directory is `--data`, else `KEYFAST_DATA`, else",
        "`./data` if it holds a `server.toml`, else `/var/lib/keyfast`. `keyfast up` uses `./data` unless told",
        "otherwise.\n",
        "From elsewhere the same commands speak HTTPS to a server's [console](../operate/people.md#from-elsewhere),",
        "with options before the command: `keyfast --server URL --token-file FILE endpoint list`.\n",
        *_everywhere(),
    ]
    for words, found in cli_commands():
        parts.append(_command(" ".join(words), found))
    parts += ["## `keyfast-agent`\n", "On the endpoint. Needs root in its usual place.\n", *_agent()]
    return "\n".join(parts)


def _everywhere() -> list[str]:
    """The options that come before every command."""
    rows = [f"| `{' '.join(o.opts)}` | {_option_help(o)} |" for o in get_command(app).params]
    return ["| option before the command | meaning |\n|---|---|", *rows, ""]


def cli_commands() -> list[tuple[tuple[str, ...], Any]]:
    """Every command of ``keyfast`` with the words that call it."""

    def walk(words: tuple[str, ...], found: Any) -> Iterator[tuple[tuple[str, ...], Any]]:
        if not hasattr(found, "commands"):
            yield words, found
            return
        for name in sorted(found.commands):
            yield from walk((*words, name), found.commands[name])

    return list(walk(("keyfast",), get_command(app)))


def _command(words: str, found: Any) -> str:
    positional = [param for param in found.params if not param.opts[0].startswith("-")]
    options = [param for param in found.params if param not in positional]
    usage = " ".join([words, *(param.name.upper() for param in positional), "[OPTIONS]" if options else ""])
    lines = [f"### `{words}`\n", f"{_first(found.help)}\n", f"    {usage.rstrip()}\n"]
    if options:
        lines += ["| option | meaning | default |", "|---|---|---|"]
        lines += [f"| `{' '.join(o.opts)}` | {_option_help(o)} | {_default(o.default)} |" for o in options]
        lines.append("")
    return "\n".join(lines)


def _option_help(option: Any) -> str:
    text = option.help or {"limit": "How many to print."}[option.name]
    return f"{text} Environment: `{option.envvar}`." if option.envvar else text


def _default(value: object) -> str:
    if value is None or value in ("", False):
        return ""
    return f"`{value}`"


def _agent() -> Iterator[str]:
    from keyfast.agent.main import _parser  # noqa: PLC0415 - the agent keeps its parser to itself

    parser = _parser()
    verbs = next(act for act in parser._actions if isinstance(act, argparse._SubParsersAction))  # noqa: SLF001
    helps = {choice.dest: choice.help or "" for choice in verbs._choices_actions}  # noqa: SLF001
    for name, verb in verbs.choices.items():
        yield f"### `keyfast-agent {name}`\n"
        yield f"{_sentence(helps[name])}\n"
        yield f"    keyfast-agent {name} [OPTIONS]\n"
        yield "| option | meaning |\n|---|---|"
        for option in verb._actions:  # noqa: SLF001
            if option.option_strings and option.dest != "help":
                needed = " Needed." if option.required else ""
                yield f"| `{' '.join(option.option_strings)}` | {_sentence(option.help or '')}{needed} |"
        yield ""


def _sentence(text: str) -> str:
    return f"{text[:1].upper()}{text[1:]}{'' if text.endswith('.') else '.'}"


def _first(text: str | None) -> str:
    return inspect.cleandoc(text or "").split("\n\n")[0].replace("\n", " ").replace("``", "`")


# --- routes ---


def routes() -> str:
    """The page of all routes."""
    return "\n".join(
        [
            _NOTE,
            "# Routes\n",
            "Every route there is. What is not here is answered with `not_found`.\n",
            "## Endpoint service\n",
            "HTTPS on `listen`:`port`. See [the protocol](../protocol/README.md).\n",
            *_route_table(ENDPOINT_ROUTES),
            "\n## Admin service\n",
            "HTTP on the local socket `run/admin.sock` in the data directory: whoever may open it is an",
            "administrator, and its directory is the server user's alone. HTTPS on `console.listen`:`console.port`,",
            "with an API token of a [person](../operate/people.md) who has the permission. Not a stable interface",
            "yet; the `keyfast` command is.\n",
            "Programs read the same in [`openapi.json`](openapi.json), which a server also sends: OpenAPI 3.1, with",
            "what each route takes and answers, and the permission it needs (`x-permission`). Faults, and how a write",
            "is sent again without being done again: [the admin API](admin-api.md).\n",
            *_route_table(ADMIN_ROUTES),
            "",
        ]
    )


MEANINGS = {
    "oauth.metadata": "metadata of the authorization server (RFC 8414)",
    "oauth.register": "enrolment (RFC 7591)",
    "oauth.token": "access tokens (RFC 6749, 7523, 9449)",
    "oauth.revoke": "revocation of the caller's own tokens (RFC 7009)",
}
"""What routes are for, where the handler's docstring only names the route."""


def openapi() -> str:
    """The document of the admin API, as a server with this version sends it."""
    document = OpenApi(ADMIN_ROUTES, AdminHandlers).document
    return msgspec.json.format(msgspec.json.encode(document), indent=1).decode() + "\n"


def _route_table(rows: Iterable[Row]) -> Iterator[str]:
    homes = get_type_hints(AdminHandlers) | get_type_hints(EndpointHandlers)
    yield "| route | who may call it | what it is |"
    yield "|---|---|---|"
    for row in rows:
        home, _, name = row.handler.partition(".")
        told = _first(getattr(homes[home], name).__doc__)
        meaning = MEANINGS.get(row.handler) or told.partition(": ")[2]
        who = f"{row.who}: `{row.permission}`" if row.permission else str(row.who)
        yield f"| `{row.method} {row.path}` | {who} | {_sentence(meaning)} |"


# --- faults ---


def faults(_: str) -> str:
    """Every fault that a caller of the admin API may hear of."""
    lines = ["| class | status | what it is |", "|---|---|---|"]
    known = sorted(_kinds(KeyfastError), key=lambda kind: (kind.status, kind.code))
    return "\n".join([*lines, *(f"| `{kind.code}` | {kind.status} | {_first(kind.__doc__)} |" for kind in known)])


def _kinds(kind: type[KeyfastError]) -> Iterator[type[KeyfastError]]:
    """Every kind of fault that a server raises, and none that is only a name for several."""
    for below in kind.__subclasses__():
        if below.__module__ == KeyfastError.__module__ and below is not ClientDatabaseError:
            if below is not RepeatedError:
                yield below
            yield from _kinds(below)


# --- acts ---


def acts(_: str) -> str:
    """Every act that the audit trail knows."""
    lines = ["| action | done to | particulars |", "|---|---|---|"]
    for name, rule in sorted(ACTIONS.items()):
        fields = ", ".join(f"`{field}`" for field in rule.fields)
        itself = " (also by the server itself)" if rule.by_itself else ""
        lines.append(f"| `{name}` | {rule.subject}{itself} | {fields} |")
    return "\n".join(lines)


# --- notifications ---


def notices(_: str) -> str:
    """Every event of which somebody is told."""
    lines = ["| event | message | one in |", "|---|---|---|"]
    for name, rule in sorted(NOTICES.items()):
        same = ", ".join(rule.same)
        told = f"{rule.quiet_s // 60} min for the same {same}" if rule.quiet_s else "always"
        lines.append(f"| `{name}` | {rule.title} | {told} |")
    return "\n".join(lines)


# --- lifecycles ---


def lifecycle(noun: str) -> str:
    """Draw a lifecycle table as text: every state with what can happen in it."""
    room = {
        "endpoint": endpoint,
        "change": change,
        "command": command,
        "generation": generation,
        "window": window,
        "window_endpoint": window_endpoint,
        "rotation": rotation,
        "person": person_life,
        "approval": approval,
        "package": package_life,
        "incident": incident,
        "idempotency": idempotency,
    }[noun]
    table: dict[tuple[StrEnum, StrEnum], StrEnum] = dict(room.TABLE)
    states = list(dict.fromkeys([*(state for state, _ in table), *table.values()]))
    wide = max(len(event) for _, event in table)
    lines = ["```text"]
    for state in states:
        leaving = [(event, after) for (before, event), after in table.items() if before is state]
        lines.append(f"[{state}]" + ("" if leaving else "   (end)"))
        for number, (event, after) in enumerate(leaving):
            branch = "`" if number == len(leaving) - 1 else "|"
            target = "stays" if after is state else f"[{after}]"
            lines.append(f"   {branch}-- {event} {'-' * (wide - len(event) + 1)}> {target}")
    return "\n".join([*lines, "```"])


def roles(_: str) -> str:
    """Draw the table of roles and permissions."""
    head = f"| permission | what it allows | {' | '.join(Role)} | for some rings | dangerous |"
    lines = [head, "|---|---" + "|---" * (len(Role) + 2) + "|"]
    for permission in Permission:
        marks = ["yes" if permission in ROLES[role] else "" for role in Role]
        marks += ["yes" if permission in chosen else "" for chosen in (PER_RING, DANGEROUS)]
        lines.append(f"| `{permission}` | {MEANING[permission]} | {' | '.join(marks)} |")
    return "\n".join(lines)


def _rule_page(code: str) -> str:
    return f"{_NOTE}\n{diagnosis.of(code)}"


PAGES: dict[str, Callable[[], str]] = {
    "reference/cli.md": cli,
    "reference/routes.md": routes,
    "reference/openapi.json": openapi,
    **{f"diagnosis/rules/{code}.md": partial(_rule_page, code) for code in diagnosis.CODES},
}
BLOCKS: dict[str, Callable[[str], str]] = {
    "lifecycle": lifecycle,
    "roles": roles,
    "message": message,
    "diagnosis": lambda _: diagnosis.index(),
    "acts": acts,
    "faults": faults,
    "notices": notices,
}
__all__: Sequence[str] = ("BLOCKS", "PAGES", "cli_commands", "generated")

if __name__ == "__main__":
    sys.exit(main())
