"""Disks in one word, and people by their logon name."""

import pytest

from keyfast.core.protection import Disks, together
from keyfast.core.user import plain_user


@pytest.mark.parametrize(
    ("protections", "word"),
    [
        ([], Disks.UNKNOWN),
        (["on"], Disks.PROTECTED),
        (["on", "on"], Disks.PROTECTED),
        (["on", "off"], Disks.EXPOSED),
        (["unknown", "off"], Disks.EXPOSED),
        (["on", "unknown"], Disks.UNKNOWN),
        (["unknown"], Disks.UNKNOWN),
        (["something new"], Disks.UNKNOWN),
    ],
)
def test_disks_are_as_good_as_the_worst_of_them(protections, word):
    assert together(protections) is word


@pytest.mark.parametrize(
    ("told", "searched"),
    [
        ("alice", "alice"),
        ("CORP\\Alice", "alice"),
        (".\\alice", "alice"),
        ("Alice@corp.example.com", "alice"),
        (" alice ", "alice"),
        ("", ""),
        ("CORP\\", ""),
    ],
)
def test_a_user_is_searched_by_the_bare_name(told, searched):
    assert plain_user(told) == searched
