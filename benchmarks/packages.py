"""What one more package costs: stamped out of a base, against compressing the same bytes once."""

import os
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

from rich.console import Console
from rich.table import Table

from benchmarks.measure import FOLDER
from benchmarks.report import Goal
from keyfast.core.package import PackageKind
from keyfast.installers.archives import begun_with, squeeze
from keyfast.installers.deb import DebInstaller
from keyfast.installers.macos_pkg import MacosInstaller
from keyfast.installers.msi.installer import MsiInstaller
from keyfast.installers.msi.interpreter import from_wheels
from keyfast.installers.msi.signing import own_signer
from keyfast.installers.rpm import RpmInstaller
from keyfast.installers.stamp import Installer, Stamp
from keyfast.installers.wheels import Wheels, local_folder
from keyfast.wire.bundle import Bundle

KEPT = FOLDER / "build" / "packages"
"""Libraries outlive a run: fetching them is not what is measured."""

PAYLOADS = {"deb": "data.tar.gz", "rpm": "payload.gz", "pkg": "payload.gz"}
AT = 1_790_000_000
SHARE = 10
"""One stamp of so many must not cost more than compressing the agent once."""
MSI_MS = 150
"""A Windows package is stamped by other programs, which each read or write all of it."""


@dataclass(frozen=True, slots=True)
class Cost:
    """Of one kind of package, CPU time.

    Attributes:
        kind: by its file's suffix.
        count: stamps made.
        mib: size of a package.
        stamp_ms: one package, signature and its verification included, and what other programs do for it.
        elapsed_ms: the same by the clock.
        compress_ms: compressing what is in the package, the reference.
    """

    kind: str
    count: int
    mib: float
    stamp_ms: float
    elapsed_ms: float
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
        _msi(wheels, folder),
    )
    return [_cost(installer, count) for installer in installers]


def _msi(wheels: Wheels, folder: Path) -> MsiInstaller:
    signer = own_signer(folder / "signing", "Keyfast of a benchmark", datetime.now(UTC))
    return MsiInstaller(folder, wheels, signer, partial(from_wheels, wheels.cache, wheels.local), "wheels")


def _cost(installer: Installer, count: int) -> Cost:
    kind, base = installer.kind.value, installer.base(_unseen)
    # One beforehand: what is read once is not part of one more.
    sizes = [len(installer.stamp(base, _stamp(0)))]
    started, begun = _cpu(), time.monotonic()
    sizes += [len(installer.stamp(base, _stamp(number))) for number in range(1, count + 1)]
    stamp_ms, elapsed_ms = (_cpu() - started) / count * 1000, (time.monotonic() - begun) / count * 1000
    # A base of Windows is one file, and what is in it stays compressed.
    plain = begun_with((base / PAYLOADS[kind]).read_bytes()) if kind in PAYLOADS else base.read_bytes()
    started = _cpu()
    squeeze(plain)
    return Cost(kind, count, max(sizes) / 2**20, stamp_ms, elapsed_ms, (_cpu() - started) * 1000)


def _cpu() -> float:
    """Seconds of CPU of this process, and of the programs that it has run."""
    spent = os.times()
    return spent.user + spent.system + spent.children_user + spent.children_system


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
    codes = (f"33333333-3333-4333-8333-{number:012d}", f"44444444-4444-4444-8444-{number:012d}")
    return Stamp(bundle, AT + number, "https://localhost:8443", "oauth", *codes)


def goals(costs: Sequence[Cost]) -> list[Goal]:
    """What must hold of each kind."""
    what = "CPU of a stamp, to compressing the agent once"
    return [
        Goal("CPU of a stamped .msi", cost.stamp_ms, MSI_MS, MSI_MS / 2, "ms", 0)
        if cost.kind == PackageKind.MSI
        else Goal(f"{what}, .{cost.kind}", cost.ratio, 1 / SHARE, 1 / SHARE / 4, "", 3)
        for cost in costs
    ]


def show(console: Console, costs: Sequence[Cost]) -> None:
    """Print the table."""
    table = Table(title="packages", title_justify="left")
    for name in ("kind", "MiB", "stamps", "CPU ms a stamp", "ms a stamp", "CPU ms to compress", "ratio"):
        table.add_column(name, justify="left" if name == "kind" else "right")
    for cost in costs:
        table.add_row(
            f".{cost.kind}",
            f"{cost.mib:.1f}",
            f"{cost.count:,}",
            f"{cost.stamp_ms:.1f}",
            f"{cost.elapsed_ms:.1f}",
            f"{cost.compress_ms:.0f}",
            f"{cost.ratio:.3f}",
        )
    console.print(table)


def as_json(costs: Sequence[Cost]) -> list[dict[str, object]]:
    """The table for programs."""
    return [{**asdict(cost), "ratio": cost.ratio} for cost in costs]
