"""The rotation's table and steps, generated over every phase and event."""

import itertools

import pytest
from msgspec.structs import replace

from keyfast.core import rotation as lifecycle
from keyfast.core.command import CommandState as C
from keyfast.core.rotation import BY_ITSELF, TABLE, due, observe, step, why_not
from keyfast.core.rotation_effects import DESTRUCTIVE, LASTING, EffectKind
from keyfast.core.rotation_evidence import BACK, Count, Evidence, Tolerated
from keyfast.core.rotation_guards import GUARDS
from keyfast.core.rotation_plan import Holds, Kind, Plan, Waves
from keyfast.core.rotation_state import (
    ENDED,
    EXCLUSIVE,
    IN_EFFECT,
    OFFERING,
    Facts,
    Rotation,
    RotationEvent,
    RotationState,
)
from keyfast.errors import ConflictError, TransitionError

S, E, K = RotationState, RotationEvent, EffectKind
NOW = 1_800_000_000
LONG_AGO = NOW - 10**9

PLANS = {
    Kind.ACCOUNT: Plan(Kind.ACCOUNT, mode="windows", source="CORP\\a", target="CORP\\b"),
    Kind.PASSWORD: Plan(Kind.PASSWORD, mode="windows", source="CORP\\a", target="CORP\\b", sets_password=True),
    Kind.OAUTH: Plan(Kind.OAUTH, mode="oauth", source="CORP\\a"),
    Kind.ADDRESS: Plan(Kind.ADDRESS, mode="oauth", urls=("https://new.example",)),
    Kind.TOKEN_KEY: Plan(Kind.TOKEN_KEY),
    Kind.RECOVERY: Plan(Kind.RECOVERY, mode="windows", source="CORP\\a", target="CORP\\a"),
}


def counts(*found: tuple[int, C, int]) -> tuple[Count, ...]:
    return tuple(Count(*each) for each in found)


ALL_VERIFIED = Evidence(counts=counts((1, C.VERIFIED, 2), (2, C.VERIFIED, 8)), next_key_at=LONG_AGO, uncovered=0)


def rotation(kind: Kind, state: RotationState, **changes: object) -> Rotation:
    """One that everything is ready for."""
    plan = PLANS[kind]
    facts = Facts(targets=10, waves=1 if plan.at_once else 2, profile_seq=7, profile_epoch=1, generation=3)
    if kind is Kind.TOKEN_KEY:
        facts = Facts()
    made = Rotation(
        plan, state, since=LONG_AGO, approvals=("a",), wave=2, wave_at=LONG_AGO, moved_at=LONG_AGO, facts=facts
    )
    return replace(made, **({"moved_at": LONG_AGO} | changes))


def ready(kind: Kind, state: RotationState, event: RotationEvent) -> tuple[Rotation, Evidence]:
    """A rotation and evidence with which nothing stands against ``event``, wherever that is possible."""
    found, evidence = rotation(kind, state), ALL_VERIFIED
    if event is E.RESUMED:
        found = replace(found, paused="because")
    if event is E.WIDENED:
        found = replace(found, wave=1)
    if event is E.EXTENDED:
        evidence = replace(evidence, uncovered=1)
    if event is E.SIGNED_ANEW:
        evidence = replace(evidence, epoch=2)
    if event is E.HASTENED and state is S.PREPARED and not found.plan.at_once:
        found = replace(found, plan=replace(found.plan, hasty=True))
    return found, evidence


@pytest.mark.parametrize(("state", "event"), list(itertools.product(S, E)))
def test_every_cell_is_either_listed_or_raises(state, event):
    found, evidence = ready(Kind.ACCOUNT, state, event)
    if (state, event) not in TABLE:
        with pytest.raises(TransitionError, match=f"rotation in state '{state}' cannot be '{event}'"):
            step(found, event, evidence, NOW)
    elif (state, event) == (S.DRAINING, E.FINISHED):
        with pytest.raises(ConflictError, match="must be refused first"):
            step(found, event, evidence, NOW)
    else:
        after, _ = step(found, event, evidence, NOW, by="b", reason="why")
        assert after.state is TABLE[state, event]
        assert after.since == (LONG_AGO if after.state is state else NOW)


def test_every_guarded_step_is_in_the_table_and_every_phase_is_reached():
    assert set(GUARDS) <= set(TABLE)
    assert {S.DRAFT, *TABLE.values()} == set(S)
    assert not ENDED & {state for state, _ in TABLE}
    assert OFFERING < EXCLUSIVE
    assert OFFERING < IN_EFFECT


def test_nothing_is_taken_away_by_itself():
    for events in BY_ITSELF.values():
        assert not {E.RETIRED, E.FINISHED, E.ROLLED_BACK, E.STARTED} & set(events)


def test_whatever_takes_away_asks_whether_the_server_went_back():
    for (state, event), after in TABLE.items():
        found, evidence = ready(Kind.ACCOUNT, state, event)
        if event in {E.RETIRED, E.FINISHED}:
            assert any("restored" in reason for reason in why_not(found, event, replace(evidence, restored_at=1), NOW))
        elif not why_not(found, event, evidence, NOW):
            assert not DESTRUCTIVE & {act.kind for act in step(found, event, evidence, NOW)[1]}, (state, event, after)


def acts(kind, state, event):
    found, evidence = ready(kind, state, event)
    return [act.kind for act in step(found, event, evidence, NOW)[1]]


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        (Kind.ACCOUNT, [K.VERIFY_ACCOUNT, K.PLAN_TARGETS]),
        (Kind.PASSWORD, [K.SET_PASSWORD, K.VERIFY_ACCOUNT, K.PLAN_TARGETS]),
        (Kind.OAUTH, [K.OPEN_MODE, K.SIGN_PROFILE, K.PLAN_TARGETS]),
        (Kind.ADDRESS, [K.SIGN_PROFILE, K.PLAN_TARGETS]),
        (Kind.TOKEN_KEY, []),
        (Kind.RECOVERY, [K.VERIFY_ACCOUNT, K.PLAN_TARGETS]),
    ],
)
def test_what_a_start_prepares(kind, expected):
    assert acts(kind, S.DRAFT, E.STARTED) == expected


@pytest.mark.parametrize(
    ("kind", "state", "event", "expected"),
    [
        (Kind.ACCOUNT, S.TRUSTED, E.OFFERED, [K.RELEASE_WAVE]),
        (Kind.TOKEN_KEY, S.TRUSTED, E.OFFERED, [K.ROTATE_KEY]),
        (Kind.ACCOUNT, S.CANARY, E.WIDENED, [K.RELEASE_WAVE]),
        (Kind.RECOVERY, S.PREPARED, E.HASTENED, [K.RELEASE_WAVE]),
        (Kind.ACCOUNT, S.ROLLING, E.CONVERGED, []),
        (Kind.OAUTH, S.ROLLING, E.CONVERGED, [K.PUT_IN_FORCE]),
        (Kind.ACCOUNT, S.DRAINING, E.EXTENDED, [K.PLAN_TARGETS, K.RELEASE_WAVE]),
        (Kind.OAUTH, S.ROLLING, E.SIGNED_ANEW, [K.SIGN_PROFILE]),
        (Kind.OAUTH, S.REFUSED, E.SIGNED_ANEW, [K.SIGN_PROFILE, K.PUT_IN_FORCE]),
        (Kind.ACCOUNT, S.ROLLING, E.PAUSED, [K.RECALL]),
        (Kind.ACCOUNT, S.ROLLING, E.RESUMED, [K.VERIFY_ACCOUNT, K.RETRY, K.RELEASE_WAVE]),
        (Kind.OAUTH, S.ROLLING, E.RESUMED, [K.RETRY, K.RELEASE_WAVE]),
        (Kind.ACCOUNT, S.DRAINING, E.RETIRED, [K.RETIRE]),
        (Kind.ACCOUNT, S.REFUSED, E.RETRUSTED, [K.RETRUST]),
        (Kind.ACCOUNT, S.REFUSED, E.FINISHED, [K.ERASE, K.DESTROY]),
        (Kind.ADDRESS, S.REFUSED, E.FINISHED, [K.ERASE]),
        (Kind.RECOVERY, S.DRAINING, E.FINISHED, [K.ERASE]),
        (Kind.TOKEN_KEY, S.DRAINING, E.FINISHED, []),
        (Kind.ACCOUNT, S.ROLLING, E.ROLLED_BACK, [K.WITHDRAW, K.PLAN_BACK, K.RELEASE_WAVE]),
        (
            Kind.OAUTH,
            S.REFUSED,
            E.ROLLED_BACK,
            [K.RETRUST, K.WITHDRAW, K.SIGN_PROFILE, K.PUT_IN_FORCE, K.PLAN_BACK, K.RELEASE_WAVE],
        ),
        (Kind.ACCOUNT, S.TRUSTED, E.ABANDONED, [K.WITHDRAW]),
        (Kind.ACCOUNT, S.DRAFT, E.ABANDONED, []),
        (Kind.ACCOUNT, S.ROLLING_BACK, E.RETURNED, []),
    ],
)
def test_what_a_step_decides_to_do(kind, state, event, expected):
    assert acts(kind, state, event) == expected
    assert {K.RELEASE_WAVE} == LASTING


def test_what_is_retired_is_an_account_or_a_mode_or_an_address():
    def document(plan):
        found = replace(rotation(Kind.ACCOUNT, S.DRAINING), plan=plan)
        return dict(step(found, E.RETIRED, ALL_VERIFIED, NOW)[1][0].document)

    assert document(PLANS[Kind.ACCOUNT]) == {"account": "CORP\\a"}
    assert document(replace(PLANS[Kind.OAUTH], source="", ring="r")) == {"mode": "windows", "ring": "r"}
    assert document(PLANS[Kind.ADDRESS]) == {"urls": True}


def test_approvals_are_collected_once_for_each_name():
    found = replace(rotation(Kind.ACCOUNT, S.DRAFT), plan=replace(PLANS[Kind.ACCOUNT], approvals=2))
    again, _ = step(found, E.APPROVED, ALL_VERIFIED, NOW, by="a")
    with pytest.raises(ConflictError, match="1 more must approve it"):
        step(again, E.STARTED, ALL_VERIFIED, NOW)
    both, _ = step(again, E.APPROVED, ALL_VERIFIED, NOW, by="b")
    assert both.approvals == ("a", "b")
    assert step(both, E.STARTED, ALL_VERIFIED, NOW)[0].state is S.PREPARED


def test_waves_are_counted_and_a_pause_leaves_its_reason():
    offered, _ = step(rotation(Kind.ACCOUNT, S.TRUSTED, wave=0), E.OFFERED, replace(ALL_VERIFIED, bad_passwords=4), NOW)
    assert (offered.wave, offered.wave_at, offered.started_bad) == (1, NOW, 4)
    widened, _ = step(replace(offered, wave_at=LONG_AGO), E.WIDENED, ALL_VERIFIED, NOW)
    assert widened.wave == 2
    paused, _ = step(widened, E.PAUSED, ALL_VERIFIED, NOW, reason="it smells")
    assert paused.paused == "it smells"
    evidence = Evidence(counts=counts((1, C.FAILED, 1), (2, C.REVERTED, 2)), bad_passwords=9, silent=3)
    resumed, _ = step(paused, E.RESUMED, evidence, NOW)
    assert (resumed.paused, resumed.tolerated) == ("", Tolerated(1, 2, 9, 3))
    back, _ = step(paused, E.ROLLED_BACK, ALL_VERIFIED, NOW)
    assert back.paused == ""
    hastened, _ = step(rotation(Kind.ACCOUNT, S.CANARY, wave=1), E.HASTENED, ALL_VERIFIED, NOW)
    assert hastened.wave == 2


@pytest.mark.parametrize(
    ("kind", "path"),
    [
        (Kind.ACCOUNT, [S.TRUSTED, S.CANARY, S.ROLLING, S.DRAINING]),
        (Kind.OAUTH, [S.TRUSTED, S.CANARY, S.ROLLING, S.DRAINING]),
        (Kind.TOKEN_KEY, [S.TRUSTED, S.CANARY, S.DRAINING]),
        (Kind.RECOVERY, [S.EMERGENCY, S.DRAINING]),
    ],
)
def test_what_happens_by_itself(kind, path):
    found, seen, now = rotation(kind, S.PREPARED, wave=0), [], NOW
    while (happening := due(found, ALL_VERIFIED, now)) is not None:
        found, _ = step(found, happening[0], ALL_VERIFIED, now)
        seen.append(found.state)
        now += 10**6
    assert seen == path


def test_a_rotation_back_ends_when_everyone_is_back():
    found = rotation(Kind.ACCOUNT, S.ROLLING_BACK)
    waiting = replace(ALL_VERIFIED, counts=counts((BACK, C.OFFERED, 1), (BACK, C.VERIFIED, 1), (BACK, C.WAIVED, 1)))
    assert due(found, waiting, NOW) is None
    assert why_not(found, E.RETURNED, waiting, NOW) == ("1 endpoints have not come back and were not waived",)
    assert due(found, replace(waiting, counts=counts((BACK, C.APPLIED, 2))), NOW) == (E.RETURNED, "")


def test_a_paused_rotation_does_nothing_by_itself():
    assert due(rotation(Kind.ACCOUNT, S.ROLLING, paused="x"), ALL_VERIFIED, NOW) is None
    assert due(rotation(Kind.ACCOUNT, S.DRAFT), ALL_VERIFIED, NOW) is None


def test_trouble_pauses_before_anything_else():
    evidence = replace(ALL_VERIFIED, counts=(*ALL_VERIFIED.counts, Count(1, C.REVERTED, 1)))
    assert due(rotation(Kind.ACCOUNT, S.ROLLING), evidence, NOW) == (E.PAUSED, "1 endpoints went back by themselves")


def test_the_last_move_is_dated():
    found = rotation(Kind.ACCOUNT, S.DRAINING)
    seen = observe(found, ALL_VERIFIED, NOW)
    assert (seen.moved, seen.moved_at) == (10, NOW)
    assert observe(seen, ALL_VERIFIED, NOW + 5) is seen


def test_sizes_are_of_the_plan():
    assert Holds().drain_s == 30 * 86400
    assert Waves().canary_most == 50
    assert lifecycle.TABLE is TABLE
