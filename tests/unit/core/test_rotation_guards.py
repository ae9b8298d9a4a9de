"""Each guard and each reason to pause, hit and nearly missed."""

import pytest
from msgspec.structs import replace

from keyfast.core import rotation_guards as g
from keyfast.core import rotation_pauses as p
from keyfast.core.command import CommandState as C
from keyfast.core.generation import GenerationState
from keyfast.core.rotation_evidence import BACK, Count, Evidence, Tolerated
from keyfast.core.rotation_plan import Holds, Kind, Limits, Plan, Waves, cuts, portion
from keyfast.core.rotation_state import Facts, Rotation, RotationEvent, RotationState

S = RotationState
NOW = 1_800_000_000
PLAN = Plan(
    Kind.PASSWORD,
    mode="windows",
    source="CORP\\a",
    target="CORP\\b",
    sets_password=True,
    approvals=2,
    waves=Waves(soak_s=100),
    holds=Holds(publish_s=100, drain_s=100, refused_s=100, backup_s=100),
)
OAUTH = replace(PLAN, kind=Kind.OAUTH, mode="oauth", target="", sets_password=False)
TOKEN = replace(PLAN, kind=Kind.TOKEN_KEY, mode="", source="", target="", sets_password=False)
RECOVERY = replace(PLAN, kind=Kind.RECOVERY, sets_password=False)


def made(state=S.ROLLING, plan=PLAN, **changes):
    return replace(Rotation(plan, state, since=NOW - 100, approvals=("a", "b"), wave=1, wave_at=NOW - 100), **changes)


def many(*found):
    return Evidence(counts=tuple(Count(*each) for each in found))


# guard, what stands against it, what just does not
CASES = [
    (g.approved, (made(approvals=("a", "a")), Evidence()), (made(), Evidence())),
    (g.alone, (made(), Evidence(others=("r1",))), (made(), Evidence())),
    (g.account_unused, (made(), Evidence(users=1)), (made(), Evidence())),
    (g.account_unused, (made(), Evidence(users=1)), (made(plan=OAUTH), Evidence(users=1))),
    (g.account_settled, (made(), Evidence(holders=("r1",))), (made(), Evidence())),
    (g.account_settled, (made(), Evidence(holders=("r1",))), (made(plan=OAUTH), Evidence(holders=("r1",)))),
    (g.effects_done, (made(), Evidence(pending=1)), (made(), Evidence())),
    (g.account_sound, (made(), Evidence(account_faults=("it is locked",))), (made(), Evidence())),
    (g.account_sound, (made(), Evidence(account_faults=("x",))), (made(plan=OAUTH), Evidence(account_faults=("x",)))),
    (g.generation_known, (made(), Evidence()), (made(facts=Facts(generation=1)), Evidence())),
    (g.generation_known, (made(), Evidence()), (made(plan=OAUTH), Evidence())),
    (g.nodes_agree, (made(), Evidence(nodes_behind=("b lacks it",))), (made(), Evidence())),
    (g.profile_signed, (made(plan=OAUTH), Evidence()), (made(plan=OAUTH, facts=Facts(profile_seq=1)), Evidence())),
    (g.profile_signed, (made(plan=OAUTH), Evidence()), (made(), Evidence())),
    (g.somebody_to_move, (made(), Evidence()), (made(facts=Facts(targets=1)), Evidence())),
    (g.somebody_to_move, (made(), Evidence()), (made(plan=TOKEN), Evidence())),
    (g.key_published, (made(plan=TOKEN), Evidence()), (made(), Evidence())),
    (
        g.key_published,
        (made(plan=TOKEN), Evidence(next_key_at=NOW - 99)),
        (made(plan=TOKEN), Evidence(next_key_at=NOW - 100)),
    ),
    (g.only_emergencies, (made(), Evidence()), (made(plan=RECOVERY), Evidence())),
    (g.only_emergencies, (made(), Evidence()), (made(plan=replace(PLAN, hasty=True)), Evidence())),
    (g.only_by_waves, (made(plan=RECOVERY), Evidence()), (made(), Evidence())),
    (g.not_paused, (made(paused="x"), Evidence()), (made(), Evidence())),
    (g.is_paused, (made(), Evidence()), (made(paused="x"), Evidence())),
    (g.wave_released, (made(), many((1, C.PLANNED, 1))), (made(), many((2, C.PLANNED, 1), (1, C.QUEUED, 1)))),
    (g.wave_moved, (made(), Evidence(waited_for=1)), (made(), Evidence())),
    (g.wave_proven, (made(), many((1, C.PROVEN, 5))), (made(), many((1, C.APPLIED, 1)))),
    (g.wave_proven, (made(S.CANARY), many((1, C.APPLIED, 5))), (made(S.CANARY), many((1, C.VERIFIED, 1)))),
    (
        g.wave_proven,
        (made(S.CANARY), Evidence()),
        (made(S.CANARY, replace(PLAN, waves=Waves(restart_proof=False))), many((1, C.APPLIED, 1))),
    ),
    (g.wave_proven, (made(), Evidence()), (made(plan=TOKEN), Evidence())),
    (
        g.generation_still_proven,
        (made(), Evidence(handed_out=GenerationState.IN_QUESTION)),
        (made(), Evidence(handed_out=GenerationState.PROVEN)),
    ),
    (g.generation_still_proven, (made(), Evidence(handed_out=GenerationState.REFUSED)), (made(), Evidence())),
    (g.soaked, (made(wave_at=NOW - 99), Evidence()), (made(), Evidence())),
    (g.soaked, (made(wave_at=NOW), Evidence()), (made(plan=TOKEN, wave_at=NOW), Evidence())),
    (g.waves_left, (made(facts=Facts(waves=1)), Evidence()), (made(facts=Facts(waves=2)), Evidence())),
    (g.last_wave, (made(facts=Facts(waves=2)), Evidence()), (made(facts=Facts(waves=1)), Evidence())),
    (g.somebody_new, (made(), Evidence()), (made(), Evidence(uncovered=1))),
    (g.epoch_is_new, (made(), Evidence(epoch=2)), (made(facts=Facts(profile_epoch=1)), Evidence(epoch=2))),
    (
        g.epoch_is_new,
        (made(facts=Facts(profile_epoch=2)), Evidence(epoch=2)),
        (made(facts=Facts(profile_epoch=1)), Evidence(epoch=2)),
    ),
    (g.retires_something, (made(plan=RECOVERY), Evidence()), (made(), Evidence())),
    (g.retires_nothing, (made(), Evidence()), (made(plan=TOKEN), Evidence())),
    (
        g.everyone_moved,
        (made(), many((1, C.APPLIED, 9), (2, C.PROVEN, 1))),
        (made(), many((1, C.APPLIED, 9), (2, C.WAIVED, 1), (2, C.SUPERSEDED, 1), (BACK, C.QUEUED, 1))),
    ),
    (g.everyone_verified, (made(), many((1, C.APPLIED, 1))), (made(), many((1, C.VERIFIED, 1), (1, C.WAIVED, 1)))),
    (g.everyone_covered, (made(), Evidence(uncovered=1)), (made(), Evidence())),
    (g.drained, (made(moved_at=NOW - 99), Evidence()), (made(moved_at=NOW - 100), Evidence())),
    (g.drained, (made(since=NOW - 99), Evidence()), (made(), Evidence())),
    (g.drained, (made(facts=Facts(longest_gap_s=51)), Evidence()), (made(facts=Facts(longest_gap_s=50)), Evidence())),
    (g.drained, (made(plan=TOKEN, since=NOW - 99), Evidence()), (made(plan=TOKEN), Evidence())),
    (g.held, (made(since=NOW - 99), Evidence()), (made(), Evidence())),
    (g.backups_newer, (made(moved_at=NOW - 99), Evidence()), (made(moved_at=NOW - 100), Evidence())),
    (g.not_restored, (made(), Evidence(restored_at=1)), (made(), Evidence())),
    (g.everyone_back, (made(), many((BACK, C.PROVEN, 1))), (made(), many((BACK, C.APPLIED, 1), (1, C.PROVEN, 1)))),
    (g.can_go_back, (made(plan=RECOVERY), Evidence()), (made(), Evidence())),
    (g.can_go_back, (made(plan=TOKEN), Evidence()), (made(plan=OAUTH), Evidence())),
]


@pytest.mark.parametrize(("guard", "against", "clear"), CASES, ids=lambda case: getattr(case, "__name__", ""))
def test_a_guard_says_why_not_and_just_lets_through(guard, against, clear):
    sentence = guard(*against, NOW)
    assert isinstance(sentence, str)
    assert sentence
    assert guard(*clear, NOW) is None


def test_every_guard_is_used_and_tried():
    used = {guard for guards in g.GUARDS.values() for guard in guards}
    assert used == {case[0] for case in CASES}


@pytest.mark.parametrize("state", [S.EMERGENCY, S.DRAINING])
def test_the_old_access_is_not_refused_while_the_new_account_is_not_sound(state):
    asked = g.GUARDS[state, RotationEvent.RETIRED]
    for unsound in (Evidence(account_faults=("it is locked",)), Evidence(handed_out=GenerationState.IN_QUESTION)):
        assert any(guard(made(state), unsound, NOW) for guard in asked if guard in {*g.SOUND})


def test_what_stands_in_the_way_of_an_act_is_told():
    assert g.effects_done(made(), Evidence(pending=2, trouble="dc1 is down"), NOW) == "dc1 is down"
    assert g.effects_done(made(), Evidence(pending=2), NOW) == "2 decided acts are not done yet"


@pytest.mark.parametrize(
    ("hold", "told"), [(100, "100 s, 100 s more"), (7200, "2 h, 2 h more"), (200000, "2 d, 2 d more"), (120, "2 min")]
)
def test_holds_are_told_as_people_say_them(hold, told):
    plan = replace(PLAN, holds=replace(PLAN.holds, refused_s=hold))
    assert told in g.held(made(plan=plan, since=NOW), Evidence(), NOW)


LIMITS = replace(PLAN, limits=Limits(failure_percent=10, reverts=1, bad_passwords=5, silent_percent=10))
PAUSES = [
    *(
        (p.outdated, Evidence(handed_out=state), Evidence(handed_out=GenerationState.IN_QUESTION), {})
        for state in (GenerationState.REFUSED, GenerationState.RETIRED, GenerationState.DESTROYED)
    ),
    (p.failing, many((1, C.FAILED, 2), (1, C.APPLIED, 17)), many((1, C.FAILED, 2), (1, C.APPLIED, 18)), {}),
    (p.failing, many((1, C.FAILED, 3)), many((1, C.FAILED, 2)), {"tolerated": Tolerated(failed=2)}),
    (p.reverting, many((1, C.REVERTED, 2)), many((1, C.REVERTED, 1)), {}),
    (p.reverting, many((1, C.REVERTED, 4)), many((1, C.REVERTED, 3)), {"tolerated": Tolerated(reverted=2)}),
    (p.guessing, Evidence(bad_passwords=9), Evidence(bad_passwords=8), {"started_bad": 3}),
    (p.guessing, Evidence(bad_passwords=13), Evidence(bad_passwords=12), {"tolerated": Tolerated(bad_passwords=7)}),
    (
        p.silencing,
        replace(many((1, C.OFFERED, 10)), silent=2),
        replace(many((1, C.OFFERED, 10)), silent=1),
        {},
    ),
    (
        p.silencing,
        replace(many((1, C.APPLIED, 10)), silent=4),
        replace(many((1, C.APPLIED, 10)), silent=2),
        {"tolerated": Tolerated(silent=2)},
    ),
]


@pytest.mark.parametrize(("pause", "hit", "miss", "changes"), PAUSES)
def test_a_reason_to_pause_hits_and_nearly_misses(pause, hit, miss, changes):
    rotation = made(plan=LIMITS, **changes)
    assert pause(rotation, hit)
    assert p.reason_to_pause(rotation, hit)
    assert pause(rotation, miss) is None


def test_in_an_emergency_silence_and_wrong_passwords_are_expected():
    evidence = Evidence(bad_passwords=1000, silent=1000)
    assert p.reason_to_pause(made(S.EMERGENCY), evidence) == ""
    assert p.reason_to_pause(made(S.ROLLING), evidence) != ""


@pytest.mark.parametrize(
    ("targets", "expected"),
    [
        (0, ()),
        (1, (1,)),
        (2, (1, 2)),
        (10, (1, 2, 10)),
        (100, (1, 5, 20, 100)),
        (1000, (10, 50, 200, 1000)),
        (1_000_000, (50, 50_000, 200_000, 1_000_000)),
    ],
)
def test_waves_grow_from_a_few_to_all(targets, expected):
    assert cuts(PLAN, targets) == expected


def test_an_emergency_has_one_wave():
    assert cuts(RECOVERY, 1000) == (1000,)
    assert cuts(replace(PLAN, waves=Waves(canary_most=0, percents=(100.0, 50.0))), 10) == (1, 5, 10)


@pytest.mark.parametrize(
    ("rate", "elapsed", "chance", "expected"),
    [(60, 1, 1, 1), (60, 0.5, 1, 0), (60, -5, 1, 0), (60, 600, 1, 60), (60, 60, 0, 30), (1, 60, 0, 1), (1, 30, 1, 0)],
)
def test_a_portion_is_never_more_than_the_rate_allows(rate, elapsed, chance, expected):
    assert portion(rate, elapsed, chance) == expected


def test_what_a_plan_is():
    assert (OAUTH.from_mode, OAUTH.own_profile, OAUTH.uses_account) == ("windows", True, False)
    assert Plan(Kind.ADDRESS, mode="oauth").from_mode == "oauth"
    assert Plan(Kind.ADDRESS, mode="oauth").own_profile
    assert not PLAN.own_profile
    assert not TOKEN.own_profile
