"""Self-check: has this endpoint reached its server, and if not, where does the way end? Changes nothing."""

import time
from pathlib import Path

import msgspec

from keyfast.agent import package
from keyfast.agent.client_database import Record
from keyfast.agent.clock import Clock
from keyfast.agent.diagnosis import network
from keyfast.agent.diagnosis.facts import How
from keyfast.agent.diagnosis.looked import way_lines
from keyfast.agent.package import refusal_of
from keyfast.agent.platform import Platform
from keyfast.agent.routes import Route, routes
from keyfast.agent.status import status_of
from keyfast.errors import ClientDatabaseError

_POLL = 0.5


class Step(msgspec.Struct, frozen=True):
    """One thing that was looked at.

    Attributes:
        what: what it is.
        good: whether it is as it should be.
        detail: what was found.
    """

    what: str
    good: bool
    detail: str


class SelfCheck(msgspec.Struct, frozen=True):
    """What ``self-check --json`` prints.

    Attributes:
        contact: the last try ended in an accepted check-in.
        reason: why not, empty if it did.
        repair: what helps.
        refusal: class of the last refusal, empty if there was none.
        endpoint: endpoint id, empty before enrolment.
        steps: what was looked at, in order.
    """

    contact: bool
    reason: str
    repair: str
    refusal: str = ""
    endpoint: str = ""
    steps: tuple[Step, ...] = ()


def look(platform: Platform, state: Path, packages: Path, wait: float, clock: Clock) -> SelfCheck:
    """Look until there was contact, or for ``wait`` seconds; then say where the way ends."""
    end = time.monotonic() + wait
    while True:
        record, fault, repair = _read(platform, state)
        if record is not None and status_of(record, clock.now()).well:
            return SelfCheck(contact=True, reason="", repair="", endpoint=record.endpoint_id)
        if time.monotonic() >= end:
            return _silence(platform, record, packages, clock, fault, repair)
        time.sleep(min(_POLL, max(0.0, end - time.monotonic())))


def _read(platform: Platform, state: Path) -> tuple[Record | None, Step | None, str]:
    """Return the record, or what is wrong with the client database and what helps."""
    try:
        return platform.read(state)[0], None, ""
    except ClientDatabaseError as cause:
        return None, Step("client database", good=False, detail=cause.message), cause.repair


def _silence(
    platform: Platform, record: Record | None, packages: Path, clock: Clock, fault: Step | None, repair: str
) -> SelfCheck:
    steps = [_service(platform), *([fault] if fault else [])]
    verdict = package.judge(record, packages)[0] if package.lies(packages) else None
    if verdict is not None and verdict.fault is not None:
        steps.append(Step("package", good=False, detail=refusal_of(verdict)))
        repair = repair or verdict.repair
    elif verdict is not None:
        steps.append(Step("package", good=False, detail="a package lies there that the agent has not taken yet"))
    if record is None:
        if not fault and verdict is None:
            steps.append(Step("client database", good=False, detail="no package was installed"))
        return _ended(steps, repair or "keyfast-agent install --bundle FOLDER")
    for way in routes(record, platform.server_url()):
        steps += reach(way)
    status = status_of(record, clock.now())
    steps.append(Step("check-in", good=False, detail=status.reason))
    found = _ended(steps, repair or status.repair)
    return msgspec.structs.replace(found, refusal=status.last_refusal, endpoint=record.endpoint_id)


def _ended(steps: list[Step], repair: str) -> SelfCheck:
    bad = [step for step in steps if not step.good]
    return SelfCheck(contact=False, reason=bad[-1].detail if bad else "", repair=repair, steps=tuple(steps))


def _service(platform: Platform) -> Step:
    how = platform.service()
    return Step("service", good=how == "running", detail=f"the agent's service is {how}")


def reach(way: Route) -> list[Step]:
    """Take the way to one server step by step, until it ends: name, connection, TLS."""
    seen = network.looked_up(way)
    seen = network.way(way, seen) if seen.resolves else seen
    return [Step(one.what, good=one.how is How.OK, detail=one.detail) for one in way_lines(seen)]


def told(found: SelfCheck) -> str:
    """Say it to a person."""
    if found.contact:
        return f"first contact: endpoint {found.endpoint} has checked in"
    lines = [f"{'ok ' if step.good else 'NOT'} {step.what:<16}{step.detail}" for step in found.steps]
    return "\n".join([f"no contact with the server yet: {found.reason}", *lines, f"to do: {found.repair}"])
