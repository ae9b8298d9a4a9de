"""``keyfast up``: a server on this machine, and this machine as its first endpoint. Run it again to go on."""

import asyncio
import contextlib
import secrets
import socket
import tarfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Literal, TypeVar

import msgspec
from rich.markup import escape
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from keyfast import settings as settings_room
from keyfast.agent.install import seed
from keyfast.agent.platform import here
from keyfast.cli import output
from keyfast.cli.client import AdminClient
from keyfast.core.role import Role
from keyfast.errors import KeyfastError, NotReadyError, UsageError
from keyfast.server import log, run
from keyfast.server.supervisor import Child, Supervisor, python
from keyfast.services.live import REFRESH_SECONDS
from keyfast.settings import ConsoleSettings, Settings
from keyfast.wire.admin import (
    AccountOrder,
    AccountView,
    Changed,
    EndpointDetail,
    Installation,
    ModeOrder,
    PackageLine,
    PackageOrder,
)
from keyfast.wire.bundle import Bundle
from keyfast.wire.directory import DirectoryView, LocalAccountLine, LocalAccountOrder
from keyfast.wire.messages import Volume
from keyfast.wire.people import Invited, PersonLine, PersonOrder

Answer = TypeVar("Answer")

READY_SECONDS = 60
CONSOLE_PORT = 8444
FIRST_PERSON = "admin"
ACCOUNT = "keyfast-endpoints"
FIRST_CHECK_IN_SECONDS = 60


def up(data: Path, port: int, mode: Literal["oauth", "windows"]) -> None:
    """Start the server of ``data`` (made if missing, on TCP ``port`` if that is free), and this machine's agent."""
    settings = _settings(data.resolve(), port)
    log.configure("up", settings.data / "log" / "up.log")
    installation = asyncio.run(run.prepare(settings, found=True, name=socket.gethostname(), now=int(time.time())))
    output.console.print(f"installation [bold]{installation}[/] in {settings.data}")
    asyncio.run(_run(settings, mode))


def _settings(data: Path, port: int) -> Settings:
    data.mkdir(mode=0o700, parents=True, exist_ok=True)
    data.chmod(0o700)
    if not (data / settings_room.FILE_NAME).exists():
        chosen = _free_port(port)
        settings_room.write(
            replace(
                settings_room.Settings(data),
                port=chosen,
                urls=(f"https://localhost:{chosen}",),
                console=ConsoleSettings(port=_free_port(CONSOLE_PORT)),
            )
        )
    return settings_room.load(data)


def _free_port(wanted: int) -> int:
    """The port asked for, or one that is free if something else already listens there."""
    for candidate in (wanted, 0):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", candidate))
            except OSError:
                continue
            return int(probe.getsockname()[1])
    raise NotReadyError("no free TCP port on 127.0.0.1")


async def _run(settings: Settings, mode: Literal["oauth", "windows"]) -> None:
    running = run.supervisor()
    for child in run.children(settings, logs=True):
        running.start(child)
    welcome = asyncio.create_task(_welcome(settings, running, mode))
    await running.stopped()
    welcome.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await welcome


async def _welcome(settings: Settings, running: Supervisor, mode: Literal["oauth", "windows"]) -> None:
    """Enrol this machine, keep its agent running and show its first check-in."""
    state = settings.data / "agent"
    client = AdminClient(settings.admin_socket)
    started = int(time.time())
    try:
        with _progress() as progress:
            progress.add_task("starting the server")
            await _until(lambda: client.get("/admin/v1/installation", Installation), READY_SECONDS)
            if here().read(state)[0] is None:
                progress.add_task("building a package for this machine")
                await asyncio.to_thread(_seed_agent, client, state, mode)
                await asyncio.sleep(REFRESH_SECONDS + 0.5)  # until the endpoint service has read of mode and account
            command = python("keyfast.agent.main", "run", "--state-dir", str(state))
            running.start(Child("agent", command, settings.data / "log" / "agent.log"))
            progress.add_task("waiting for this machine to check in")
            detail = await _until(lambda: _checked_in(client, state, started), FIRST_CHECK_IN_SECONDS)
            invitation = await asyncio.to_thread(_first_person, client) if settings.console.port else ""
    except KeyfastError as fault:
        output.fail(fault)
        output.errors.print(f"  the logs are in {settings.data / 'log'}", soft_wrap=True)
    else:
        _show(settings, detail, invitation)


def _first_person(client: AdminClient) -> str:
    """Invite a first administrator if there is nobody yet; return the code, which is told once."""
    if client.get("/admin/v1/people", list[PersonLine], {"limit": 1}):
        return ""
    return client.post("/admin/v1/people", Invited, PersonOrder(FIRST_PERSON, Role.ADMINISTRATOR)).code


def _windows_account(client: AdminClient) -> str:
    """An account of the embedded directory with a password nobody needs to know, and the mode that takes it."""
    where = client.get("/admin/v1/directory", DirectoryView)
    if where.kind != "embedded":
        raise UsageError(
            "this server has an Active Directory", repair="keyfast account add, then keyfast package create"
        )
    password = secrets.token_urlsafe(30)
    client.post("/admin/v1/directory/accounts", LocalAccountLine, LocalAccountOrder(ACCOUNT, password))
    account = client.post("/admin/v1/accounts", AccountView, AccountOrder(ACCOUNT, password)).account
    client.post("/admin/v1/modes/open", Changed, ModeOrder("windows"))
    return account


def _seed_agent(client: AdminClient, state: Path, mode: Literal["oauth", "windows"]) -> None:
    account = _windows_account(client) if mode == "windows" else ""
    order = PackageOrder(ring="this machine", max_uses=1, mode=mode, account=account)
    package = client.post("/admin/v1/packages", PackageLine, order)
    with tarfile.open(package.path) as archive:
        member = archive.extractfile("keyfast-agent/keyfast.json")
        if member is None:
            raise NotReadyError(f"{package.path} is not a bundle")
        bundle = msgspec.json.decode(member.read(), type=Bundle)
    database = here().open_database(state)
    try:
        seed(database, bundle)
    finally:
        database.close()


def _checked_in(client: AdminClient, state: Path, since: int) -> EndpointDetail:
    """This machine's record, once nothing is overdue any more."""
    record, _ = here().read(state)
    if record is not None and record.endpoint_id:
        detail = client.get(f"/admin/v1/endpoints/{record.endpoint_id}", EndpointDetail)
        if detail.line.next_due > since:
            return detail
    raise NotReadyError("this machine has not checked in yet", repair="look into agent.log")


async def _until(read: Callable[[], Answer], seconds: float) -> Answer:
    """Ask again until it works; the last failure is raised when the time is over."""
    end = time.monotonic() + seconds
    while True:
        try:
            return await asyncio.to_thread(read)
        except NotReadyError:
            if time.monotonic() > end:
                raise
        await asyncio.sleep(0.2)


def _show(settings: Settings, detail: EndpointDetail, invitation: str) -> None:
    line, console = detail.line, f"https://localhost:{settings.console.port}"
    volumes = () if detail.inventory is None else detail.inventory.volumes
    output.table(
        ("", ""),
        (
            (
                "endpoint",
                f"[bold]{escape(line.name)}[/] {output.coloured(line.state, output.STATE_COLOUR)} {line.id}",
            ),
            *(("disk", escape(_volume(volume))) for volume in volumes),
            ("last check-in", output.moment(line.seen_at)),
            ("next check-in", output.moment(line.next_due)),
            ("endpoint API", settings.urls[0]),
            *([("console", f"{console} (its authority: {settings.tls / 'ca.pem'})")] if settings.console.port else []),
            ("administrator", "you, through the local socket"),
            (
                "look around",
                f"keyfast --help; for example: keyfast endpoint show {line.id} --data {settings.data}",
            ),
        ),
        "",
    )
    if invitation:
        output.console.print(
            f"choose a password for [bold]{FIRST_PERSON}[/] on {console}/join; the invitation, this once:"
        )
        output.console.print(invitation, soft_wrap=True)
    output.console.print("Ctrl-C stops server and agent; the same command goes on with the same data.")


def _volume(volume: Volume) -> str:
    why = volume.technology or volume.detail
    return f"{volume.mount or volume.id}: {volume.encryption}, protection {volume.protection} ({why})"


def _progress() -> Progress:
    return Progress(
        SpinnerColumn(),
        TextColumn("{task.description}"),
        TimeElapsedColumn(),
        console=output.console,
        transient=True,
    )
