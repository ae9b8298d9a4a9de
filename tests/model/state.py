"""States of the model: small tuples, so that millions can be held.

A password is a number: each time one is set in the directory it is the next. Which generation it has on the
server is another number, since a server that was restored counts again from where it was.
"""

from typing import NamedTuple

from keyfast.core.change import ChangeState
from keyfast.core.command import CommandState
from keyfast.core.generation import GenerationState
from keyfast.core.mode import Mode

ACCOUNTS = ("A", "B")
USED = "used"
"""In place of a snapshot that was restored: it happens once."""


class Access(NamedTuple):
    """What an endpoint uses, or is given; ``epoch`` and ``seq`` are of its access profile."""

    mode: Mode
    epoch: int
    seq: int
    account: str = ""
    generation: int = 0
    password: int = 0


class Change(NamedTuple):
    """A change beside the access in use; ``unsent``: its result was not acknowledged yet."""

    id: int
    epoch: int
    seq: int
    access: Access
    state: ChangeState
    tries: int = 0
    unsent: bool = True


class Watch(NamedTuple):
    """The change that brought the access in use."""

    id: int
    epoch: int
    seq: int
    state: ChangeState
    good: int = 0
    missed: int = 0
    restarted: bool = False
    unsent: bool = True


class Endpoint(NamedTuple):
    """What an endpoint has on disk; device keys are numbers, ``keys`` a set of bits.

    ``receipt``: the device key and the account that it names. ``behind``: the server has accepted a later report.
    """

    current: Access | None
    previous: Access | None = None
    change: Change | None = None
    watch: Watch | None = None
    epoch: int = 1
    seq: int = 0
    key: int = 0
    keys: int = 1
    receipt: tuple[int, str] | None = None
    behind: bool = False


class Row(NamedTuple):
    """A command of the server; ``access`` None until a statement was made."""

    id: int
    wave: int
    state: CommandState
    epoch: int = 0
    seq: int = 0
    access: Access | None = None


class Kept(NamedTuple):
    """What the server has on record of one endpoint: 0 nothing, 1 registered, 2 active."""

    state: int = 0
    key: int = 0
    older: int = 0
    access: Access | None = None
    row: Row | None = None
    own: Row | None = None
    erase: bool = False
    next: int = 1


class Server(NamedTuple):
    """What the server has on record: per account the generations as (state, password)."""

    epoch: int
    restored: bool
    kept: tuple[Kept, ...]
    generations: tuple[tuple[tuple[GenerationState, int], ...], ...]
    profiles: tuple[tuple[Mode, int, int], ...]
    highest: int
    modes: frozenset[Mode]
    rotation: int = -1
    pending: tuple[tuple[str, int], ...] = ()
    rotations: int = 0


class World(NamedTuple):
    """Everything. ``directory``: the password that each account has there; ``ended``: the recovery after a restore."""

    endpoints: tuple[Endpoint, ...]
    server: Server
    directory: tuple[int, int]
    expired: bool = False
    backup: Server | str | None = None
    image: Endpoint | str | None = None
    ended: bool = False
    changes: int = 0
    restores: int = 0


def at(of: tuple, index: int, value) -> tuple:
    """Return a tuple with one member replaced."""
    return (*of[:index], value, *of[index + 1 :])


def with_endpoint(world: World, index: int, endpoint: Endpoint) -> World:
    return world._replace(endpoints=at(world.endpoints, index, endpoint))


def with_kept(world: World, index: int, kept: Kept, **server) -> World:
    return world._replace(server=world.server._replace(kept=at(world.server.kept, index, kept), **server))


def generations_of(server: Server, account: str) -> tuple[tuple[GenerationState, int], ...]:
    return server.generations[ACCOUNTS.index(account)] if account else ()


def newest_seq(server: Server, mode: Mode) -> tuple[int, int]:
    """Epoch and number of the profile in force for a mode; (0, 0) if there is none."""
    return max(((epoch, seq) for found, epoch, seq in server.profiles if found is mode), default=(0, 0))


def in_order(world: World) -> World:
    """Number the commands anew in the same order: only the order decides, and retries must not count for ever."""
    used = set()
    for kept in _all_kept(world):
        used.add(kept.next)
        used.update(row.seq for row in (kept.row, kept.own) if row is not None)
    for one in _all_endpoints(world):
        used.add(one.seq)
        used.update(held.seq for held in (one.change, one.watch) if held is not None)
    used.add(0)
    if max(used) < len(used):
        return world
    rank = {seq: number for number, seq in enumerate(sorted(used))}
    backup, image = world.backup, world.image
    return world._replace(
        endpoints=tuple(_endpoint(one, rank) for one in world.endpoints),
        server=_server(world.server, rank),
        backup=_server(backup, rank) if isinstance(backup, Server) else backup,
        image=_endpoint(image, rank) if isinstance(image, Endpoint) else image,
    )


def _all_kept(world: World):
    yield from world.server.kept
    if isinstance(world.backup, Server):
        yield from world.backup.kept


def _all_endpoints(world: World):
    yield from world.endpoints
    if isinstance(world.image, Endpoint):
        yield world.image


def _numbered(held, rank):
    return held if held is None else held._replace(seq=rank[held.seq])


def _endpoint(one: Endpoint, rank) -> Endpoint:
    return one._replace(seq=rank[one.seq], change=_numbered(one.change, rank), watch=_numbered(one.watch, rank))


def _server(server: Server, rank) -> Server:
    kept = tuple(
        one._replace(next=rank[one.next], row=_numbered(one.row, rank), own=_numbered(one.own, rank))
        for one in server.kept
    )
    return server._replace(kept=kept)
