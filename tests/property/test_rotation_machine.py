"""The pure rotation core against a model of endpoints that do whatever they like.

Whatever operators, endpoints, restores and time do, in any order: nobody who was not waived is refused before it has
moved (I2), a password is never set under anybody (I7), nothing is destroyed before it was refused for the hold, and
nothing at all is taken away while the server is known to have gone back in time.
"""

from collections import Counter

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule
from msgspec.structs import replace

from keyfast.core import command
from keyfast.core.command import CommandEvent, CommandState
from keyfast.core.rotation import TABLE, due, observe, step, why_not
from keyfast.core.rotation_effects import DESTRUCTIVE, EffectKind
from keyfast.core.rotation_evidence import BACK, Count, Evidence
from keyfast.core.rotation_plan import Holds, Kind, Plan, Waves, cuts
from keyfast.core.rotation_state import ENDED, OFFERING, Facts, Rotation, RotationEvent, RotationState
from keyfast.errors import ConflictError

C, E, K, S = CommandState, RotationEvent, EffectKind, RotationState
NUMBER = 8
HOLD = 100
RESULTS = {
    C.QUEUED: (CommandEvent.OFFERED,),
    C.OFFERED: (CommandEvent.RECEIVED, CommandEvent.PROVEN, CommandEvent.APPLIED, CommandEvent.FAILED),
    C.RECEIVED: (CommandEvent.PROVEN, CommandEvent.EXPIRED),
    C.PROVEN: (CommandEvent.REVERTED,),
    C.APPLIED: (CommandEvent.VERIFIED, CommandEvent.REVERTED),
}
ORDERS = [E.STARTED, E.RETIRED, E.RETRUSTED, E.FINISHED, E.ROLLED_BACK, E.HASTENED, E.ABANDONED]


class RotationMachine(RuleBasedStateMachine):
    """Endpoints by number; what each has is ``forward`` or ``back`` command states."""

    @initialize(
        hasty=st.booleans(),
        users=st.integers(0, 1),
        sets=st.booleans(),
        rounds=st.integers(0, 6),
        away=st.frozensets(st.integers(1, NUMBER - 1)),
    )
    def begin(self, hasty: bool, users: int, sets: bool, rounds: int, away: frozenset[int]) -> None:
        """Some examples begin late in a rotation, so that the later phases are met, and some at its beginning."""
        plan = Plan(
            Kind.PASSWORD,
            mode="windows",
            source="C\\a",
            target="C\\b",
            sets_password=sets,
            hasty=hasty,
            waves=Waves(canary_most=1, percents=(50.0,), soak_s=HOLD, restart_proof=False),
            holds=Holds(HOLD, HOLD, HOLD, 0),
        )
        self.rotation, self.now = Rotation(plan, approvals=("a",)), 1000
        self.forward: dict[int, tuple[int, CommandState]] = {}
        self.back: dict[int, CommandState] = {}
        self.users, self.restored, self.todo = users, 0, []
        self.new = 0
        self.away = set(away)
        self.refused_at = 0
        if rounds:
            self.happen(E.STARTED)
            self.usual_course(rounds)

    def evidence(self) -> Evidence:
        found = Counter(self.forward.values()) + Counter((BACK, state) for state in self.back.values())
        here = {number: each for number, each in self.forward.items() if number not in self.away}
        released = [state for wave, state in here.values() if wave <= self.rotation.wave]
        ended = {C.APPLIED, C.VERIFIED, C.WAIVED, C.SUPERSEDED}
        return Evidence(
            counts=tuple(Count(wave, state, number) for (wave, state), number in found.items()),
            pending=len(self.todo),
            waited_for=sum(state not in ended for state in released),
            uncovered=self.new,
            users=self.users,
            restored_at=self.restored,
        )

    def happen(self, event: RotationEvent) -> None:
        if (self.rotation.state, event) not in TABLE:
            return
        before = self.rotation
        evidence = self.evidence()
        try:
            self.rotation, acts = step(before, event, evidence, self.now, by="x", reason="r")
        except ConflictError:
            assert why_not(before, event, evidence, self.now)
            return
        kinds = {act.kind for act in acts}
        if K.SET_PASSWORD in kinds:
            assert self.users == 0
        if kinds & DESTRUCTIVE:
            assert not self.restored
        if event is E.RETIRED:
            moved = {C.APPLIED, C.VERIFIED, C.WAIVED, C.SUPERSEDED}
            assert all(state in moved for _, state in self.forward.values())
            assert not self.new
            self.refused_at = self.now
        if K.DESTROY in kinds:
            assert before.state is S.REFUSED
            assert self.now >= self.refused_at + HOLD
        self.todo += acts

    @rule(
        event=st.sampled_from([E.STARTED, E.RETIRED, E.RETRUSTED, E.FINISHED, E.ROLLED_BACK, E.HASTENED, E.ABANDONED])
    )
    def operate(self, event: RotationEvent) -> None:
        self.happen(event)

    @rule(event=st.sampled_from([E.PAUSED, E.RESUMED]))
    def hold_or_go_on(self, event: RotationEvent) -> None:
        self.happen(event)

    @rule()
    def run(self) -> None:
        """The runner: everything that is left to do, then what happens by itself."""
        while self.todo:
            self.perform(self.todo.pop(0))
        evidence = self.evidence()
        self.rotation = observe(self.rotation, evidence, self.now)
        found = due(self.rotation, evidence, self.now)
        if found is not None:
            self.happen(found[0])

    def perform(self, act: object) -> None:
        kind, document = act.kind, act.document  # type: ignore[attr-defined]
        facts = self.rotation.facts
        if kind is K.VERIFY_ACCOUNT:
            self.rotation = replace(self.rotation, facts=replace(facts, generation=2))
        elif kind is K.PLAN_TARGETS:
            total = NUMBER if not self.forward else len(self.forward) + self.new
            steps = cuts(self.rotation.plan, NUMBER)
            for number in range(len(self.forward), total):
                wave = next((place for place, cut in enumerate(steps, 1) if number < cut), len(steps))
                self.forward[number] = (wave, C.PLANNED)
            self.new = 0
            self.rotation = replace(self.rotation, facts=replace(facts, targets=total, waves=len(steps)))
        elif kind is K.RELEASE_WAVE and document["wave"] == BACK:
            self.back = {number: C.QUEUED if s is C.PLANNED else s for number, s in self.back.items()}
        elif kind is K.RELEASE_WAVE and not self.rotation.paused and self.rotation.state is not S.ROLLING_BACK:
            self.change(CommandEvent.RELEASED, {C.PLANNED}, upto=document["wave"])
        elif kind is K.RECALL:
            self.change(CommandEvent.RECALLED, {C.QUEUED})
        elif kind is K.RETRY:
            self.change(CommandEvent.RELEASED, {C.FAILED, C.REVERTED, C.EXPIRED})
        elif kind is K.WITHDRAW:
            self.change(CommandEvent.SUPERSEDED, {C.PLANNED, C.QUEUED})
        elif kind is K.PLAN_BACK:
            stayed = {C.FAILED, C.REVERTED, C.SUPERSEDED}
            self.back = {number: C.PLANNED for number, (_, state) in self.forward.items() if state not in stayed}

    def change(self, event: CommandEvent, states: set[CommandState], upto: int = 99) -> None:
        for number, (wave, state) in self.forward.items():
            if state in states and wave <= upto:
                self.forward[number] = (wave, command.step(state, event))

    @rule(number=st.integers(0, NUMBER - 1), choice=st.integers(0, 3))
    def an_endpoint_acts(self, number: int, choice: int) -> None:
        if number in self.back and self.back[number] in RESULTS:
            events = RESULTS[self.back[number]]
            self.back[number] = command.step(self.back[number], events[choice % len(events)])
        elif number in self.forward and self.forward[number][1] in RESULTS:
            wave, state = self.forward[number]
            events = RESULTS[state]
            self.forward[number] = (wave, command.step(state, events[choice % len(events)]))

    @rule(rounds=st.integers(1, 6))
    def usual_course(self, rounds: int) -> None:
        """Time passes, everybody who is there moves, the runner runs: so the later phases are met often."""
        for _ in range(rounds):
            self.run()
            for number, (wave, state) in self.forward.items():
                if number not in self.away and state in {C.QUEUED, C.OFFERED, C.RECEIVED, C.PROVEN, C.APPLIED}:
                    self.forward[number] = (wave, C.VERIFIED)
            self.back = {number: C.VERIFIED if s is not C.PLANNED else s for number, s in self.back.items()}
            self.now += HOLD
            self.run()

    @rule(number=st.integers(0, NUMBER - 1))
    def goes_away_or_comes_back(self, number: int) -> None:
        """Switched off for long: nobody waits for it while others move."""
        self.away ^= {number}

    @rule()
    def retire(self) -> None:
        """The step that can strand is tried often."""
        self.happen(E.RETIRED)

    @rule()
    def finish(self) -> None:
        """The step that cannot be taken back, too."""
        self.happen(E.FINISHED)

    @rule(number=st.integers(0, NUMBER - 1))
    def waive(self, number: int) -> None:
        if number in self.forward and self.forward[number][1] in command.from_states(CommandEvent.WAIVED):
            self.forward[number] = (self.forward[number][0], C.WAIVED)

    @rule(seconds=st.sampled_from([1, HOLD, 10 * HOLD]))
    def time_passes(self, seconds: int) -> None:
        self.now += seconds

    @rule(restored=st.booleans())
    def restore(self, restored: bool) -> None:
        self.restored = self.now if restored else 0

    @rule()
    def somebody_joins(self) -> None:
        if self.forward:
            self.new += 1

    @invariant()
    def a_wave_that_was_not_released_is_untouched(self) -> None:
        if self.rotation.state in OFFERING:
            assert all(
                state in {C.PLANNED, C.WAIVED} for wave, state in self.forward.values() if wave > self.rotation.wave
            )

    @invariant()
    def an_end_is_an_end(self) -> None:
        if self.rotation.state in ENDED:
            assert not {state for state, _ in TABLE if state is self.rotation.state}

    @invariant()
    def facts_are_facts(self) -> None:
        assert isinstance(self.rotation.facts, Facts)


RotationMachine.TestCase.settings = settings(max_examples=200, stateful_step_count=50, deadline=None)
TestRotationMachine = RotationMachine.TestCase
