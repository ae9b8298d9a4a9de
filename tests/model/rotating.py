"""Rotations in the model: evidence counted from its rows, steps and effects taken from keyfast.core.rotation."""

from functools import cache

from msgspec.structs import replace
from tests.model.rules import Rules
from tests.model.state import ACCOUNTS, Kept, Row, Server, World, generations_of, newest_seq

from keyfast.core import command, generation, machine, rotation
from keyfast.core.access import Access as Wanted
from keyfast.core.access import newest_proven
from keyfast.core.command import CommandEvent
from keyfast.core.command import CommandState as C
from keyfast.core.generation import GenerationEvent, GenerationState
from keyfast.core.mode import Mode
from keyfast.core.rotation_effects import DESTRUCTIVE, EffectKind, decided
from keyfast.core.rotation_evidence import BACK, Count, Evidence
from keyfast.core.rotation_guards import GUARDS
from keyfast.core.rotation_plan import Holds, Kind, Plan, Waves, cuts
from keyfast.core.rotation_state import OFFERING, Facts, Rotation
from keyfast.core.rotation_state import RotationEvent as E
from keyfast.core.rotation_state import RotationState as S

K = EffectKind
NOW = 1
_WAVES = Waves(soak_s=0)
_HOLDS = Holds(publish_s=0, drain_s=0, refused_s=0, backup_s=1)
_COMMON = {"waves": _WAVES, "holds": _HOLDS}


@cache
def plan_of(kind: str, source: str, target: str) -> Plan:
    """Every hold is as short as an operator may choose it: nothing may depend on patience, but see ``backups``."""
    if kind == "oauth":
        return Plan(Kind.OAUTH, mode=Mode.OAUTH.value, **_COMMON)
    kinds = {"account": Kind.ACCOUNT, "hasty": Kind.ACCOUNT, "password": Kind.PASSWORD, "recovery": Kind.RECOVERY}
    return Plan(
        kinds[kind],
        mode=Mode.WINDOWS.value,
        source=source,
        target=target,
        sets_password=kind == "password",
        hasty=kind == "hasty",
        **_COMMON,
    )


_KNOWN: list[Rotation] = []
_NUMBERS: dict[Rotation, int] = {}


def number_of(one: Rotation) -> int:
    """Rotations are compared by number: they are few, and states are many."""
    if one not in _NUMBERS:
        _NUMBERS[one] = len(_KNOWN)
        _KNOWN.append(one)
    return _NUMBERS[one]


def rotation_of(server: Server) -> Rotation | None:
    return _KNOWN[server.rotation] if server.rotation >= 0 else None


FORWARD = frozenset({S.CANARY, S.ROLLING, S.DRAINING, S.REFUSED, S.EMERGENCY})


def target_of(rules: Rules, server: Server, index: int) -> Wanted | None:
    """Return which access the rotation under way wants for an endpoint."""
    one, row = rotation_of(server), server.kept[index].row
    if one is None or row is None or row.state in {C.SUPERSEDED, C.WAIVED}:
        return None
    back = row.wave == BACK
    if one.state not in ({S.ROLLING_BACK} if back else FORWARD):
        return None
    plan, facts = one.plan, one.facts
    mode = Mode(plan.from_mode if back else plan.mode)
    account = plan.source if back else plan.target
    if mode is Mode.OAUTH:
        return Wanted(mode, facts.profile_seq, rotation="r")
    account = account or "A"
    known = generations_of(server, account)
    proven = newest_proven({number: state for number, (state, _) in enumerate(known, start=1)})
    chosen = proven if proven and rules.targets_newest else (facts.back_generation if back else facts.generation)
    chosen = chosen or proven
    return Wanted(mode, newest_seq(server, mode)[1], account, chosen, "r") if chosen else None


def evidence_of(world: World) -> Evidence:
    server = world.server
    one = rotation_of(server)
    found: dict[tuple[int, C], int] = {}
    for kept in server.kept:
        if kept.row is not None:
            found[kept.row.wave, kept.row.state] = found.get((kept.row.wave, kept.row.state), 0) + 1
    plan = one.plan
    draft = one.state is S.DRAFT
    using = [kept for kept in server.kept if kept.state and kept.access]
    source = plan.source
    scope = [
        kept
        for kept in using
        if kept.access.mode.value == plan.from_mode and (not source or kept.access.account == source)
    ]
    return Evidence(
        counts=tuple(Count(wave, state, number) for (wave, state), number in sorted(found.items())),
        pending=len(server.pending),
        uncovered=sum(kept.row is None for kept in scope) if one.state in {S.DRAINING, S.EMERGENCY} else 0,
        users=sum(kept.access.account == plan.target for kept in using) if draft and plan.sets_password else 0,
        restored_at=int(server.restored),
        epoch=server.epoch,
    )


BY_HAND = (
    E.APPROVED,
    E.STARTED,
    E.ABANDONED,
    E.RESUMED,
    E.HASTENED,
    E.RETIRED,
    E.RETRUSTED,
    E.FINISHED,
    E.ROLLED_BACK,
)


@cache
def steps(number: int, evidence: Evidence, now: int, without: frozenset) -> tuple:
    """Return (event, by itself, number afterwards, effects) of each step that nothing stands against."""
    one = _KNOWN[number]
    found = []
    happening = rotation.due(one, evidence, now)
    if happening is not None:
        found.append(_step(one, happening[0], evidence, now, happening[1], by_itself=True))
    for event in BY_HAND:
        cell = (one.state, event)
        if cell not in rotation.TABLE or (happening is not None and happening[0] is event):
            continue
        if event is E.APPROVED and one.approvals:
            continue
        against = [guard for guard in GUARDS.get(cell, ()) if guard(one, evidence, now) is not None]
        if not against:
            found.append(_step(one, event, evidence, now, "", by_itself=False))
        elif all(guard in without for guard in against):
            found.append(_forced(one, event, evidence, now))
    return tuple(found)


def _step(one, event, evidence, now, reason, *, by_itself):
    after, effects = rotation.step(one, event, evidence, now, by="somebody", reason=reason)
    return event, by_itself, number_of(_timeless(after)), _coded(effects)


def _forced(one, event, evidence, now):
    """What a step would do without the guards that stand against it: the same table, marks and effects."""
    state = machine.step(rotation.TABLE, "rotation", one.state, event)
    after = rotation._marked(replace(one, state=state), event, evidence, now, "somebody", "")
    return event, False, number_of(_timeless(after)), _coded(decided(one, event, after))


def _timeless(one: Rotation) -> Rotation:
    return replace(one, since=0, wave_at=0, moved_at=0, paused="paused" if one.paused else "")


def _coded(effects) -> tuple[tuple[str, int], ...]:
    return tuple((act.kind, int(act.document.get("wave", act.document.get("back", 0)))) for act in effects)


def may_run(rules: Rules, server: Server, kind: EffectKind) -> bool:
    return not (kind in DESTRUCTIVE and server.restored and rules.stops_destroying)


def perform(world: World) -> World | None:
    """Do the first effect that is not done; None if it cannot be done now."""
    server = world.server
    (kind, what), rest = server.pending[0], server.pending[1:]
    one = rotation_of(server)
    after = _ACTS[kind](world, one, what)
    return None if after is None else after._replace(server=after.server._replace(pending=rest))


def _put(world: World, **server) -> World:
    return world._replace(server=world.server._replace(**server))


def _facts(world: World, one: Rotation, **facts) -> World:
    return _put(world, rotation=number_of(replace(one, facts=replace(one.facts, **facts))))


def _all(world: World, change) -> World:
    return _put(world, kept=tuple(change(kept, index) for index, kept in enumerate(world.server.kept)))


def _verify(world: World, one: Rotation, what: int) -> World | None:
    account = one.plan.target
    known = generations_of(world.server, account)
    right = [number for number, (_, password) in enumerate(known, start=1) if password == _true(world, account)]
    return _facts(world, one, generation=right[-1]) if right else None


def _true(world: World, account: str) -> int:
    return world.directory[ACCOUNTS.index(account)]


def _set_password(world: World, one: Rotation, what: int) -> World:
    """The intent is on record before the directory is touched, so that both are one step here."""
    return record_password(set_password(world, one.plan.target), one.plan.target)


def set_password(world: World, account: str) -> World:
    where = ACCOUNTS.index(account)
    directory = list(world.directory)
    directory[where] += 1
    return world._replace(directory=tuple(directory))


def record_password(world: World, account: str) -> World:
    """See services.account: a password that is on record keeps its generation, another one gets the next number."""
    known = generations_of(world.server, account)
    true = _true(world, account)
    if all(password != true or state is GenerationState.DESTROYED for state, password in known):
        known = (*known, (GenerationState.PROVEN, true))
    else:
        known = tuple((_proved(state) if password == true else state, password) for state, password in known)
    return with_generations(world, account, look_at(known, true))


def _proved(state: GenerationState) -> GenerationState:
    if state is GenerationState.RETIRED:
        state = generation.step(state, GenerationEvent.RETRUSTED)
    return generation.TABLE.get((state, GenerationEvent.PROVED), state)


def look_at(known, true: int):
    """What the account's watch makes of a password that was set: it is in question, until it was tried."""
    return tuple((_looked_at(state, right=password == true), password) for state, password in known)


def _looked_at(state: GenerationState, *, right: bool) -> GenerationState:
    if state in generation.GONE or (right and state is GenerationState.PROVEN):
        return state
    asked = generation.step(state, GenerationEvent.PASSWORD_SET)
    return generation.step(asked, GenerationEvent.PROVED if right else GenerationEvent.DENIED)


def with_generations(world: World, account: str, known) -> World:
    generations = list(world.server.generations)
    generations[ACCOUNTS.index(account)] = known
    return _put(world, generations=tuple(generations))


def _sign(world: World, one: Rotation, back: int) -> World:
    server = world.server
    seq = server.highest + 1
    mode = Mode(one.plan.from_mode if back else one.plan.mode)
    others = tuple(found for found in server.profiles if found[0] is not mode)
    world = _put(world, highest=seq, profiles=(*others, (mode, server.epoch, seq)))
    return _facts(world, one, **({"back_seq": seq} if back else {"profile_seq": seq, "profile_epoch": server.epoch}))


def _targets(world: World, one: Rotation, what: int) -> World:
    plan = one.plan
    base = 100 * world.restores + 10 * world.server.rotations

    def planned(kept: Kept, index: int) -> Kept:
        access = kept.access
        mine = kept.state and access and access.mode.value == plan.from_mode and plan.source in ("", access.account)
        if not mine or kept.row is not None:
            return kept
        return kept._replace(row=Row(base + 1, min(index + 1, waves), C.PLANNED))

    number = sum(bool(kept.state) for kept in world.server.kept)
    waves = max(1, len(cuts(plan, number)))
    world = _all(world, planned)
    targets = sum(kept.row is not None for kept in world.server.kept)
    known = {"waves": waves} if "waves" in Facts.__struct_fields__ else {}
    return _facts(world, one, targets=targets, **known)


def _released(world: World, one: Rotation, wave: int) -> World:
    wanted = one.state is S.ROLLING_BACK if wave == BACK else one.state in OFFERING | {S.DRAINING, S.REFUSED}
    if not wanted or one.paused:
        return world
    return _move(
        world,
        CommandEvent.RELEASED,
        lambda row: row.wave == wave if wave == BACK else 0 < row.wave <= wave,
        {C.PLANNED},
    )


def _move(world: World, event: CommandEvent, which, states) -> World:
    def moved(kept: Kept, index: int) -> Kept:
        row = kept.row
        if row is None or row.state not in states or not which(row):
            return kept
        return kept._replace(row=row._replace(state=command.step(row.state, event)))

    return _all(world, moved)


def _any(row: Row) -> bool:
    return True


def _withdraw(world: World, one: Rotation, what: int) -> World:
    return _move(world, CommandEvent.SUPERSEDED, lambda row: row.wave > 0, command.from_states(CommandEvent.SUPERSEDED))


def _retry(world: World, one: Rotation, what: int) -> World:
    return _move(world, CommandEvent.RELEASED, lambda row: row.wave > 0, {C.FAILED, C.REVERTED, C.EXPIRED})


def _back(world: World, one: Rotation, what: int) -> World:
    def planned(kept: Kept, index: int) -> Kept:
        row = kept.row
        if row is None or row.wave == BACK:
            return kept
        return kept._replace(row=Row(row.id + 1, BACK, C.PLANNED) if row.access is not None else None)

    world = _all(world, planned)
    known = generations_of(world.server, one.plan.source)
    proven = newest_proven({number: state for number, (state, _) in enumerate(known, start=1)})
    return _facts(world, one, back_generation=proven or 0)


def _change_generations(event: GenerationEvent):
    def act(world: World, one: Rotation, what: int) -> World:
        account = one.plan.source
        if not account:
            modes = world.server.modes
            closed = modes - {Mode.WINDOWS} if event is GenerationEvent.RETIRED else modes | {Mode.WINDOWS}
            return _put(world, modes=frozenset(closed))
        known = generations_of(world.server, account)
        after = tuple((generation.TABLE.get((state, event), state), password) for state, password in known)
        return with_generations(world, account, after)

    return act


def _nothing(world: World, one: Rotation, what: int) -> World:
    return world


_ACTS = {
    K.SET_PASSWORD: _set_password,
    K.VERIFY_ACCOUNT: _verify,
    K.OPEN_MODE: lambda world, one, what: _put(world, modes=frozenset({*world.server.modes, Mode(one.plan.mode)})),
    K.SIGN_PROFILE: _sign,
    K.PLAN_TARGETS: _targets,
    K.PLAN_BACK: _back,
    K.RELEASE_WAVE: _released,
    K.RETRY: _retry,
    K.RECALL: lambda world, one, what: _move(
        world, CommandEvent.RECALLED, _any, command.from_states(CommandEvent.RECALLED)
    ),
    K.WITHDRAW: _withdraw,
    K.PUT_IN_FORCE: _nothing,
    K.RETIRE: _change_generations(GenerationEvent.RETIRED),
    K.RETRUST: _change_generations(GenerationEvent.RETRUSTED),
    K.ERASE: lambda world, one, what: _all(world, lambda kept, index: kept._replace(erase=bool(kept.state))),
    K.DESTROY: _change_generations(GenerationEvent.DESTROYED),
}
