"""The audit trail: whatever is done to a record afterwards is named, and nothing is on it that may not be."""

import hashlib
import json

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from keyfast.core.audit import (
    LONGEST,
    Act,
    Actor,
    Broken,
    Entry,
    Fault,
    Head,
    Outcome,
    Via,
    appended,
    canonical,
    compared,
    end_of,
    follow,
    genesis,
    picked,
    plain,
)
from keyfast.core.audit_actions import ACTIONS, KEYFAST, act_of, refused_act

START = genesis("installation")
ANNA = Actor("anna", Via.HTTPS, "operator", "r1")
texts = st.text(max_size=20).map(plain)
acts = st.builds(
    Act,
    at=st.integers(0, 2**40),
    actor=st.builds(Actor, name=texts, via=st.sampled_from(Via), role=texts, request=texts),
    action=st.sampled_from(sorted(ACTIONS)),
    subject_kind=texts,
    subject=texts,
    detail=st.dictionaries(texts, texts, max_size=3),
    outcome=st.sampled_from(Outcome),
)


def trail_of(acts: list[Act]) -> list[Entry]:
    head, entries = START, []
    for act in acts:
        entries.append(appended(head, act))
        head = end_of(entries[-1])
    return entries


trails = st.lists(acts, min_size=1, max_size=12).map(trail_of)


@given(trails)
def test_a_trail_that_nobody_touched_is_intact(entries):
    assert follow(START, entries) == end_of(entries[-1])
    assert compared(end_of(entries[-1]), end_of(entries[-1])) is None
    half = len(entries) // 2
    first = follow(START, entries[:half])
    assert isinstance(first, Head)
    assert follow(first, entries[half:]) == end_of(entries[-1])


@given(trails, st.data())
def test_any_changed_member_of_any_record_is_named(entries, data):
    place = data.draw(st.integers(0, len(entries) - 1))
    record = entries[place].record
    member = data.draw(st.sampled_from([name for name in record.__struct_fields__ if name != "number"]))
    value = getattr(record, member)
    other = {"detail": st.dictionaries(texts, texts, max_size=3), "at": st.integers(0, 2**40)}.get(member, texts)
    changed = msgspec.structs.replace(record, **{member: data.draw(other.filter(lambda new: new != value))})
    entries[place] = Entry(changed, entries[place].hash)
    assert follow(START, entries) == Broken(place + 1, Fault.CHANGED)


@given(trails, st.data())
def test_a_changed_hash_is_named(entries, data):
    place = data.draw(st.integers(0, len(entries) - 1))
    entries[place] = Entry(entries[place].record, hashlib.sha256(b"other").hexdigest())
    assert follow(START, entries) == Broken(place + 1, Fault.CHANGED)


@given(trails, st.data())
def test_a_record_that_was_changed_and_hashed_anew_betrays_itself_by_the_next(entries, data):
    place = data.draw(st.integers(0, len(entries) - 1))
    before = end_of(entries[place - 1]) if place else START
    kept = end_of(entries[-1])
    old = entries[place].record
    act = Act(old.at + 1, Actor(old.actor, Via.SERVER), old.action, old.subject_kind, old.subject, old.detail)
    entries[place] = appended(before, act)
    found = follow(START, entries)
    if place + 1 < len(entries):
        assert found == Broken(place + 2, Fault.CHANGED)
    else:
        assert isinstance(found, Head)
        assert compared(found, kept) == Broken(place + 1, Fault.CHANGED)


@given(trails, st.data())
def test_a_dropped_record_is_named(entries, data):
    place = data.draw(st.integers(0, len(entries) - 1))
    kept = end_of(entries[-1])
    del entries[place]
    found = follow(START, entries)
    assert (compared(found, kept) if isinstance(found, Head) else found) == Broken(place + 1, Fault.MISSING)


@given(trails.filter(lambda entries: len(entries) > 1), st.data())
def test_swapped_records_are_named(entries, data):
    place = data.draw(st.integers(0, len(entries) - 2))
    entries[place], entries[place + 1] = entries[place + 1], entries[place]
    assert follow(START, entries) == Broken(place + 1, Fault.MISSING)


@given(trails)
def test_a_doubled_record_is_out_of_order(entries):
    assert follow(START, [*entries, entries[-1]]) == Broken(len(entries), Fault.OUT_OF_ORDER)


@given(trails)
def test_a_head_that_was_set_back_is_told(entries):
    assert compared(end_of(entries[-1]), START) == Broken(1, Fault.NOT_IN_HEAD)


def test_the_trail_of_another_installation_does_not_fit():
    entries = trail_of([Act(1, ANNA, "keys_exported", "installation", "", {})])
    assert follow(genesis("another"), entries) == Broken(1, Fault.CHANGED)


def test_the_hash_is_that_of_the_documentation():
    entry = appended(START, Act(7, ANNA, "mode_opened", "mode", "oauth", {"ring": "l\u00e4b"}))
    hashed = json.dumps(msgspec.to_builtins(entry.record), sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    assert canonical(entry.record) == hashed.encode()
    start = hashlib.sha256(b"keyfast audit 1\0installation").digest()
    assert entry.hash == hashlib.sha256(b"keyfast audit 1\0" + start + hashed.encode()).hexdigest()


@given(st.text() | st.text(st.characters(categories=["Cs", "Cc"])))
def test_every_text_can_be_stored_and_hashed(text):
    shown = plain(text)
    assert "\0" not in shown
    assert len(shown) <= LONGEST
    shown.encode()
    assert plain(shown) == shown


def test_a_text_that_is_too_long_is_cut():
    assert plain("x" * LONGEST) == "x" * LONGEST
    assert plain("x" * (LONGEST + 1)) == "x" * (LONGEST - 1) + "\N{HORIZONTAL ELLIPSIS}"


def test_only_allowed_particulars_are_taken_as_texts():
    detail = {"a": ["x", 1], "b": True, "c": False, "d": None, "e": "", "f": 0, "password": "secret"}
    assert picked(detail, ("a", "b", "c", "d", "e", "f", "g")) == {"a": "x, 1", "b": "yes", "f": "0"}


@pytest.mark.parametrize(
    ("kind", "endpoint", "detail", "actor", "expected"),
    [
        ("mode_opened", None, {"mode": "oauth", "by": "x"}, ANNA, ("anna", "mode", "oauth")),
        ("mode_opened", None, {"mode": "oauth", "by": "x"}, None, ("x", "mode", "oauth")),
        ("mode_opened", None, {"mode": "oauth"}, None, None),
        ("endpoint_revoked", "e1", {"by": "x"}, ANNA, ("anna", "endpoint", "e1")),
        ("window_expired", None, {"window": "w"}, None, (KEYFAST, "window", "w")),
        ("keys_exported", None, {"by": "x"}, ANNA, ("anna", "installation", "")),
        ("logon_refused", None, {"by": "x"}, ANNA, None),
    ],
)
def test_which_events_are_acts_and_whose(kind, endpoint, detail, actor, expected):
    act = act_of(kind, 7, endpoint, detail, actor)
    assert (act and (act.actor.name, act.subject_kind, act.subject)) == expected
    assert act is None or (act.at, act.action, act.outcome) == (7, kind, Outcome.DONE)


def test_whoever_signs_in_did_it_before_any_request_was_theirs():
    act = act_of("signed_in", 7, None, {"person": "rita", "way": "password"}, None)
    assert act is not None
    assert (act.actor, act.subject) == (Actor("rita", Via.HTTPS), "rita")


def test_a_refused_act_says_what_was_asked_and_why():
    asked = {"account": "CORP\\svc", "password": "secret", "despite": ["locked"]}
    act = refused_act("account_added", 7, asked, ANNA, "no")
    assert (act.outcome, act.subject, act.detail) == ("refused", "CORP\\svc", {"despite": "locked", "why": "no"})
    assert refused_act("rotation_started", 7, {"id": "r"}, ANNA, "no").subject == "r"
    assert refused_act("keys_exported", 7, {}, ANNA, "no").subject == ""
    assert refused_act("passkey_removed", 7, {"name": "rita", "id": "p"}, ANNA, "no").subject == "rita"


def test_no_field_is_named_like_a_secret():
    fields = {field for rule in ACTIONS.values() for field in rule.fields}
    assert not fields & {"password", "passphrase", "token", "export", "secret", "code", "key"}
