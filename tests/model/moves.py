"""Every move of the model: what endpoints and server do by themselves, luck, the administrator, disasters.

A move is (label, by itself, world afterwards). Only moves that happen by themselves may lead an endpoint back.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

from tests.model import endpoint as agent
from tests.model import rotating, server
from tests.model.rules import Rules
from tests.model.state import (
    ACCOUNTS,
    USED,
    Endpoint,
    Kept,
    Server,
    World,
    generations_of,
    with_endpoint,
    with_kept,
)

from keyfast.core.change import ChangeState
from keyfast.core.command import CommandState
from keyfast.core.generation import GONE, GenerationState
from keyfast.core.mode import Mode
from keyfast.core.recovery import Act
from keyfast.core.refusal import RefusalClass
from keyfast.core.rotation_evidence import MOVED
from keyfast.core.rotation_state import ENDED, Rotation


@dataclass(frozen=True)
class Bounds:
    """How much may happen; each disaster happens once at most.

    Attributes:
        endpoints: how many.
        enrolled: they are when it begins.
        kinds: of rotations that may be started, with account that is left and account that is moved to.
        rotations: how many of them one after the other.
        changes: passwords changed in the directory behind the server's back.
        accounts: whose passwords those are.
        lost: requests and answers are lost.
        early: passwords are changed only before the endpoint has proven anything new.
        replays: a change that was taken long ago is delivered once more.
        stepwise: others act between any two effects of a decision; if not, effects are done with it.
        acts: what an administrator may do to a rotation; empty for everything.
        lag: a domain controller refuses the account although nothing is wrong.
    """

    endpoints: int = 1
    enrolled: bool = True
    kinds: tuple[tuple[str, str, str], ...] = ()
    rotations: int = 1
    changes: int = 0
    accounts: tuple[str, ...] = ("A",)
    lost: bool = True
    backup: bool = False
    image: bool = False
    expires: bool = False
    renewal: bool = False
    power_cuts: bool = False
    lag: bool = False
    early: bool = False
    replays: bool = False
    stepwise: bool = True
    acts: tuple[str, ...] = ()


OLD = 7
"""Id of the change that is replayed."""


class Move(NamedTuple):
    label: str
    by_itself: bool
    world: World


def start(bounds: Bounds) -> World:
    access = server.Access(Mode.WINDOWS, 1, 1, "A", 1, 1)
    one = Endpoint(access, receipt=(0, "A") if bounds.enrolled else None, seq=int(bounds.replays))
    kept = Kept(2, 0, 0, access._replace(password=0), next=1 + bounds.replays) if bounds.enrolled else Kept()
    proven = ((GenerationState.PROVEN, 1),)
    profiles = ((Mode.WINDOWS, 1, 1),)
    made = Server(
        1, False, (kept,) * bounds.endpoints, (proven, proven), profiles, len(profiles), frozenset({Mode.WINDOWS})
    )
    return World((one,) * bounds.endpoints, made, (1, 1))


def moves(rules: Rules, bounds: Bounds, world: World) -> Iterator[Move]:
    for index in range(bounds.endpoints):
        name = f"endpoint {index + 1}: " if bounds.endpoints > 1 else ""
        for label, by_itself, after in _of_endpoint(rules, bounds, world, index):
            yield Move(name + label, by_itself, after)
    yield from _of_server(rules, bounds, world)
    for label, after in _of_administrator(rules, bounds, world):
        yield Move(label, False, after)
    for label, after in _disasters(bounds, world):
        yield Move(label, False, after)


def refusals(rules: Rules, world: World) -> tuple[str, ...]:
    """Return for each endpoint why a check-in would be refused now; empty if it would not."""
    return tuple(server.refusal(rules, world, index, one.current) for index, one in enumerate(world.endpoints))


def _of_endpoint(rules: Rules, bounds: Bounds, world: World, index: int):
    one = world.endpoints[index]
    said = server.refusal(rules, world, index, one.current)
    if not said:
        yield from _check_in(rules, bounds, world, index)
    else:
        after = agent.missed(rules, one, said)
        yield f"check-in refused: {said}", True, with_endpoint(world, index, after)
    if bounds.lost:
        yield "check-in gets no answer", False, with_endpoint(world, index, agent.missed(rules, one, ""))
    if bounds.lag and not said:
        after = agent.missed(rules, one, "account_refused")
        yield "check-in refused by a controller that lags behind", False, with_endpoint(world, index, after)
    if bounds.replays:
        old = agent.Told(OLD, 1, 1, start(bounds).endpoints[0].current)
        yield "an old change is replayed", False, with_endpoint(world, index, agent.offered(rules, one, old))
    if one.receipt is None or said == "unknown_device":
        yield from _enrol(rules, bounds, world, index)
    if said in rules.asks_after:
        yield from _recover(rules, bounds, world, index, said)
    if one.change is not None and one.change.state is ChangeState.STAGED:
        yield from _probe(rules, bounds, world, index)
    if one.change is not None and one.change.state is ChangeState.PROVEN:
        after = agent.committed(rules, one)
        yield "commit", True, with_endpoint(world, index, after)
        if bounds.power_cuts:
            # The record is written beside the one before: without a flush both may be gone.
            torn = one if rules.flushes_before_flip else one._replace(current=None, previous=None, change=None, keys=0)
            yield "commit, power cut before the flush", False, with_endpoint(world, index, torn)
    if one.watch is not None and one.watch.state is ChangeState.COMMITTED and not one.watch.restarted:
        yield "agent restarts", False, with_endpoint(world, index, agent.restarted(one))
    if bounds.renewal and one.keys and (one.receipt is not None or said == "key_superseded"):
        yield from _renew(rules, bounds, world, index, said)


def _check_in(rules: Rules, bounds: Bounds, world: World, index: int):
    one = world.endpoints[index]
    after, told = server.accepted(rules, world, index)
    if bounds.lost:
        yield "check-in, answer lost", False, after
    heard = agent.heard_epoch(rules, agent.checked_in(rules, one), after.server.epoch)
    for mode, epoch, seq in after.server.profiles:
        heard = agent.adopted(heard, mode, epoch, seq)
    for statement in sorted(told, key=lambda found: found.seq):
        heard = agent.offered(rules, heard, statement)
    yield "check-in" + (", takes a change along" if told else ""), True, with_endpoint(after, index, heard)


def _enrol(rules: Rules, bounds: Bounds, world: World, index: int):
    one, kept = world.endpoints[index], world.server.kept[index]
    if one.current is None or not one.keys or server._logon(rules, world, one.current):
        return
    again = kept.state and (kept.key == one.key or kept.older >> one.key & 1)
    if not rules.idempotent_registration if again else world.expired:
        return
    after = world
    if not again:
        after = with_kept(world, index, Kept(1, one.key, 0, one.current._replace(password=0), next=kept.next))
    receipt = (one.key, one.current.account)
    if bounds.lost:
        yield "enrol, answer lost", False, after
    yield "enrol", True, with_endpoint(after, index, one._replace(receipt=receipt))


def _recover(rules: Rules, bounds: Bounds, world: World, index: int, said: str):
    one = world.endpoints[index]
    for key in range(one.keys.bit_length()):
        if not one.keys >> key & 1:
            continue
        came = server.recovered(rules, world, index, key, said)
        if came is None:
            continue
        after, told, receipt = came
        if bounds.lost:
            yield "recovery, answer lost", False, after
        heard = agent.heard_epoch(rules, one, after.server.epoch)
        if receipt:
            heard = heard._replace(receipt=(key, after.server.kept[index].access.account), key=key)
        if told is not None:
            heard = agent.offered(rules, heard, told, recovering=True)
        yield "recovery" + (" brings a change" if told else ""), True, with_endpoint(after, index, heard)


def _probe(rules: Rules, bounds: Bounds, world: World, index: int):
    one = world.endpoints[index]
    if not rules.probes:
        yield "no probe", True, with_endpoint(world, index, agent.probe_passed(one))
        return
    said = server.refusal(rules, world, index, one.change.access)
    if said:
        after = agent.probe_failed(rules, one, said)
        yield f"probe refused: {said}", True, with_endpoint(world, index, after)
    else:
        after = server.probed(world, index, one.change.id, one.change.access)
        yield "probe", True, with_endpoint(after, index, agent.probe_passed(one))
        if bounds.lost:
            yield "probe, answer lost", False, with_endpoint(after, index, agent.probe_failed(rules, one, ""))
    if bounds.lost:
        yield "probe gets no answer", False, with_endpoint(world, index, agent.probe_failed(rules, one, ""))


def _renew(rules: Rules, bounds: Bounds, world: World, index: int, said: str):
    """The new device key is on disk before it is sent, and in use once the server has it on record."""
    one, kept = world.endpoints[index], world.server.kept[index]
    newest = one.keys.bit_length() - 1
    if newest == one.key:
        if (one.key == 0 and kept.key == 0 and kept.older == 0) or said == "key_superseded":
            made = _next_key(world, index)
            yield (
                "makes a new device key",
                said != "",
                with_endpoint(world, index, one._replace(keys=one.keys | 1 << made)),
            )
        return
    in_use = one._replace(key=newest)
    if not rules.endpoint_keeps_older_keys:
        in_use = in_use._replace(keys=1 << newest)
        yield "renews its device key, request lost", False, with_endpoint(world, index, in_use)
    if not _may_renew(rules, world, index, said, newest):
        return
    older = (kept.older | 1 << kept.key) & ~(1 << newest) if rules.server_keeps_older_keys else 0
    after = world if kept.key == newest else with_kept(world, index, kept._replace(key=newest, older=older, state=2))
    yield (
        "renews its device key, answer lost",
        False,
        after if rules.endpoint_keeps_older_keys else with_endpoint(after, index, in_use),
    )
    receipt = (newest, kept.access.account)
    yield "renews its device key", True, with_endpoint(after, index, in_use._replace(receipt=receipt))


def _may_renew(rules: Rules, world: World, index: int, said: str, newest: int) -> bool:
    """The new key is brought by a check-in or a recovery, or tried where the server has superseded the one in use."""
    one, kept = world.endpoints[index], world.server.kept[index]
    caller = server.caller_of(rules, world, index, one.key)
    if not said:
        return rules.vouches(caller, recovering=False)
    if said == RefusalClass.KEY_SUPERSEDED and kept.key == newest:
        return True
    asks = said in rules.asks_after and rules.vouches(caller, recovering=True)
    return asks and server.judged(rules.recover, caller, kept.state) is Act.GIVE


def _next_key(world: World, index: int) -> int:
    used = [world.endpoints[index].keys.bit_length()]
    used += [world.image.keys.bit_length()] if isinstance(world.image, Endpoint) else []
    for known in (world.server, world.backup):
        if isinstance(known, Server):
            used += [known.kept[index].key + 1, known.kept[index].older.bit_length()]
    return max(used)


def backups(world: World) -> int:
    """Return the time for the guards: 0 while a backup from before the last move may be restored, else 1.

    All holds but that one are 0 in every plan: nothing else may depend on patience.
    """
    if not isinstance(world.backup, Server):
        return 1
    for now, then in zip(world.server.kept, world.backup.kept, strict=True):
        moved = now.row is not None and now.row.state in MOVED
        if moved and (then.row is None or then.row.id != now.row.id or then.row.state not in MOVED):
            return 0
    return 1


def _of_server(rules: Rules, bounds: Bounds, world: World) -> Iterator[Move]:
    known = world.server
    if rules.statements_expire:
        for index, kept in enumerate(known.kept):
            for name in ("row", "own"):
                row = getattr(kept, name)
                if row is not None and row.state is CommandState.OFFERED and row.epoch:
                    after = kept._replace(**{name: row._replace(epoch=0)})
                    yield Move("the statement expires", True, with_kept(world, index, after))
    for where, account in enumerate(ACCOUNTS):
        after = rotating.look_at(known.generations[where], world.directory[where])
        if after != known.generations[where]:
            yield Move("the server checks the account", True, rotating.with_generations(world, account, after))
    if known.pending:
        kind = known.pending[0][0]
        after = rotating.perform(world) if rotating.may_run(rules, known, kind) else None
        if after is not None:
            yield Move(f"rotation does: {kind.value}", True, _over(after))
    if known.rotation >= 0:
        evidence = rotating.evidence_of(world)
        for event, by_itself, number, effects in rotating.steps(
            known.rotation, evidence, backups(world), rules.without_guards
        ):
            if not by_itself and bounds.acts and event.value not in bounds.acts:
                continue
            after = world._replace(server=known._replace(rotation=number, pending=known.pending + effects))
            after = after if bounds.stepwise else _all_done(rules, after)
            yield Move(f"rotation: {event.value}", by_itself, _over(after))


def _all_done(rules: Rules, world: World) -> World:
    while world.server.pending and rotating.may_run(rules, world.server, world.server.pending[0][0]):
        after = rotating.perform(world)
        if after is None:
            break
        world = after
    return world


def _over(world: World) -> World:
    known = world.server
    one = rotating.rotation_of(known)
    if one is None or one.state not in ENDED or known.pending:
        return world
    kept = tuple(found._replace(row=None) for found in known.kept)
    return world._replace(server=known._replace(rotation=-1, kept=kept))


def _of_administrator(rules: Rules, bounds: Bounds, world: World):
    known = world.server
    proven = any(one.watch or (one.change and one.change.state is ChangeState.PROVEN) for one in world.endpoints)
    if world.changes < bounds.changes and not (bounds.early and proven):
        for account in bounds.accounts:
            after = rotating.set_password(world, account)
            yield f"somebody changes the password of {account}", after._replace(changes=world.changes + 1)
    yield from records(world)
    if known.rotation < 0 and known.rotations < bounds.rotations:
        for kind, source, target in bounds.kinds:
            one = Rotation(rotating.plan_of(kind, source, target), approvals=("somebody",))
            after = known._replace(rotation=rotating.number_of(one), rotations=known.rotations + 1)
            yield f"a rotation is drafted: {kind} {source} {target}".rstrip(), world._replace(server=after)
    if known.restored and not world.ended:
        yield "the operator ends the recovery", world._replace(server=known._replace(restored=False), ended=True)


def records(world: World):
    """An administrator puts the password that is in the directory on record."""
    for where, account in enumerate(ACCOUNTS):
        true, known = world.directory[where], world.server.generations[where]
        if any(password == true and state is not GenerationState.DESTROYED for state, password in known):
            continue
        yield f"the password of {account} is put on record", rotating.record_password(world, account)


def _disasters(bounds: Bounds, world: World):
    if bounds.backup and world.backup is None:
        yield "backup", world._replace(backup=world.server)
    if isinstance(world.backup, Server):
        restored = world._replace(server=world.backup, backup=USED, restores=world.restores + 1)
        yield (
            "server restored",
            restored._replace(endpoints=tuple(one._replace(behind=False) for one in world.endpoints)),
        )
        if not backups(world):
            yield "the old backup is thrown away", world._replace(backup=USED)
    if bounds.image and world.image is None:
        yield "image", world._replace(image=world.endpoints[0])
    if isinstance(world.image, Endpoint):
        back = world.image._replace(behind=True)
        yield "image rolled back", with_endpoint(world._replace(image=USED), 0, back)
    if bounds.expires and not world.expired:
        yield "enrolment token expires", world._replace(expired=True)


def is_obliged(world: World, index: int) -> bool:
    """It was enrolled once: it holds a receipt, or its key is on record. An image from before that is a new machine."""
    one, kept = world.endpoints[index], world.server.kept[index]
    return one.receipt is not None or (kept.state > 0 and (one.key == kept.key or kept.older >> one.key & 1 > 0))


def has_credential(rules: Rules, world: World, index: int) -> bool:
    """A credential that works for this endpoint is on record: of its account, or of what its rotation moves it to.

    What it uses itself counts as well: the server may only have forgotten that.
    """
    known, one, kept = world.server, world.endpoints[index], world.server.kept[index]
    if Mode.OAUTH in known.modes and any(mode is Mode.OAUTH for mode, _, _ in known.profiles):
        return True
    using = one.current
    if using is not None and using.account and Mode.WINDOWS in known.modes:
        found = dict(enumerate(generations_of(known, using.account), start=1)).get(using.generation)
        if using.password == world.directory[ACCOUNTS.index(using.account)] and (found is None or found[0] not in GONE):
            return True
    target = rotating.target_of(rules, known, index)
    own = kept.access.account if kept.access else one.receipt[1] if one.receipt else ""
    for account in {own, target.account if target else ""} - {""}:
        where = ACCOUNTS.index(account)
        if any(state not in GONE and word == world.directory[where] for state, word in known.generations[where]):
            return Mode.WINDOWS in known.modes
    return False
