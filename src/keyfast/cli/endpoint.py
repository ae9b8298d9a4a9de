"""``keyfast endpoint list|show|approve|revoke|reinstate|clear``."""

import shlex
from typing import Annotated

import typer
from rich.markup import escape

from keyfast.cli import output
from keyfast.cli.options import Data, Json, client
from keyfast.cli.search import Account, Disks, Find, Name, Package, Ring, State
from keyfast.core.attendance import Mark
from keyfast.core.package_standing import PackageFault, told
from keyfast.core.search import read_search
from keyfast.errors import NotFoundError
from keyfast.wire.admin import Changed, CommandLine, EndpointDetail, EndpointLine, ForkView, Origin
from keyfast.wire.messages import Inventory
from keyfast.wire.search import SavedSearch

app = typer.Typer(no_args_is_help=True, help="Endpoints: who checks in, and with what state.")

Id = Annotated[str, typer.Argument(help="Endpoint id.")]


@app.command("list")
def list_(
    data: Data = None,
    find: Find = "",
    name: Name = "",
    state: State = "",
    disks: Disks = "",
    account: Account = "",
    package: Package = "",
    ring: Ring = "",
    saved: Annotated[str, typer.Option(help="As a search that one keeps says; other options narrow it.")] = "",
    after: Annotated[str, typer.Option(help="Continue after this endpoint id (last of the page before).")] = "",
    limit: Annotated[int, typer.Option(min=1, max=1000)] = 50,
    json: Json = False,
) -> None:
    """List endpoints, in order of name, a page at a time."""
    asked = {"q": find, "name": name, "state": state, "disks": disks, "account": account, "package": package}
    said = {field: text for field, text in (asked | {"ring": ring}).items() if text}
    search = read_search((_kept(data, saved) if saved else {}) | said).query
    query: dict[str, str | int] = {**search, "after": after, "limit": limit}
    rows = client(data).get("/admin/v1/endpoints", list[EndpointLine], query)
    if json:
        output.as_json(rows)
        return
    output.table(
        ("NAME", "STATE", "DISKS", "LAST CHECK-IN", "NEXT", "AGENT", "ID"),
        (
            (
                escape(row.name),
                output.coloured(row.state, output.STATE_COLOUR),
                output.coloured(row.disks, output.DISKS_COLOUR),
                output.moment(row.seen_at) + (" [red]silent[/]" if row.silent else ""),
                output.moment(row.next_due) if row.next_due else "",
                escape(row.agent_version),
                row.id,
            )
            for row in rows
        ),
        "No endpoints. Build a package and install it: keyfast package create",
    )
    if len(rows) == limit:
        options = "".join(f" --{'find' if name == 'q' else name} {shlex.quote(text)}" for name, text in search.items())
        output.console.print(f"[dim]more: keyfast endpoint list{escape(options)} --after {rows[-1].id}[/]")


@app.command()
def show(endpoint: Id, data: Data = None, json: Json = False) -> None:
    """Show everything on record about one endpoint."""
    detail = client(data).get(f"/admin/v1/endpoints/{endpoint}", EndpointDetail)
    if json:
        output.as_json(detail)
        return
    line = detail.line
    rows = [
        ("endpoint", f"[bold]{escape(line.name)}[/]  {line.id}"),
        ("state", output.coloured(line.state, output.STATE_COLOUR)),
        ("last check-in", f"{output.moment(line.seen_at)} from {detail.address or '-'}, number {detail.seq}"),
        ("days", _strip(detail.heard.days)),
        ("hours", _strip(detail.heard.hours)),
        ("user last seen", escape(line.user) or "unknown"),
        ("next check-in", output.moment(line.next_due) + (" [red]silent[/]" if line.silent else "")),
        (
            "agent",
            f"{escape(line.agent_version)}, profile {detail.profile_seq}, policy {detail.policy_version}",
        ),
        ("device key", detail.thumbprint),
        ("enrolled", f"{output.moment(detail.registered_at)} with package {detail.package}"),
        ("package", _origin(detail.origin)),
        ("clock", _clock(detail.clock_offset_s)),
        (
            "disks",
            output.coloured(line.disks, output.DISKS_COLOUR) + f", verified {output.moment(detail.verified_at)}",
        ),
    ]
    if detail.last_refusal:
        rows.append(
            (
                "last refusal",
                f"{escape(detail.last_refusal)}, {detail.failures} failed tries before the last check-in",
            )
        )
    output.table(("", ""), rows, "")
    _volumes(detail.inventory)
    _fork(detail.fork)
    if detail.commands:
        output.table(
            ("COMMAND", "STATE", "QUEUED", "CHANGED", "DETAIL"),
            (
                (
                    row.action,
                    row.state,
                    output.moment(row.created_at),
                    output.moment(row.updated_at),
                    escape(row.detail),
                )
                for row in detail.commands
            ),
            "",
        )
    output.table(
        ("WHEN", "EVENT", "DETAIL"),
        (
            (output.moment(row.at), row.kind, escape(", ".join(f"{k} {v}" for k, v in row.detail.items())))
            for row in detail.events
        ),
        "",
    )


def _kept(data: Data, name: str) -> dict[str, str]:
    rows = client(data).get("/admin/v1/searches", list[SavedSearch])
    found = next((row.search.query for row in rows if row.name == name), None)
    if found is None:
        raise NotFoundError(f"no search is kept as '{name}'", repair="keyfast search list")
    return found


def _strip(marks: tuple[Mark, ...]) -> str:
    """In which it checked in, the newest on the right; what was before it enrolled is left out."""
    known = [mark.heard for mark in marks if mark.heard is not None]
    return f"{''.join('#' if heard else '.' for heard in known)}  heard in {sum(known)} of {len(known)}"


def _origin(origin: Origin | None) -> str:
    if origin is None:
        return "not on record"
    said = told(PackageFault(fault) for fault in origin.faults)
    now = escape(said) if said else "still current"
    use = "" if origin.in_use else "; the endpoint uses something newer"
    return f"{origin.kind}, built {output.moment(origin.built_at)} by {escape(origin.built_by)}; {now}{use}"


def _clock(offset: int) -> str:
    off = abs(offset)
    return "right" if off < 120 else f"[yellow]{output.span(off)} {'ahead' if offset > 0 else 'behind'}[/]"  # noqa: PLR2004 - two minutes


def _volumes(inventory: Inventory | None) -> None:
    if inventory is None:
        return
    output.table(
        ("VOLUME", "MOUNT", "ROLE", "ENCRYPTION", "PROTECTION", "TECHNOLOGY", "PROTECTORS"),
        (
            (
                escape(volume.id),
                escape(volume.mount),
                volume.role,
                volume.encryption.value,
                volume.protection.value,
                escape(f"{volume.technology} {volume.method}".strip() or volume.detail),
                escape(", ".join(volume.protectors)),
            )
            for volume in inventory.volumes
        ),
        "No volumes were reported.",
    )


def _fork(fork: ForkView | None) -> None:
    if fork is None:
        return
    output.console.print(
        f"[red]{fork.kind}[/]: two histories of this endpoint met {fork.count} times, "
        f"last {output.moment(fork.last_at)}"
    )
    names = list(dict.fromkeys([*fork.displaced, *fork.arrived]))
    output.table(
        ("", "ONE SIDE", "OTHER SIDE"),
        ((name, escape(str(fork.displaced.get(name, ""))), escape(str(fork.arrived.get(name, "")))) for name in names),
        "",
    )


def _change(endpoint: str, event: str, data: Data, json: bool) -> None:
    changed = client(data).post(f"/admin/v1/endpoints/{endpoint}/{event}", Changed)
    if json:
        output.as_json(changed)
    else:
        output.console.print(f"{endpoint} is now {output.coloured(changed.state, output.STATE_COLOUR)}")


@app.command("check-in-now")
def check_in_now(
    endpoint: Id,
    every: Annotated[int, typer.Option(help="From then on, check in every so many seconds.")] = 0,
    data: Data = None,
    json: Json = False,
) -> None:
    """Tell an endpoint, at its next check-in, to check in again at once (and to keep to another interval)."""
    queued = client(data).post(f"/admin/v1/endpoints/{endpoint}/check-in-now", CommandLine, {"interval_s": every})
    if json:
        output.as_json(queued)
    else:
        output.console.print(f"command {queued.id} is {queued.state}; the endpoint gets it with its next check-in")


@app.command("renew-key")
def renew_key(endpoint: Id, data: Data = None, json: Json = False) -> None:
    """Have an endpoint make a new device key; the one it has now serves for recovery afterwards."""
    queued = client(data).post(f"/admin/v1/endpoints/{endpoint}/renew-key", CommandLine)
    if json:
        output.as_json(queued)
    else:
        output.console.print(f"command {queued.id} is {queued.state}; the endpoint gets it with its next check-in")


@app.command()
def approve(endpoint: Id, data: Data = None, json: Json = False) -> None:
    """Let a pending endpoint in."""
    _change(endpoint, "approve", data, json)


@app.command()
def revoke(endpoint: Id, data: Data = None, json: Json = False) -> None:
    """End an endpoint's access; it keeps its keys and asks again, and can be reinstated."""
    _change(endpoint, "revoke", data, json)


@app.command()
def reinstate(endpoint: Id, data: Data = None, json: Json = False) -> None:
    """Take a revocation back."""
    _change(endpoint, "reinstate", data, json)


@app.command()
def clear(endpoint: Id, data: Data = None, json: Json = False) -> None:
    """Clear the suspicion of a clone once it is resolved."""
    _change(endpoint, "clear", data, json)
