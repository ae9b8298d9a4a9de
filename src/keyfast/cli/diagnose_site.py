"""The steps of ``keyfast diagnose see``: count clients, read logs, look up accounts, judge, write."""

import asyncio
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import msgspec
from rich.progress import BarColumn, DownloadColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

from keyfast.cli import diagnose_csv, diagnose_html, diagnose_text, output, passwords
from keyfast.core.secret import Secret
from keyfast.core.visible import visible
from keyfast.directory.active_directory import ActiveDirectory
from keyfast.directory.settings import DirectorySettings, KeytabReader, SimpleReader
from keyfast.errors import NotReadyError, UsageError
from keyfast.see import inventory
from keyfast.see.exports import Exports, Reader
from keyfast.see.iis_log import IisLog, logon
from keyfast.see.lines import lines
from keyfast.see.report import SiteReport, SourceLine
from keyfast.see.tally import Tally
from keyfast.services.diagnose_see import Domain, Known, diagnose_site

_WAIT_SECONDS = 10.0


class Files(NamedTuple):
    """What was exported; the names are those of the command's options."""

    reg: tuple[Path, ...]
    hive: tuple[Path, ...]
    csv: tuple[Path, ...]
    clients: Path | None
    iis: tuple[Path, ...]
    iis_path: str


class Access(NamedTuple):
    """How accounts are read; the names are those of the command's options."""

    urls: tuple[str, ...]
    user: str
    password_file: Path | None
    keytab: Path | None
    ca: Path | None


class Said(NamedTuple):
    """What the caller knows; the names are those of the command's options.

    Attributes:
        built_at: ``ACCOUNT=DATE``, or a date for all accounts.
        lock_after: days without contact after which the policy locks a client, 0 for never.
        column: ``KEY=NAME``.
    """

    built_at: tuple[str, ...] = ()
    lock_after: int = 0
    column: tuple[str, ...] = ()


class Outputs(NamedTuple):
    """Files to be written, None for none."""

    csv: Path | None
    html: Path | None


def diagnose(files: Files, access: Access, said: Said, outputs: Outputs) -> SiteReport:
    """Diagnose a site and write what is to be written.

    Args:
        files: see there.
        access: see there.
        said: see there.
        outputs: see there.

    Raises:
        UsageError: a file cannot be read or written, or something said makes no sense.
    """
    exports = Exports(files.reg, files.hive, files.csv, files.clients, _columns(said.column))
    if not (exports.registry or exports.hives or exports.inventories):
        raise UsageError("nothing to diagnose", repair="keyfast diagnose see --reg client-database.reg")
    dates = _dates(said.built_at)
    directories = _directories(access)
    tally, sources = _count(exports)
    log, log_sources = _read_logs(files.iis, tally, files.iis_path)
    report = asyncio.run(_report(tally, directories, Known(dates, log, said.lock_after), (*sources, *log_sources)))
    if outputs.html is not None:
        diagnose_html.write(report, outputs.html)
    if outputs.csv is not None:
        with _progress("machines", exports) as (bar, task):
            reader = Reader(exports, lambda count: bar.advance(task, count))
            diagnose_csv.write(reader.clients(), tally, report, outputs.csv)
    return report


def show(report: SiteReport) -> None:
    """Print a report for people."""
    diagnose_text.show(report, output.console)


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


def _directories(access: Access) -> list[ActiveDirectory]:
    if not access.urls:
        return []
    user = access.user
    if not user:
        raise UsageError("--ad needs an account to read with", repair="--ad-user 'DOMAIN\\name'")
    reader: SimpleReader | KeytabReader
    if access.keytab is not None:
        reader = KeytabReader(user, access.keytab)
    else:
        reader = SimpleReader(user, Secret(passwords.ask(f"Password of {user}", access.password_file).encode()))
    return [
        ActiveDirectory(DirectorySettings("", (url,), reader, access.ca, timeout_s=_WAIT_SECONDS), time.time)
        for url in access.urls
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
