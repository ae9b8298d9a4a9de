"""What each way to authenticate costs: OAuth, Kerberos, NTLM and Basic in front of a real domain controller."""

import sys
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from uuid import UUID

from rich.console import Console
from rich.progress import Progress
from tests.support.samba import SEE_PASSWORD

from benchmarks import (
    domain,
    fill,
    installation,
    make_requests,
    measure,
    mechanism_report,
    processes,
    windows_requests,
)
from benchmarks.domain import WatchedDomain
from benchmarks.fleet import ORDINARY, Trait
from benchmarks.make_requests import Maker
from benchmarks.measure import Shape, Target
from benchmarks.mechanism_report import OAUTH, Costed, Reconnect, Results
from benchmarks.ntlm_load import USER
from benchmarks.report import BASELINE
from benchmarks.windows_requests import LogonMaker
from keyfast.cli.client import AdminClient
from keyfast.core.directory import account_key
from keyfast.core.mode import Mechanism, Mode
from keyfast.errors import KeyfastError
from keyfast.settings import load
from keyfast.wire.admin import AccountOrder, AccountView, Changed, ModeOrder, PackageLine, PackageOrder

IN_WINDOWS_MODE = Trait(
    account=account_key(*USER.split("\\")), generation=windows_requests.GENERATION, mode=Mode.WINDOWS.value
)
"""What is on record of whom is measured, so that no check-in is a move to another access."""
PRINCIPAL = "svc-see@CORP.EXAMPLE.TEST"
ENDPOINTS_EACH = 10_000
"""Endpoints with each mechanism; far more than a server remembers keys of."""
MECHANISMS = (Mechanism.KERBEROS, Mechanism.NTLM, Mechanism.BASIC)
PEAK: dict[str, int] = {OAUTH: 4000, Mechanism.KERBEROS: 3000, Mechanism.NTLM: 800, Mechanism.BASIC: 4000}
"""More check-ins per second than any round will get through: so many requests are made."""
NTLM_CONNECTIONS = 16
"""As many as the server asks winbind about at a time."""
NTLM_WARM_S = 3.0
"""The server starts its helpers then."""
NTLM_DRIVER = (sys.executable, "-m", "benchmarks.ntlm_load")
RECONNECTING = Shape("reconnect", 512, keep_alive=False, rate=0, warm_s=0, seconds=300)
ADMIN_SECONDS = 30.0


@dataclass(frozen=True, slots=True)
class Plan:
    """What to measure.

    Attributes:
        endpoints: in the tables, that check in by OAuth; those that log on to Windows come on top.
        tries: of a round, while others use the machine.
        shape: of the load.
        reconnecting: how many check in at once after a restart.
    """

    endpoints: int
    rounds: int
    tries: int
    shape: Shape
    reconnecting: int

    def count(self, name: str) -> int:
        """How many requests one try may use up."""
        return int(PEAK[name] * (self.shape.warm_s + self.shape.seconds))


@dataclass(slots=True)
class Candidate:
    """One way to authenticate, and how many of its requests are spent.

    Attributes:
        maker: makes its requests, just before each try since tickets do not keep; None if there are some.
    """

    target: Target
    shape: Shape
    maker: Maker | LogonMaker | None
    spent: int = 0


@dataclass(frozen=True, slots=True)
class Site:
    """A domain and an installation that has an account of it on record."""

    domain: WatchedDomain
    founded: installation.Founded
    port: int

    def server(self) -> AbstractContextManager[int]:
        """Run the server; yields its pid."""
        return processes.keyfast(self.founded.data, self.port, sys.executable, {"KRB5_CONFIG": self._krb5_config})

    @property
    def _krb5_config(self) -> str:
        return str(self.domain.domain.krb5_conf)

    def logon(self, mechanism: Mechanism, first: int, endpoints: int) -> LogonMaker:
        """What makes requests of the endpoints from number ``first`` on."""
        user = PRINCIPAL if mechanism is Mechanism.KERBEROS else USER
        return LogonMaker(self.founded.maker, mechanism, first, endpoints, user, SEE_PASSWORD, self._krb5_config)


def run(plan: Plan, folder: Path, console: Console) -> Results:
    """Measure everything.

    Raises:
        pytest.skip.Exception: there can be no domain controller here.
    """
    with ExitStack() as stack:
        watched = stack.enter_context(domain.watched(folder / "dc"))
        port = processes.free_port()
        tables = watched.tables(folder / "reader.password")
        site = Site(watched, installation.found(folder / "windows", port, "", plan.endpoints, tables), port)
        with site.server():
            package = _administer(site)
        with Progress(console=console, transient=True) as progress:
            keyed = (len(MECHANISMS) + 1) * ENDPOINTS_EACH
            fleet = fill.Fleet(
                plan.endpoints + keyed,
                site.founded.maker.now,
                package,
                keyed,
                lambda number: ORDINARY if number < plan.endpoints else IN_WINDOWS_MODE,
            )
            task = progress.add_task("mechanisms: endpoints", total=fleet.endpoints)
            fill.fill(site.founded.url, fleet, partial(progress.advance, task))
        tls = site.founded.data / "tls"
        nginx = stack.enter_context(processes.nginx(folder / "nginx-m", tls / "server.pem", tls / "server.key"))
        with site.server() as pid:
            candidates = _candidates(site, plan, folder, [pid, *site.domain.roots], nginx)
            rounds = list(_rounds(site, plan, candidates, console))
        reconnect = _reconnect(site, plan, folder)
    return Results(rounds, reconnect)


def _administer(site: Site) -> bytes:
    """Put the account on record, open the mode, build a package; return the package's id."""
    admin = AdminClient(load(site.founded.data).admin_socket)
    until = time.monotonic() + ADMIN_SECONDS
    while True:
        try:
            admin.post("/admin/v1/modes/open", Changed, ModeOrder("windows"))
            break
        except KeyfastError:
            if time.monotonic() > until:
                raise
            time.sleep(0.1)
    admin.post("/admin/v1/accounts", AccountView, AccountOrder(USER, SEE_PASSWORD))
    package = admin.post("/admin/v1/packages", PackageLine, PackageOrder(mode="windows", account=USER))
    return UUID(package.id).bytes


def _block(plan: Plan, number: int) -> tuple[int, int]:
    """First endpoint and number of endpoints of a block of those that log on to Windows."""
    return plan.endpoints + number * ENDPOINTS_EACH, ENDPOINTS_EACH


def _candidates(site: Site, plan: Plan, folder: Path, pids: list[int], nginx: tuple[int, int]) -> list[Candidate]:
    """All ways to authenticate, and nginx (pid, port), which is asked what OAuth was asked."""
    oauth = Target(OAUTH, site.port, folder / "oauth.requests", pids)
    found = [
        Candidate(oauth, plan.shape, site.founded.maker),
        Candidate(replace(oauth, name=BASELINE, port=nginx[1], pids=[nginx[0]], repeat=True), plan.shape, None),
    ]
    for number, mechanism in enumerate(MECHANISMS):
        target, shape = replace(oauth, name=mechanism, requests=folder / f"{mechanism}.requests"), plan.shape
        if mechanism is Mechanism.NTLM:
            target, shape = (
                replace(target, driver=NTLM_DRIVER),
                replace(shape, connections=NTLM_CONNECTIONS, warm_s=NTLM_WARM_S),
            )
        found.append(Candidate(target, shape, site.logon(mechanism, *_block(plan, number))))
    return found


def _rounds(site: Site, plan: Plan, candidates: list[Candidate], console: Console) -> Iterator[Costed]:
    for number in range(plan.rounds):
        console.print(f"mechanisms, round {number + 1} of {plan.rounds}", style="dim")
        for one in candidates:
            found = measure.quiet(partial(_try, site, plan, one), lambda costed: costed.round.foreign, plan.tries)
            console.print(f"  {mechanism_report.brief(found)}", style="dim")
            yield found


def _try(site: Site, plan: Plan, one: Candidate) -> Costed:
    if one.maker is not None:
        count = plan.count(one.target.name)
        make_requests.make(one.maker, count, one.target.requests, lambda _: None, one.spent)
        one.spent += count
    before = site.domain.seen()
    found = measure.run(one.target, one.shape, 0)
    return Costed(found, domain.between(before, site.domain.seen()))


def _reconnect(site: Site, plan: Plan, folder: Path) -> Reconnect:
    """Start the server, which knows nothing of what the directory said, and let everybody check in once at once."""
    requests, answered = folder / "reconnect.requests", folder / "answered"
    maker = site.logon(Mechanism.BASIC, *_block(plan, len(MECHANISMS)))
    make_requests.make(maker, plan.reconnecting, requests, lambda _: None)
    site.domain.forget_peak()
    before = site.domain.seen()
    with site.server() as pid:
        target = Target("reconnect", site.port, requests, [pid, *site.domain.roots])
        command = [*measure.load_command(target, RECONNECTING, 0), "--acknowledged", str(answered)]
        seen = measure.observe(command, target.pids)
        good, after = len(answered.read_text().split()), site.domain.seen()
    return Reconnect(plan.reconnecting, good, float(seen.report["seconds"]), seen.cpu_s, domain.between(before, after))
