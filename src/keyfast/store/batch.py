"""Judge a batch of check-ins, pure: standings and check-ins in, verdicts and what to write out.

Both databases write what is decided here, so that they cannot differ in what they accept.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import msgspec
from msgspec.structs import replace

from keyfast.core.attendance import DAY, HOUR, marked
from keyfast.core.check_in import Accepted, Fork, Report, Standing, judge
from keyfast.core.command import WAITING, CommandEvent, from_states
from keyfast.core.endpoint import EndpointEvent, EndpointState
from keyfast.core.refusal import Refusal
from keyfast.core.user import plain_user
from keyfast.store.types import storable
from keyfast.wire.messages import CommandResult

KEEP_CHANGES = 100
"""Inventory changes kept per endpoint: one that reports a new inventory every time cannot fill the disk."""


class CheckIn(msgspec.Struct, frozen=True):
    """A verified check-in, as it goes on record. Times are unix seconds in server time.

    Attributes:
        report: what the verdict depends on.
        boot_id, instance: UUIDs in canonical form, or empty.
        inventory: canonical bytes of the full inventory, where it was enclosed.
        hostname, disks, user: from the inventory, empty if none was enclosed.
        results: what became of commands.
    """

    endpoint_id: str
    report: Report
    seen_at: int
    next_due: int
    verified_at: int
    boot_id: str
    instance: str
    address: str
    agent_version: str
    profile_seq: int
    credential_generation: int
    policy_version: int
    clock_offset: int
    failures: int
    last_refusal: str
    inventory: bytes | None
    hostname: str
    disks: str = ""
    user: str = ""
    results: tuple[CommandResult, ...] = ()


Verdict = Accepted | Refusal


class BatchStore(Protocol):
    """Where batches go: one database, one connection, one batch at a time."""

    async def commit(self, batch: Sequence[CheckIn]) -> list[Verdict]:
        """Judge and record a batch in one transaction; return the verdicts, in order, once it is durable.

        Raises:
            NotReadyError: the database cannot serve now; nothing of the batch is acknowledged.
        """
        ...

    async def close(self) -> None:
        """Let go of the database."""
        ...


@dataclass(frozen=True, slots=True)
class ForkFound:
    """A fork, and the check-in of the same batch that it displaced; None: the one on record.

    Two living copies fork at every check-in: the record counts that, and only the first is ``news``.
    """

    kind: Fork
    arrived: CheckIn
    displaced: CheckIn | None
    news: bool


@dataclass(slots=True)
class Decided:
    """What a batch comes to.

    Attributes:
        verdicts: one per check-in, in order.
        standings: per endpoint, the last accepted check-in and the standing after it.
        inventories: accepted check-ins whose inventory is new, in order.
        forks: in order.
        states: endpoints whose lifecycle state changed.
        moves: accepted check-ins by which an endpoint was retired or returned, with the state after, in order.
        reporting: accepted check-ins with command results, in order.
    """

    verdicts: list[Verdict] = field(default_factory=list)
    standings: dict[str, tuple[Standing, CheckIn]] = field(default_factory=dict)
    inventories: list[CheckIn] = field(default_factory=list)
    forks: list[ForkFound] = field(default_factory=list)
    states: dict[str, EndpointState] = field(default_factory=dict)
    moves: list[tuple[CheckIn, EndpointState]] = field(default_factory=list)
    reporting: list[CheckIn] = field(default_factory=list)

    @property
    def farewells(self) -> list[CheckIn]:
        """The check-ins by which an endpoint said that its agent is removed: no rotation waits for it any more."""
        return [check_in for check_in, state in self.moves if state is EndpointState.RETIRED]

    @property
    def with_changed_commands(self) -> set[str]:
        """Ids of endpoints for which other commands may wait now than before."""
        return {check_in.endpoint_id for check_in in (*self.reporting, *self.farewells)}


def decide(found: Mapping[str, Standing], batch: Sequence[CheckIn]) -> Decided:
    """Judge ``batch`` in order; an endpoint that is in it twice is judged on its updated standing."""
    decided = Decided()
    for check_in in batch:
        endpoint_id = check_in.endpoint_id
        before = decided.standings.get(endpoint_id)
        standing = found.get(endpoint_id) if before is None else before[0]
        verdict = judge(standing, check_in.report)
        if isinstance(verdict, Accepted):
            verdict = replace(verdict, standing=_heard(verdict.standing, check_in.seen_at))
            _note(decided, check_in, verdict, standing, None if before is None else before[1])
            decided.standings[endpoint_id] = verdict.standing, check_in
        decided.verdicts.append(verdict)
    return decided


def _heard(standing: Standing, at: int) -> Standing:
    last = standing.seen_at
    return replace(
        standing,
        seen_at=at,
        heard_hours=marked(standing.heard_hours, last, at, HOUR),
        heard_days=marked(standing.heard_days, last, at, DAY),
    )


def _note(
    decided: Decided, check_in: CheckIn, verdict: Accepted, standing: Standing | None, before: CheckIn | None
) -> None:
    if verdict.inventory_changed:
        decided.inventories.append(check_in)
    if check_in.results:
        decided.reporting.append(check_in)
    changed = standing is None or verdict.standing.state is not standing.state
    if changed:
        decided.states[check_in.endpoint_id] = verdict.standing.state
        if verdict.fork is not Fork.CLONE:
            decided.moves.append((check_in, verdict.standing.state))
    if verdict.fork is not None:
        news = changed or verdict.fork is Fork.ROLLED_BACK
        decided.forks.append(ForkFound(verdict.fork, check_in, before, news))


def with_commands(verdicts: Sequence[Verdict], batch: Sequence[CheckIn], waiting: Mapping[str, int]) -> list[Verdict]:
    """Bring the number of waiting commands in the verdicts up to date, after results were recorded."""
    return [
        replace(verdict, standing=replace(verdict.standing, commands=waiting[check_in.endpoint_id]))
        if isinstance(verdict, Accepted) and check_in.endpoint_id in waiting
        else verdict
        for verdict, check_in in zip(verdicts, batch, strict=True)
    ]


RESULTS = {
    event.value: ", ".join(f"'{state}'" for state in sorted(from_states(event)))
    for event in (
        CommandEvent.RECEIVED,
        CommandEvent.APPLIED,
        CommandEvent.VERIFIED,
        CommandEvent.REVERTED,
        CommandEvent.FAILED,
    )
}
"""For each result an endpoint may tell of a command, the states in which it is taken, as SQL."""

WAIVABLE_STATES = ", ".join(f"'{state}'" for state in sorted(from_states(CommandEvent.WAIVED)))
"""States in which a rotation may stop waiting for an endpoint, as SQL."""
REMOVED = "the agent was removed from the machine"
"""Why it does, when nobody has said so."""

WAITING_STATES = ", ".join(f"'{state}'" for state in sorted(WAITING))
"""States of commands that are still sent, as SQL."""

TOLD = ("name", "disks", "user_name", "user_key")
"""What an inventory says that endpoints are found by: columns of ``endpoint``."""


def told_values(check_in: CheckIn) -> tuple[str, str, str, str]:
    """Return the values of TOLD."""
    user = storable(check_in.user)
    return storable(check_in.hostname), check_in.disks, user, plain_user(user)


PRESENCE_COLUMNS = (
    "seq",
    "head",
    "displaced",
    "inventory_digest",
    "seen_at",
    "next_due",
    "verified_at",
    "address",
    "agent_version",
    "profile_seq",
    "credential_generation",
    "policy_version",
    "clock_offset",
    "failures",
    "last_refusal",
    "heard_hours",
    "heard_days",
)
"""What a check-in writes, besides boot and instance (UUIDs, which each driver takes in its own form)."""


def presence_values(standing: Standing, check_in: CheckIn) -> tuple[Any, ...]:
    """Return the values of PRESENCE_COLUMNS."""
    return (
        standing.seq,
        standing.head,
        standing.displaced,
        standing.inventory_digest,
        check_in.seen_at,
        check_in.next_due,
        check_in.verified_at,
        storable(check_in.address),
        storable(check_in.agent_version),
        check_in.profile_seq,
        check_in.credential_generation,
        check_in.policy_version,
        check_in.clock_offset,
        check_in.failures,
        storable(check_in.last_refusal),
        standing.heard_hours,
        standing.heard_days,
    )


def side(boot_id: str, instance: str, address: str, hostname: str, seen_at: int) -> dict[str, Any]:
    """Describe one side of a fork."""
    return {
        "boot_id": boot_id,
        "instance": instance,
        "address": address,
        "hostname": hostname,
        "seen_at": seen_at,
    }


def side_of(check_in: CheckIn) -> dict[str, Any]:
    """Describe the side of a fork that this check-in speaks for."""
    return side(check_in.boot_id, check_in.instance, check_in.address, check_in.hostname, check_in.seen_at)


def fork_event(found: ForkFound) -> tuple[int, str, str, str]:
    """Return time, kind, endpoint id and detail (JSON text) of the event that tells of a fork."""
    arrived = found.arrived
    detail = {"seq": arrived.report.seq, "address": arrived.address}
    return arrived.seen_at, f"endpoint_{found.kind.value}", arrived.endpoint_id, json_text(detail)


def move_event(check_in: CheckIn, state: EndpointState) -> tuple[int, str, str, str]:
    """Return time, kind, endpoint id and detail (JSON text) of the event that tells who went, or came back."""
    move = EndpointEvent.RETIRED if state is EndpointState.RETIRED else EndpointEvent.RETURNED
    detail = json_text({"address": check_in.address})
    return check_in.seen_at, f"endpoint_{move.value}", check_in.endpoint_id, detail


def news(decided: Decided) -> list[ForkFound]:
    """The forks that an administrator should hear of."""
    return [found for found in decided.forks if found.news]


def json_text(value: dict[str, Any]) -> str:
    """Encode as the JSON columns do."""
    return msgspec.json.encode(value, order="deterministic").decode()
