"""Recovery windows: whom they admit, when they may be opened and closed."""

import itertools

import pytest
from msgspec.structs import replace

from keyfast.core import window, window_endpoint
from keyfast.core.command import CommandState
from keyfast.core.window import ANY, Window, WindowEvent, WindowState
from keyfast.core.window_endpoint import Counts, Sign, WindowEndpointEvent, WindowEndpointState, derived
from keyfast.errors import TransitionError

NOW = 1_800_000_000
ONE, TWO = "3d1219c7-c4c5-404a-aa1f-6d2a48adfda4", "3d1219c7-c4c5-404a-aa1f-6d2a48adfda5"
OPEN = Window("w", NOW, "admin", NOW + 3600, "password changed", ("192.0.2.0/24", "2001:db8::/32"), ring="labs")
S, E = WindowEndpointState, WindowEndpointEvent


def covers(opened=OPEN, endpoint=ONE, ring="labs", address="192.0.2.7", now=NOW, account=""):
    return window.covers(opened, endpoint, ring, address, now, account=account)


@pytest.mark.parametrize(("state", "event"), list(itertools.product(WindowState, WindowEvent)))
def test_only_an_open_window_ends(state, event):
    if state is WindowState.OPEN:
        assert window.step(state, event).value == event.value
    else:
        with pytest.raises(TransitionError):
            window.step(state, event)


@pytest.mark.parametrize(
    ("address", "admitted"),
    [
        ("192.0.2.0", True),
        ("192.0.2.255", True),
        ("192.0.3.0", False),
        ("::ffff:192.0.2.7", True),
        ("::ffff:192.0.3.7", False),
        ("2001:db8::1", True),
        ("2001:db8::1%eth0", True),
        ("2001:db9::1", False),
        ("", False),
        ("nonsense", False),
        ("192.0.2.7:443", False),
        ("0192.0.2.7", False),
    ],
)
def test_addresses(address, admitted):
    assert covers(address=address) is admitted
    assert covers(replace(OPEN, ranges=(ANY,)), address=address)


def test_a_range_may_be_written_as_mapped_addresses():
    opened = replace(OPEN, ranges=("::ffff:192.0.2.0/120",))
    assert covers(opened)
    assert not covers(opened, address="192.0.3.7")
    assert not covers(replace(OPEN, ranges=("no range",)))


@pytest.mark.parametrize(("now", "admitted"), [(NOW - 1, False), (NOW, True), (NOW + 3599, True), (NOW + 3600, False)])
def test_it_is_open_from_its_opening_to_its_deadline(now, admitted):
    assert covers(now=now) is admitted


def test_it_is_for_one_ring_one_account_or_named_endpoints():
    assert not covers(ring="offices")
    named = replace(OPEN, ring="", endpoints=(ONE,))
    assert covers(named, ring="")
    assert not covers(named, endpoint=TWO)
    account = replace(OPEN, ring="", account="CORP\\svc")
    assert covers(account, account="CORP\\svc")
    assert not covers(account, account="CORP\\other")
    assert not covers(replace(OPEN, ring=""), ring="", account="")  # for nobody


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({}, None),
        ({"deadline": NOW + 300}, None),
        ({"deadline": NOW + 7 * 86400}, None),
        ({"ranges": (ANY,)}, None),
        ({"ring": "", "endpoints": (ONE, TWO)}, None),
        ({"ring": "", "account": "CORP\\svc"}, None),
        ({"reason": " "}, "needs a reason"),
        ({"reason": "a\nb"}, "printable"),
        ({"reason": "\x1b[2J"}, "printable"),
        ({"reason": "pässword"}, None),
        ({"reason": "x" * 301}, "at most 300"),
        ({"deadline": NOW + 299}, "5 minutes to 7 days"),
        ({"deadline": NOW + 7 * 86400 + 1}, "5 minutes to 7 days"),
        ({"ranges": ()}, "at least one address range"),
        ({"ranges": tuple(f"192.0.2.{n}" for n in range(65))}, "at most 64"),
        ({"ranges": (ANY, "192.0.2.0/24")}, "not both"),
        ({"ranges": ("192.0.2.7/24",)}, "'192.0.2.7/24' is no address range"),
        ({"ranges": ("0.0.0.0/0",)}, "say 'any'"),
        ({"ranges": ("::/0",)}, "say 'any'"),
        ({"ranges": ("::ffff:0.0.0.0/96",)}, "say 'any'"),
        ({"ring": ""}, "one account, for one ring"),
        ({"account": "CORP\\svc"}, "one account, for one ring"),
        ({"ring": "", "endpoints": ("nobody",)}, "'nobody' is no endpoint id"),
        ({"ring": "", "endpoints": (ONE,) * 1001}, "at most 1000"),
    ],
)
def test_what_may_be_opened(changes, said):
    fault = window.opening_fault(replace(OPEN, **changes))
    assert fault is None if said is None else said in fault


@pytest.mark.parametrize(
    ("text", "canonical"),
    [
        (ANY, ANY),
        ("192.0.2.7", "192.0.2.7/32"),
        ("2001:DB8::/32", "2001:db8::/32"),
        ("::ffff:192.0.2.0/120", "192.0.2.0/24"),
        ("::ffff:0:0/95", None),
        ("192.0.2.7/24", None),
        ("10/8", None),
        ("", None),
        ("0.0.0.0/0", None),
    ],
)
def test_ranges_have_one_form(text, canonical):
    assert window.canonical_range(text) == canonical


@pytest.mark.parametrize(
    ("counts", "missing", "waived", "typed", "said"),
    [
        (Counts(proven=9), (), (), None, None),
        (Counts(unreached=1, applied=1), ("a", "b"), ("a", "b"), None, None),
        (Counts(unreached=2), ("a", "b"), (), 2, None),
        (Counts(unreached=2), ("a", "b"), (), 3, "2 endpoints are not proven, not 3"),
        (Counts(unreached=2), ("b", "a"), (), None, "2 of its endpoints are not proven; still missing: a, b"),
        (Counts(reached=2), ("a", "b"), ("a",), None, "still missing: b"),
        (Counts(unreached=5), ("a",), (), None, "still missing: a and 4 more"),
        (Counts(unreached=5), ("a",), ("a",), None, "still missing: 4 that were not listed"),
        (Counts(unreached=25), tuple(f"n{n:02}" for n in range(25)), (), None, "n19 and 5 more"),
    ],
)
def test_it_is_not_closed_over_the_missing(counts, missing, waived, typed, said):
    fault = window.may_close(counts, missing, waived, typed)
    assert fault is None if said is None else fault.endswith(said) or said in fault


def test_the_banner_says_what_is_extraordinary():
    assert window.banner(None, 0, NOW) == ""
    assert window.banner(OPEN, 0, NOW) == "recovery window open for another 60 min (password changed)"
    assert "another 1 min" in window.banner(OPEN, 0, NOW + 3590)
    assert window.banner(OPEN, 0, NOW + 3600) == ""
    both = window.banner(OPEN, NOW, NOW)
    assert "recovery window" in both
    assert "went back in time" in both


@pytest.mark.parametrize(("state", "event"), list(itertools.product(WindowEndpointState, WindowEndpointEvent)))
def test_an_endpoint_of_a_window(state, event):
    if (state, event) == (S.PROVEN, E.APPLIED):  # a late page of the watch does not undo what was proven
        with pytest.raises(TransitionError):
            window_endpoint.step(state, event)
        return
    after = window_endpoint.step(state, event)
    assert (state in window_endpoint.from_states(event)) is (after is not state)
    if event is E.PROVED:
        assert after is S.PROVEN
    if event is E.FELL_BACK:
        assert after is S.REACHED


@pytest.mark.parametrize(
    ("sign", "event"),
    [
        (Sign(0, sound=False), None),
        (Sign(NOW + 1, sound=False), None),
        (Sign(NOW, sound=True), None),
        (Sign(NOW + 1, sound=True), E.PROVED),
        (Sign(NOW + 1, sound=True, change=CommandState.OFFERED, changed_at=NOW), E.PROVED),
        (Sign(0, sound=False, change=CommandState.RECEIVED, changed_at=NOW), None),
        (Sign(0, sound=False, change=CommandState.PROVEN, changed_at=NOW), E.APPLIED),
        (Sign(NOW + 1, sound=False, change=CommandState.APPLIED, changed_at=NOW + 2), E.APPLIED),
        (Sign(NOW + 2, sound=False, change=CommandState.APPLIED, changed_at=NOW + 2), E.PROVED),
        (Sign(NOW + 9, sound=False, change=CommandState.VERIFIED, changed_at=NOW + 2), E.PROVED),
        (Sign(NOW - 9, sound=True, change=CommandState.FAILED, changed_at=NOW + 2), E.FELL_BACK),
        (Sign(0, sound=False, change=CommandState.REVERTED, changed_at=NOW + 2), E.FELL_BACK),
        (Sign(NOW + 9, sound=True, change=CommandState.REVERTED, changed_at=NOW + 2), E.PROVED),
    ],
)
def test_what_the_record_says_of_an_endpoint(sign, event):
    assert derived(sign, NOW) is event


def test_counts():
    found = window_endpoint.counts({S.UNREACHED: 1, S.REACHED: 2, S.APPLIED: 3, S.PROVEN: 4})
    assert (found.unproven, found.total) == (6, 10)
    assert window_endpoint.counts({}).total == 0
