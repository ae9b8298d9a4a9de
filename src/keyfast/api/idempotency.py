"""A write under an idempotency key is done once: the key is claimed before the act, and the answer kept after it."""

import logging
from typing import Protocol

from starlette.requests import Request
from starlette.responses import Response

from keyfast.api import http
from keyfast.api.gate import known_caller
from keyfast.core.idempotency import KeyEvent, event_of, fingerprint, holder, key_of
from keyfast.core.refusal import Refusal
from keyfast.errors import ApprovalNeededError, KeyfastError, UsageError
from keyfast.services.idempotency import Claim, Given, Keyed
from keyfast.store.acts import watched
from keyfast.wire.idempotency import KEY_HEADER, REPLAYED_HEADER

_log = logging.getLogger(__name__)


class Answers(Protocol):
    """Keeps answers."""

    async def begin(self, request: Keyed) -> Claim | Given:
        """Claim a key, or return the answer that was given under it."""
        ...

    async def end(self, claim: Claim, event: KeyEvent, given: Given | None) -> None:
        """Put on record what became of a request."""
        ...


def once(handler: http.Handler, answers: Answers, limit: int) -> http.Handler:
    """Let a handler act once for all requests under the same key; without a key it acts each time.

    Args:
        handler: what acts.
        answers: keeps what it answers.
        limit: bytes of the largest body that any request may have.
    """

    async def inner(request: Request) -> Response:
        key = _key(request)
        if key is None:
            return await handler(request)
        body = await http.whole_body(request, limit)
        if isinstance(body, Refusal):
            raise UsageError(body.rule.title)
        target = f"{request.url.path}?{request.url.query}"
        seen = fingerprint(request.method, target, body)
        begun = await answers.begin(Keyed(holder(known_caller(request)), key, seen))
        if isinstance(begun, Given):
            return _again(begun)
        return await _acted(handler, http.with_body(request, body), answers, begun)

    return inner


async def _acted(handler: http.Handler, request: Request, answers: Answers, claim: Claim) -> Response:
    """Act, and keep the answer. What ends in neither answer nor fault leaves the key as it is: nobody knows."""
    with watched() as change:
        try:
            response = await handler(request)
        except KeyfastError as fault:
            # That somebody else is asked to agree is no act: the same request comes again.
            changed = change.made and not isinstance(fault, ApprovalNeededError)
            await _keep(answers, claim, http.faulted(fault), changed=changed)
            raise
    await _keep(answers, claim, response, changed=change.made)
    return response


async def _keep(answers: Answers, claim: Claim, response: Response, *, changed: bool) -> None:
    """Keep an answer. Where that fails it is given all the same: the act was done, and a retry is told to look."""
    body: bytes | None = getattr(response, "body", None)  # what is streamed has none
    event = event_of(response.status_code, None if body is None else len(body), changed=changed)
    if event is None:
        return
    given = None
    if event is KeyEvent.ANSWERED and body is not None:
        given = Given(response.status_code, tuple(response.raw_headers), body)
    try:
        await answers.end(claim, event, given)
    except KeyfastError as fault:
        _log.warning("what became of a write is not on record under its key: %s", fault.message)


def _again(given: Given) -> Response:
    response = Response(given.body, given.status)
    response.raw_headers = [*given.headers, (REPLAYED_HEADER.encode(), b"true")]
    return response


def _key(request: Request) -> str | None:
    """Return the key of a request, None if it has none.

    Raises:
        UsageError: what it has is none.
    """
    sent = request.headers.getlist(KEY_HEADER)
    if not sent:
        return None
    key = key_of(sent[0]) if len(sent) == 1 else None
    if key is None:
        raise UsageError("an idempotency key is one string of 16 to 128 letters, digits and . _ ~ : + / = -")
    return key
