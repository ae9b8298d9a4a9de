import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from keyfast.core.account import DAY, AccountEventKind, Built
from keyfast.core.account_events import events, remembered
from keyfast.core.directory import AccountReading, Unreachable

K = AccountEventKind
NOW = 1_800_000_000
TICKS = 10_000_000
GOOD = AccountReading(
    server="dc1",
    read_at=NOW,
    exists=True,
    name="svc-see",
    password_stamp=(NOW - 90 * DAY + 11_644_473_600) * TICKS,
    password_set_at=NOW - 90 * DAY,
    never_expires=True,
)
NEW = replace(GOOD, password_stamp=(NOW + 11_644_473_600) * TICKS, password_set_at=NOW)
BUILT = (Built("P1", 1, GOOD.password_stamp, 500, NOW - DAY),)
DARK = Unreachable("dc1", NOW, "it cannot be reached")


class Watch:
    """What a watch does: each round judged against what was remembered of those before."""

    def __init__(self, built=()):
        self.before = ()
        self.built = built

    def round(self, *after, now=NOW):
        told = events("svc-see", self.before, after, now, built=self.built)
        self.before = remembered(self.before, after)
        return told

    def kinds(self, *after, now=NOW):
        return [event.kind for event in self.round(*after, now=now)]


STATES = {
    K.DISABLED: replace(GOOD, disabled=True),
    K.LOCKED: replace(GOOD, locked=True),
    K.MISSING: AccountReading("dc1", NOW, exists=False),
    K.EXPIRED: replace(GOOD, password_expired=True),
    K.MUST_CHANGE: replace(GOOD, must_change=True, password_expired=True, password_stamp=0, password_set_at=0),
}


@pytest.mark.parametrize("kind", STATES)
def test_a_trouble_is_told_once_and_its_end_too(kind):
    watch = Watch(BUILT)
    assert watch.round(GOOD) == ()
    (event,) = watch.round(STATES[kind])
    assert event.kind is kind
    assert event.detail["account"] == "svc-see"
    assert event.detail["endpoints"] == 500
    assert watch.round(STATES[kind]) == ()
    assert K.REPAIRED in watch.kinds(GOOD)
    assert watch.round(GOOD) == ()


@pytest.mark.parametrize("kind", STATES)
def test_what_is_wrong_from_the_start_is_told(kind):
    assert Watch().kinds(STATES[kind]) == [kind]


@pytest.mark.parametrize("kind", STATES)
def test_an_outage_in_between_neither_repeats_nor_loses_an_event(kind):
    watch = Watch()
    watch.round(GOOD)
    assert watch.kinds(DARK) == [K.DIRECTORY_UNREACHABLE]
    assert watch.round(DARK) == ()
    assert watch.kinds(STATES[kind]) == [K.DIRECTORY_REACHABLE, kind]
    watch.round(DARK)
    assert watch.kinds(STATES[kind]) == [K.DIRECTORY_REACHABLE]
    watch.round(DARK)
    assert K.REPAIRED in watch.kinds(GOOD)


def test_a_changed_password_is_told_with_everything_an_administrator_needs():
    watch = Watch(BUILT)
    watch.round(GOOD)
    (event,) = watch.round(NEW, now=NOW + 60)
    assert event.kind is K.PASSWORD_CHANGED
    assert event.detail == {
        "account": "svc-see",
        "server": "dc1",
        "set_at": NOW,
        "packages": ["P1"],
        "endpoints": 500,
        "grace_ends_at": NOW + 3600,
    }
    assert watch.round(NEW) == ()


def test_a_password_changed_twice_between_readings_leaves_no_grace():
    watch = Watch((replace(BUILT[0], password_stamp=GOOD.password_stamp - TICKS),))
    watch.round(GOOD)
    (event,) = watch.round(NEW)
    assert event.detail["grace_ends_at"] == 0


def test_a_change_seen_late_leaves_no_grace():
    watch = Watch(BUILT)
    watch.round(GOOD)
    (event,) = watch.round(NEW, now=NOW + 3600)
    assert event.detail["grace_ends_at"] == 0


def test_the_first_reading_tells_of_a_change_only_if_a_package_is_behind():
    assert Watch().round(NEW) == ()
    assert Watch(BUILT).kinds(NEW) == [K.PASSWORD_CHANGED]


def test_a_change_is_told_once_while_it_replicates():
    watch = Watch(BUILT)
    other = replace(GOOD, server="dc2")
    watch.round(GOOD, other)
    assert watch.kinds(GOOD, replace(NEW, server="dc2")) == [K.PASSWORD_CHANGED]
    assert watch.round(NEW, replace(NEW, server="dc2")) == ()


def test_a_restored_directory_moves_the_stamp_back_and_that_is_told():
    watch = Watch()
    watch.round(NEW)
    assert watch.kinds(GOOD) == [K.PASSWORD_CHANGED]


@pytest.mark.parametrize(("field", "what"), [("password_expires_at", "password"), ("expires_at", "account")])
def test_each_crossing_before_an_expiry_is_told_once(field, what):
    end = NOW + 40 * DAY
    watch = Watch(BUILT)
    told = []
    for now in range(NOW, end + 2 * DAY, DAY // 4):
        reading = replace(GOOD, read_at=now, **{field: end})
        told += [
            (event.kind, event.detail.get("days"), event.detail["what"]) for event in watch.round(reading, now=now)
        ]
    crossings = [(K.EXPIRES, days, what) for days in (30, 14, 7, 1)]
    assert told == [*crossings, (K.EXPIRED, None, what)]


def test_crossings_missed_during_an_outage_are_told_as_the_nearest():
    watch = Watch()
    watch.round(replace(GOOD, password_expires_at=NOW + 40 * DAY))
    watch.round(DARK)
    later = NOW + 35 * DAY
    told = watch.round(replace(GOOD, read_at=later, password_expires_at=NOW + 40 * DAY), now=later)
    assert [event.detail.get("days") for event in told if event.kind is K.EXPIRES] == [7]


def test_a_new_password_that_expires_soon_is_told_anew():
    watch = Watch()
    watch.round(replace(GOOD, password_expires_at=NOW + 5 * DAY))
    told = watch.round(replace(NEW, password_expires_at=NOW + 20 * DAY))
    assert [event.detail["days"] for event in told if event.kind is K.EXPIRES] == [30]


def test_trouble_at_one_domain_controller_is_not_over_while_it_cannot_be_asked():
    watch = Watch()
    locked = replace(GOOD, server="dc2", locked=True)
    assert watch.kinds(GOOD, locked) == [K.LOCKED]
    assert watch.kinds(GOOD, replace(DARK, server="dc2")) == [K.DIRECTORY_UNREACHABLE]
    assert watch.kinds(GOOD, replace(locked, locked=False)) == [K.DIRECTORY_REACHABLE, K.REPAIRED]


def test_a_domain_controller_that_is_no_longer_asked_is_forgotten():
    watch = Watch()
    watch.round(GOOD, replace(GOOD, server="dc2", disabled=True))
    assert watch.kinds(GOOD) == [K.REPAIRED]
    assert [outcome.server for outcome in watch.before] == ["dc1"]


OUTCOMES = st.sampled_from([GOOD, NEW, DARK, *STATES.values(), replace(GOOD, password_expires_at=NOW + 3 * DAY)])


@given(st.lists(st.tuples(OUTCOMES, OUTCOMES.map(lambda outcome: replace(outcome, server="dc2"))), max_size=12))
def test_an_unchanged_round_tells_nothing_and_a_trouble_is_never_told_twice(rounds):
    watch = Watch(BUILT)
    open_troubles = set()
    for outcomes in rounds:
        for event in watch.round(*outcomes):
            if event.kind is K.REPAIRED:
                open_troubles.clear()
            elif event.kind in STATES:
                assert event.detail["servers"]
                open_troubles.add(event.kind)
        assert watch.round(*outcomes) == ()
    known = {o.server: o for o in watch.before if isinstance(o, AccountReading)}
    if any(isinstance(o, AccountReading) for o in (rounds[-1] if rounds else ())):
        troubled = any(reading in map_servers(STATES.values()) for reading in known.values())
        assert troubled == bool(open_troubles)


def map_servers(readings):
    return [replace(reading, server=server) for reading in readings for server in ("dc1", "dc2")]
