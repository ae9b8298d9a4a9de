"""Lets few endpoints at a time show the password of an account to the directory.

From the change of a password to the first refusal every try is wrong, and counts toward the lockout of the account
that they all share. So no more are under way than the account can bear; when one of them is refused those who wait
are told to come later, and try nothing.
"""

import asyncio
from collections import deque
from dataclasses import dataclass, field

from keyfast.core.logon import tries_at_once
from keyfast.core.refusal import Refusal, RefusalClass
from keyfast.services.known_account import KnownAccount

SOON = 30
"""Seconds after which whoever waited in vain may come again; until then the account was read."""


@dataclass(slots=True)
class _Line:
    under_way: int = 0
    waiting: deque[asyncio.Future[bool]] = field(default_factory=deque)


class LogonTurns:
    """One per check-in process."""

    def __init__(self) -> None:
        self._lines: dict[str, _Line] = {}

    async def enter(self, account: KnownAccount) -> Refusal | None:
        """Wait for a turn to try the account, or say when to come back; who was let in must ``leave``."""
        most = tries_at_once(account.readings)
        line = self._lines.setdefault(account.key, _Line())
        if most is None or line.under_way < most:
            line.under_way += 1
            return None
        turn = asyncio.get_running_loop().create_future()
        line.waiting.append(turn)
        try:
            has_come = await turn
        except asyncio.CancelledError:
            if not turn.cancelled() and turn.result():
                self._next(account.key)
            raise
        if has_come:
            return None
        detail = "the directory has just refused another endpoint's password, and the account is being read"
        return Refusal(RefusalClass.NOT_READY, detail, retry_after=SOON)

    def leave(self, account: KnownAccount, *, refused: bool) -> None:
        """Say what the directory answered."""
        line = self._lines[account.key]
        while refused and line.waiting:
            _tell(line.waiting.popleft(), has_come=False)
        self._next(account.key)

    def _next(self, key: str) -> None:
        """Hand a turn over to whoever waits longest, if anybody does."""
        line = self._lines[key]
        while line.waiting:
            if _tell(line.waiting.popleft(), has_come=True):
                return
        line.under_way -= 1
        if not line.under_way:
            del self._lines[key]


def _tell(turn: asyncio.Future[bool], *, has_come: bool) -> bool:
    """Tell somebody who may have hung up; return whether they are there still."""
    if turn.done():
        return False
    turn.set_result(has_come)
    return True
