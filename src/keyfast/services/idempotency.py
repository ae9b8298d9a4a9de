"""Answers to writes that carry an idempotency key: kept for a day, sealed, and given again."""

import hmac
from collections.abc import Callable
from dataclasses import dataclass, field, replace

import msgspec

from keyfast.core import idempotency
from keyfast.core.idempotency import KEPT_SECONDS, KeyEvent, KeyState, Retry, retry_of, step
from keyfast.errors import AnswerNotKeptError, KeyReusedError, LookFirstError, TrustError
from keyfast.services.follow import follow
from keyfast.store import kept_answers
from keyfast.store.database import Database
from keyfast.store.kept_answers import KeptRow
from keyfast.trust.kek import Kek

FORGET_SECONDS = 600.0
PORTION = 200
"""Keys that one transaction forgets."""
_LOOK = "look whether it was done; if it was not, send it under a new key"


@dataclass(frozen=True, slots=True)
class Given:
    """An answer that was given; it may hold secrets."""

    status: int
    headers: tuple[tuple[bytes, bytes], ...]
    body: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class Keyed:
    """A request under a key.

    Attributes:
        holder: whose keys it is among.
        fingerprint: what tells it from others.
    """

    holder: str
    key: str
    fingerprint: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class Claim:
    """A key that this request may act under."""

    row: KeptRow
    fingerprint: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class _Content:
    """What is sealed: the request, and its answer once there is one."""

    fingerprint: bytes
    given: Given | None = None


class KeptAnswers:
    """Claims keys before the act, and keeps the answers.

    Args:
        database: the store.
        kek: returns the KEK in force. What was sealed under one that was replaced since cannot be told any more.
        clock: unix seconds.
    """

    def __init__(self, database: Database, kek: Callable[[], Kek], clock: Callable[[], float]) -> None:
        self._database = database
        self._kek = kek
        self._clock = clock

    async def begin(self, request: Keyed) -> Claim | Given:
        """Claim a key, durably; or return the answer that was given under it.

        Raises:
            KeyReusedError: it was another request's.
            LookFirstError: the first request is still being done, or the server failed in it.
            AnswerNotKeptError: the first request was done, and its answer was not kept.
            NotReadyError: the store is down; nothing is claimed.
        """
        now = int(self._clock())
        row = KeptRow(idempotency.place(request.holder, request.key), now, step(KeyState.FREE, KeyEvent.CLAIMED), "")
        row = replace(row, sealed=self._seal(row, _Content(request.fingerprint)))
        async with self._database.write() as conn:
            found = await kept_answers.claim(conn, row, expired_at=now - KEPT_SECONDS)
        return Claim(row, request.fingerprint) if found is None else self._repeated(found, request)

    async def end(self, claim: Claim, event: KeyEvent, given: Given | None) -> None:
        """Put on record what became of a request.

        Args:
            claim: its own.
            event: what its answer means for the key.
            given: the answer, if it is to be kept.

        Raises:
            NotReadyError: the store is down; the key stays begun.
        """
        state = step(claim.row.state, event)
        sealed = self._seal(claim.row, _Content(claim.fingerprint, given))
        async with self._database.write() as conn:
            if state is KeyState.FREE:
                await kept_answers.release(conn, claim.row)
            else:
                await kept_answers.settle(conn, replace(claim.row, state=state, sealed=sealed))

    async def follow(self, failed: Callable[[Exception], None]) -> None:
        """Forget what is too old, every ten minutes."""
        await follow(self.tick, FORGET_SECONDS, failed)

    async def tick(self) -> None:
        """Forget what is too old, some at a time.

        Raises:
            NotReadyError: the store is down.
        """
        while await self._forget() == PORTION:
            pass

    async def _forget(self) -> int:
        expired_at = int(self._clock()) - KEPT_SECONDS
        async with self._database.write() as conn:
            return await kept_answers.forget(conn, expired_at=expired_at, most=PORTION)

    def _repeated(self, found: KeptRow, request: Keyed) -> Given:
        content = self._opened(found)
        same = None if content is None else hmac.compare_digest(content.fingerprint, request.fingerprint)
        retry = retry_of(found.state, same=same)
        if retry is Retry.OTHER:
            raise KeyReusedError(
                "this idempotency key was used for another request", repair="a new key for each new request"
            )
        if retry is Retry.LOOK:
            raise LookFirstError(
                f"the first request under this key, {int(self._clock()) - found.claimed_at} s ago, has no answer: "
                "it is still being done, or the server failed in it",
                repair=_LOOK,
            )
        if retry is Retry.DONE or content is None or content.given is None:
            raise AnswerNotKeptError(
                "the first request under this key was done, and its answer was not kept",
                repair="look what it came to",
            )
        return content.given

    def _seal(self, row: KeptRow, content: _Content) -> str:
        return self._kek().seal(msgspec.msgpack.encode(content), bound_to=_place(row))

    def _opened(self, row: KeptRow) -> _Content | None:
        try:
            return msgspec.msgpack.decode(self._kek().open(row.sealed, bound_to=_place(row)).reveal(), type=_Content)
        except TrustError:
            return None


def _place(row: KeptRow) -> str:
    return f"kept answer/{row.hash.hex()}/{row.claimed_at}"
