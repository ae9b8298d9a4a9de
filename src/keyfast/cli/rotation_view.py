"""How rotations look on a terminal."""

from collections.abc import Iterator

from rich.console import Group, RenderableType
from rich.markup import escape
from rich.progress_bar import ProgressBar
from rich.table import Table

from keyfast.cli import output
from keyfast.wire.rotation import PreviewView, RotationLine, RotationView

STATE_COLOUR = {
    "done": "green",
    "abandoned": "dim",
    "emergency": "red",
    "rolling_back": "red",
    "canary": "cyan",
    "rolling": "cyan",
    "draining": "yellow",
    "refused": "yellow",
}
BAR = 40


def print_list(rows: list[RotationLine]) -> None:
    """Print a list of rotations."""
    output.table(
        ("ROTATION", "KIND", "RING", "PHASE", "MOVED", "PLANNED", ""),
        (
            (
                row.id,
                row.kind,
                escape(row.ring) or "all",
                output.coloured(row.state, STATE_COLOUR),
                f"{row.moved:,} of {row.targets:,}",
                output.moment(row.created_at),
                f"[red]paused[/] {escape(row.paused)}" if row.paused else "",
            )
            for row in rows
        ),
        "No rotations. Look ahead with: keyfast rotation preview KIND",
    )


def print_preview(found: PreviewView) -> None:
    """Print what a rotation would touch."""
    renews = found.kind == "device_key"
    would = "renew their device key" if renews else "move"
    lines = [
        f"[bold]{found.targets:,}[/] endpoints would {would}{_way(found.source, found.target, found.mode)}",
        (
            f"  seen within 7 days {found.seen_7d:,}, 30 days {found.seen_30d:,}, 90 days {found.seen_90d:,}; "
            f"overdue now {found.offline:,}"
        ),
        f"  waves: {', '.join(f'{size:,}' for size in found.waves) or 'none'}",
    ]
    if renews:
        lines.append("  nothing is taken away: former keys stay good for recovery")
    else:
        lines.append(
            f"  were the old access taken away today: {found.recovering:,} would come back by recovery, "
            f"[{'red' if found.stranded else 'green'}]{found.stranded:,} would be stranded[/]"
        )
    if found.sets_password:
        lines.append(f"  Keyfast sets a new password of {escape(found.target)} itself")
    lines += [f"  [red]cannot start:[/] {escape(reason)}" for reason in found.against]
    for line in lines:
        output.console.print(line, soft_wrap=True)


def board(found: RotationView) -> Group:
    """Everything about a rotation."""
    return Group(*_parts(found))


def _parts(found: RotationView) -> Iterator[RenderableType]:
    state = output.coloured(found.state, STATE_COLOUR)
    way = _way(found.source, found.target, found.mode)
    yield f"[bold]{found.id}[/]  {found.kind}{way}  {state} since {output.moment(found.since)}"
    if found.paused:
        yield f"[red]paused:[/] {escape(found.paused)}"
    if len(found.approvals) < found.approvals_needed:
        yield f"approved by {len(found.approvals)} of {found.approvals_needed}"
    if found.targets:
        yield f"{found.moved:,} of {found.targets:,} moved, {found.verified:,} verified, {found.waived:,} waived"
        yield ProgressBar(total=found.targets, completed=found.moved + found.waived, width=BAR)
    if found.waves:
        yield _waves(found)
    yield from _acts(found)
    yield from _steps(found)
    if found.missing:
        yield _missing(found)


def _way(source: str, target: str, mode: str) -> str:
    if source and target and source != target:
        return f" from {escape(source)} to {escape(target)}"
    if source and not target:
        return f" from {escape(source)} to {mode}"
    return f" of {escape(source or mode)}" if source or mode else ""


def _waves(found: RotationView) -> Table:
    view = Table(box=None, header_style="bold", pad_edge=False)
    for column in ("WAVE", "ENDPOINTS"):
        view.add_column(column, overflow="fold")
    for wave in found.waves:
        name = {-1: "back", -2: "erase"}.get(wave.wave, str(wave.wave))
        view.add_row(name, ", ".join(f"{number:,} {state}" for state, number in sorted(wave.states.items())))
    return view


def _acts(found: RotationView) -> Iterator[str]:
    for act in found.acts:
        if not act.done_at:
            yield f"[yellow]doing[/] {act.act}{f': {escape(act.trouble)}' if act.trouble else ''}"


def _steps(found: RotationView) -> Iterator[str]:
    for step in found.steps:
        if step.step in {"paused", "approved", "signed_anew", "extended"}:
            continue
        who = "by itself" if step.by_itself else "by you"
        if step.against:
            yield f"[dim]{step.step} ({who}):[/] no, because {escape('; '.join(step.against))}"
        else:
            yield f"[green]{step.step} ({who}):[/] nothing stands against it"


def _missing(found: RotationView) -> Table:
    view = Table(box=None, header_style="bold", pad_edge=False)
    for column in ("MISSING", "WAVE", "STATE", "SEEN", ""):
        view.add_column(column, overflow="fold")
    for row in found.missing:
        view.add_row(escape(row.name), str(row.wave), row.state, output.moment(row.seen_at), escape(row.detail))
    return view
