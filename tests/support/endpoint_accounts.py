"""Situations of one endpoint in Windows mode, made on a real domain; see ``endpoint_situations``."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.support import processes
from tests.support.agent import RealAgent
from tests.support.endpoint_site import NOTHING, diagnosed
from tests.support.endpoint_situations import Ask, Report
from tests.support.samba import Account
from tests.support.windows import WindowsServer, down

LONG_AGO = "age:0.05"
"""Days: 72 minutes, beyond the hour in which the password before is taken."""


@dataclass
class Desk:
    """An endpoint that has checked in by an account of its own."""

    site: WindowsServer
    account: Account
    folder: Path

    def agent(self) -> RealAgent:
        """Enrol it."""
        self.site.add_account(self.account)
        agent = self.site.agent(self.folder / self.account.name).install(self.site.windows_bundle(self.account))
        assert agent.check_in(), agent.output
        return agent


Make = Callable[[Desk], AbstractContextManager[Ask]]


@contextmanager
def well(desk: Desk) -> Iterator[Ask]:
    agent = desk.agent()
    yield lambda: diagnosed(agent)


def account(words: str, *states: str, password: str = "") -> Make:
    """The account is brought into a state, and the server has read it since: then it says so."""

    @contextmanager
    def make(desk: Desk) -> Iterator[Ask]:
        agent = desk.agent()
        if password:
            desk.account.domain.password(desk.account.name, password)
        for state in states:
            desk.account.state(state)
        desk.site.check_account(desk.account)
        yield lambda: processes.until(lambda: _says(diagnosed(agent), words), words)

    return make


def _says(report: Report, words: str) -> Report | None:
    return report if words in report["told"] else None


@contextmanager
def refused_before(desk: Desk) -> Iterator[Ask]:
    """The agent has tried the password itself, and keeps it now; the server knows of nothing."""
    agent = desk.agent()
    desk.account.domain.password(desk.account.name, "Another-Passw0rd-3")
    desk.account.state(LONG_AGO)
    assert not agent.check_in()
    assert agent.status()["hold_until"]
    yield lambda: diagnosed(agent)


@contextmanager
def domain_down(desk: Desk) -> Iterator[Ask]:
    agent = desk.agent()
    with down(desk.account.domain):
        yield lambda: diagnosed(agent)


@contextmanager
def mode_closed(desk: Desk) -> Iterator[Ask]:
    agent = desk.agent()
    desk.site.close_mode("windows", despite_endpoints=True)
    try:
        yield lambda: processes.until(lambda: _says(diagnosed(agent), "switched off"), "the mode to close")
    finally:
        desk.site.open_mode("windows")


REFUSED = "refused-account-refused"
SITUATIONS: Sequence[tuple[str, Make, str]] = (
    ("all is well", well, NOTHING),
    (
        "password changed",
        account("the directory refuses the account's password", LONG_AGO, password="Another-Passw0rd-2"),
        REFUSED,
    ),
    ("password changed, and held since it was refused", refused_before, REFUSED),
    ("account disabled", account("the account is disabled", "disabled"), REFUSED),
    ("account expired", account("the account has expired", "account-expired"), REFUSED),
    ("account locked", account("the account is locked out", "locked"), REFUSED),
    ("password expired", account("the account's password has expired", "expired"), REFUSED),
    ("must change at next logon", account("must be changed at the next logon", "must-change"), REFUSED),
    ("account deleted", account("the directory refuses the account's password", "deleted"), REFUSED),
    ("mode closed", mode_closed, "refused-mode-closed"),
    ("no domain controller answers", domain_down, "refused-not-ready"),
)
"""What is made, how, and what is said first, of which the server's own word makes it certain."""
