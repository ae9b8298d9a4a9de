"""Holds real answers of the admin API against what its document says of them."""

import re
from typing import Any

import httpx2
import jsonschema_rs
import msgspec

from keyfast.api.openapi import OpenApi
from keyfast.api.routes import ADMIN_ROUTES, AdminHandlers
from keyfast.wire.problems import MEDIA_TYPE

DOCUMENT = OpenApi(ADMIN_ROUTES, AdminHandlers).document


class Conformity:
    """Judges answers, and remembers which operations were seen to succeed."""

    def __init__(self) -> None:
        self.seen: set[str] = set()

    def judge(self, method: str, path: str, answer: httpx2.Response) -> None:
        """Fail if an answer is not what the document says."""
        if not answer.is_success:
            assert answer.headers["content-type"] == MEDIA_TYPE
            _demand({"$ref": "#/components/schemas/Problem"}, answer.json())
            return
        told = _operation(method, path)
        self.seen.add(told["operationId"])
        content = told["responses"][str(answer.status_code)]["content"]
        media_type = answer.headers["content-type"].partition(";")[0]
        assert media_type in content, (path, media_type)
        if "schema" in content[media_type]:
            _demand(content[media_type]["schema"], answer.json())

    def judge_body(self, method: str, path: str, body: object) -> None:
        """Fail if the body of a request that was granted is not what the document says."""
        for taken in _operation(method, path).get("requestBody", {"content": {}})["content"].values():
            _demand(taken["schema"], msgspec.to_builtins(body))


def _operation(method: str, path: str) -> Any:
    """What is told of the first route, in the table's order, that a path belongs to."""
    plain = path.partition("?")[0]
    for row in ADMIN_ROUTES:
        if row.method == method and re.fullmatch(re.sub(r"{\w+}", "[^/]+", row.path), plain):
            return DOCUMENT["paths"][row.path][method.lower()]
    raise LookupError(f"{method} {path} is no route")


def _demand(schema: dict[str, Any], value: object) -> None:
    whole = schema | {"components": DOCUMENT["components"]}
    jsonschema_rs.Draft202012Validator(whole).validate(value)
