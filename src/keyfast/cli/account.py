"""``keyfast account``: the client authentication accounts, and how they are."""

import time
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Group
from rich.live import Live
from rich.markup import escape
from rich.table import Table

from keyfast.cli import output, passwords
from keyfast.cli.client import AdminClient
from keyfast.cli.events import described
from keyfast.cli.options import Data, Json, client
from keyfast.wire.admin import (
    AccountChange,
    AccountLine,
    AccountName,
    AccountOrder,
    AccountView,
    Changed,
    EventLine,
    FindingView,
    ReadingView,
)

app = typer.Typer(no_args_is_help=True, help="Client authentication accounts: the accounts that endpoints share.")

SEVERITY_COLOUR = {"outage": "red", "warning": "yellow", "notice": "cyan"}
CONDITION_COLOUR = {"healthy": "green"}
WATCH_SECONDS = 5.0
RECENT = 200
SHOWN = 10
ABOUT_ACCOUNTS = ("account_", "generation_", "directory_", "logon_")
"""How the kinds of events begin that tell about accounts."""


@app.command()
def add(
    account: Annotated[str, typer.Argument(help=r"DOMAIN\name, name@domain or a bare name.")],
    data: Data = None,
    password_file: Annotated[
        Path | None, typer.Option(help="File with the password; '-' or none reads standard input.")
    ] = None,
    despite: Annotated[
        list[str] | None, typer.Option(help="Take it in this condition, for example over_privileged; repeatable.")
    ] = None,
    json: Json = False,
) -> None:
    """Prove an account's password once and put it on record; a new password makes a new credential generation."""
    order = AccountOrder(account, passwords.ask("Password", password_file), tuple(despite or ()))
    _show(client(data).post("/admin/v1/accounts", AccountView, order), json)


@app.command("list")
def list_(data: Data = None, json: Json = False) -> None:
    """List accounts with their verdicts."""
    rows = client(data).get("/admin/v1/accounts", list[AccountLine])
    if json:
        output.as_json(rows)
        return
    output.table(
        ("ACCOUNT", "CONDITION", "GENERATION", "ENDPOINTS", "READ", ""),
        (
            (
                escape(row.account),
                _condition(row.condition),
                str(row.generation),
                f"{row.endpoints:,}",
                output.moment(row.read_at),
                escape(row.summary),
            )
            for row in rows
        ),
        r"No client authentication accounts. Add one: keyfast account add DOMAIN\NAME",
    )


@app.command()
def check(account: str, data: Data = None, json: Json = False) -> None:
    """Read an account from every domain controller now and say how it is; its password is not tried."""
    _show(client(data).post("/admin/v1/accounts/check", AccountView, AccountName(account)), json)


@app.command()
def history(
    account: str,
    data: Data = None,
    limit: Annotated[int, typer.Option(min=1, max=1000)] = 20,
    json: Json = False,
) -> None:
    """Show what changed about an account, newest first."""
    query: dict[str, str | int] = {"account": account, "limit": limit}
    rows = client(data).get("/admin/v1/accounts/history", list[AccountChange], query)
    if json:
        output.as_json(rows)
        return
    output.table(
        ("WHEN", "SERVER", "PASSWORD SET", "EXPIRES", "STATE", "WRONG PASSWORDS"),
        ((output.moment(row.read_at), *_reading(row.reading)) for row in rows),
        "Nothing on record yet.",
    )


@app.command()
def remove(account: str, data: Data = None, json: Json = False) -> None:
    """Take an account off the record: no endpoint authenticates with it any more."""
    changed = client(data).post("/admin/v1/accounts/remove", Changed, AccountName(account))
    if json:
        output.as_json(changed)
    else:
        output.console.print(f"{escape(account)} is no client authentication account any more")


@app.command()
def watch(
    data: Data = None,
    once: Annotated[bool, typer.Option("--once", help="Print once and end.")] = False,
) -> None:
    """Follow all accounts until Ctrl-C; the server reads them on its own, this only looks."""
    admin = client(data)
    if once:
        output.console.print(_board(admin))
        return
    with Live(console=output.console, auto_refresh=False) as screen:
        while True:
            screen.update(_board(admin), refresh=True)
            time.sleep(WATCH_SECONDS)


def _board(admin: AdminClient) -> Group:
    rows = admin.get("/admin/v1/accounts", list[AccountLine])
    told = admin.get("/admin/v1/events", list[EventLine], {"limit": RECENT})
    lines = [
        f"{output.moment(row.at):>12}  {row.kind}  {escape(described(row.detail))}"
        for row in told
        if row.kind.startswith(ABOUT_ACCOUNTS)
    ]
    return Group(_accounts(rows), "", *lines[:SHOWN])


def _accounts(rows: list[AccountLine]) -> Table:
    view = Table(box=None, header_style="bold", pad_edge=False)
    for column in ("ACCOUNT", "CONDITION", "ENDPOINTS", "READ", ""):
        view.add_column(column, overflow="fold")
    for row in rows:
        read = output.moment(row.read_at)
        view.add_row(escape(row.account), _condition(row.condition), f"{row.endpoints:,}", read, escape(row.summary))
    return view


def _show(view: AccountView, json: bool) -> None:
    if json:
        output.as_json(view)
        return
    output.console.print(f"[bold]{escape(view.account)}[/]  {_condition(view.condition)}")
    for finding in view.findings:
        _print_finding(finding)
    if not view.findings:
        output.console.print(f"  {escape(view.summary)}")
    output.table(
        ("SERVER", "PASSWORD SET", "EXPIRES", "STATE", "WRONG PASSWORDS"),
        (_reading(reading) for reading in view.readings),
        "",
    )
    output.table(
        ("GENERATION", "STATE", "MADE", "JUDGED", "ENDPOINTS"),
        (
            (str(g.generation), g.state, output.moment(g.created_at), output.moment(g.judged_at), f"{g.endpoints:,}")
            for g in view.generations
        ),
        "",
    )


def _print_finding(finding: FindingView) -> None:
    colour = SEVERITY_COLOUR.get(finding.severity, "")
    head = f"  [{colour}]{finding.severity}[/] {escape(finding.sentence)}"
    output.console.print(head, soft_wrap=True)
    for line in (finding.meaning, f"try: {finding.repair}" if finding.repair else ""):
        if line:
            output.console.print(f"    {escape(line)}", soft_wrap=True)


def _reading(reading: ReadingView) -> tuple[str, str, str, str, str]:
    if reading.reason:
        return reading.server, "", "", f"[red]unreachable[/] {escape(reading.reason)}", ""
    ends = "never" if reading.password_expires_at is None else output.moment(reading.password_expires_at)
    flags = [name for name in ("disabled", "locked", "must_change") if getattr(reading, name)]
    state = ", ".join(flags) or ("enabled" if reading.exists else "missing")
    limit = "?" if reading.lockout_threshold is None else reading.lockout_threshold or "never locks"
    return reading.server, output.moment(reading.password_set_at), ends, state, f"{reading.bad_passwords} ({limit})"


def _condition(condition: str) -> str:
    return f"[{CONDITION_COLOUR.get(condition, 'red')}]{condition}[/]"
