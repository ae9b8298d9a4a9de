"""``keyfast rotation``: move endpoints to another credential, mode or address without losing one."""

import sys
import time
from pathlib import Path
from typing import Annotated, Literal

import typer
from rich.live import Live
from rich.markup import escape

from keyfast.cli import output, rotation_view
from keyfast.cli.options import Data, Json, client
from keyfast.errors import EXIT_DONE, EXIT_NOT_FINISHED, UsageError
from keyfast.wire.rotation import (
    Approval,
    PreviewView,
    Reason,
    RotationLine,
    RotationOrder,
    RotationView,
    Waived,
    Waiver,
)

app = typer.Typer(no_args_is_help=True, help="Rotations: of accounts, passwords, modes, addresses and keys.")

WATCH_SECONDS = 2.0

Kinds = Literal["account", "password", "oauth", "address", "token_key", "device_key", "recovery"]
KindOf = Annotated[Kinds, typer.Argument(help="What is rotated.")]
Id = Annotated[str, typer.Argument(metavar="ROTATION", help="Id of the rotation, or how it begins.")]
Ring = Annotated[str, typer.Option(help="Only the endpoints of this ring; none means all.")]
Source = Annotated[str, typer.Option("--from", help=r"Account (DOMAIN\name) that endpoints move away from.")]
Target = Annotated[str, typer.Option("--to", help="Account that they move to.")]
ModeOf = Annotated[str, typer.Option(help="For address, device_key: whose; for recovery: the mode afterwards.")]
Url = Annotated[list[str] | None, typer.Option(help="New base URL, in order of preference; repeatable.")]
Ca = Annotated[Path | None, typer.Option(help="PEM file of the new certificate authority.")]
ByHand = Annotated[bool, typer.Option(help="You set the password in the directory yourself.")]
Hasty = Annotated[bool, typer.Option(help="The old access is compromised: all at once and without soak.")]
Approvals = Annotated[int, typer.Option(min=1, max=2, help="Persons who must agree.")]
Soak = Annotated[int | None, typer.Option(help="Seconds between a wave and the next.")]
Rate = Annotated[int | None, typer.Option(help="Endpoints released a minute, at most.")]
Canary = Annotated[int | None, typer.Option(help="Endpoints in the first wave, at most.")]
Percent = Annotated[list[float] | None, typer.Option(help="Per cent released with the second wave, the third ...")]
Drain = Annotated[int | None, typer.Option(help="Seconds without any use before the old access is refused.")]
Refused = Annotated[int | None, typer.Option(help="Seconds for which it is refused before it is destroyed.")]
Backup = Annotated[int | None, typer.Option(help="Age in seconds of the oldest backup that may be restored.")]
Publish = Annotated[int | None, typer.Option(help="Seconds for which a token key is published before its use.")]
Restart = Annotated[bool, typer.Option(help="An endpoint of the canary must have been restarted, too.")]
Names = Annotated[int, typer.Option("--limit", min=0, max=1000, help="Names of missing endpoints to print.")]


@app.command()
def plan(
    kind: KindOf,
    data: Data = None,
    ring: Ring = "",
    source: Source = "",
    target: Target = "",
    mode: ModeOf = "",
    url: Url = None,
    ca: Ca = None,
    by_hand: ByHand = False,
    hasty: Hasty = False,
    approvals: Approvals = 1,
    soak: Soak = None,
    rate: Rate = None,
    canary: Canary = None,
    percent: Percent = None,
    drain: Drain = None,
    refused: Refused = None,
    backup: Backup = None,
    publish: Publish = None,
    restart_proof: Restart = True,
    json: Json = False,
) -> None:
    """Put a plan on record; nothing happens before `start`."""
    order = RotationOrder(
        kind=kind,
        ring=ring,
        source=source,
        target=target,
        mode=mode,
        urls=tuple(url or ()),
        ca=_pem(ca),
        by_hand=by_hand,
        hasty=hasty,
        approvals=approvals,
        soak_s=soak,
        rate_per_minute=rate,
        canary_most=canary,
        percents=tuple(percent) if percent else None,
        drain_s=drain,
        refused_s=refused,
        backup_s=backup,
        publish_s=publish,
        restart_proof=restart_proof,
    )
    _show(client(data).post("/admin/v1/rotations", RotationView, order), json)


@app.command()
def preview(
    kind: KindOf,
    data: Data = None,
    ring: Ring = "",
    source: Source = "",
    target: Target = "",
    mode: ModeOf = "",
    url: Url = None,
    ca: Ca = None,
    by_hand: ByHand = False,
    json: Json = False,
) -> None:
    """Show whom a rotation would touch, and who would be stranded; nothing is written."""
    order = RotationOrder(
        kind=kind,
        ring=ring,
        source=source,
        target=target,
        mode=mode,
        urls=tuple(url or ()),
        ca=_pem(ca),
        by_hand=by_hand,
    )
    found = client(data).post("/admin/v1/rotations/preview", PreviewView, order)
    if json:
        output.as_json(found)
    else:
        rotation_view.print_preview(found)


@app.command("list")
def list_(data: Data = None, limit: Annotated[int, typer.Option(min=1, max=1000)] = 20, json: Json = False) -> None:
    """List rotations, newest first."""
    rows = client(data).get("/admin/v1/rotations", list[RotationLine], {"limit": limit})
    if json:
        output.as_json(rows)
    else:
        rotation_view.print_list(rows)


@app.command()
def show(rotation: Id, data: Data = None, names: Names = 20, json: Json = False) -> None:
    """Show a rotation and what stands against each next step; ends with 3 while it is not finished."""
    found = _get(data, rotation, names)
    _show(found, json)
    sys.exit(EXIT_DONE if found.finished else EXIT_NOT_FINISHED)


@app.command()
def watch(
    rotation: Id,
    data: Data = None,
    names: Names = 10,
    once: Annotated[bool, typer.Option("--once", help="Print once and end.")] = False,
) -> None:
    """Follow a rotation until it is finished or Ctrl-C; the server goes on without this. Ends with 3 if it is not."""
    found = _get(data, rotation, names)
    if once or not output.console.is_terminal:
        output.console.print(rotation_view.board(found))
        sys.exit(EXIT_DONE if found.finished else EXIT_NOT_FINISHED)
    with Live(rotation_view.board(found), console=output.console, auto_refresh=False) as screen:
        try:
            while not found.finished:
                time.sleep(WATCH_SECONDS)
                found = _get(data, rotation, names)
                screen.update(rotation_view.board(found), refresh=True)
        except KeyboardInterrupt:
            sys.exit(EXIT_NOT_FINISHED)


@app.command()
def approve(
    rotation: Id,
    by: Annotated[str, typer.Option(help="Who approves it.")],
    data: Data = None,
    json: Json = False,
) -> None:
    """Agree to a rotation; one that asks for two persons does not start before."""
    _show(client(data).post(f"/admin/v1/rotations/{rotation}/approve", RotationView, Approval(by)), json)


@app.command()
def start(rotation: Id, data: Data = None, json: Json = False) -> None:
    """Begin: prepare, verify, then move endpoints wave by wave."""
    _act(data, rotation, "start", json)


@app.command()
def pause(
    rotation: Id,
    data: Data = None,
    reason: Annotated[str, typer.Option(help="Why.")] = "",
    json: Json = False,
) -> None:
    """Release no more endpoints, and take back what nobody has fetched."""
    _act(data, rotation, "pause", json, reason)


@app.command()
def resume(rotation: Id, data: Data = None, json: Json = False) -> None:
    """Go on; what failed is tried again, and what was seen until now does not pause it any more."""
    _act(data, rotation, "resume", json)


@app.command()
def hasten(rotation: Id, data: Data = None, json: Json = False) -> None:
    """The old access is compromised: release all endpoints now. Proof is not skipped."""
    _act(data, rotation, "hasten", json)


@app.command("roll-back")
def roll_back(
    rotation: Id,
    data: Data = None,
    reason: Annotated[str, typer.Option(help="Why.")] = "",
    json: Json = False,
) -> None:
    """Bring every endpoint back to the old access, under a new number; the new one stays accepted meanwhile."""
    _act(data, rotation, "roll-back", json, reason)


@app.command()
def waive(
    rotation: Id,
    endpoint: Annotated[list[str], typer.Argument(help="Ids, or names that only one endpoint has.")],
    reason: Annotated[str, typer.Option(help="Why nobody waits for them.")],
    data: Data = None,
    json: Json = False,
) -> None:
    """Wait no more for endpoints; they may still come and take the change."""
    body = Waiver(tuple(endpoint), reason)
    waived = client(data).post(f"/admin/v1/rotations/{rotation}/waive", Waived, body)
    if json:
        output.as_json(waived)
    else:
        output.console.print(f"{len(waived.endpoints)} of {len(endpoint)} waived")


@app.command()
def retire(rotation: Id, data: Data = None, json: Json = False) -> None:
    """Refuse the old access for work; it stays good for recovery and can be trusted again."""
    _act(data, rotation, "retire", json)


@app.command()
def retrust(rotation: Id, data: Data = None, json: Json = False) -> None:
    """Take `retire` back."""
    _act(data, rotation, "retrust", json)


@app.command()
def finish(rotation: Id, data: Data = None, json: Json = False) -> None:
    """Erase the old access on endpoints and destroy it here; there is no way back."""
    _act(data, rotation, "finish", json)


@app.command()
def abandon(rotation: Id, data: Data = None, json: Json = False) -> None:
    """Give up a rotation that has offered nothing to any endpoint yet."""
    _act(data, rotation, "abandon", json)


def _act(data: Path | None, rotation: str, what: str, json: bool, reason: str = "") -> None:
    _show(client(data).post(f"/admin/v1/rotations/{rotation}/{what}", RotationView, Reason(reason)), json)


def _get(data: Path | None, rotation: str, names: int) -> RotationView:
    return client(data).get(f"/admin/v1/rotations/{rotation}", RotationView, {"limit": names})


def _show(found: RotationView, json: bool) -> None:
    if json:
        output.as_json(found)
    else:
        output.console.print(rotation_view.board(found))


def _pem(file: Path | None) -> str:
    if file is None:
        return ""
    try:
        return file.read_text("ascii")
    except (OSError, UnicodeDecodeError) as cause:
        raise UsageError(f"cannot read {escape(str(file))}: {cause}") from cause
