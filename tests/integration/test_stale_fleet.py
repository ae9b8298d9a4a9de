"""A fleet whose password was changed, before the server has read of it: it must not lock the account by itself.

Five wrong passwords lock it. The account is read once an hour, so that what keeps the others from trying is the word of
whoever came first. The password is set three times: a domain does not count those that were in force just before.
"""

import asyncio
from collections.abc import Iterator

import pytest
from tests.support.samba import Account, Domain
from tests.support.windows import WindowsRig, WindowsServer, bad_passwords

NUMBER = 24


@pytest.fixture(scope="module")
def windows(ad: Domain, tmp_path_factory: pytest.TempPathFactory) -> Iterator[WindowsServer]:
    running = WindowsServer(tmp_path_factory.mktemp("stale"), ad, interval=3600)
    yield running
    running.close()


async def joined(windows: WindowsServer, account: Account, *schemes: str) -> list[WindowsRig]:
    windows.add_account(account)
    bundle = windows.windows_bundle(account)
    rigs = [windows.rig(bundle, number, only=schemes[number % len(schemes)]) for number in range(NUMBER)]
    for rig in rigs:
        await rig.check_in()
        assert rig.said.startswith("ok"), rig.said
    return rigs


def changed(account: Account) -> None:
    for number in range(3):
        account.domain.password(account.name, f"Another-Passw0rd-{number}")
    assert bad_passwords(account) == 0


@pytest.mark.parametrize("schemes", [("NTLM",), ("NTLM", "Basic")])
async def test_all_at_once(windows: WindowsServer, kerberos: Domain, account: Account, schemes: tuple[str, ...]):
    rigs = await joined(windows, account, *schemes)
    changed(account)
    since = windows.last_event()
    await asyncio.gather(*(rig.check_in() for rig in rigs))
    windows.await_events("generation_refused", account=account, after=since)
    await asyncio.gather(*(rig.check_in() for rig in rigs))
    assert {rig.said for rig in rigs} <= {"not_ready", "account_refused"}
    assert 1 <= bad_passwords(account) <= 3, "as many as may be under way, and once the server itself"


async def test_one_after_the_other_by_kerberos(windows: WindowsServer, kerberos: Domain, account: Account):
    """Each shows its password to a KDC, of which the server hears by the endpoint only."""
    rigs = await joined(windows, account, "Negotiate")
    changed(account)
    since = windows.last_event()
    for rig in rigs:
        rig.restart()  # its ticket is gone
        await rig.check_in()
    assert bad_passwords(account) == 1
    assert rigs[0].said == "account_refused"
    assert {rig.said for rig in rigs[1:]} <= {"not_ready", "account_refused"}
    (told,) = windows.await_events("logon_refused", account=account, after=since)
    assert (told.detail["mechanism"], told.detail["reason"]) == ("kerberos", "wrong_password")
    windows.await_events("generation_refused", account=account, after=since)
