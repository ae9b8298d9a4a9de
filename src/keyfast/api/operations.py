"""What a handler says of itself: what it reads and what it answers, in its signature, where mypy checks it.

``async def open_mode(self, request: Asks[ModeOrder]) -> Answer[Changed]`` is all that the OpenAPI document
(``api.openapi``) needs to know, and it cannot lie: ``asked`` reads only what the signature names, and ``ok`` answers
only with what it names. Parts of a query are named by ``query``; a test compares them with what is read.
"""

from collections.abc import Callable, Mapping
from http import HTTPStatus
from typing import ClassVar, Generic, TypeVar

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from keyfast.api import http

View = TypeVar("View")
Asked = TypeVar("Asked")
Handler = TypeVar("Handler", bound=Callable[..., object])

_QUERY = "__query__"


class Answer(Response, Generic[View]):
    """A good answer with a view, as JSON."""

    status: ClassVar[HTTPStatus] = HTTPStatus.OK

    def __init__(self, view: View) -> None:
        super().__init__(msgspec.json.encode(view), self.status, http.BASE_HEADERS, http.JSON)


class Accepted(Answer[View]):
    """The same for what is not done yet."""

    status = HTTPStatus.ACCEPTED


class Asks(Request, Generic[Asked]):
    """A request with a body of a kind, as JSON. Only signatures name it: at run time it is a plain request."""

    media_type: ClassVar[str] = http.JSON


class AsksForm(Asks[Asked]):
    """The same as a form."""

    media_type = http.FORM


def query(**parts: type[str] | type[int]) -> Callable[[Handler], Handler]:
    """Say which parts of the query a handler reads: texts, or whole numbers from 0. None has to be sent."""

    def said(handler: Handler) -> Handler:
        setattr(handler, _QUERY, parts)
        return handler

    return said


def query_of(handler: Callable[..., object]) -> Mapping[str, type[str] | type[int]]:
    """Return which parts of the query a handler reads."""
    parts: Mapping[str, type[str | int]] = getattr(handler, _QUERY, {})
    return parts
