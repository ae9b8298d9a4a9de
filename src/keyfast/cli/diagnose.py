"""``keyfast diagnose``: why clients are silent, from what their site exported. Nothing is installed or changed."""

import asyncio
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import msgspec
import typer
from rich.markdown import Markdown
from rich.progress import BarColumn, DownloadColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

from keyfast.cli import diagnose_csv, diagnose_html, diagnose_text, output, passwords
from keyfast.cli.options import Json
from keyfast.core.diagnosis import page
from keyfast.core.secret import Secret
from keyfast.core.visible import visible
from keyfast.directory.active_directory import ActiveDirectory
from keyfast.directory.settings import DirectorySettings, KeytabReader, SimpleReader
from keyfast.errors import EXIT_USAGE, NotReadyError, UsageError
from keyfast.see import inventory
from keyfast.see.exports import Exports, Reader
from keyfast.see.iis_log import IisLog, logon
from keyfast.see.lines import lines
from keyfast.see.report import SiteReport, SourceLine
from keyfast.see.tally import Tally
from keyfast.services.diagnose_see import Domain, Known, diagnose_site

app = typer.Typer(no_args_is_help=True, help="Find out why clients are silent, and what can be done.")

Paths = list[Path] | None
_WAIT_SECONDS = 10.0


@app.callback()
def diagnose() -> None:
    """Find out why clients are silent, and what can be done."""


@app.command()
def see(
    reg: Annotated[
        Paths, typer.Option(help="Registry export (.reg), output of 'reg query', or a folder with one file a machine.")
    ] = None,
    csv: Annotated[
        Paths, typer.Option(help="Inventory with a line, or a line for each value, of every machine.")
    ] = None,
    hive: Annotated[Paths, typer.Option(help="Offline hive of a machine, or a folder with one file a machine.")] = None,
    ad: Annotated[
        list[str] | None, typer.Option(help="A domain controller, ldaps://host; once for each domain at least.")
    ] = None,
    ad_user: Annotated[str, typer.Option(help="Any ordinary account to read with: DOMAIN\\name or name@domain.")] = "",
    ad_password_file: Annotated[
        Path | None, typer.Option(help="File with its password; '-' or none reads standard input.")
    ] = None,
    ad_keytab: Annotated[Path | None, typer.Option(help="Its keytab, instead of a password.")] = None,
    ad_ca: Annotated[
        Path | None, typer.Option(help="Certificates (PEM) that vouch for the domain controllers.")
    ] = None,
    iis: Annotated[Paths, typer.Option(help="Log of IIS (W3C format), also compressed by gzip.")] = None,
    iis_path: Annotated[str, typer.Option(help="Only requests for paths that begin so.")] = "",
    clients: Annotated[Path | None, typer.Option(help="CSV of client versions by machine.")] = None,
    built_at: Annotated[
        list[str] | None,
        typer.Option(help="When the clients' package was built: 'DOMAIN\\account=2026-01-31', or a date for all."),
    ] = None,
    column: Annotated[
        list[str] | None, typer.Option(help="Name of a column that is not found by itself: machine='Asset Tag'.")
    ] = None,
    json: Json = False,
    csv_out: Annotated[Path | None, typer.Option(help="Write a line for every machine to this file.")] = None,
    html: Annotated[Path | None, typer.Option(help="Write a report that needs no other file to this one.")] = None,
) -> None:
    """Diagnose clients of Symantec Endpoint Encryption that are silent, from exports of their registry."""
    exports = Exports(tuple(reg or ()), tuple(hive or ()), tuple(csv or ()), clients, _columns(column or ()))
    if not (exports.registry or exports.hives or exports.inventories):
        raise UsageError("nothing to diagnose", repair="keyfast diagnose see --reg client-database.reg")
    dates = _dates(built_at or ())
    directories = _directories(ad or (), ad_user, ad_password_file, ad_keytab, ad_ca)
    tally, sources = _count(exports)
    log, log_sources = _read_logs(tuple(iis or ()), tally, iis_path)
    report = asyncio.run(_report(tally, directories, Known(dates, log), (*sources, *log_sources)))
    if html is not None:
        diagnose_html.write(report, html)
    if csv_out is not None:
        with _progress("machines", exports) as (bar, task):
            reader = Reader(exports, lambda count: bar.advance(task, count))
            diagnose_csv.write(reader.clients(), tally, report, csv_out)
    if json:
        output.as_json(report)
    else:
        diagnose_text.show(report, output.console)
    if not report.machines:
        raise typer.Exit(EXIT_USAGE)


@app.command()
def explain(code: str) -> None:
    """Say what a finding means: what it needs, what speaks against it, what can be done."""
    if code not in page.CODES:
        raise UsageError(f"there is no finding {code!r}", repair=f"one of {', '.join(page.CODES)}")
    output.console.print(Markdown(page.of(code)))


def _count(exports: Exports) -> tuple[Tally, list[SourceLine]]:
    tally = Tally()
    with _progress("exports", exports) as (bar, task):
        reader = Reader(exports, lambda count: bar.advance(task, count))
        for client in reader.clients():
            tally.add(client)
    return tally, reader.sources


def _read_logs(paths: Sequence[Path], tally: Tally, prefix: str) -> tuple[IisLog | None, list[SourceLine]]:
    if not paths:
        return None, []
    accounts = frozenset(logon(group.account) for group in tally.groups if group.account)
    log, told = IisLog(accounts, prefix.lower()), []
    with _bar() as bar:
        task = bar.add_task("log", total=sum(path.stat().st_size for path in paths if path.exists()))
        for path in paths:
            before = log.requests
            damaged = sum(part.lines for part in log.read(lines(path, lambda count: bar.advance(task, count))))
            told.append(SourceLine(visible(str(path)), "web server log", log.requests - before, damaged))
    return log, told


async def _report(
    tally: Tally, directories: Sequence[ActiveDirectory], known: Known, sources: Sequence[SourceLine]
) -> SiteReport:
    domains, notes = [], []
    try:
        for directory in directories:
            try:
                names = await directory.names()
            except NotReadyError as fault:
                notes.append(f"a directory was not read: {visible(fault.message)}")
            else:
                domains.append(Domain(frozenset(name.lower() for name in names), directory))
        report = await diagnose_site(tally.groups, domains, known, sources, int(time.time()))
        return msgspec.structs.replace(report, notes=(*report.notes, *notes))
    finally:
        for directory in directories:
            await directory.close()


def _directories(
    urls: Sequence[str], user: str, password_file: Path | None, keytab: Path | None, ca: Path | None
) -> list[ActiveDirectory]:
    if not urls:
        return []
    if not user:
        raise UsageError("--ad needs an account to read with", repair="--ad-user 'DOMAIN\\name'")
    reader: SimpleReader | KeytabReader
    if keytab is not None:
        reader = KeytabReader(user, keytab)
    else:
        reader = SimpleReader(user, Secret(passwords.ask(f"Password of {user}", password_file).encode()))
    return [
        ActiveDirectory(DirectorySettings("", (url,), reader, ca, timeout_s=_WAIT_SECONDS), time.time) for url in urls
    ]


def _dates(texts: Sequence[str]) -> dict[str, int]:
    found = {}
    for text in texts:
        account, equals, date = text.rpartition("=")
        at = inventory.moment(date)
        if not at:
            raise UsageError(f"{date!r} is no date", repair="write it as 2026-01-31 or 2026-01-31T17:00:00+01:00")
        found[account.lower() if equals else ""] = at
    return found


def _columns(texts: Sequence[str]) -> Mapping[str, str]:
    found = {}
    for text in texts:
        key, _, name = text.partition("=")
        if key not in inventory.ALIASES or not name:
            raise UsageError(
                f"{text!r} names no column",
                repair=f"write one of {', '.join(inventory.ALIASES)}, then =, then its name",
            )
        found[key] = name
    return found


@contextmanager
def _progress(what: str, exports: Exports) -> Iterator[tuple[Progress, TaskID]]:
    with _bar() as bar:
        yield bar, bar.add_task(what, total=Reader(exports).size)


def _bar() -> Progress:
    columns = (TextColumn("{task.description:>10}"), BarColumn(), DownloadColumn(), TimeRemainingColumn())
    return Progress(*columns, console=output.errors, transient=True)
