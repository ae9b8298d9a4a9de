"""What one more package costs: stamped out of a base, against compressing the same bytes once."""

import os
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from rich.console import Console
from rich.table import Table

from benchmarks.measure import FOLDER
from benchmarks.report import Goal
from keyfast.installers.archives import begun_with, squeeze
from keyfast.installers.deb import DebInstaller
from keyfast.installers.macos_pkg import MacosInstaller
from keyfast.installers.rpm import RpmInstaller
from keyfast.installers.stamp import Installer, Stamp
from keyfast.installers.wheels import Wheels, local_folder
from keyfast.wire.messages import Bundle

KEPT = FOLDER / "build" / "packages"
"""Libraries outlive a run: fetching them is not what is measured."""

PAYLOADS = {"deb": "data.tar.gz", "rpm": "payload.gz", "pkg": "payload.gz"}
AT = 1_790_000_000
SHARE = 10
"""One stamp of so many must not cost more than compressing the agent once."""


@dataclass(frozen=True, slots=True)
class Cost:
    """Of one kind of package, CPU time.

    Attributes:
        kind: by its file's suffix.
        count: stamps made.
        mib: size of a package.
        stamp_ms: one package, signature and its verification included.
        compress_ms: compressing what is in the package, the reference.
    """

    kind: str
    count: int
    mib: float
    stamp_ms: float
    compress_ms: float

    @property
    def ratio(self) -> float:
        """A stamp relative to the reference."""
        return self.stamp_ms / self.compress_ms


def run(folder: Path, count: int) -> list[Cost]:
    """Stamp ``count`` packages of each kind.

    Raises:
        KeyfastError: the agent's libraries cannot be had, or a tool is missing.
    """
    wheels = Wheels(KEPT, local_folder(os.environ))
    installers: tuple[Installer, ...] = (
        DebInstaller(wheels, folder),
        RpmInstaller(wheels, folder, folder / "rpm.asc"),
        MacosInstaller(wheels, folder),
    )
    return [_cost(installer, count) for installer in installers]


def _cost(installer: Installer, count: int) -> Cost:
    kind, base = installer.kind.value, installer.base(_unseen)
    # One beforehand: what is read once is not part of one more.
    sizes = [len(installer.stamp(base, _stamp(0)))]
    started = time.process_time()
    sizes += [len(installer.stamp(base, _stamp(number))) for number in range(1, count + 1)]
    stamp_ms = (time.process_time() - started) / count * 1000
    plain = begun_with((base / PAYLOADS[kind]).read_bytes())
    started = time.process_time()
    squeeze(plain)
    compress_ms = (time.process_time() - started) * 1000
    return Cost(kind, count, max(sizes) / 2**20, stamp_ms, compress_ms)


def _unseen(what: str, share: float) -> None:
    """Nobody watches."""


def _stamp(number: int) -> Stamp:
    bundle = Bundle(
        installation="11111111-1111-4111-8111-111111111111",
        root="{}",
        delegations=(os.urandom(400).hex(),),
        profile=os.urandom(1000).hex(),
        statement=os.urandom(400).hex(),
        package=f"22222222-2222-4222-8222-{number:012d}",
    )
    return Stamp(bundle, AT + number, "https://localhost:8443", "oauth", f"product-{number}", f"package-{number}")


def goals(costs: Sequence[Cost]) -> list[Goal]:
    """What must hold of each kind."""
    what = "CPU of a stamp, to compressing the agent once"
    return [Goal(f"{what}, .{cost.kind}", cost.ratio, 1 / SHARE, 1 / SHARE / 4, "", 3) for cost in costs]


def show(console: Console, costs: Sequence[Cost]) -> None:
    """Print the table."""
    table = Table(title="packages", title_justify="left")
    for name in ("kind", "MiB", "stamps", "CPU ms a stamp", "CPU ms to compress", "ratio"):
        table.add_column(name, justify="left" if name == "kind" else "right")
    for cost in costs:
        table.add_row(
            f".{cost.kind}",
            f"{cost.mib:.1f}",
            f"{cost.count:,}",
            f"{cost.stamp_ms:.1f}",
            f"{cost.compress_ms:.0f}",
            f"{cost.ratio:.3f}",
        )
    console.print(table)


def as_json(costs: Sequence[Cost]) -> list[dict[str, object]]:
    """The table for programs."""
    return [{**asdict(cost), "ratio": cost.ratio} for cost in costs]
