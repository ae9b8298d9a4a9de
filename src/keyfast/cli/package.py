"""``keyfast package create|list|show|endpoints|download|verify|revoke|kinds``."""

import time
from pathlib import Path
from typing import Annotated, Literal

import typer
from msgspec.structs import replace
from rich.markup import escape
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from keyfast.cli import output
from keyfast.cli.client import AdminClient
from keyfast.cli.options import Data, Json, client
from keyfast.cli.package_file import fetch, recognise
from keyfast.core.package import SUFFIXES, PackageKind
from keyfast.core.package_standing import PackageFault, told
from keyfast.errors import EXIT_FAILED, ConflictError, NotFoundError, UsageError
from keyfast.wire.admin import Changed, PackageLine, PackageOrder
from keyfast.wire.packages import CameLine, FileVerdict, KindLine, PackageView

Admission = Literal["auto", "approve"]
Mode = Literal["oauth", "windows"]
Kind = Literal["bundle", "deb", "rpm", "msi", "pkg", "all"]
DAYS = {"oauth": 30, "windows": 730}
"""A Windows package is as old as its account: it is renewed when the account is."""
POLL_SECONDS = 0.3

app = typer.Typer(no_args_is_help=True, help="Packages: what installs the agent and lets it enrol.")

Id = Annotated[str, typer.Argument(help="Package id.")]
Page = Annotated[int, typer.Option(min=1, max=1000)]


@app.command()
def create(
    data: Data = None,
    kind: Annotated[
        Kind, typer.Option(help="By the file that comes out; all: every kind that can be built.")
    ] = "bundle",
    ring: Annotated[str, typer.Option(help="Set of endpoints it is for.")] = "default",
    admission: Annotated[Admission, typer.Option(help="Let endpoints in by themselves, or each by hand.")] = "auto",
    days: Annotated[
        int | None, typer.Option(help="How long it may enrol endpoints; 30 by default, 730 in Windows mode.")
    ] = None,
    max_uses: Annotated[int, typer.Option(help="How many endpoints may enrol with it.")] = 1000,
    mode: Annotated[Mode, typer.Option(help="How its endpoints authenticate.")] = "oauth",
    account: Annotated[str, typer.Option(help="In Windows mode: the client authentication account inside.")] = "",
    serials: Annotated[
        Path | None, typer.Option(help="File with the serial numbers or SMBIOS UUIDs that may enrol, one a line.")
    ] = None,
    despite: Annotated[
        list[str] | None, typer.Option(help="Build it although the account is so: expires_soon; repeatable.")
    ] = None,
    json: Json = False,
) -> None:
    """Build a package with an enrolment token of its own."""
    order = PackageOrder(
        ring,
        admission,
        DAYS[mode] if days is None else days,
        max_uses,
        mode,
        account,
        serials=_serials(serials) if serials else (),
        despite=tuple(despite or ()),
    )
    server = client(data)
    kinds = _possible(server) if kind == "all" else [PackageKind(kind)]
    made = [_built(server, replace(order, kind=one)) for one in kinds]
    if json:
        output.as_json(made if kind == "all" else made[0])
        return
    for line in made:
        _print(line)


def _serials(path: Path) -> tuple[str, ...]:
    """Read an allow-list: one computer a line, ``#`` begins a comment."""
    try:
        lines = path.read_text("utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as cause:
        raise NotFoundError(f"cannot read {path}: {cause}") from cause
    found = tuple(name for line in lines if (name := line.partition("#")[0].strip()))
    if not found:
        raise UsageError(f"{path} names no computer: nobody could enrol with such a package")
    return found


def _possible(server: AdminClient) -> list[PackageKind]:
    lines = server.get("/admin/v1/packages/kinds", list[KindLine])
    for line in lines:
        if line.missing:
            output.banner(f"no {line.kind}: {_missing(line)}")
    return [line.kind for line in lines if not line.missing]


def _missing(line: KindLine) -> str:
    names = " ".join(dict.fromkeys(need.package for need in line.missing))
    return f"{', '.join(need.program for need in line.missing)} missing; apt install {names}"


def _built(server: AdminClient, order: PackageOrder) -> PackageLine:
    """Order a package and wait until it is ready, with a bar if that takes longer than the server's own wait."""
    line = server.post("/admin/v1/packages", PackageLine, order)
    for warning in line.warnings:
        output.banner(f"{line.account}: {warning}")
    warnings = line.warnings
    if line.state == "building":
        with _bar() as progress:
            task = progress.add_task(f"{line.kind}", total=1.0)
            while line.state == "building":
                progress.update(task, completed=line.share, description=f"{line.kind}: {escape(line.doing)}")
                time.sleep(POLL_SECONDS)
                line = server.get(f"/admin/v1/packages/{line.id}", PackageView).line
    if line.state == "failed":
        raise ConflictError(f"package {line.id} was not built: {line.reason}")
    return replace(line, warnings=warnings)


def _bar() -> Progress:
    columns = (TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn())
    return Progress(*columns, console=output.errors, transient=True)


def _print(made: PackageLine) -> None:
    output.console.print(f"package [bold]{made.id}[/], ring {escape(made.ring)}, admission {made.admission}")
    inside = f", with credential generation {made.generation} of {escape(made.account)}" if made.account else ""
    output.console.print(f"  {made.kind}, mode {made.mode}{inside}", soft_wrap=True)
    output.console.print(f"  {made.path}", soft_wrap=True)
    output.console.print(f"  sha256 {made.sha256}", soft_wrap=True)


@app.command("list")
def list_(
    data: Data = None,
    after: Annotated[str, typer.Option(help="Continue after this package id.")] = "",
    limit: Page = 50,
    json: Json = False,
) -> None:
    """List packages."""
    rows = client(data).get("/admin/v1/packages", list[PackageLine], {"after": after, "limit": limit})
    if json:
        output.as_json(rows)
        return
    output.table(
        ("ID", "KIND", "MODE", "RING", "ADMISSION", "BUILT", "USED", "STATE"),
        (
            (
                row.id,
                row.kind,
                row.mode + (f" {escape(row.account)} #{row.generation}" if row.account else ""),
                escape(row.ring),
                row.admission,
                output.moment(row.built_at),
                f"{row.uses}/{row.max_uses}",
                _state(row),
            )
            for row in rows
        ),
        "No packages. Build one: keyfast package create",
    )


def _state(row: PackageLine) -> str:
    words = {"ready": "in use"} | {fault.value: fault.value.replace("_", " ") for fault in PackageFault}
    return words[row.faults[0] if row.faults else row.state]


@app.command()
def show(package: Id, data: Data = None, json: Json = False) -> None:
    """Show everything on record about one package."""
    view = client(data).get(f"/admin/v1/packages/{package}", PackageView)
    if json:
        output.as_json(view)
        return
    line = view.line
    rows = [
        ("package", f"[bold]{line.id}[/]  {line.kind}, agent {escape(line.version or '-')}"),
        ("state", "in use" if not line.faults else f"[yellow]{_sentences(line)}[/]"),
        ("built", f"{output.moment(line.built_at)} by {escape(line.created_by)}, under policy {line.policy_version}"),
        ("for", f"ring {escape(line.ring)}, admission {line.admission}, mode {line.mode}"),
        ("enrols", f"{line.uses} of {line.max_uses} endpoints so far; its token ends {output.moment(line.expires_at)}"),
        ("last used", f"enrolment {output.moment(line.used_at)}, check-in {output.moment(view.seen_at)}"),
        ("file", f"{escape(line.path)}, {line.size} bytes"),
        ("sha256", line.sha256 or "-"),
    ]
    if line.account:
        rows.insert(4, ("account", _account(view)))
    if line.serials:
        rows.insert(4, ("allow-list", f"{line.serials} computers"))
    output.table(("", ""), rows, "")


def _sentences(line: PackageLine) -> str:
    said = told(PackageFault(fault) for fault in line.faults)
    return escape(f"{said}: {line.reason}" if line.reason else said)


def _account(view: PackageView) -> str:
    line = view.line
    of = f" of {view.newest_generation}" if view.newest_generation else ""
    use = f"{line.using} of {line.uses} endpoints still use it"
    return f"{escape(line.account)}, generation {line.generation}{of}; {use}"


@app.command()
def endpoints(
    package: Id,
    data: Data = None,
    after: Annotated[str, typer.Option(help="Continue after this endpoint id (last of the page before).")] = "",
    limit: Page = 50,
    json: Json = False,
) -> None:
    """List the endpoints that came from a package, newest first."""
    query: dict[str, str | int] = {"after": after, "limit": limit}
    rows = client(data).get(f"/admin/v1/packages/{package}/endpoints", list[CameLine], query)
    if json:
        output.as_json(rows)
        return
    output.table(
        ("NAME", "STATE", "ENROLLED", "LAST CHECK-IN", "USES WHAT IT BROUGHT", "ID"),
        (
            (
                escape(row.name),
                output.coloured(row.state, output.STATE_COLOUR),
                output.moment(row.enrolled_at),
                output.moment(row.seen_at),
                "yes" if row.in_use else "no",
                row.id,
            )
            for row in rows
        ),
        "No endpoint came from this package.",
    )
    if len(rows) == limit:
        output.console.print(f"[dim]more: keyfast package endpoints {package} --after {rows[-1].id}[/]")


@app.command()
def download(
    package: Id,
    data: Data = None,
    to: Annotated[Path | None, typer.Option("--output", "-o", help="Where to; a file that does not exist yet.")] = None,
    json: Json = False,
) -> None:
    """Fetch a package's file and check it against the record; it holds secrets, and only you can read it."""
    server = client(data)
    line = server.get(f"/admin/v1/packages/{package}", PackageView).line
    target = to or Path(f"keyfast-agent-{line.id}{SUFFIXES[line.kind]}")
    fetch(server, line.id, target, line.sha256)
    if json:
        output.as_json({"file": str(target), "sha256": line.sha256, "size": line.size})
    else:
        output.console.print(f"{escape(str(target))}, sha256 {line.sha256}", soft_wrap=True)


@app.command()
def verify(
    file: Annotated[Path, typer.Argument(help="A file that may be a package.")], data: Data = None, json: Json = False
) -> None:
    """Say which package a file is, whether it is unchanged, and whether it can be installed today."""
    verdict = client(data).post("/admin/v1/packages/verify", FileVerdict, recognise(file))
    line = verdict.package
    if json:
        output.as_json(verdict)
    elif line is None:
        output.console.print("no package of this installation, or nothing is left that names it")
    else:
        genuine = "its bytes are those on record" if verdict.genuine else "[red]its bytes are not those on record[/]"
        output.console.print(f"package [bold]{line.id}[/], {line.kind}, ring {escape(line.ring)}: {genuine}")
        sound = "nothing stands against installing it" if verdict.genuine else "do not install it"
        output.console.print(f"  {_sentences(line) or sound}", soft_wrap=True)
    if line is None or line.faults or not verdict.genuine:
        raise typer.Exit(EXIT_FAILED)


@app.command()
def revoke(package: Id, data: Data = None, json: Json = False) -> None:
    """Stop a package from enrolling more endpoints, and remove its file; those it enrolled are not touched."""
    changed = client(data).post(f"/admin/v1/packages/{package}/revoke", Changed)
    if json:
        output.as_json(changed)
    else:
        output.console.print(f"{package} enrols no more endpoints")


@app.command()
def kinds(data: Data = None, json: Json = False) -> None:
    """Say which kinds of packages this server can build, and what is missing for the others."""
    lines = client(data).get("/admin/v1/packages/kinds", list[KindLine])
    if json:
        output.as_json(lines)
        return
    output.table(
        ("KIND", "CAN BE BUILT", "MISSING"),
        (
            (line.kind, "[yellow]no[/]" if line.missing else "[green]yes[/]", _missing(line) if line.missing else "")
            for line in lines
        ),
        "",
    )
