"""What an answer changes: pure, from verified messages to the next record."""

from collections.abc import Sequence
from dataclasses import dataclass

from msgspec.structs import replace

from keyfast.agent import recovery, transaction
from keyfast.agent.client_database import Admission, Record
from keyfast.agent.decide import Circumstances
from keyfast.agent.results import refused, reported
from keyfast.agent.timing import Anchor, Due, Moment
from keyfast.agent.transaction import Offered
from keyfast.core import change, schedule
from keyfast.wire import limits, messages
from keyfast.wire.changes import CHANGE_WEB_ACCESS_SERVER, ERASE
from keyfast.wire.messages import AccessProfile, CheckInAnswer, Command, CommandResult

PENDING_CAP = 600.0
"""Longest wait, in seconds, between two questions whether an administrator has approved."""
CHECK_IN_NOW = "CheckInNow"


class Token(messages.Message, frozen=True, forbid_unknown_fields=False):
    """Answer of the token endpoint (RFC 6749 section 5.1)."""

    access_token: str
    token_type: str
    expires_in: int

    def __repr__(self) -> str:
        """Never the token."""
        return f"Token(expires_in={self.expires_in})"


@dataclass(frozen=True, slots=True)
class SignedProfile:
    """A verified access profile and its statement."""

    statement: str
    profile: AccessProfile


@dataclass(frozen=True, slots=True)
class Sent:
    """What the accepted check-in carried.

    Attributes:
        digest: SHA-256 of its body (base64url).
        inventory_digest: the one it named.
        results: command results it delivered.
        slot: name of the slot whose URL carried it.
        package: which refused package the server has heard of with it.
    """

    digest: str
    inventory_digest: str
    results: tuple[CommandResult, ...]
    slot: str
    package: str = ""


def registered(record: Record, answer: messages.Registered, here: Circumstances) -> Record:
    """Return the record after a registration whose receipt and profile were verified."""
    pending = answer.keyfast_state == Admission.PENDING
    polls = record.polls + 1 if pending else 0
    other = answer.client_id != record.endpoint_id
    return replace(
        record,
        admission=Admission.PENDING if pending else Admission.REGISTERED,
        endpoint_id=answer.client_id,
        receipt=answer.keyfast_receipt,
        delegations=tuple(dict.fromkeys((*record.delegations, *answer.keyfast_delegations))),
        polls=polls,
        enrol_again=False,
        # Another identity has its own commands, and a server that did not know us knows no inventory.
        command_seq=0 if other else record.command_seq,
        known_inventory="" if other else record.known_inventory,
        token_expires_at=0 if other else record.token_expires_at,
        trouble="an administrator has to approve this endpoint" if pending else "",
        due=Due(here.now, schedule.backoff(polls, here.chance, cap=PENDING_CAP)) if pending else None,
    )


def token_granted(record: Record, token: Token, server_time: int) -> Record:
    """Return the record that holds a new access token."""
    return replace(record, token=token.access_token, token_expires_at=server_time + token.expires_in, due=None)


def accepted(record: Record, answer: CheckInAnswer, sent: Sent, here: Circumstances) -> Record:
    """Return the record after a check-in that the server has durably committed."""
    epoch = change.heard_epoch(record.epoch, answer.epoch)
    return replace(
        record,
        acked=sent.digest,
        known_inventory="" if answer.send_inventory else sent.inventory_digest,
        policy=answer.policy or record.policy,
        interval_s=0 if answer.policy else record.interval_s,
        # Whoever may check in is registered; the answer to a join has just said what this endpoint is.
        admission=record.admission if answer.registered else Admission.REGISTERED,
        enrol_again=False,
        hold=None,
        recovery=None,
        # Numbers of commands start again when a server comes back from a backup.
        command_seq=0 if epoch > record.epoch else record.command_seq,
        epoch=epoch,
        results=tuple(result for result in record.results if result not in sent.results),
        failures=0,
        trouble=record.trouble if _waits(record, answer) else "",
        last_success_at=answer.server_time,
        last_check_in_wall=int(here.now.wall),
        anchor=Anchor(answer.server_time, here.now),
        due=record.due
        if _waits(record, answer)
        else _next(record if not answer.policy else replace(record, interval_s=0), answer, here),
    )


def _waits(record: Record, answer: CheckInAnswer) -> bool:
    """Tell whether the answer to a join was that somebody has to approve."""
    return answer.registered is not None and record.admission is Admission.PENDING


def adopted(record: Record, new: SignedProfile, in_use: AccessProfile) -> Record:
    """Return the record that uses a newer access profile which leads to the very same servers.

    Anything else would move the endpoint, and only a change of the web access server does that: one that is
    tried before it counts, and that can be taken back.
    """
    told = (new.profile.epoch, new.profile.seq)
    if told <= (record.profile_epoch, record.profile_seq) or _leads(new.profile) != _leads(in_use):
        return record
    slots = replace(record.slots, current=new.statement)
    return replace(record, slots=slots, profile_seq=new.profile.seq, profile_epoch=new.profile.epoch)


def _leads(profile: AccessProfile) -> tuple[str, tuple[str, ...], str]:
    return profile.mode, profile.urls, profile.ca


def obeyed(record: Record, commands: Sequence[Command | Offered], now: Moment) -> Record:
    """Return the record after verified commands, oldest first; a repeated one is a no-op."""
    for command in sorted(commands, key=lambda one: one.change.seq if isinstance(one, Offered) else one.seq):
        if isinstance(command, Offered):
            record = transaction.offered(record, command, now)
        elif command.endpoint == record.endpoint_id:
            record = _obey(record, command, now)
        else:
            record = refused(record, command.id, "it is for another endpoint")
    return record


def _obey(record: Record, command: Command, now: Moment) -> Record:
    if command.seq <= record.command_seq:
        return refused(record, command.id, f"its number {command.seq} is not above {record.command_seq}")
    record = replace(record, command_seq=command.seq)
    if record.anchor is not None and command.expires_at <= record.anchor.server_now(now):
        return reported(record, command.id, "failed", "it had expired when it arrived")
    if command.action in (CHANGE_WEB_ACCESS_SERVER, ERASE):
        return reported(record, command.id, "failed", "it is signed by a key that may not move an endpoint")
    if command.action != CHECK_IN_NOW:
        detail = f"this agent does not know the action {command.action[:64]}"
        return reported(record, command.id, "failed", detail)
    interval = min(max(command.interval_s, 0), limits.MAX_INTERVAL)
    # Soon, because the next check-in also tells the server that the command was applied.
    return reported(replace(record, interval_s=interval, due=Due(now, 1.0)), command.id, "applied")


@dataclass(frozen=True, slots=True)
class Brought:
    """What a recovery brought, verified.

    Attributes:
        server_time: signed for this endpoint's challenge.
        next_try_s: when asking again makes sense.
        state: of the endpoint's record on the server.
        epoch: of the installation, 0 where nobody vouches for it.
        receipt: a newer receipt and the endpoint id in it, empty if none came.
        change: what the endpoint is to have, None if the server has nothing newer.
    """

    server_time: int
    next_try_s: int
    state: str
    epoch: int = 0
    receipt: tuple[str, str] = ("", "")
    change: Offered | None = None


def recovered(record: Record, brought: Brought, here: Circumstances) -> Record:
    """Return the record after a recovery was answered."""
    epoch = change.heard_epoch(record.epoch, brought.epoch)
    record = replace(
        record,
        anchor=Anchor(brought.server_time, here.now),
        command_seq=0 if epoch > record.epoch else record.command_seq,
        epoch=epoch,
    )
    record = _taken_back(record, brought) if brought.receipt[0] else record
    if brought.change is not None:
        record = transaction.offered(record, brought.change, here.now, recovering=True)
    return recovery.told_to_wait(record, brought.next_try_s, here.now, here.chance)


def _taken_back(record: Record, brought: Brought) -> Record:
    """Return the record of an endpoint that the server has on record again."""
    receipt, endpoint = brought.receipt
    return replace(
        record,
        receipt=receipt,
        endpoint_id=endpoint,
        admission=Admission.PENDING if brought.state == Admission.PENDING else Admission.REGISTERED,
        enrol_again=False,
        # A server that had forgotten the endpoint counts its commands anew.
        command_seq=0,
        known_inventory="",
        token_expires_at=0,
        due=None,
    )


def _next(record: Record, answer: CheckInAnswer, here: Circumstances) -> Due:
    wait = min(max(answer.next_check_in_s, 1), 2 * limits.MAX_INTERVAL)
    if record.interval_s:
        wait = min(wait, schedule.next_check_in(record.interval_s, here.chance))
    return Due(here.now, float(wait))
