"""The server's side: check-ins, probes and recoveries, judged by keyfast.core; see the services of these names."""

from functools import cache

from tests.model.endpoint import Told
from tests.model.rotating import target_of
from tests.model.rules import Rules
from tests.model.state import (
    ACCOUNTS,
    Access,
    Endpoint,
    Kept,
    Row,
    Server,
    World,
    generations_of,
    with_kept,
)

from keyfast.core import access as accesses
from keyfast.core import command, endpoint
from keyfast.core.access import Held, InForce
from keyfast.core.change import ChangeState
from keyfast.core.check_in import Grant, Report, Standing
from keyfast.core.command import CommandEvent as E
from keyfast.core.command import CommandState as C
from keyfast.core.endpoint import EndpointEvent, EndpointState
from keyfast.core.generation import GenerationState
from keyfast.core.logon import GenerationStanding
from keyfast.core.mode import Mechanism, Mode
from keyfast.core.recovery import Act, Call, Caller
from keyfast.core.refusal import Refusal, RefusalClass

STATES = (None, EndpointState.REGISTERED, EndpointState.ACTIVE)
MECHANISMS = (Mechanism.KERBEROS, Mechanism.NTLM, Mechanism.BASIC)

OWN_OPEN = frozenset(C) - {C.APPLIED, C.VERIFIED, C.SUPERSEDED, C.WAIVED}
RESULTS = {
    ChangeState.STAGED: (E.RECEIVED,),
    ChangeState.PROVEN: (E.RECEIVED,),
    ChangeState.COMMITTED: (E.APPLIED,),
    ChangeState.VERIFIED: (E.APPLIED, E.VERIFIED),
    ChangeState.REVERTED: (E.REVERTED,),
    ChangeState.FAILED: (E.FAILED,),
}


def refusal(rules: Rules, world: World, index: int, access: Access | None) -> str:
    """Return the class by which a visit with ``access`` is refused, empty if it is accepted."""
    one, kept = world.endpoints[index], world.server.kept[index]
    if access is None or not one.keys:
        return RefusalClass.UNAUTHENTICATED.value
    if one.receipt is None:
        return RefusalClass.UNKNOWN_DEVICE.value  # it has no id to check in with
    return _logon(rules, world, access) or _device(one, kept) or _in_order(rules, one, kept)


def _logon(rules: Rules, world: World, access: Access) -> str:
    server = world.server
    if access.mode not in server.modes:
        return RefusalClass.MODE_CLOSED.value
    if access.mode is not Mode.WINDOWS:
        return ""
    said = _offer(rules.offer, access.account, access.generation, generations_of(server, access.account))
    if said:
        return said
    right = access.account and world.directory[ACCOUNTS.index(access.account)] == access.password
    return "" if right else RefusalClass.ACCOUNT_REFUSED.value


@cache
def _offer(offer, account: str, generation: int, on_record) -> str:
    known = {number: state for number, (state, _) in enumerate(on_record, start=1)}
    standing = GenerationStanding(account, generation, max(known, default=0), known.get(generation))
    said = offer(standing, MECHANISMS, 1)
    return said.kind.value if isinstance(said, Refusal) else ""


def _device(one: Endpoint, kept: Kept) -> str:
    if not kept.state or (one.key != kept.key and not kept.older >> one.key & 1):
        return RefusalClass.UNKNOWN_DEVICE.value
    return "" if one.key == kept.key else RefusalClass.KEY_SUPERSEDED.value


def _in_order(rules: Rules, one: Endpoint, kept: Kept) -> str:
    return _judged(rules.check_in, _active(kept).state, one.behind, rules.resyncs)


@cache
def _judged(judge, state: int, behind: bool, resyncs: bool) -> str:
    """The head of the server's record is number 1; whoever is behind it says 1 once more, then uses its grant."""
    standing = Standing(STATES[state], seq=1, head=b"head")
    said = judge(standing, Report(1 if behind else 2, b"new", b"head", b"", False, 1))
    if behind and resyncs and isinstance(said, Refusal) and said.kind is RefusalClass.REPLAYED:
        said = judge(standing, Report(2, b"new", b"old", b"", False, 1, Grant(2)))
    return said.kind.value if isinstance(said, Refusal) else ""


def _active(kept: Kept) -> Kept:
    if kept.state != 1:
        return kept
    assert endpoint.step(EndpointState.REGISTERED, EndpointEvent.PROVED) is EndpointState.ACTIVE
    return kept._replace(state=2)


def hear(rules: Rules, world: World, index: int) -> World:
    """Find out that the server went back in time; see services.went_back."""
    server, one = world.server, world.endpoints[index]
    if not rules.server_notices or one.current is None:
        return world
    above = one.epoch > server.epoch or one.current.seq > server.highest
    held = generations_of(server, one.current.account)
    newer = bool(held) and not server.restored and one.current.generation > len(held)
    if not above and not newer:
        return world
    news = not server.restored or one.epoch > server.epoch
    epoch = max(server.epoch, one.epoch) + 1 if news else server.epoch
    seq = max(server.highest, one.current.seq)
    profiles = []
    for number, (mode, _, _) in enumerate(server.profiles, start=1):
        profiles.append((mode, epoch, seq + number))
    after = server._replace(epoch=epoch, restored=True, profiles=tuple(profiles), highest=seq + len(profiles))
    return world._replace(server=after)


def take_results(server: Server, kept: Kept, one: Endpoint) -> Kept:
    for held in (one.change, one.watch):
        if held is not None and held.unsent:
            kept = _result(kept, held.id, RESULTS[held.state])
    return kept


def _result(kept: Kept, command_id: int, events) -> Kept:
    for name in ("row", "own"):
        row = getattr(kept, name)
        if row is not None and row.id == command_id:
            state = row.state
            for event in events:
                state = command.TABLE.get((state, event), state)
            kept = kept._replace(**{name: row._replace(state=state)})
    return kept


def accepted(rules: Rules, world: World, index: int) -> tuple[World, tuple[Told, ...]]:
    """The check-in is on record: return the world, and the changes that the answer takes along."""
    world = hear(rules, world, index)
    one, server = world.endpoints[index], world.server
    kept = take_results(server, _active(server.kept[index]), one)
    shown = one.current._replace(password=0)
    kept = kept._replace(access=shown)
    if kept.erase and one.previous is None:
        kept = kept._replace(erase=False)
    world = with_kept(world, index, kept)
    return _offers(world, index, rules)


def _offers(world: World, index: int, rules: Rules) -> tuple[World, tuple[Told, ...]]:
    told = []
    for name in ("row", "own"):
        row = getattr(world.server.kept[index], name)
        if row is None or row.state not in command.WAITING:
            continue
        target = target_of(rules, world.server, index)
        if (name == "row") != (target is not None):
            continue
        kept = world.server.kept[index]
        held = Held(seen(kept.access), kept.access.account)
        wanted = rules.access_for(held, target, in_force(world.server))
        if wanted is None:
            continue
        world, statement = _made(world, index, name, wanted)
        told += [statement] if statement else []
    kept, server = world.server.kept[index], world.server
    if kept.erase:
        told.append(Told(-1, server.epoch, kept.next, None))
        world = with_kept(world, index, kept._replace(next=kept.next + 1))
    return world, tuple(told)


def seen(access: Access) -> accesses.Access:
    return accesses.Access(access.mode, access.seq, access.account, access.generation)


def in_force(server: Server) -> InForce:
    return _in_force(server.profiles, server.generations, server.modes)


@cache
def _in_force(profiles, generations, modes) -> InForce:
    return InForce(
        {mode: seq for mode, _, seq in profiles},
        {
            account: {number: state for number, (state, _) in enumerate(known, start=1)}
            for account, known in zip(ACCOUNTS, generations, strict=True)
            if known
        },
        modes,
    )


def _made(world: World, index: int, name: str, wanted: accesses.Access) -> tuple[World, Told | None]:
    """Make, or send once more, the statement of a row; see services.change."""
    server = world.server
    kept = server.kept[index]
    row = getattr(kept, name)
    password = 0
    if wanted.account:
        state, password = generations_of(server, wanted.account)[wanted.generation - 1]
        if state is GenerationState.DESTROYED:
            return world, None
    epoch = next((found for mode, found, seq in server.profiles if (mode, seq) == (wanted.mode, wanted.profile_seq)), 0)
    access = Access(wanted.mode, epoch, wanted.profile_seq, wanted.account, wanted.generation, password)
    if row.state is C.OFFERED and row.access == access and row.epoch == server.epoch:
        return world, Told(row.id, row.epoch, row.seq, access)
    row = row._replace(state=command.offered_again(row.state), epoch=server.epoch, seq=kept.next, access=access)
    kept = kept._replace(next=kept.next + 1, **{name: row})
    return with_kept(world, index, kept), Told(row.id, row.epoch, row.seq, access)


def caller_of(rules: Rules, world: World, index: int, key: int) -> Caller:
    one, kept = world.endpoints[index], world.server.kept[index]
    if kept.state and key == kept.key:
        return Caller.CURRENT
    if kept.state and kept.older >> key & 1:
        return Caller.SUPERSEDED
    if one.receipt and one.receipt[0] == key and rules.receipts:
        return Caller.RECEIPT
    return Caller.STRANGER if world.expired else Caller.JOINING


@cache
def judged(judge, caller: Caller, state: int) -> Act | Refusal:
    return judge(Call(caller, STATES[state], window=False, always=True))


def recovered(rules: Rules, world: World, index: int, key: int, refused: str) -> tuple[World, Told | None, bool] | None:
    """A recovery check-in: return the world, the change and whether a receipt came; None if it is refused or held."""
    caller = caller_of(rules, world, index, key)
    act = judged(rules.recover, caller, world.server.kept[index].state)
    if isinstance(act, Refusal) or act is Act.HOLD:
        return None
    world = hear(rules, world, index)
    one, kept = world.endpoints[index], world.server.kept[index]
    receipt = act is Act.ADOPT or kept.state == 1
    if act is Act.ADOPT:
        older = kept.older | (1 << kept.key if kept.state and rules.server_keeps_older_keys else 0)
        base = kept if kept.state else Kept(access=_as_in_receipt(world.server, one))
        kept = base._replace(key=key, older=older & ~(1 << key))
    kept = kept._replace(state=2)
    world = with_kept(world, index, kept)
    about_account = refused in {RefusalClass.ACCOUNT_REFUSED, RefusalClass.RETIRED_GENERATION}
    using = one.current or Access(Mode.OAUTH, 0, 0)
    target = target_of(rules, world.server, index)
    wanted = rules.change_for(Held(seen(using), kept.access.account, about_account), target, in_force(world.server))
    if wanted is None:
        return world, None, receipt
    name = "row" if target is not None and kept.row is not None and kept.row.state in command.AGAIN else "own"
    if name == "own":
        world = _own_row(world, index)
    row = getattr(world.server.kept[index], name)
    waits = one.change is not None and one.change.state in {ChangeState.STAGED, ChangeState.PROVEN}
    if row.state in {C.RECEIVED, C.PROVEN} and waits and one.change.id == row.id and seen(row.access) == _bare(wanted):
        return world, None, receipt
    if row.state is C.WAIVED:
        return world, None, receipt
    world, statement = _made(world, index, name, wanted)
    return world, statement, receipt


def _bare(wanted: accesses.Access) -> accesses.Access:
    return accesses.Access(wanted.mode, wanted.profile_seq, wanted.account, wanted.generation)


def _as_in_receipt(server: Server, one: Endpoint) -> Access:
    account = one.receipt[1] if one.receipt else ""
    mode = Mode.WINDOWS if account else Mode.OAUTH
    return Access(mode, 0, 0, account)


def _own_row(world: World, index: int) -> World:
    kept = world.server.kept[index]
    if kept.own is not None and kept.own.state in OWN_OPEN:
        return world
    number = 1000 + 10 * world.restores + (0 if kept.own is None else 1 - kept.own.id % 2)
    return with_kept(world, index, kept._replace(own=Row(number, 0, C.QUEUED)))


def probed(world: World, index: int, change_id: int, access: Access) -> World:
    """A probe was let in: the server has seen it."""
    kept = _active(world.server.kept[index])
    kept = _result(kept, change_id, (E.PROVEN,))
    return with_kept(world, index, kept._replace(access=access._replace(password=0)))
