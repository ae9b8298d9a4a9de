"""The proof of a former password: good for exactly one question, and silent about the password."""

import pytest

from keyfast.core.secret import Secret
from keyfast.trust.encoding import unb64u
from keyfast.trust.prior_password import is_prior, prior_mac

PASSWORD = Secret("Correct-Horse-7-p\u00e4ss".encode())
ASKED = {"nonce": "x", "device": "y", "seal": "s", "account": "CORP\\svc", "generation": 3}


def test_the_same_question_gives_the_same_proof():
    mac = prior_mac(PASSWORD, "inst", **ASKED)
    assert mac == prior_mac(PASSWORD, "inst", **ASKED)
    assert len(unb64u(mac)) == 32
    assert is_prior(mac, PASSWORD, "inst", **ASKED)


@pytest.mark.parametrize(
    "other",
    [
        {"nonce": "m"},
        {"device": "e"},
        {"seal": "t"},
        {"account": "CORP\\svd"},
        {"generation": 4},
        {"nonce": "xy", "device": ""},
        {"device": "s", "seal": "y"},
    ],
)
def test_it_is_good_for_nothing_else(other):
    assert not is_prior(prior_mac(PASSWORD, "inst", **ASKED), PASSWORD, "inst", **(ASKED | other))


def test_it_is_good_for_no_other_password_and_no_other_installation():
    mac = prior_mac(PASSWORD, "inst", **ASKED)
    assert not is_prior(mac, Secret(b"another"), "inst", **ASKED)
    assert not is_prior(mac, PASSWORD, "another", **ASKED)


@pytest.mark.parametrize("mac", ["", "A", "not base64 !", "\u00e9" * 43, "A" * 43])
def test_what_is_no_proof_is_none(mac):
    assert not is_prior(mac, PASSWORD, "inst", **ASKED)
