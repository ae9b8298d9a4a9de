"""What clients and the administrator see in each situation of the account; docs/protocol/windows-results.md says it.

``KEYFAST_WRITE_DOCS=1`` (and one worker, -n 0) writes the page anew.
"""

import os
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from tests.support.samba import SEE_PASSWORD, Account, Domain, start_domain
from tests.support.windows import WindowsRig, WindowsServer, bad_passwords, down, kinit
from tests.support.windows_client import Barrier

PAGE = Path(__file__).resolve().parents[2] / "docs/protocol/windows-results.md"
WRITE = os.environ.get("KEYFAST_WRITE_DOCS") == "1"
NEW = "Another-Passw0rd-2"
LONG_AGO = "age:0.05"  # days: 72 minutes, beyond the hour in which the password before is taken
ABOUT_ACCOUNTS = ("account_", "generation_", "directory_", "logon_")

INTRODUCTION = """# What clients and administrators see

`tests/integration/test_windows_table.py` writes this page from what a running server, curl, real agents and a real
domain controller (Samba AD 4.17) do, and fails when they do something else. Microsoft's own domain controllers and
clients were not tried. Each section is one situation of one account that a package embeds; every client has the
password of that package. "Counted" is by how much the client raised the account's `badPwdCount`.

- *old ticket*: a Kerberos ticket from before; *new ticket*: one asked for now.
- *agent, running*: it logged on by Kerberos before, and still has its ticket. *Agent, started anew* has none.
- *agent, NTLM* and *agent, Basic*: the server offers it only that, and it was started anew.
- *held*: the agent does not present this password again for six hours. Without the word none was presented.
- The last lines of a section are what `keyfast account check` finds, worst first, and the events since.
"""


@dataclass(frozen=True)
class Situation:
    """One situation.

    Attributes:
        title: heading of its section.
        text: what it is.
        bring: brings an account into it.
        during: context in which the clients try.
    """

    title: str
    text: str
    bring: Callable[["Stage"], None] = lambda stage: None
    during: Callable[["Stage"], AbstractContextManager[None]] = lambda stage: nullcontext()


@dataclass
class Stage:
    """An account, the server, and its clients, each of which has logged on once."""

    site: WindowsServer
    account: Account
    domain: Domain
    barrier: Barrier
    folder: Path
    rigs: dict[str, WindowsRig] = field(default_factory=dict)
    since: int = 0

    async def set_up(self) -> "Stage":
        """Log everyone on while all is well."""
        bundle = self.site.windows_bundle(self.account)
        for number, (name, only) in enumerate(AGENTS.items()):
            rig = self.rigs[name] = self.site.rig(bundle, number, only=only)
            await rig.check_in()
            assert rig.said.startswith("ok"), rig.said
            if name != "agent, running":
                rig.restart()
        assert kinit(self.account, self.folder / "old")
        assert self.site.negotiate(self.folder / "old").status == 200  # with a ticket for the service
        await self.settle()
        self.since = self.site.last_event()
        return self

    async def settle(self) -> None:
        """Read the account, and have the check-in process know it."""
        self.site.check_account(self.account)
        self.barrier.pass_()

    async def lines(self) -> list[str]:
        """The section's table."""
        rows = [f"| {name} | {await self.try_(name)} |" for name in (*CURLS, *AGENTS)]
        return ["| client | hears | counted |", "| --- | --- | --- |", *rows]

    async def try_(self, name: str) -> str:
        before = bad_passwords(self.account)
        heard = CURLS[name](self) if name in CURLS else await self._agent(self.rigs[name])
        return f"{heard} | {max(0, bad_passwords(self.account) - before) or '-'}"

    async def _agent(self, rig: WindowsRig) -> str:
        await rig.check_in()
        return rig.said + (", held" if rig.held else "")

    def administrator(self) -> list[str]:
        """What the administrator sees."""
        self.barrier.flush()
        found = self.site.check_account(self.account)
        conditions = list(dict.fromkeys(finding.condition for finding in found.findings)) or ["healthy"]
        key = f"{self.account.domain.netbios}\\{self.account.name}"
        events = {
            row.kind
            for row in self.site.events(after=self.since)
            if row.kind.startswith(ABOUT_ACCOUNTS) and row.detail.get("account", key) == key
        }
        return [f"- `keyfast account check`: {_code(conditions)}", f"- events: {_code(sorted(events)) or 'none'}"]


def _code(words: list[str]) -> str:
    return ", ".join(f"`{word}`" for word in words)


def _said(answer) -> str:
    return f"{answer.status} {answer.kind or answer.body.get('mechanism', '')}".strip()


def _new_ticket(stage: Stage) -> str:
    tickets = stage.folder / "new"
    return _said(stage.site.negotiate(tickets)) if kinit(stage.account, tickets) else "no ticket from the KDC"


CURLS: dict[str, Callable[[Stage], str]] = {
    "curl --negotiate, old ticket": lambda stage: _said(stage.site.negotiate(stage.folder / "old")),
    "curl --negotiate, new ticket": _new_ticket,
    "curl --ntlm": lambda stage: _said(stage.site.ntlm(stage.account)),
    "curl --basic": lambda stage: _said(stage.site.basic(stage.account)),
}
AGENTS = {"agent, running": "", "agent, started anew": "", "agent, NTLM": "NTLM", "agent, Basic": "Basic"}


def _state(*states: str) -> Callable[[Stage], None]:
    return lambda stage: [stage.account.state(state) for state in states] and None


def _change(stage: Stage) -> None:
    stage.domain.password(stage.account.name, NEW)


def _change_long_ago(stage: Stage) -> None:
    _change(stage)
    stage.account.state(LONG_AGO)


def _change_on_record(stage: Stage) -> None:
    _change(stage)
    stage.site.add_account(stage.account, password=NEW)


def _expire(stage: Stage) -> None:
    # A day and a second is the shortest that Samba takes; setting the password's date back would look like a replica
    # that lags behind.
    stage.domain.pso(f"short-{stage.account.name}", stage.account.name, max_age_days=1 + 1 / 86_400)


def _restore(stage: Stage) -> None:
    _change(stage)
    stage.site.check_account(stage.account)
    stage.domain.password(stage.account.name, stage.account.password)


SITUATIONS = (
    Situation("Nothing happened", "The account is as it was when the package was built."),
    Situation(
        "The password was changed less than an hour ago",
        "Active Directory still takes the password before over NTLM and simple binds; Kerberos does not.",
        _change,
    ),
    Situation("The password was changed more than an hour ago", "Nothing takes it any more.", _change_long_ago),
    Situation(
        "The new password is on record",
        "It was changed just now, and `keyfast account add` was given the new one.",
        _change_on_record,
    ),
    Situation("The password was restored", "It was changed, and then set to what it was.", _restore),
    Situation("The password has expired", "By the domain's policy.", _expire),
    Situation("The password must be changed at the next logon", "An administrator wants it so.", _state("must-change")),
    Situation("The account is disabled", "An administrator switched it off.", _state("disabled")),
    Situation("The account is locked", "Somebody tried wrong passwords.", _state("locked")),
    Situation("The account has expired", "Its own end date has passed.", _state("account-expired")),
    Situation("The account was deleted", "It is gone from the directory.", _state("deleted")),
    Situation(
        "No domain controller answers",
        "Whoever is let in is so by a ticket, or because the same password was granted in the last five minutes.",
        during=lambda stage: down(stage.domain),
    ),
)
LAG = Situation(
    "One domain controller lags behind",
    "The password was changed at one of two controllers; the clients and winbind still ask the other one.",
)


@pytest.fixture(scope="module")
def site(ad: Domain, tmp_path_factory: pytest.TempPathFactory) -> Iterator[WindowsServer]:
    """It reads accounts when it is told to, and when a logon was refused."""
    running = WindowsServer(tmp_path_factory.mktemp("table") / "data", ad, interval=3600)
    yield running
    running.close()


@pytest.fixture(scope="module")
def barrier(site: WindowsServer) -> Iterator[Barrier]:
    made = Barrier(site)
    yield made
    made.close()


@pytest.mark.slow
@pytest.mark.parametrize("situation", SITUATIONS, ids=lambda situation: situation.title)
async def test_each_situation_is_as_the_page_says(
    site: WindowsServer, barrier: Barrier, account: Account, kerberos: Domain, tmp_path: Path, situation: Situation
):
    account.state("age:2")  # days: an account is older than the packages built with it
    site.add_account(account)
    stage = await Stage(site, account, kerberos, barrier, tmp_path).set_up()
    await _play(stage, situation)


async def _play(stage: Stage, situation: Situation) -> None:
    situation.bring(stage)
    with situation.during(stage):
        before = bad_passwords(stage.account)
        await stage.settle()
        own = bad_passwords(stage.account) - before
        table = await stage.lines()
        seen = [*stage.administrator(), f"- counted by the server's own try of the password: {own or 'none'}"]
    section = "\n".join(("## " + situation.title, "", situation.text, "", *table, "", *seen, ""))
    _facts(situation.title, table, seen)
    if WRITE:
        _write(situation.title, section)
    assert _sections(PAGE.read_text("utf-8")).get(situation.title) == section


@pytest.mark.slow
async def test_a_lagging_controller_is_as_the_page_says(
    tmp_path_factory: pytest.TempPathFactory, tmp_path, monkeypatch
):
    folder = tmp_path_factory.mktemp("lag")
    ahead, behind = start_domain(folder / "a"), start_domain(folder / "b")
    for name, value in (behind.environment() | {"KRB5CCNAME": f"FILE:{tmp_path}/tickets"}).items():
        monkeypatch.setenv(name, value)
    server = WindowsServer(folder / "data", behind, also=[ahead], interval=3600)
    try:
        account = Account(behind, "svc-see", SEE_PASSWORD)
        server.add_account(account)
        barrier = Barrier(server)
        stage = await Stage(server, account, behind, barrier, tmp_path).set_up()
        ahead.password(account.name, NEW)
        await _play(stage, LAG)
        barrier.close()
    finally:
        server.close()
        ahead.close()
        behind.close()


@pytest.mark.slow
def test_the_page_has_these_sections_and_no_other():
    if WRITE:
        return  # they are being written
    text = PAGE.read_text("utf-8")
    assert text.startswith(INTRODUCTION)
    assert list(_sections(text)) == [situation.title for situation in (*SITUATIONS, LAG)]


def _facts(title: str, table: list[str], seen: list[str]) -> None:
    """What must never be otherwise, whatever the page says."""
    told = "\n".join(table)
    rows = {line.split(" | ")[0].removeprefix("| "): line.split(" | ")[1] for line in table[2:]}
    if title == "No domain controller answers":
        assert "401" not in told
        assert "account_refused" not in told
        assert "held" not in told
        assert "`unreadable`" in seen[0]
    elif title in ("Nothing happened", "The password was restored"):
        assert all(heard.startswith(("200 ", "ok ")) for heard in rows.values()), table
    elif "less than an hour" in title or "on record" in title or title == LAG.title:
        assert rows["agent, started anew"] == "ok ntlm"
    else:
        agents = [heard for client, heard in rows.items() if client.startswith("agent")]
        assert agents == ["account_refused"] * len(AGENTS)  # and no password presented, so none is held
        assert rows["curl --ntlm"] == "401 account_refused"
        assert rows["curl --basic"] == "401 account_refused"


def _sections(text: str) -> dict[str, str]:
    parts = text.split("\n## ")[1:]
    return {part.partition("\n")[0]: f"## {part.rstrip()}\n" for part in parts}


def _write(title: str, section: str) -> None:
    """Put one section in its place."""
    have = _sections(PAGE.read_text("utf-8")) if PAGE.exists() else {}
    have[title] = section
    kept = [have[situation.title] for situation in (*SITUATIONS, LAG) if situation.title in have]
    PAGE.write_text("\n".join((INTRODUCTION, *kept)), "utf-8")
