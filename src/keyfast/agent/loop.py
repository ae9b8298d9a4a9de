"""The loop: ask what to do, do it, store what came of it. All judgement is in ``decide`` and ``absorb``.

Two orders make it safe to kill anywhere: keys and sequence numbers are stored before they are used, and
an answer is stored before anything that relies on it is sent.
"""

import asyncio
import logging
from collections.abc import Callable
from typing import TypeVar

import msgspec
from msgspec.structs import replace

from keyfast.agent import absorb, decide, errands, evidence, hold, renewal, requests, transaction
from keyfast.agent.client_database import Admission, ClientDatabase, KeyPair, LogonHold, Record
from keyfast.agent.clock import Clock
from keyfast.agent.decide import (
    Action,
    CheckIn,
    Circumstances,
    Commit,
    Enrol,
    FetchToken,
    MakeKeys,
    Probe,
    Recover,
    Restart,
    Wait,
)
from keyfast.agent.link import Link
from keyfast.agent.machine import Machine, Snapshot
from keyfast.agent.new_keys import with_published
from keyfast.agent.outcome import Answered, Outcome, Refused, Unreached
from keyfast.agent.requests import Request, Signing
from keyfast.agent.results import mistrusted
from keyfast.agent.routes import Route, routes, same_servers
from keyfast.agent.timing import server_now
from keyfast.core import schedule
from keyfast.errors import ClientDatabaseError, KeyfastError, TrustError
from keyfast.trust.device import DeviceKey
from keyfast.trust.encoding import b64u, sha256
from keyfast.wire.messages import CheckInAnswer, PackageRefused, Registered

T = TypeVar("T")
LONGEST_NAP = 60.0
"""Seconds after which the schedule is looked at again: the machine may have slept or its clock jumped."""

_log = logging.getLogger(__name__)


class Agent:
    """One endpoint, one server, one record.

    Args:
        database: holds the record; it must not be empty.
        link: sends requests.
        machine: what this endpoint is and which volumes it has.
        clock: its clocks.
        chance: uniform random numbers in [0, 1).
        new_id: fresh random ids (UUID text).
        package_refused: a package that lies there and was not taken.
        extra_url: one more URL of a server that an installer was given, empty if none.

    Attributes:
        record: as last stored.
        keeps_running: this process stays, and may ask to be started again.

    Raises:
        ClientDatabaseError: there is no record, or it cannot be read.
    """

    def __init__(
        self,
        database: ClientDatabase,
        link: Link,
        machine: Machine,
        clock: Clock,
        chance: Callable[[], float],
        new_id: Callable[[], str],
        package_refused: PackageRefused | None = None,
        extra_url: str = "",
    ) -> None:
        record = database.load()
        if record is None:
            raise ClientDatabaseError("this endpoint has no package", repair="keyfast-agent install --bundle FOLDER")
        now = clock.now()
        self.record = replace(
            record, hold=hold.carried(record.hold, now), probe_hold=hold.carried(record.probe_hold, now)
        )
        self._database = database
        self._link = link
        self._machine = machine
        self._clock = clock
        self._chance = chance
        self._new_id = new_id
        self._instance = new_id()
        self._package_refused = package_refused
        self._extra_url = extra_url
        self._leaving = False
        if self._untold() is not None and not record.failures:
            # Whoever has just installed it looks at the server now, not at the next check-in.
            self.record = replace(self.record, due=None)
        self.keeps_running = False
        self._quick = 0
        self._observed: Snapshot | None = None
        self._faults = 0
        self._means = errands.Means(link, clock, chance, new_id, self._store, extra_url)

    async def run(self, stop: asyncio.Event, hurry: asyncio.Event) -> bool:
        """Go on until ``stop``; ``hurry`` makes the next check-in due now.

        Returns:
            Whether it ended because it is to be started again.
        """
        self.keeps_running = True
        while not stop.is_set():
            if hurry.is_set():
                hurry.clear()
                self.make_due()
            action = await self._guarded_step()
            if isinstance(action, Restart):
                await self._link.rest()
                return True
            if isinstance(action, Wait):
                await self._link.rest()
                await _either(stop, hurry, min(action.seconds, LONGEST_NAP))
        return False

    async def _guarded_step(self) -> Action:
        """Step; whatever goes wrong inside the agent becomes a wait, never its end."""
        try:
            action = await self.step()
        except Exception as cause:  # noqa: BLE001 - an agent that ends itself is a stranded endpoint
            # What cannot be stored was not sent, and the record before it still holds.
            self._faults += 1
            if isinstance(cause, KeyfastError):
                _log.warning("%s%s", cause.message, cause.repair and f"; {cause.repair}")
            else:
                _log.exception("this try failed inside the agent")
            return Wait(schedule.backoff(self._faults, self._chance()), str(cause))
        self._faults = 0
        return action

    async def rest(self) -> None:
        """Close every connection."""
        await self._link.rest()

    def make_due(self) -> None:
        """Act at once, as a person asked: forget the schedule and the hold on the password, not the failures."""
        self.record = decide.by_hand(self.record, self._clock.now())

    async def farewell(self, steps: int = 12) -> bool:
        """Tell the server that this agent is being removed, in one visit; False if that was not accepted.

        Nothing of it is remembered but that a check-in is due: an agent that comes back just checks in.
        """
        if self.record.admission is not Admission.REGISTERED:
            return True  # it never came, and nobody waits for it
        self.make_due()
        self._leaving, before = True, self.record.acked
        for _ in range(steps):
            if isinstance(await self.step(), Wait) or self.record.acked != before:
                break
        await self.rest()
        if self.record.acked == before:
            return False
        self._store(replace(self.record, due=None))
        return True

    async def step(self) -> Action:
        """Take one action and store what came of it.

        Raises:
            ClientDatabaseError: it could not be stored; the record is the one before.
        """
        action = decide.decide(self.record, self._here())
        if isinstance(action, Wait | Restart):
            self._quick, self._observed = 0, None
        elif isinstance(action, MakeKeys):
            self._make_keys()
        elif isinstance(action, Commit):
            self._store(transaction.committed(self.record, self._instance))
        elif isinstance(action, Probe):
            self._store(await errands.probe(self.record, self._means))
        elif isinstance(action, Recover):
            hostname = (await self._observe()).inventory.hostname
            self._store(await errands.recover(self.record, hostname, self._machine.hardware(), self._means))
        else:
            observed = await self._observe()
            action = decide.decide(self.record, self._here(observed.digest))
            if isinstance(action, Enrol | FetchToken | CheckIn):
                await self._visit(action, observed)
        return action

    async def _observe(self) -> requests.Observed:
        """Look at the machine once per visit, however many requests the visit takes."""
        if self._observed is None:
            self._observed = await self._machine.observe()
        return requests.observed(self._observed, self._clock.now(), self._instance)

    def _here(self, digest: str = "") -> Circumstances:
        instance = self._instance if self.keeps_running else ""
        return Circumstances(self._clock.now(), self._chance(), self._quick, digest, instance)

    def _store(self, record: Record) -> None:
        self._database.store(record)
        self.record = record

    def _make_keys(self) -> None:
        record, (device, seal) = self.record, (DeviceKey.generate().to_pem().reveal().decode() for _ in range(2))
        if record.device_key and record.seal_key:
            self._store(renewal.made(record, KeyPair(device, seal)))
        else:
            self._store(replace(record, device_key=record.device_key or device, seal_key=record.seal_key or seal))

    async def _visit(self, action: Enrol | FetchToken | CheckIn, observed: requests.Observed) -> None:
        """Try every route until a server answers, then take over what it said."""
        silence, before = "the access profile names no usable URL", self.record.hold
        for route in routes(self.record, self._extra_url):
            request, sent = self._prepare(action, route, observed, before)
            outcome = await self._link.send(route, request, evidence.chain_of(self.record))
            _tell(action, route, outcome)
            try:
                if sent is not None and isinstance(outcome, Answered):
                    await self._learn_keys(route, _decoded(outcome, CheckInAnswer))
                if self._take(action, outcome, sent):
                    return
                silence = outcome.why if isinstance(outcome, Unreached) else silence
            except TrustError as cause:
                silence = f"{route.url}: {cause.message}"
                _log.warning("the answer of %s is not trusted: %s", route.url, cause.message)
        same = same_servers(self.record)
        self._store(decide.unreached(self.record, silence, self._here(), same_servers=same))

    async def _learn_keys(self, route: Route, answer: CheckInAnswer) -> None:
        """Fetch delegations if an answer was signed by a key that is new here; stored with what follows."""
        chain = evidence.chain_of(self.record)
        if evidence.all_hold(self.record, chain, answer):
            return
        outcome = await self._link.send(route, Request("GET", requests.JWKS, {}), chain)
        if isinstance(outcome, Answered):
            self.record = with_published(self.record, outcome.body)

    def _prepare(
        self,
        action: Enrol | FetchToken | CheckIn,
        route: Route,
        observed: requests.Observed,
        before: LogonHold | None,
    ) -> tuple[Request, absorb.Sent | None]:
        by = Signing(route.audience, self._clock.now(), self._new_id)
        if isinstance(action, Enrol):
            name = observed.inventory.hostname
            return requests.register_request(self.record, name, self._machine.hardware(), by), None
        if isinstance(action, FetchToken):
            return requests.token_request(self.record, by), None
        # Durable before it is used: whatever happens now, this number is never used again.
        self._store(decide.reserved(self.record, before, self._here()))
        message = requests.check_in_body(
            self.record,
            observed,
            by.now,
            send_inventory=action.send_inventory,
            send_results=action.send_results,
            join=requests.join_of(self.record, self._machine.hardware()) if action.join else None,
        )
        # A server that cannot read what is enclosed must still hear that the endpoint lives.
        told = self._untold() if action.send_results else None
        message = replace(message, package_refused=told, farewell=self._leaving)
        body = msgspec.json.encode(message)
        about = _named(told) or ("" if self._package_refused is None else self.record.package_told)
        sent = absorb.Sent(b64u(sha256(body)), observed.digest, message.results, route.slot, about)
        return requests.check_in_request(self.record, body, by), sent

    def _untold(self) -> PackageRefused | None:
        """The package that was refused, if the server has not heard of it."""
        return self._package_refused if _named(self._package_refused) != self.record.package_told else None

    def _take(self, action: Action, outcome: Outcome, sent: absorb.Sent | None) -> bool:
        """Store what an outcome changes; False if no server answered."""
        if isinstance(outcome, Unreached):
            return False
        if isinstance(outcome, Refused):
            after = decide.refused(self.record, action, outcome, self._here())
            self._quick += 1
            self._store(after)
            return True
        known = decide.hear(self.record, outcome.heard, self._clock.now())
        if sent is not None:
            self._store(self._checked_in(known, outcome, sent))
            self._quick = 0
        elif isinstance(action, Enrol):
            answer = _decoded(outcome, Registered)
            evidence.check_registered(known, answer)
            self._store(absorb.registered(known, answer, self._here()))
        else:
            token = _decoded(outcome, absorb.Token)
            self._store(absorb.token_granted(known, token, server_now(known.anchor, self._clock.now())))
        return True

    def _checked_in(self, known: Record, outcome: Answered, sent: absorb.Sent) -> Record:
        """What is signed and does not hold is left out; the check-in counts all the same."""
        answer, here = _decoded(outcome, CheckInAnswer), self._here()
        if answer.registered:
            evidence.check_registered(known, answer.registered)
            known = absorb.registered(known, answer.registered, here)
        record = absorb.accepted(replace(known, mechanism=outcome.mechanism), answer, sent, here)
        record = replace(record, package_told=sent.package)
        record = transaction.checked_in(record, sent.slot, self._instance, here.now, here.chance)
        chain = evidence.chain_of(record)
        if answer.receipt:
            record = self._renewed(record, answer.receipt)
        if answer.profile:
            try:
                in_use = evidence.profile_in(chain, record.slots.current).profile
                record = absorb.adopted(record, evidence.profile_in(chain, answer.profile), in_use)
            except TrustError as cause:
                _log.warning("a new access profile is not used: %s", cause.message)
        commands, untrusted = evidence.commands_in(record, chain, answer.commands)
        for statement, fault in untrusted:
            _log.warning("a command is not obeyed: %s", fault.message)
            record = mistrusted(record, statement, f"its signature does not hold: {fault.message}")
        return absorb.obeyed(record, commands, self._clock.now())

    def _renewed(self, record: Record, receipt: str) -> Record:
        try:
            if evidence.renewed_receipt(record, evidence.chain_of(record), receipt):
                return renewal.taken(record, receipt, self._clock.now())
        except TrustError as cause:
            _log.warning("a receipt is not taken: %s", cause.message)
        return record


def _named(refused: PackageRefused | None) -> str:
    return f"{refused.kind} {refused.package}" if refused else ""


def _decoded(outcome: Answered, kind: type[T]) -> T:
    try:
        return msgspec.json.decode(outcome.body, type=kind)
    except (msgspec.DecodeError, UnicodeDecodeError) as cause:
        raise TrustError("the answer is not what the protocol says") from cause


def _tell(action: Action, route: Route, outcome: Outcome) -> None:
    what = type(action).__name__
    if isinstance(outcome, Refused):
        _log.info("%s at %s refused: %s (%s)", what, route.url, outcome.kind, outcome.detail)
    elif isinstance(outcome, Unreached):
        _log.info("%s not answered: %s", what, outcome.why)
    else:
        _log.info("%s at %s done", what, route.url)


async def _either(stop: asyncio.Event, hurry: asyncio.Event, seconds: float) -> None:
    waits = [asyncio.ensure_future(event.wait()) for event in (stop, hurry)]
    try:
        await asyncio.wait(waits, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for wait in waits:
            wait.cancel()
