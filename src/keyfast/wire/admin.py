"""Messages of the admin API, spoken by the command line and later by the console."""

from typing import Any, Literal

import msgspec

from keyfast.wire.messages import Inventory


class View(msgspec.Struct, frozen=True):
    """Base of what the admin API answers."""


class EndpointLine(View, frozen=True):
    """One endpoint in a list. Times are unix seconds, 0 for never."""

    id: str
    name: str
    state: str
    seen_at: int
    next_due: int
    silent: bool
    agent_version: str
    disks: str


class InventoryView(View, frozen=True):
    """An inventory as it was recorded (unix milliseconds)."""

    recorded_at_ms: int
    inventory: Inventory


class ForkView(View, frozen=True):
    """Two histories of one endpoint: what each side said of itself."""

    kind: str
    first_at: int
    last_at: int
    count: int
    displaced: dict[str, Any]
    arrived: dict[str, Any]


class EventLine(View, frozen=True):
    """Something that happened."""

    at: int
    kind: str
    endpoint: str
    detail: dict[str, Any]
    id: int = 0


class CommandLine(View, frozen=True):
    """A command to an endpoint, and what became of it."""

    id: str
    action: str
    state: str
    created_at: int
    updated_at: int
    detail: str = ""


class EndpointDetail(View, frozen=True):
    """Everything on record about one endpoint."""

    line: EndpointLine
    registered_at: int
    thumbprint: str
    package: str
    hardware: dict[str, Any]
    seq: int
    boot_id: str
    address: str
    profile_seq: int
    policy_version: int
    clock_offset_s: int
    failures: int
    last_refusal: str
    verified_at: int
    inventory: Inventory | None
    inventory_changes: tuple[InventoryView, ...]
    fork: ForkView | None
    commands: tuple[CommandLine, ...]
    events: tuple[EventLine, ...]


class PackageOrder(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What package to build.

    Attributes:
        ring: name of the set of endpoints it is for.
        admission: whether endpoints are let in by themselves or each by hand.
        days: how long the enrolment token may be used.
        max_uses: how many endpoints may enrol with it.
    """

    ring: str = "default"
    admission: Literal["auto", "approve"] = "auto"
    days: int = 30
    max_uses: int = 1000


class PackageLine(View, frozen=True):
    """One package."""

    id: str
    created_at: int
    created_by: str
    mode: str
    ring: str
    admission: str
    sha256: str
    path: str
    revoked: bool


class KeyLine(View, frozen=True):
    """One installation key: public facts only."""

    kid: str
    role: str
    status: str
    created_at: int
    private_here: bool


class Changed(View, frozen=True):
    """The new state of something."""

    state: str


class Installation(View, frozen=True):
    """Which installation this is."""

    id: str
    name: str
    epoch: int
    urls: tuple[str, ...]
    version: str
    now: int


class Introspection(View, frozen=True, omit_defaults=True):
    """RFC 7662 section 2.2, with ``cnf`` of RFC 9449 section 6.2."""

    active: bool
    client_id: str = ""
    token_type: str = ""
    iat: int = 0
    exp: int = 0
    cnf: dict[str, str] = {}
