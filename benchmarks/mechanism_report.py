"""Costs of authentication mechanisms, as tables for people and JSON for programs."""

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from statistics import median

from rich.console import Console
from rich.table import Table

from benchmarks.domain import Seen
from benchmarks.measure import Round
from benchmarks.report import BASELINE, Goal
from keyfast.core.mode import Mechanism

OAUTH = "oauth"
NAMES = {
    BASELINE: "nginx static",
    OAUTH: "OAuth",
    Mechanism.KERBEROS: "Kerberos",
    Mechanism.NTLM: "NTLM",
    Mechanism.BASIC: "Basic (cached)",
}
REQUESTS = {BASELINE: 1, OAUTH: 1, Mechanism.KERBEROS: 1, Mechanism.NTLM: 3, Mechanism.BASIC: 1}
"""HTTP requests per check-in."""
CONTROLLER = frozenset({"samba", "tfork"})
"""Processes of the domain controller, which is another machine in life."""
SHOWN_US = 0.5
TITLE = "authentication mechanisms, new TLS connections, SQLite (median of rounds, CPU in microseconds per check-in)"


@dataclass(frozen=True, slots=True)
class Costed:
    """One round, and what the domain controller saw while it ran, warm-up included."""

    round: Round
    seen: Seen

    @property
    def server_us(self) -> float:
        """CPU per check-in of what runs on the server's machine: winbind and its helpers too."""
        return sum(used for name, used in self.round.cpu_us.items() if name not in CONTROLLER)

    @property
    def controller_us(self) -> float:
        """CPU per check-in of the domain controller."""
        return sum(used for name, used in self.round.cpu_us.items() if name in CONTROLLER)

    @property
    def per_core(self) -> float:
        """Check-ins per second that one core of the server pays for."""
        return 1e6 / self.server_us if self.server_us else 0.0


@dataclass(frozen=True, slots=True)
class Reconnect:
    """Many endpoints that check in once by Basic, right after a restart.

    Attributes:
        endpoints: how many; ``good``: answered with 200.
        seconds: until the last request was sent.
        cpu_s: CPU seconds by kind of process.
        seen: by the domain controller, from before the restart.
    """

    endpoints: int
    good: int
    seconds: float
    cpu_s: dict[str, float]
    seen: Seen


@dataclass(frozen=True, slots=True)
class Results:
    """Everything that was measured of mechanisms."""

    rounds: Sequence[Costed]
    reconnect: Reconnect

    def of(self, name: str) -> list[Costed]:
        """Rounds of one mechanism, in order."""
        return [one for one in self.rounds if one.round.target == name]

    def mid(self, name: str, value: Callable[[Costed], float]) -> float:
        """Median over the rounds of one mechanism."""
        return median(value(one) for one in self.of(name))

    def ratio(self, name: str, to: str) -> float:
        """CPU relative to another mechanism: the median of the ratios within each interleaved round."""
        pairs = zip(self.of(name), self.of(to), strict=True)
        return median(one.server_us / other.server_us for one, other in pairs)

    def goals(self) -> list[Goal]:
        """What must hold of the reconnect."""
        found, count = self.reconnect, f"{self.reconnect.endpoints:,} cold check-ins by Basic"
        return [
            Goal(f"LDAP connections the server opened, {count}", found.seen.connections, 16, 8, "", 0),
            Goal(f"LDAP binds the domain controller saw, {count}", found.seen.binds, 16, 8, "", 0),
            Goal(f"not answered with 200, {count}", found.endpoints - found.good, 0, 0, "", 0),
        ]


def brief(one: Costed) -> str:
    """One round in one line, for who watches."""
    return (
        f"{NAMES[one.round.target]}: {one.server_us:.0f} us, controller {one.controller_us:.0f} us, "
        f"{one.round.load['per_second']:,.0f}/s driven, foreign {one.round.foreign:.0%}"
    )


def show(console: Console, results: Results) -> None:
    """Print the table of mechanisms and the reconnect."""
    table = Table(title=TITLE, title_justify="left")
    left = ("mechanism", "of which")
    for name in (
        *("mechanism", "requests", "CPU us", "of which", "DC us", "per s and core", "to nginx", "to OAuth"),
        *("LDAP conn.", "binds", "DC logons", "foreign"),
    ):
        table.add_column(name, justify="left" if name in left else "right")
    for name in NAMES:
        table.add_row(*_row(results, name))
    console.print(table)
    console.print(
        "CPU us: server, helpers and winbind; DC us: the domain controller's other processes. Connections, binds and "
        "logons: sums over the rounds, warm-up included; tickets are fetched before.",
        style="dim",
    )
    found = results.reconnect
    used = ", ".join(f"{name} {seconds:.2f} s" for name, seconds in sorted(found.cpu_s.items()) if seconds > 0.005)
    console.print(
        f"reconnect: {found.good:,} of {found.endpoints:,} endpoints checked in by Basic within {found.seconds:.1f} s "
        f"of a restart; the server opened {found.seen.connections} LDAP connections ({found.seen.most_open} at the "
        f"same time), the domain controller saw {found.seen.binds} binds; CPU: {used}"
    )


def _row(results: Results, name: str) -> list[str]:
    mine = results.of(name)
    kinds = sorted({kind for one in mine for kind in one.round.cpu_us} - CONTROLLER)
    shares = {kind: median(one.round.cpu_us.get(kind, 0.0) for one in mine) for kind in kinds}
    shown = [f"{kind} {used:.0f}" for kind, used in shares.items() if used >= SHOWN_US]
    return [
        NAMES[name] if all(one.round.good for one in mine) else f"{NAMES[name]} (not all were answered with 200)",
        str(REQUESTS[name]),
        f"{results.mid(name, lambda one: one.server_us):.0f}",
        ", ".join(shown),
        f"{results.mid(name, lambda one: one.controller_us):.0f}",
        f"{results.mid(name, lambda one: one.per_core):,.0f}",
        f"{results.ratio(name, BASELINE):.2f}",
        f"{results.ratio(name, OAUTH):.2f}",
        str(sum(one.seen.connections for one in mine)),
        str(sum(one.seen.binds for one in mine)),
        str(sum(one.seen.logons + one.seen.tickets for one in mine)),
        f"{results.mid(name, lambda one: one.round.foreign):.0%}",
    ]


def as_json(results: Results) -> dict[str, object]:
    """Everything, raw rounds included."""
    return {
        "mechanisms": {
            name: {
                "requests": REQUESTS[name],
                "server_us": results.mid(name, lambda one: one.server_us),
                "controller_us": results.mid(name, lambda one: one.controller_us),
                "per_second_and_core": results.mid(name, lambda one: one.per_core),
                "to_nginx": results.ratio(name, BASELINE),
                "to_oauth": results.ratio(name, OAUTH),
            }
            for name in NAMES
        },
        "rounds": [{**asdict(one.round), "seen": asdict(one.seen)} for one in results.rounds],
        "reconnect": asdict(results.reconnect),
    }
