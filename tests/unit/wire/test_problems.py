import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keyfast.core.refusal import Refusal, RefusalClass
from keyfast.errors import NotFoundError
from keyfast.wire import problems


@pytest.mark.parametrize("kind", RefusalClass)
def test_a_refusal_survives_the_wire(kind):
    refusal = Refusal(kind, "why", presented="this", expected="that", repair="do it", extra={"expected_seq": 7})
    read = problems.read_problem(problems.problem_bytes(refusal, 1_800_000_000))
    assert problems.known_class(read.kind) is kind
    assert (read.status, read.server_time, read.expected_seq) == (refusal.rule.status, 1_800_000_000, 7)
    assert (read.detail, read.presented, read.expected, read.repair) == ("why", "this", "that", "do it")


def test_a_body_has_the_members_of_rfc_9457():
    body = json.loads(problems.problem_bytes(Refusal(RefusalClass.REVOKED), 1))
    assert body["type"] == "urn:keyfast:refusal:revoked"
    assert {"title", "status"} <= set(body)
    assert "detail" not in body


def test_a_fault_tells_code_and_repair_only():
    body = json.loads(problems.fault_bytes(NotFoundError("no endpoint x", repair="look")))
    assert body == {
        "type": "urn:keyfast:fault:not_found",
        "class": "not_found",
        "status": 404,
        "detail": "no endpoint x",
        "repair": "look",
    }


@given(st.binary(max_size=300))
def test_whatever_a_proxy_sends_is_a_problem(body):
    assert isinstance(problems.read_problem(body), problems.Problem)


def test_an_unknown_class_is_none():
    assert problems.known_class("something_new") is None
