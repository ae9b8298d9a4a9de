import pytest

from keyfast.core.directory import account_key


@pytest.mark.parametrize(("domain", "name"), [("CORP", "svc-a"), ("corp", "SVC-A"), ("Corp", "Svc-A")])
def test_an_account_has_one_key_however_it_is_spelled(domain, name):
    assert account_key(domain, name) == "CORP\\svc-a"


def test_other_accounts_have_other_keys():
    assert len({account_key("CORP", "svc-a"), account_key("LAB", "svc-a"), account_key("CORP", "svc-b")}) == 3
