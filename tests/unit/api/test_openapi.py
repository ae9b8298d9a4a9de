"""The document of the admin API says what the routes do, and nothing is done that it does not say."""

import ast
import inspect
import re
import textwrap
from collections.abc import Iterator
from operator import attrgetter
from pathlib import Path
from typing import get_type_hints

import jsonschema_rs
import pytest

from keyfast import cli
from keyfast.api.acts import ACTS, CHANGE_NOTHING, WRITING
from keyfast.api.console.app import PAGES
from keyfast.api.openapi import OpenApi, operations
from keyfast.api.operations import query_of
from keyfast.api.routes import ADMIN_ROUTES, AdminHandlers, Row
from keyfast.core.role import DANGEROUS, Permission
from keyfast.core.search import FIELDS
from keyfast.wire.idempotency import KEY_HEADER, REPLAYED_HEADER
from keyfast.wire.people import APPROVAL_HEADER, REASON_HEADER

DOCUMENT = OpenApi(ADMIN_ROUTES, AdminHandlers).document
OPERATIONS = operations(ADMIN_ROUTES, AdminHandlers)
ROUTES = {f"{row.method} {row.path}": row for row in ADMIN_ROUTES}
HOMES = get_type_hints(AdminHandlers)
FOR_PROGRAMS = {"GET /admin/v1/openapi.json", "GET /admin/v1/self", "POST /oauth/introspect"}
"""What no command asks for: only a program needs to know it."""
CEREMONY = {"POST /me/passkeys/begin", "POST /me/passkeys"}
"""A passkey is made by the browser that will use it; nothing else can speak for it."""
ELSEWHERE = {
    "POST /windows": "POST /admin/v1/windows/open",
    "POST /windows/{id}/close": "POST /admin/v1/windows/close",
    "POST /packages/{id}/file": "GET /admin/v1/packages/{id}/file",
    "POST /audit/export": "GET /admin/v1/audit/export",
    "POST /settings/modes/open": "POST /admin/v1/modes/open",
    "POST /settings/modes/close": "POST /admin/v1/modes/close",
    "POST /settings/end-recovery": "POST /admin/v1/installation/end-recovery",
    "POST /settings/nodes/forget": "POST /admin/v1/nodes/forget",
    "POST /settings/policy": "POST /admin/v1/policy",
    "POST /searches/remove": "POST /admin/v1/searches/{name}/remove",
    "POST /me/passkeys/{id}/remove": "POST /admin/v1/people/{name}/passkeys/{id}/remove",
    "POST /people/sessions/{id}/end": "POST /admin/v1/sessions/{id}/end",
    "POST /people/{name}/change": "POST /admin/v1/people/{name}",
    "POST /people/{name}/tokens": "POST /admin/v1/tokens",
    "POST /people/{name}/tokens/{id}/revoke": "POST /admin/v1/tokens/{id}/revoke",
}
"""Acts of the console whose route has another path than the API's."""


def _handler(row: Row) -> object:
    home, _, name = row.handler.partition(".")
    return getattr(HOMES[home], name)


def test_every_route_is_told_once_and_nothing_else_is():
    told = [f"{method.upper()} {path}" for path, known in DOCUMENT["paths"].items() for method in known]
    assert sorted(told) == sorted(f"{row.method} {row.path}" for row in ADMIN_ROUTES)
    names = [operation.name for operation in OPERATIONS]
    assert len(set(names)) == len(names)


@pytest.mark.parametrize("operation", OPERATIONS, ids=attrgetter("name"))
def test_an_operation_is_told_as_the_table_and_its_handler_say(operation):
    row = operation.row
    told = DOCUMENT["paths"][row.path][row.method.lower()]
    assert told["summary"]
    assert told.get("x-permission") == row.permission
    assert bool(told["security"]) is (row.permission is not None)
    parts = {(part["in"], part["name"]) for part in told["parameters"]}
    assert {name for where, name in parts if where == "path"} == set(re.findall(r"{(\w+)}", row.path))
    writes = row.method in WRITING
    assert {name for where, name in parts if where == "header"} == {
        *({KEY_HEADER} if writes else ()),
        *({REASON_HEADER, APPROVAL_HEADER} if row.permission in DANGEROUS else ()),
    }
    assert ({"409", "422"} <= set(told["responses"])) is writes
    assert all(
        (REPLAYED_HEADER in told["responses"][str(code)].get("headers", {})) is writes for code in operation.statuses
    )
    assert ("requestBody" in told) is (operation.takes is not None)
    assert row.method == "POST" or operation.takes is None


@pytest.mark.parametrize("row", ADMIN_ROUTES, ids=attrgetter("handler"))
def test_a_handler_reads_those_parts_of_the_query_that_it_names(row):
    tree = ast.parse(textwrap.dedent(inspect.getsource(_handler(row))))
    calls = [node for node in ast.walk(tree) if isinstance(node, ast.Call)]
    texts = {_constant(call, 0) for call in calls if isinstance(call.func, ast.Attribute) and call.func.attr == "get"}
    numbers = {_constant(call, 1) for call in calls if ast.unparse(call.func) == "http.query_int"}
    searched = FIELDS if any(ast.unparse(call.func) == "read_search" for call in calls) else ()
    assert (texts | numbers | set(searched)) - {""} == set(query_of(_handler(row)))


def _constant(call: ast.Call, place: int) -> str:
    argument = call.args[place]
    return argument.value if isinstance(argument, ast.Constant) and isinstance(argument.value, str) else ""


def test_the_acts_of_a_route_are_the_only_values_of_its_path():
    (part,) = (
        part
        for part in DOCUMENT["paths"]["/admin/v1/rotations/{id}/{act}"]["post"]["parameters"]
        if part["name"] == "act"
    )
    assert part["schema"]["enum"] == list(ACTS["POST /admin/v1/rotations/{id}/{act}"])


@pytest.mark.parametrize("name", DOCUMENT["components"]["schemas"])
def test_a_schema_is_one(name):
    validator = jsonschema_rs.Draft202012Validator(
        {"$ref": f"#/components/schemas/{name}", "components": DOCUMENT["components"]}
    )
    assert validator.is_valid(None) is False


STRICTER = {"POST /rotations/preview": Permission.ROTATION_PLAN}
"""Its answer is the form by which a rotation is planned."""


def test_nothing_is_for_the_console_alone():
    acts = {f"{row.method} {row.path}": row.permission for row in PAGES if row.method == "POST"}
    for act, permission in acts.items():
        if act in CEREMONY:
            continue
        route = ELSEWHERE.get(act, act.replace(" ", " /admin/v1"))
        assert route in ROUTES, f"{act} of the console has no counterpart"
        assert permission in {ROUTES[route].permission, Permission.SELF_CHANGE, STRICTER.get(act)}
    assert set(ELSEWHERE) | CEREMONY <= set(acts)


def test_every_route_is_reached_by_a_command():
    reached = set(_reached())
    missing = {route for route in ROUTES if not any(_leads(call, route) for call in reached)}
    assert missing == FOR_PROGRAMS
    assert FOR_PROGRAMS & set(ACTS) == set()
    assert {call for call in reached if not any(_leads(call, route) for route in ROUTES)} == set()
    assert set(ROUTES) >= CHANGE_NOTHING


def _reached() -> Iterator[str]:
    """What commands call, as ``METHOD /path`` with ``{}`` for what they fill in."""
    for file in sorted(Path(cli.__file__).parent.glob("*.py")):
        tree = ast.parse(file.read_text("utf-8"))
        helpers = {
            node.name: node.body[-1].value
            for node in tree.body
            if isinstance(node, ast.FunctionDef) and isinstance(node.body[-1], ast.Return)
        }
        for call in ast.walk(tree):
            if isinstance(call, ast.Call) and isinstance(call.func, ast.Attribute) and call.args:
                path = _text(call.args[0], helpers).partition("?")[0]
                if path.startswith("/admin/"):
                    yield f"{'POST' if call.func.attr == 'post' else 'GET'} {path}"


def _text(node: ast.expr | None, helpers: dict[str, ast.expr | None]) -> str:
    if isinstance(node, ast.Constant):
        return str(node.value)
    if isinstance(node, ast.JoinedStr):
        return "".join(_text(part, helpers) for part in node.values)
    if isinstance(node, ast.FormattedValue):
        return _text(node.value, helpers)
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in helpers:
        return _text(helpers[node.func.id], helpers)
    return "{}"


def _leads(call: str, route: str) -> bool:
    ours, theirs = call.split("/"), route.split("/")
    return len(ours) == len(theirs) and all(mine in ("{}", its) for mine, its in zip(ours, theirs, strict=True))
