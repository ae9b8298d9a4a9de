"""``keyfast person``: the people who may sign in, and what they may do."""

from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape

from keyfast.cli import output, passwords
from keyfast.cli.options import Data, Json, client
from keyfast.core.role import Role
from keyfast.wire.admin import Changed
from keyfast.wire.people import (
    Code,
    GroupMember,
    GroupsView,
    Invited,
    Joining,
    PasskeyLine,
    PersonChange,
    PersonLine,
    PersonOrder,
    SecondFactor,
)

app = typer.Typer(no_args_is_help=True, help="People who may sign in, their roles and rings.")

STATE_COLOUR = {"active": "green", "invited": "yellow", "disabled": "dim"}

Name = Annotated[str, typer.Argument(help="What is typed at sign-in; upper and lower case are the same.")]
Rings = Annotated[
    list[str] | None, typer.Option("--ring", help="A ring they answer for; repeatable. None means all of them.")
]


@app.command()
def add(
    name: Name,
    role: Annotated[Role, typer.Option(help="What they are to this installation.")],
    data: Data = None,
    ring: Rings = None,
    password_file: Annotated[
        Path | None, typer.Option(help="File with a first password, '-' for standard input; none invites them.")
    ] = None,
    json: Json = False,
) -> None:
    """Put somebody on record, by an invitation or with a password."""
    password = "" if password_file is None else passwords.ask("Password", password_file)
    order = PersonOrder(name, role, tuple(ring or ()), password)
    _invited(client(data).post("/admin/v1/people", Invited, order), json)


@app.command("list")
def list_(
    data: Data = None,
    limit: Annotated[int, typer.Option(help="How many to print.")] = 100,
    after: Annotated[str, typer.Option(help="Begin after this name.")] = "",
    json: Json = False,
) -> None:
    """List people in order of name."""
    rows = client(data).get("/admin/v1/people", list[PersonLine], {"limit": limit, "after": after})
    if json:
        output.as_json(rows)
        return
    output.table(
        ("NAME", "ROLE", "RINGS", "FROM", "STATE", "SECOND FACTOR", "SIGNED IN"),
        (
            (
                escape(row.name),
                row.role,
                escape(", ".join(row.rings)) or "all",
                _from(row),
                output.coloured(row.state, STATE_COLOUR),
                "yes" if row.second_factor else "no",
                output.moment(row.signed_in_at),
            )
            for row in rows
        ),
        "Nobody yet. Add somebody: keyfast person add NAME --role administrator",
    )


@app.command()
def show(name: Name, data: Data = None, json: Json = False) -> None:
    """Show somebody."""
    _show(client(data).get(_path(name), PersonLine), json)


@app.command()
def change(
    name: Name,
    data: Data = None,
    role: Annotated[Role | None, typer.Option(help="What they are from now on.")] = None,
    ring: Rings = None,
    all_rings: Annotated[bool, typer.Option(help="They answer for every ring from now on.")] = False,
    json: Json = False,
) -> None:
    """Change role and rings; they have to sign in again."""
    rings = () if all_rings else tuple(ring) if ring else None
    _show(client(data).post(_path(name), PersonLine, PersonChange(role, rings)), json)


@app.command()
def disable(name: Name, data: Data = None, json: Json = False) -> None:
    """Switch somebody off at once: password, second factor, sessions and API tokens are void."""
    _show(client(data).post(f"{_path(name)}/disable", PersonLine), json)


@app.command()
def enable(name: Name, data: Data = None, json: Json = False) -> None:
    """Let somebody back in who was switched off, by an invitation."""
    _invited(client(data).post(f"{_path(name)}/enable", Invited), json)


@app.command()
def reset(name: Name, data: Data = None, json: Json = False) -> None:
    """Void password, second factor, sessions and API tokens of somebody, and invite them again."""
    _invited(client(data).post(f"{_path(name)}/reset", Invited), json)


@app.command()
def join(
    data: Data = None,
    code_file: Annotated[
        Path | None, typer.Option(help="File with the invitation's code, '-' for standard input; none asks for it.")
    ] = None,
    password_file: Annotated[
        Path | None, typer.Option(help="File with the password, '-' for standard input; none asks for it.")
    ] = None,
    json: Json = False,
) -> None:
    """Take up an invitation by choosing a password; nobody else needs to know it."""
    order = Joining(passwords.ask("Invitation", code_file), passwords.ask("Password", password_file))
    _show(client(data).post("/admin/v1/join", PersonLine, order), json)


@app.command("second-factor")
def second_factor(
    name: Name,
    data: Data = None,
    code_file: Annotated[
        Path | None, typer.Option(help="Where the first code is read, '-' for standard input; none asks for it.")
    ] = None,
    confirm: Annotated[bool, typer.Option(help="Only confirm, by a code of the secret that was shown.")] = False,
) -> None:
    """Show a secret for somebody's authenticator, once, and demand codes from its first one on."""
    server = client(data)
    if not confirm:
        made = server.post(f"{_path(name)}/second-factor", SecondFactor)
        output.console.print(escape(made.uri), soft_wrap=True)
    server.post(f"{_path(name)}/second-factor/confirm", Changed, Code(passwords.ask("Code", code_file)))
    output.console.print(f"from now on {escape(name)} needs a code to sign in")


@app.command("passkeys")
def passkeys_(name: Name, data: Data = None, json: Json = False) -> None:
    """List somebody's passkeys; they make them in the console."""
    rows = client(data).get(f"{_path(name)}/passkeys", list[PasskeyLine])
    if json:
        output.as_json(rows)
        return
    output.table(
        ("ID", "NAME", "ADDED", "USED"),
        ((row.id, escape(row.name), output.moment(row.created_at), output.moment(row.used_at)) for row in rows),
        "No passkeys.",
    )


@app.command("remove-passkey")
def remove_passkey(
    name: Name,
    passkey: Annotated[str, typer.Argument(help="Its id.")],
    data: Data = None,
    json: Json = False,
) -> None:
    """Remove a passkey of somebody, for example one that was lost."""
    changed = client(data).post(f"{_path(name)}/passkeys/{output.in_path(passkey)}/remove", Changed)
    if json:
        output.as_json(changed)
    else:
        output.console.print(f"passkey {escape(passkey)} is removed")


@app.command()
def groups(
    name: Annotated[
        str | None, typer.Argument(help="An account: DOMAIN\\name, name@realm, or a name of the domain.")
    ] = None,
    data: Data = None,
    json: Json = False,
) -> None:
    """Show what groups of the directory give, and what they would give an account; no password is needed."""
    view = client(data).get("/admin/v1/groups", GroupsView, {"name": name} if name else {})
    if json:
        output.as_json(view)
        return
    output.table(
        ("GROUP", "ROLE", "RINGS", "IN THE DIRECTORY"),
        (
            (escape(row.name), row.role, escape(", ".join(row.rings)) or "all", "yes" if row.known else "no such group")
            for row in view.groups
        ),
        "No group of a directory is anything here: see \\[\\[directory.group]] in the settings.",
    )
    if view.member is not None:
        output.console.print(_sentence(view.member), soft_wrap=True)


def _sentence(found: GroupMember) -> str:
    given = (
        f"{found.role} of {', '.join(found.rings) or 'all rings'} by {found.group}" if found.group else "nobody here"
    )
    return escape(f"{found.name}: {given}" + (f"; refused: {found.refused}" if found.refused else ""))


def _from(row: PersonLine) -> str:
    return "here" if row.source == "local" else escape(row.group) or "no group any more"


def _path(name: str) -> str:
    return f"/admin/v1/people/{output.in_path(name.lower())}"


def _by_group(row: PersonLine) -> str:
    return "" if row.source == "local" else f" by {escape(row.group) or 'no group any more'}"


def _invited(made: Invited, json: bool) -> None:
    if json:
        output.as_json(made)
        return
    _show(made.person, json=False)
    if made.code:
        output.console.print(
            f"invitation, {output.moment(made.person.invited_until)} void and shown only now:\n{escape(made.code)}",
            soft_wrap=True,
        )


def _show(row: PersonLine, json: bool) -> None:
    if json:
        output.as_json(row)
        return
    rings = ", ".join(row.rings) or "all rings"
    output.console.print(
        f"{escape(row.name)}: {row.role} of {escape(rings)}{_by_group(row)}, {output.coloured(row.state, STATE_COLOUR)}"
    )
