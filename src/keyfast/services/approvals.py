"""A second person for dangerous acts, where the settings demand one."""

import hmac
from collections.abc import Callable, Collection
from dataclasses import dataclass

from msgspec.structs import replace
from sqlalchemy.ext.asyncio import AsyncConnection

from keyfast.core import approval, ids
from keyfast.core.approval import Approval, ApprovalEvent, decision_fault, is_over, use_fault
from keyfast.core.caller import Caller, WayIn
from keyfast.core.role import Permission
from keyfast.core.visible import visible
from keyfast.errors import ApprovalNeededError, ConflictError, NotFoundError, TrustError
from keyfast.store import approvals, events
from keyfast.store.database import Database
from keyfast.trust.kek import Kek
from keyfast.wire.people import ApprovalLine


@dataclass(frozen=True, slots=True)
class Wanted:
    """A request that somebody makes.

    Attributes:
        what: method and path, for the second person to read.
        digest: SHA-256 of all of it that counts.
        reason: why, in the asker's words.
        approval: id of the approval that it claims; empty the first time.
    """

    permission: Permission
    what: str
    digest: bytes
    reason: str
    approval: str = ""


class ApprovalService:
    """Asks for, gives and uses approvals.

    Args:
        database: the store.
        kek: opens the key that seals.
        needing: permissions that need a second person.
        clock: unix seconds.
        entropy: random bytes.

    Attributes:
        needing: permissions that need a second person.
    """

    def __init__(
        self,
        database: Database,
        kek: Callable[[], Kek],
        needing: Collection[Permission],
        clock: Callable[[], float],
        entropy: Callable[[int], bytes],
    ) -> None:
        self._database = database
        self._kek = kek
        self.needing = frozenset(needing)
        self._clock = clock
        self._entropy = entropy

    def needs(self, caller: Caller, permission: Permission) -> bool:
        """Tell whether a second person has to agree; never on the socket, whose owner owns the settings too."""
        return permission in self.needing and caller.via is not WayIn.SOCKET

    async def demand(self, caller: Caller, wanted: Wanted) -> None:
        """Use an approval up, before the act; without one, ask for it.

        Raises:
            ApprovalNeededError: nobody has agreed yet.
            ConflictError: it is denied, used, too old, or another request's.
            NotFoundError: there is none of this id.
        """
        if not wanted.approval:
            await self._ask(caller, wanted)
        now = int(self._clock())
        async with self._database.write() as conn:
            found, sealed = await _demand(conn, wanted.approval)
            same = hmac.compare_digest(self._opened(found, sealed), wanted.digest)
            if why := use_fault(found, caller, wanted.permission, same=same, now=now):
                if found.state is approval.ApprovalState.ASKED and not is_over(found, now):
                    raise self._needed(found)
                raise ConflictError(f"approval {found.id}: {why}")
            used = replace(found, state=approval.step(found.state, ApprovalEvent.USED))
            await approvals.put(conn, used)
            await events.add(conn, at=now, kind="approval_used", endpoint_id=None, detail=_detail(used))

    async def decide(self, approval_id: str, caller: Caller, *, agrees: bool) -> ApprovalLine:
        """Agree, or not; what was agreed to can be denied as long as it is not used.

        Raises:
            NotFoundError: there is none of this id.
            ConflictError: this person may not decide about it, or not any more.
        """
        now = int(self._clock())
        async with self._database.write() as conn:
            found, _ = await _demand(conn, approval_id)
            if why := decision_fault(found, caller, now):
                raise ConflictError(f"approval {found.id}: {why}")
            state = approval.step(found.state, ApprovalEvent.GIVEN if agrees else ApprovalEvent.DENIED)
            decided = replace(found, state=state, decided_at=now, decided_by=caller.name)
            await approvals.put(conn, decided)
            detail = _detail(decided)
            if agrees:
                await events.add(conn, at=now, kind="approval_given", endpoint_id=None, detail=detail)
            else:
                await events.add(conn, at=now, kind="approval_denied", endpoint_id=None, detail=detail)
        return self._line(decided, now)

    async def list_(self, after: str, limit: int) -> list[ApprovalLine]:
        """One page, newest first."""
        now = int(self._clock())
        async with self._database.read() as conn:
            return [self._line(found, now) for found in await approvals.list_page(conn, after=after, limit=limit)]

    async def _ask(self, caller: Caller, wanted: Wanted) -> None:
        now = int(self._clock())
        asked = Approval(
            ids.endpoint_id(self._entropy(16)), now, caller.name, wanted.permission, wanted.what, wanted.reason
        )
        sealed = self._kek().seal(wanted.digest, bound_to=f"approval/{asked.id}")
        async with self._database.write() as conn:
            await approvals.add(conn, asked, sealed)
            await events.add(conn, at=now, kind="approval_asked", endpoint_id=None, detail=_detail(asked))
        raise self._needed(asked)

    def _needed(self, asked: Approval) -> ApprovalNeededError:
        return ApprovalNeededError(
            f"a second person has to agree to this: approval {asked.id}",
            approval=asked.id,
            repair=f"another person: keyfast approval approve {asked.id}; then you again, with --approval {asked.id}",
        )

    def _opened(self, found: Approval, sealed: str) -> bytes:
        try:
            return self._kek().open(sealed, bound_to=f"approval/{found.id}").reveal()
        except TrustError:
            return b""  # keys were sealed anew since: it fits no request any more, so they ask anew

    @staticmethod
    def _line(found: Approval, now: int) -> ApprovalLine:
        open_ = found.state in (approval.ApprovalState.ASKED, approval.ApprovalState.GIVEN)
        return ApprovalLine(
            found.id,
            found.asked_at,
            found.asked_by,
            found.permission.value,
            found.what,
            found.reason,
            "over" if open_ and is_over(found, now) else found.state.value,
            found.decided_at,
            found.decided_by,
        )


async def _demand(conn: AsyncConnection, approval_id: str) -> tuple[Approval, str]:
    found = await approvals.get(conn, approval_id)
    if found is None:
        raise NotFoundError(f"no approval {visible(approval_id, 40)}", repair="keyfast approval list")
    return found


def _detail(found: Approval) -> dict[str, str]:
    return {
        "approval": found.id,
        "permission": found.permission.value,
        "what": found.what,
        "reason": found.reason,
        "asked_by": found.asked_by,
        "decided_by": found.decided_by,
    }
