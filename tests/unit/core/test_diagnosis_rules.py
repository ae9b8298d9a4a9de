"""Every rule: evidence that it fits, evidence that it nearly fits, and evidence that also fits another rule."""

import itertools

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.support.diagnosis_cases import HITS, NEAR, NOW, account, answers, evidence, of, reading

from keyfast.core.diagnosis import account as family
from keyfast.core.diagnosis.engine import CANNOT_TELL, diagnose
from keyfast.core.diagnosis.evidence import Account, Clients, Evidence, Http, Product
from keyfast.core.diagnosis.finding import Confidence, Stage, Weight
from keyfast.core.diagnosis.rule import judge
from keyfast.core.diagnosis.table import RULES
from keyfast.core.powershell import quoted
from keyfast.core.refusal import RefusalClass

BY_CODE = {rule.code: rule for rule in RULES}
CODES = sorted(BY_CODE)
CAUSES = [code for code in CODES if BY_CODE[code].weight is Weight.CAUSE]
DAY = 86_400


def merged(one: Evidence, other: Evidence) -> Evidence | None:
    """Both pieces of evidence in one; None where they contradict each other or speak of one and the same fact."""
    parts = {}
    for name in one.__struct_fields__:
        left, right = getattr(one, name), getattr(other, name)
        default = getattr(Evidence(), name)
        if name in ("now", "affected"):
            parts[name] = left
        elif default in (left, right):
            parts[name] = right if left == default else left
        elif isinstance(left, Account | Http) or not isinstance(left, msgspec.Struct):
            return None
        else:
            facts = {}
            for fact in left.__struct_fields__:
                first, second = getattr(left, fact), getattr(right, fact)
                if first is not None and second is not None and first != second:
                    return None
                facts[fact] = first if first is not None else second
            parts[name] = type(left)(**facts)
    return Evidence(**parts)


def test_every_rule_has_its_cases_and_its_own_code():
    assert set(HITS) == set(NEAR) == set(BY_CODE)
    assert len(BY_CODE) == len(RULES)


@pytest.mark.parametrize("code", CODES)
def test_hit(code):
    finding = judge(BY_CODE[code], HITS[code])
    assert finding is not None
    assert finding.evidence_for
    assert all(sentence for sentence in finding.evidence_for)
    assert code in [found.code for found in diagnose(HITS[code])]


@pytest.mark.parametrize("code", CODES)
def test_near_miss(code):
    assert judge(BY_CODE[code], NEAR[code]) is None


@pytest.mark.parametrize("code", CODES)
def test_nothing_is_named_without_evidence(code):
    assert judge(BY_CODE[code], evidence()) is None


@pytest.mark.parametrize("code", CODES)
def test_conflict(code):
    """With what fits any other rule as well, the surer comes first, and of equally sure ones the earlier stage."""
    met = 0
    for other in CODES:
        both = merged(HITS[code], HITS[other]) if other != code else None
        if both is None:
            continue
        found = diagnose(both)
        ranks = [
            (list(Weight).index(f.weight), list(Confidence).index(f.confidence), list(Stage).index(f.stage))
            for f in found
            if f.code != CANNOT_TELL
        ]
        assert ranks == sorted(ranks)
        codes = {f.code for f in found}
        for each in (code, other):
            silenced = any(sign.holds(both) for sign in BY_CODE[each].never)
            assert (each in codes) != silenced or not all(sign.holds(both) for sign in BY_CODE[each].needs)
        met += 1
    assert met > 20


@pytest.mark.parametrize("code", CAUSES)
def test_a_sure_cause_comes_first_and_a_guess_never_does(code):
    first = diagnose(HITS[code])[0]
    own = judge(BY_CODE[code], HITS[code])
    if own.confidence is Confidence.POSSIBLE:
        assert first.code == CANNOT_TELL
    else:
        assert first.code == code, first


@pytest.mark.parametrize("code", CODES)
def test_options_are_complete(code):
    finding = judge(BY_CODE[code], HITS[code])
    assert finding.look
    for option in finding.options:
        assert option.sentence
        assert option.risk
        assert option.endpoints is None or 0 <= option.endpoints <= 5
        assert "NAME" not in option.command


def test_nothing_known_is_said_with_what_is_missing():
    (only,) = diagnose(evidence(product=Product.SEE))
    assert only.code == CANNOT_TELL
    assert only.cause.startswith("Cannot tell, because the account was not read in the directory")
    assert [option.command.split()[0] for option in only.options[:3]] == ["--ad", "--iis", "--built-at"]


def test_a_healthy_account_alone_asks_for_the_build_date_and_the_log():
    first = diagnose(evidence(product=Product.SEE, account=account()))[0]
    assert first.code == CANNOT_TELL
    commands = [option.command for option in first.options]
    assert not any(command.startswith("--ad") for command in commands)
    assert any(command.startswith("--built-at") for command in commands)


def test_what_was_given_is_not_asked_for():
    given = evidence(product=Product.SEE, account=Account("CORP\\svc-see", built_at=NOW - DAY), http=Http((), 5))
    commands = [option.command for option in diagnose(given)[0].options]
    assert commands[0].startswith("--ad")
    assert not any(command.startswith(("--iis", "--built-at")) for command in commands)


@pytest.mark.parametrize("code", [rule.code for rule in family.RULES if rule.weight is Weight.CAUSE])
def test_an_account_that_works_or_is_not_carried_is_never_the_cause(code):
    hit = HITS[code]
    for fact in ({"succeeds": True}, {"carried": False}):
        found = diagnose(msgspec.structs.replace(hit, account=msgspec.structs.replace(hit.account, **fact)))
        certain = [f.code for f in found if f.confidence is not Confidence.POSSIBLE and f.weight is Weight.CAUSE]
        assert code not in certain


def test_a_log_that_agrees_makes_a_change_certain_and_a_newer_package_rules_it_out():
    changed = reading(set_at=NOW - 2 * DAY)
    alone = evidence(account=account(changed, built_at=NOW - 90 * DAY))
    assert diagnose(alone)[0].confidence is Confidence.LIKELY
    agreed = msgspec.structs.replace(alone, since=NOW - 2 * DAY + 1200)
    assert diagnose(agreed)[0].confidence is Confidence.CERTAIN
    refused = msgspec.structs.replace(alone, http=answers(401, 1, 1326))
    assert diagnose(refused)[0].confidence is Confidence.CERTAIN
    newer = evidence(account=account(changed, built_at=NOW - DAY), since=NOW - 2 * DAY)
    assert diagnose(newer)[0].code == CANNOT_TELL


def test_a_lock_after_a_change_is_its_consequence():
    both = account(reading(set_at=NOW - 2 * DAY, locked=True, locked_at=NOW), built_at=NOW - 90 * DAY)
    assert [f.code for f in diagnose(evidence(account=both))][:2] == ["password-changed", "account-locked"]


def test_of_a_log_and_a_directory_that_disagree_neither_is_certain():
    found = judge(BY_CODE["account-disabled"], evidence(account=account(), http=answers(401, 1, 1331)))
    assert found.confidence is Confidence.POSSIBLE
    assert found.evidence_against


def test_reachability_and_tls_come_before_the_account():
    disabled = of(disabled=True)
    for code in ("connection-refused", "certificate-incomplete"):
        assert diagnose(merged(disabled, HITS[code]))[0].code == code


def test_options_of_the_article_come_in_the_order_of_harm_with_their_machines():
    both = evidence(
        product=Product.SEE,
        clients=Clients(tokens=1, capable=2, older=1, unknown=1),
        account=account(reading(set_at=NOW - 2 * DAY), built_at=NOW - 90 * DAY),
    )
    options = diagnose(both)[0].options
    words = ["set the password again", "OAuth", "present password", "Anonymous"]
    assert [word in option.sentence for word, option in zip(words, options, strict=True)] == [True] * 4
    assert [option.endpoints for option in options] == [4, 4, 4, 4]
    assert options[1].machines == "2 11.4 to 12.0.0, 1 before 11.4, 1 of a version that is not known"


@given(st.text())
def test_a_name_stays_one_argument_of_powershell(name):
    command = quoted(name)
    inner = command[1:-1]
    for quote in "'\N{LEFT SINGLE QUOTATION MARK}\u2019\u201a\u201b":
        inner = inner.replace(quote * 2, "")
        assert quote not in inner


NOT_READY = "refused-not-ready"

FACTS = [
    pytest.param(one, other, id=f"{one}+{other}")
    for one, other in itertools.pairwise(kind.value for kind in RefusalClass)
]


@pytest.mark.parametrize(("one", "other"), FACTS)
def test_of_two_refusal_classes_both_are_told(one, other):
    found = diagnose(evidence(refusals={RefusalClass(one): 3, RefusalClass(other): 2}))
    codes = {f.code for f in found}
    assert {f"refused-{kind.replace('_', '-')}" for kind in (one, other)} <= codes


@pytest.mark.parametrize(("deferred", "first"), [(0, "password-changed"), (65, "password-changed"), (200, NOT_READY)])
def test_some_who_are_asked_to_wait_hide_no_cause(deferred, first):
    """Beside any other trouble some are asked to wait; it is the cause where most of them are."""
    refusals = {RefusalClass.NOT_READY: deferred, RefusalClass.ACCOUNT_REFUSED: 135}
    changed = account(reading(set_at=NOW - 2 * DAY), built_at=NOW - 90 * DAY)
    told = {kind: count for kind, count in refusals.items() if count}
    found = diagnose(evidence(account=changed, since=NOW - 2 * DAY + 1200, refusals=told))
    assert found[0].code == first
    assert [f.confidence for f in found if f.code == NOT_READY] == {
        0: [],
        65: [Confidence.POSSIBLE],
        200: [Confidence.CERTAIN],
    }[deferred]
