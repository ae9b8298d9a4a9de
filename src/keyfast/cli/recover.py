"""``keyfast recover``: bring back the endpoints behind an account that broke."""

import sys
import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console, Group
from rich.live import Live
from rich.markup import escape

from keyfast.cli import output, passwords
from keyfast.cli.options import Data, Json, client
from keyfast.cli.recover_guide import OVER, Admin, Choices, Guide, described
from keyfast.errors import EXIT_NOT_FINISHED, UsageError
from keyfast.wire.recovery import RecoveryStatus, SituationView


def recover(
    data: Data = None,
    account: Annotated[str, typer.Option(help="The account that broke; found out if left out.")] = "",
    way: Annotated[str, typer.Option(help="The way out: device-key, restore, window, account, oauth or package.")] = "",
    to: Annotated[str, typer.Option(help="With --way account: the account to move to.")] = "",
    password_file: Annotated[
        Path | None, typer.Option(help="File with the password that works; '-' reads standard input.")
    ] = None,
    despite: Annotated[
        list[str] | None, typer.Option(help="Take the account in this condition, for example lagging; repeatable.")
    ] = None,
    reason: Annotated[str, typer.Option(help="Of a recovery window: why it is opened.")] = "",
    minutes: Annotated[int, typer.Option(help="Of a recovery window: when it closes by itself.")] = 240,
    address: Annotated[
        list[str] | None, typer.Option(help="Of a recovery window: address range, or 'any'; repeatable.")
    ] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with the recovery that is under way.")] = False,
    status: Annotated[bool, typer.Option("--status", help="Only say what broke and how far it is mended.")] = False,
    wait: Annotated[
        int | None, typer.Option(help="Follow it for so many seconds; on a terminal until it is over.")
    ] = None,
    waive: Annotated[
        list[str] | None, typer.Option(help="End it although this endpoint is missing (name); repeatable.")
    ] = None,
    despite_unproven: Annotated[
        int | None, typer.Option(help="End it over all that are missing: how many they are.")
    ] = None,
    json: Json = False,
) -> None:
    """Find out which account broke, choose a way out, and bring its endpoints back; 3 while some are missing.

    Everything is kept by the server: run it again to go on where it stopped.
    """
    admin = client(data)
    if status:
        _tell(admin, account, json)
        return
    person = Terminal() if sys.stdin.isatty() and not json else None
    choices = Choices(
        account=account,
        way=way,
        to=to,
        password=partial(passwords.ask, "Password", password_file) if password_file else None,
        despite=tuple(despite or ()),
        reason=reason,
        minutes=minutes,
        ranges=tuple(address or ()),
        resume=resume,
        waive=tuple(waive or ()),
        despite_unproven=despite_unproven,
        wait=wait if wait is not None or person else 0,
    )
    board = Board(output.console, quiet=json)
    try:
        ended = Guide(admin, person, board.show, board.note, time.sleep, time.monotonic).run(choices)
    finally:
        board.close()
    _end(ended, json)


def _tell(admin: Admin, account: str, json: bool) -> None:
    found = admin.get("/admin/v1/recovery/status", RecoveryStatus, {"account": account})
    if not json:
        for situation in admin.get("/admin/v1/recovery/situations", list[SituationView]):
            if situation.ways:
                output.console.print(escape(described(situation)), soft_wrap=True)
                rows = ((line.way, f"{line.endpoints:,}", escape(line.sentence)) for line in situation.ways)
                output.table(("WAY", "BRINGS BACK", ""), rows, "")
        output.console.print(drawn(found), soft_wrap=True)
    _end(found, json)


def _end(status: RecoveryStatus, json: bool) -> None:
    if json:
        output.as_json(status)
    if status.stage not in OVER:
        raise typer.Exit(EXIT_NOT_FINISHED)


def drawn(status: RecoveryStatus) -> Group:
    """Draw a status with its counts and the names of the missing."""
    head = f"[bold]{escape(status.account or 'recovery')}[/]  {status.stage}: {escape(status.sentence)}"
    lines = [head]
    if status.counts:
        lines.append("  " + "  ".join(f"{state} {count:,}" for state, count in status.counts.items()))
    if status.window is not None:
        counts = status.window.counts
        ends = output.moment(status.window.deadline)
        lines.append(f"  recovery window until {ends}: proven {counts.proven:,}, missing {counts.unproven:,}")
    if status.missing:
        more = status.missing_count - len(status.missing)
        tail = f" and {more:,} more" if more > 0 else ""
        lines.append(f"  missing: {escape(', '.join(status.missing))}{tail}")
    return Group(*lines)


class Board:
    """Shows the newest status in place on a terminal, and each that differs elsewhere."""

    def __init__(self, console: Console, *, quiet: bool = False) -> None:
        self._console = console
        self._quiet = quiet
        self._live: Live | None = None
        self._last: RecoveryStatus | None = None

    def show(self, status: RecoveryStatus) -> None:
        """Show a status."""
        if self._quiet or status == self._last:
            return
        self._last = status
        if not self._console.is_terminal:
            self._console.print(drawn(status), soft_wrap=True)
            return
        if self._live is None:
            self._live = Live(console=self._console, auto_refresh=False)
            self._live.start()
        self._live.update(drawn(status), refresh=True)

    def note(self, sentence: str) -> None:
        """Say something once."""
        if not self._quiet:
            self._console.print(escape(sentence), soft_wrap=True)

    def close(self) -> None:
        """Leave the last status on the screen."""
        if self._live is not None:
            self._live.stop()


class Terminal:
    """Implements ``recover_guide.Person``."""

    def choose(self, question: str, answers: Sequence[tuple[str, str]]) -> str:
        """See ``Person``."""
        for number, (answer, explanation) in enumerate(answers, 1):
            output.console.print(f"  {number}  [bold]{escape(answer)}[/]  {escape(explanation)}", soft_wrap=True)
        said = str(typer.prompt(question, default="1")).strip()
        if said.isdecimal() and 1 <= int(said) <= len(answers):
            return answers[int(said) - 1][0]
        if said in dict(answers):
            return said
        raise UsageError(f"'{said}' is none of {', '.join(answer for answer, _ in answers)}")

    def text(self, question: str) -> str:
        """See ``Person``."""
        return str(typer.prompt(question)).strip()

    def password(self, question: str) -> str:
        """See ``Person``."""
        return passwords.ask(question, None)
