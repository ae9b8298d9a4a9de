"""``keyfast audit``: read the audit trail, verify it, export it, keep its head."""

import os
import re
import sys
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, BinaryIO

import typer
from msgspec.structs import replace
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from keyfast.cli import output
from keyfast.cli.audit_file import demand_kept, verified_file
from keyfast.cli.client import AdminClient
from keyfast.cli.events import described
from keyfast.cli.options import Data, Json, client
from keyfast.core.audit import Entry, Head, Outcome
from keyfast.core.visible import visible
from keyfast.errors import EXIT_FAILED, UsageError
from keyfast.wire.audit import UPTO_HEADER, Beginning, TrailHead, Verified
from keyfast.wire.audit_formats import Format

app = typer.Typer(no_args_is_help=True, help="The audit trail: who did what.")

FOLLOW_SECONDS = 1.0
BAR_AFTER_SECONDS = 2.0
_HEAD = re.compile(r"([0-9]{1,15}):([0-9a-f]{64})")


@app.command("list")
def list_(
    data: Data = None,
    actor: Annotated[str, typer.Option(help="Only what this one did.")] = "",
    action: Annotated[str, typer.Option(help="Only acts of this name, for example window_opened.")] = "",
    subject: Annotated[str, typer.Option(help="Only what was done to this: an id, an account, a mode.")] = "",
    before: Annotated[int, typer.Option(help="Only records with a lower number.")] = 0,
    limit: Annotated[int, typer.Option(min=1, max=1000, help="How many to print.")] = 50,
    json: Json = False,
) -> None:
    """List who did what, newest first."""
    wanted: dict[str, str | int] = {
        "actor": actor,
        "action": action,
        "subject": subject,
        "before": before,
        "limit": limit,
    }
    entries = client(data).get("/admin/v1/audit", list[Entry], wanted)
    if json:
        output.as_json(entries)
        return
    output.table(("NUMBER", "WHEN", "WHO", "WHAT", "TO", ""), map(_cells, entries), "Nothing is on the trail.")


@app.command()
def show(
    number: Annotated[int, typer.Argument(min=1, help="Number of the record.")], data: Data = None, json: Json = False
) -> None:
    """Show one record with its hash."""
    entry = client(data).get(f"/admin/v1/audit/{number}", Entry)
    if json:
        output.as_json(entry)
        return
    record = entry.record
    facts = {
        "number": str(record.number),
        "at": f"{record.at} ({output.moment(record.at)})",
        "actor": record.actor,
        "role": record.role,
        "via": record.via,
        "request": record.request,
        "action": record.action,
        record.subject_kind: record.subject,
        "outcome": record.outcome,
        **record.detail,
        "hash": entry.hash,
    }
    for name, text in facts.items():
        if text:
            output.console.print(f"[bold]{escape(name):14}[/] {escape(visible(text, len(text) * 10))}", soft_wrap=True)


@app.command()
def verify(
    data: Data = None,
    head: Annotated[str, typer.Option(help="A head that was kept, NUMBER:HASH; it must still be on the trail.")] = "",
    file: Annotated[Path | None, typer.Option(help="Verify an export of JSON lines instead; needs no server.")] = None,
    installation: Annotated[
        str, typer.Option(help="With --file: id of the installation; without it the first record is taken as it is.")
    ] = "",
    json: Json = False,
) -> None:
    """Verify the whole trail; ends with 1 and names the first record that does not fit."""
    kept = _kept(head)
    if file is not None:
        found = verified_file(file, installation, kept)
    else:
        admin = client(data)
        found = _verified(admin)
        if not found.broken and kept is not None:
            found = _compared(admin, found, kept)
    if json:
        output.as_json(found)
    elif found.broken:
        output.errors.print(f"[red]broken:[/] {escape(found.sentence)}", soft_wrap=True)
    else:
        sealed = f"sealed up to record {found.sealed:,}" if found.sealed else "not sealed"
        parts = [f"intact up to record {found.upto.number:,}", *([] if file else [sealed])]
        told = f"{', '.join(parts)}, head {found.upto.number}:{found.upto.hash}"
        output.console.print(told, soft_wrap=True)
    if found.beginning is not None and not json:
        (output.errors if found.broken else output.console).print(escape(_begins(found.beginning)), soft_wrap=True)
    if found.broken:
        raise typer.Exit(EXIT_FAILED)


@app.command()
def head(data: Data = None, json: Json = False) -> None:
    """Print the end of the trail, to be kept where nobody of this server can change it."""
    found = client(data).get("/admin/v1/audit/head", TrailHead)
    if json:
        output.as_json(found)
        return
    print(f"{found.number}:{found.hash}")  # noqa: T201 - for scripts, not wrapped


@app.command()
def export(
    data: Data = None,
    form: Annotated[
        Format, typer.Option("--format", help="JSON lines, syslog lines (RFC 5424), or CEF lines.")
    ] = Format.JSONL,
    start: Annotated[int, typer.Option("--from", min=1, help="Number of the first record.")] = 1,
    follow: Annotated[bool, typer.Option("--follow", help="Go on with new records until interrupted.")] = False,
    to: Annotated[Path | None, typer.Option(help="File to append to; standard output otherwise.")] = None,
) -> None:
    """Export the trail in order, one record a line."""
    admin = client(data)
    if to is None:
        _export(admin, form, start, sys.stdout.buffer, follow=follow)
        return
    with os.fdopen(os.open(to, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600), "wb") as file:
        _export(admin, form, start, file, follow=follow)


def _export(admin: AdminClient, form: Format, start: int, out: BinaryIO, *, follow: bool) -> None:
    after = start - 1
    while True:
        headers = admin.download(f"/admin/v1/audit/export?format={form}&after={after}", out)
        out.flush()
        after = int(headers[UPTO_HEADER])
        if not follow:
            return
        time.sleep(FOLLOW_SECONDS)


def _verified(admin: AdminClient) -> Verified:
    """Ask for one stretch after the other; a bar is shown where that takes long."""
    began = time.monotonic()
    columns = (TextColumn("verifying"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=output.errors, transient=True, disable=True) as bar:
        task = bar.add_task("records")
        found = admin.get("/admin/v1/audit/verify", Verified)
        while not found.done:
            if bar.disable and time.monotonic() > began + BAR_AFTER_SECONDS:
                bar.disable = False
                bar.start()
            bar.update(task, completed=found.upto.number, total=found.last)
            query: dict[str, str | int] = {"after": found.upto.number, "hash": found.upto.hash}
            more = admin.get("/admin/v1/audit/verify", Verified, query)
            found = replace(more, sealed=max(found.sealed, more.sealed))
    return found


def _kept(text: str) -> Head | None:
    if not text:
        return None
    match = _HEAD.fullmatch(text.strip())
    if match is None:
        raise UsageError("a head is NUMBER:HASH", repair="keyfast audit head")
    return Head(int(match[1]), match[2])


def _begins(found: Beginning) -> str:
    """Say from where a trail is kept, and who removed what was before."""
    told = f"kept from record {found.after.number + 1:,} on"
    if not found.by:
        return f"{told}; no record tells who removed what was before"
    to = f", after it was written to {visible(found.file)}" if found.file else ""
    when = f"{datetime.fromtimestamp(found.at, UTC):%Y-%m-%d %H:%M:%S} UTC"
    who = f"{visible(found.by)} at {when}{to} (record {found.record:,})"
    return f"{told}; what was before was removed by {who}"


def _compared(admin: AdminClient, found: Verified, kept: Head) -> Verified:
    """Look whether a head that was kept is still on the trail: a trail made anew fits itself, and not this."""
    if found.beginning is not None:
        demand_kept(kept, found.beginning.after.number + 1)
    if kept.number > found.upto.number:
        gone = found.upto.number + 1
        told = f"record {gone} is missing: the head that was kept is record {kept.number}"
        return Verified(found.upto, found.last, done=True, broken=gone, fault="missing", sentence=told)
    if kept.number and _hash(admin, found, kept.number) != kept.hash:
        told = f"record {kept.number}, or one before it, is not what it was when its head was kept"
        return Verified(found.upto, found.last, done=True, broken=kept.number, fault="changed", sentence=told)
    return found


def _hash(admin: AdminClient, found: Verified, number: int) -> str:
    after = found.beginning and found.beginning.after
    if after and number == after.number:
        return after.hash
    return admin.get(f"/admin/v1/audit/{number}", Entry).hash


def _cells(entry: Entry) -> tuple[str, ...]:
    record = entry.record
    return (
        str(record.number),
        output.moment(record.at),
        escape(visible(record.actor)),
        record.action if record.outcome == Outcome.DONE else f"{record.action} [yellow]{record.outcome}[/]",
        escape(visible(f"{record.subject_kind} {record.subject}".rstrip())),
        escape(visible(described(record.detail))),
    )
