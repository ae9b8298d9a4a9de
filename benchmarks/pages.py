"""What every page of the console and every read of the admin API costs the server, over a large installation."""

import asyncio
import math
import os
import sys
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from itertools import count
from multiprocessing import get_context
from multiprocessing.connection import Connection
from pathlib import Path
from statistics import median

import uvloop
from rich.console import Console
from rich.progress import Progress
from starlette.types import ASGIApp, Message, Scope

from benchmarks import bulk, estate_records, estate_rows, fill, installation, machine, page_paths, processes
from benchmarks.estate import Estate
from benchmarks.estate_records import RINGED, Visitor
from benchmarks.page_paths import SCENES, Ask, Scene
from keyfast.api.console.app import Network, console_app
from keyfast.api.console.assets import Assets
from keyfast.api.console.banners import KEPT_SECONDS
from keyfast.api.console.gate import COOKIE
from keyfast.core.mode import Mode
from keyfast.core.role import Role
from keyfast.server import compose
from keyfast.server.compose_admin import AdminParts, admin_service
from keyfast.settings import load
from keyfast.wire.admin import PackageOrder

MUST_MS = 300.0
"""Server time of a page."""
TABLES = "[windows]\nbasic = true\n"
_SECOND = 1000.0
Told = Callable[[int], None]


@dataclass(frozen=True, slots=True)
class Plan:
    """What to measure.

    Attributes:
        databases: ``sqlite``, ``postgresql``.
        repeats: of each request, after the first.
    """

    endpoints: int
    databases: tuple[str, ...]
    repeats: int


@dataclass(frozen=True, slots=True)
class Taken:
    """How long one request took on one database, in milliseconds.

    Attributes:
        first: the first of its kind in the process: templates are read, statements prepared.
        times: of those after it, by the clock.
        cpu: of one of them, this process and the database's: what others do meanwhile does not count.
        status: of the answers; 0 if they were not all alike.
        size: of the answer, in bytes.
    """

    database: str
    route: str
    ask: Ask
    first: float
    times: tuple[float, ...]
    cpu: float
    status: int
    size: int

    @property
    def median(self) -> float:
        """Half of them took less."""
        return median(self.times)

    @property
    def p95(self) -> float:
        """Nineteen of twenty took no more."""
        return sorted(self.times)[math.ceil(len(self.times) * 0.95) - 1]

    @property
    def late(self) -> bool:
        """Whether it takes longer than it may: by its median, as others use the machine."""
        return self.median >= MUST_MS

    @property
    def answered(self) -> bool:
        """Whether it was answered as it should be."""
        return self.status == self.ask.expected


def run(plan: Plan, folder: Path, console: Console) -> list[Taken]:
    """Measure.

    Raises:
        LookupError: there is a route that nobody thought of.
    """
    page_paths.asked(Estate(plan.endpoints, 0), "", "")  # before the minutes that filling takes
    taken: list[Taken] = []
    for kind in plan.databases:
        with ExitStack() as stack:
            database, url = stack.enter_context(processes.postgres()) if kind == "postgresql" else (0, "")
            data = folder / f"pages-{kind}"
            estate = Estate(plan.endpoints, int(time.time()))
            founded = installation.found(data, processes.free_port(), url, 0, TABLES)
            with Progress(console=console, transient=True) as progress:
                _fill(founded.url, estate, founded.maker.installation, kind, progress)
                task = progress.add_task(f"{kind}: pages", total=None)
                measured = measure(data, estate, plan.repeats, partial(progress.advance, task), kind, database)
            console.print(f"  {kind}: {len(measured)} requests, {sum(one.late for one in measured)} late", style="dim")
            taken += measured
    return taken


def measure(
    data: Path,
    estate: Estate,
    repeats: int,
    told: Told,
    kind: str = "sqlite",
    database: int = 0,
    *,
    preferred: bool = True,
) -> list[Taken]:
    """Measure over a filled installation, as its admin process would answer once its jobs had their turn.

    Args:
        data: of the installation.
        estate: what it was filled with.
        repeats: of each request, after the first.
        told: hears of each request that was measured.
        kind: of database.
        database: process id of its server, 0 for none.
        preferred: go ahead of other programs on this machine, as everything that is measured does.
    """
    if preferred:
        machine.prefer(os.getpid())
    return uvloop.run(_measured(data, estate, repeats, told, kind, database))


def fill_estate(url: str, estate: Estate, installation_id: str, told: Told) -> None:
    """Insert an estate into a migrated database in which an installation was founded."""
    with bulk.opened(url) as into:
        fill.put(into, fill.Fleet(estate.endpoints, estate.now, trait=estate.trait), told)
        estate_rows.put(into, estate, installation_id, told)


def _fill(url: str, estate: Estate, installation_id: str, kind: str, progress: Progress) -> None:
    """Fill elsewhere, so that the memory it takes is not what pages are answered with."""
    context = get_context("spawn")
    heard, said = context.Pipe(duplex=False)
    task = progress.add_task(f"{kind}: rows", total=None)
    filling = context.Process(target=_filling, args=(url, estate, installation_id, said))
    filling.start()
    said.close()
    while True:
        try:
            progress.advance(task, heard.recv())
        except EOFError:
            break
    filling.join()
    progress.remove_task(task)
    if filling.exitcode:
        sys.exit(filling.exitcode)


def _filling(url: str, estate: Estate, installation_id: str, said: Connection) -> None:
    fill_estate(url, estate, installation_id, said.send)


@dataclass(frozen=True, slots=True)
class _Site:
    """The service under measurement, and who asks it: somebody for all rings, and somebody for some."""

    app: ASGIApp
    everybody: Visitor
    ringed: Visitor
    database: int

    def cpu(self) -> float:
        """Return CPU seconds used so far, by this process and by the database's."""
        theirs = sum(machine.usage(list(machine.family(self.database))).threads.values()) if self.database else 0.0
        return time.process_time() + theirs

    async def ask(self, ask: Ask) -> tuple[float, int, int]:
        """Ask once; return milliseconds, status and size of the answer."""
        path, _, query = ask.path.partition("?")
        who = self.ringed if ask.ringed else self.everybody
        headers = [(b"host", b"localhost"), (b"cookie", f"{COOKIE}=".encode() + who.session.reveal())]
        if path.startswith("/admin/"):
            headers = [(b"host", b"localhost"), (b"authorization", b"Bearer " + who.token.reveal())]
        scope: Scope = {
            "type": "http",
            "asgi": {"version": "3.0"},
            "http_version": "1.1",
            "method": "GET",
            "scheme": "https",
            "path": path,
            "raw_path": path.encode(),
            "query_string": query.encode(),
            "root_path": "",
            "headers": headers,
            "client": ("127.0.0.1", 40_000),
            "server": ("localhost", 443),
        }
        heard = _Listener()
        began = time.perf_counter()
        await self.app(scope, heard.say, heard.hear)
        ended = heard.first_at if ask.part else time.perf_counter()
        return (ended - began) * _SECOND, heard.status, heard.size


class _Listener:
    """Who asked: says nothing more, and stays until the end of the answer."""

    def __init__(self) -> None:
        self.status, self.size, self.first_at = 0, 0, 0.0
        self._asked = False
        self._left = asyncio.Event()

    async def say(self) -> Message:
        if not self._asked:
            self._asked = True
            return {"type": "http.request", "body": b"", "more_body": False}
        await self._left.wait()  # nobody ends it but the server, which waits no longer once it has answered
        return {"type": "http.disconnect"}

    async def hear(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            return
        self.size += len(message.get("body", b""))
        self.first_at = self.first_at or time.perf_counter()


async def _measured(data: Path, estate: Estate, repeats: int, told: Told, kind: str, database: int) -> list[Taken]:
    parts = await compose.open_parts(load(data))
    try:
        admin = admin_service(parts)
        site, package = await _prepared(parts, admin, estate, database)
        found = page_paths.asked(estate, package, Assets().url("console.css"))
        taken: list[Taken] = []
        for scene in Scene:
            for which, state in SCENES[scene].items():
                await estate_records.set_state(parts.database, which, state)
            await admin.rotations.tick()
            await admin.windows.tick()
            for route, asks in found.items():
                for ask in asks:
                    if ask.scene is scene:
                        taken.append(await _take(site, kind, route, ask, repeats))
                        told(1)
        return taken
    finally:
        await parts.database.close()


async def _prepared(parts: compose.Parts, admin: AdminParts, estate: Estate, database: int) -> tuple[_Site, str]:
    """Put the small things on record, and let a package be built whose file is there."""
    await admin.modes.open_(Mode.WINDOWS, "", "benchmark")
    await estate_records.put(parts.database, estate)
    await admin.watch.tick()
    await parts.live.refresh()
    row = await admin.packages.create(PackageOrder(ring="ring-0"), "benchmark")
    everybody = await estate_records.visitor(parts.database, estate, Role.ADMINISTRATOR)
    ringed = await estate_records.visitor(parts.database, estate, Role.OPERATOR, RINGED)
    # What pages tell of small tables is kept for seconds: here every request is the one that reads it anew.
    # (Its clock leaps; the services' does not.)
    leaps = count()
    leaping = lambda: time.time() + next(leaps) * KEPT_SECONDS  # noqa: E731 - a clock
    console = console_app(admin.console, admin.sign_in, leaping, admin.streams)
    return _Site(Network(admin.network, console), everybody, ringed, database), row.id


async def _take(site: _Site, kind: str, route: str, ask: Ask, repeats: int) -> Taken:
    """Measure one request; one that is late is measured once more, as others use the machine as well."""
    first, status, size = await site.ask(ask)

    async def times() -> Taken:
        before = site.cpu()
        answers = [await site.ask(ask) for _ in range(repeats)]
        cpu = (site.cpu() - before) / repeats * _SECOND
        alike = {answer[1] for answer in answers} == {status}
        spent = tuple(answer[0] for answer in answers)
        return Taken(kind, route, ask, first, spent, cpu, status if alike else 0, size)

    found = await times()
    return min(found, await times(), key=lambda one: one.median) if found.late else found
