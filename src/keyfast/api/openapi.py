"""The admin API described as OpenAPI 3.1, from the table of routes and the signatures of its handlers.

Nothing is written down here that is said elsewhere: who may call a route is in ``api.routes``, what it reads and
answers in its handler's signature (``api.operations``), what that looks like in the classes of ``wire``.
"""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from types import UnionType
from typing import Any, Protocol, Union, get_args, get_origin, get_type_hints

import msgspec
from starlette.requests import Request
from starlette.responses import FileResponse, Response, StreamingResponse

from keyfast import __version__
from keyfast.api import http
from keyfast.api.acts import ACTS, WRITING
from keyfast.api.operations import Answer, Asks, query_of
from keyfast.core import idempotency
from keyfast.core.role import DANGEROUS, Permission
from keyfast.wire import problems
from keyfast.wire.idempotency import KEY_HEADER, REPLAYED_HEADER
from keyfast.wire.people import APPROVAL_HEADER, REASON_HEADER

Json = dict[str, Any]

_REF = "#/components/schemas/{name}"
_RAW: Mapping[type, Sequence[str]] = {
    FileResponse: ("application/octet-stream",),
    StreamingResponse: ("application/jsonl", "text/plain"),
}
"""What a handler sends that does not answer with a view."""
_ABOUT = """\
What the command line and the console do, for programs. Over HTTPS a caller needs the API token of a person who has
the permission that a route names in x-permission; on the local socket whoever may open it is an administrator.
Faults are problem details (RFC 9457). A write that carries an idempotency key can be sent again: it is done once."""
_FAULTS: Mapping[str, str] = {
    "Problem": "What was refused or failed, why, and what mends it.",
    "Conflict": """\
What stands against it (`conflict`, `no_such_transition`), or a second person has to agree (`approval_needed`). Under an
idempotency key that was used: nobody knows what became of the first request (`look_first`), or it was done and its
answer was not kept (`answer_not_kept`).""",
    "KeyReused": "The idempotency key was used for another request (`key_reused`).",
}
"""Answers that are faults: what they say, by name."""
_OF_WRITES = {"409": "Conflict", "422": "KeyReused"}
_OF_ALL = {"4XX": "Problem", "5XX": "Problem"}
_KEY_TEXT = """\
A key of the caller's making, another one for each write. The same request under the same key is answered as the first
was, for 24 hours, and not done again."""
_SCALARS: Mapping[type, Json] = {str: {"type": "string"}, int: {"type": "integer", "minimum": 0}}


class Described(Protocol):
    """A row of the table of routes, as far as it is told."""

    @property
    def method(self) -> str:
        """The method."""
        ...

    @property
    def path(self) -> str:
        """The path with its parameters in braces."""
        ...

    @property
    def handler(self) -> str:
        """Where its handler lives."""
        ...

    @property
    def permission(self) -> Permission | None:
        """What a caller needs; None where the route is for anyone."""
        ...


@dataclass(frozen=True, slots=True)
class Operation:
    """A route with what its handler says of itself.

    Attributes:
        takes: the class of the body, None where none is read.
        form: whether the body is a form.
        gives: the type of the answer, or what of the framework sends it.
        statuses: of good answers.
        query: parts of the query.
    """

    row: Described
    name: str
    summary: str
    takes: Any
    media_type: str
    gives: Any
    statuses: tuple[int, ...]
    query: Mapping[str, type[str] | type[int]]


class OpenApi:
    """Handler of the document.

    Args:
        rows: the table of routes.
        homes: the class whose fields are where the handlers live.
    """

    def __init__(self, rows: Iterable[Described], homes: type) -> None:
        self._rows = rows
        self._homes = homes

    async def show(self, request: Request) -> Answer[dict[str, Any]]:  # noqa: ARG002 - the framework's signature
        """``GET /admin/v1/openapi.json``: this API, described as OpenAPI 3.1."""
        return Answer(self.document)

    @cached_property
    def document(self) -> Json:
        """The document."""
        return described(operations(self._rows, self._homes))


def operations(rows: Iterable[Described], homes: type) -> list[Operation]:
    """Read what the handlers of a table say of themselves."""
    kinds = get_type_hints(homes)
    return [_operation(row, kinds) for row in rows]


def _operation(row: Described, homes: Mapping[str, type]) -> Operation:
    home, _, name = row.handler.partition(".")
    handler = getattr(homes[home], name)
    hints = get_type_hints(handler)
    takes, media_type = _taken(hints["request"])
    gives, statuses = _given(hints["return"])
    summary = _summary(handler.__doc__)
    return Operation(row, row.handler.rstrip("_"), summary, takes, media_type, gives, statuses, query_of(handler))


def _taken(hint: Any) -> tuple[Any, str]:
    """The class of a body and its media type, from the type of a handler's request."""
    kind = get_origin(hint)
    if not isinstance(kind, type) or not issubclass(kind, Asks):
        return None, ""
    return get_args(hint)[0], kind.media_type


def _given(hint: Any) -> tuple[Any, tuple[int, ...]]:
    """The type of a good answer with its statuses, from the type that a handler returns."""
    if isinstance(hint, type) and issubclass(hint, Response):
        return hint, (200,)
    answers = get_args(hint) if get_origin(hint) in (Union, UnionType) else (hint,)
    return get_args(answers[0])[0], tuple(get_origin(answer).status.value for answer in answers)


def _summary(text: str) -> str:
    """What a docstring says after naming the route."""
    told = text.strip().splitlines()[0].partition("``: ")[2].rstrip(".")
    return told[:1].upper() + told[1:]


def described(known: Sequence[Operation]) -> Json:
    """Build the document of some operations."""
    shapes = [*_bodies(known), problems.Problem]
    schemas, components = msgspec.json.schema_components(shapes, ref_template=_REF)
    schema_of = dict(zip(map(repr, shapes), schemas, strict=True))
    paths: Json = {}
    for operation in known:
        paths.setdefault(operation.row.path, {})[operation.row.method.lower()] = _told(operation, schema_of)
    return {
        "openapi": "3.1.0",
        "info": {"title": "Keyfast admin API", "version": __version__, "description": " ".join(_ABOUT.split())},
        "servers": [{"url": "/"}],
        "paths": paths,
        "components": {
            "schemas": components | {"Problem": _problem(components["Problem"])},
            "responses": {name: _fault(text) for name, text in _FAULTS.items()},
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
        },
    }


def _bodies(known: Iterable[Operation]) -> Iterator[Any]:
    for operation in known:
        yield from (kind for kind in (operation.takes, operation.gives) if kind is not None and kind not in _RAW)


def _told(operation: Operation, schema_of: Mapping[str, Json]) -> Json:
    row = operation.row
    faults = (_OF_WRITES if row.method in WRITING else {}) | _OF_ALL
    told: Json = {
        "operationId": operation.name,
        "summary": operation.summary,
        "tags": [operation.name.partition(".")[0]],
        "parameters": [*_path_parts(row), *_query_parts(operation), *_headers(row)],
        "responses": {str(status): _good(operation, schema_of) for status in operation.statuses}
        | {code: {"$ref": f"#/components/responses/{name}"} for code, name in faults.items()},
        "security": [{"token": []}] if row.permission else [],
    }
    if row.permission:
        told["x-permission"] = row.permission.value
    if operation.takes is not None:
        content = {operation.media_type: {"schema": schema_of[repr(operation.takes)]}}
        told["requestBody"] = {"required": True, "content": content}
    return told


def _path_parts(row: Described) -> Iterator[Json]:
    acts = ACTS.get(f"{row.method} {row.path}", "")
    names = re.findall(r"{(\w+)}", row.path)
    for name in names:
        schema: Json = {"type": "string"}
        if not isinstance(acts, str) and name == names[-1]:
            schema["enum"] = list(acts)
        yield {"name": name, "in": "path", "required": True, "schema": schema}


def _query_parts(operation: Operation) -> Iterator[Json]:
    for name, kind in operation.query.items():
        yield {"name": name, "in": "query", "schema": _SCALARS[kind]}


def _headers(row: Described) -> Iterator[Json]:
    """The key of a write, and what a dangerous act may need besides the permission."""
    if row.method in WRITING:
        schema = _SCALARS[str] | {"pattern": idempotency.PATTERN}
        yield {"name": KEY_HEADER, "in": "header", "description": " ".join(_KEY_TEXT.split()), "schema": schema}
    if row.permission not in DANGEROUS:
        return
    why = "Why this is done, percent-encoded; demanded of everybody but the local socket."
    agreed = "The approval of a second person, where one is demanded."
    for name, text in ((REASON_HEADER, why), (APPROVAL_HEADER, agreed)):
        yield {"name": name, "in": "header", "description": text, "schema": _SCALARS[str]}


def _good(operation: Operation, schema_of: Mapping[str, Json]) -> Json:
    raw = _RAW.get(operation.gives)
    content: Json = (
        {http.JSON: {"schema": schema_of[repr(operation.gives)]}} if raw is None else {kind: {} for kind in raw}
    )
    told: Json = {"description": "What was asked for.", "content": content}
    if operation.row.method in WRITING:
        again = {"description": "`true` where it was given before.", "schema": {"type": "string", "enum": ["true"]}}
        told["headers"] = {REPLAYED_HEADER: again}
    return told


def _fault(text: str) -> Json:
    content = {problems.MEDIA_TYPE: {"schema": {"$ref": _REF.format(name="Problem")}}}
    return {"description": " ".join(text.split()), "content": content}


def _problem(schema: Json) -> Json:
    """What is sent has more than what an agent reads, and always these."""
    more = {"type": _SCALARS[str], "approval": _SCALARS[str]}
    told = "A fault (RFC 9457); `approval` is what a second person has to agree to."
    return schema | {
        "description": told,
        "properties": schema["properties"] | more,
        "required": ["type", "class", "status"],
    }
