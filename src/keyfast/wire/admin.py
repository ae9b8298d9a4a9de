"""Messages of the admin API, spoken by the command line and later by the console."""

from typing import Any, Literal

import msgspec

from keyfast.core.attendance import Mark
from keyfast.core.package import PackageKind
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
    user: str = ""


class HeardView(View, frozen=True):
    """In which of the last hours and UTC days an endpoint checked in, the oldest first."""

    hours: tuple[Mark, ...]
    days: tuple[Mark, ...]


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
    """Everything on record about one endpoint; ``mode``, ``account`` and ``generation`` are what it last proved."""

    line: EndpointLine
    heard: HeardView
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
    origin: "Origin | None" = None
    mode: str = ""
    account: str = ""
    generation: int = 0
    ring: str = ""


class PackageOrder(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What package to build.

    Attributes:
        ring: name of the set of endpoints it is for.
        admission: whether endpoints are let in by themselves or each by hand.
        days: how long the enrolment token may be used.
        max_uses: how many endpoints may enrol with it.
        mode: how its endpoints authenticate.
        account: in Windows mode, the client authentication account it embeds.
        kind: by the file that comes out.
        serials: serial numbers or SMBIOS UUIDs of the computers that may enrol with it; none for all.
        despite: conditions of the account in which to build it all the same: ``expires_soon`` and
            ``account_expires_soon``.
    """

    ring: str = "default"
    admission: Literal["auto", "approve"] = "auto"
    days: int = 30
    max_uses: int = 1000
    mode: Literal["oauth", "windows"] = "oauth"
    account: str = ""
    kind: PackageKind = PackageKind.BUNDLE
    serials: tuple[str, ...] = ()
    despite: tuple[str, ...] = ()


class PackageLine(View, frozen=True):
    """One package. Times are unix seconds, 0 for not yet or never.

    Attributes:
        created_at: when it was asked for; ``built_at`` is when it was ready.
        sha256: of the artefact (hex), empty until it is ready; ``size`` in bytes.
        path: of the artefact on the server.
        state: ``building``, ``ready``, ``failed`` or ``revoked``.
        reason: why it failed.
        faults: everything that stands against installing it now (``core.package_standing``), worst first.
        expires_at: when its enrolment token ends.
        uses, max_uses: how many endpoints enrolled with it, and how many may.
        using: how many of those still use what it brought.
        used_at: when the last endpoint enrolled with it.
        serials: how many computers its allow-list names, 0 for no list.
        warnings: what there is to say about the account inside; told when it is built only.
        doing, share: what is being done while it is built, and how far that is, from 0 to 1.
    """

    id: str
    created_at: int
    created_by: str
    mode: str
    ring: str
    admission: str
    sha256: str
    path: str
    revoked: bool
    account: str = ""
    generation: int = 0
    kind: PackageKind = PackageKind.BUNDLE
    version: str = ""
    policy_version: int = 0
    state: str = "ready"
    built_at: int = 0
    size: int = 0
    reason: str = ""
    faults: tuple[str, ...] = ()
    expires_at: int = 0
    uses: int = 0
    max_uses: int = 0
    using: int = 0
    used_at: int = 0
    serials: int = 0
    warnings: tuple[str, ...] = ()
    doing: str = ""
    share: float = 0.0


class Origin(View, frozen=True):
    """The package that an endpoint came from.

    Attributes:
        faults: what stands against the package now; none if it is still current.
        in_use: the endpoint authenticates with what this package brought.
    """

    package: str
    kind: PackageKind
    built_at: int
    built_by: str
    faults: tuple[str, ...]
    in_use: bool


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
    """Which installation this is; ``restored_at`` is since when it is known to have gone back in time, or 0."""

    id: str
    name: str
    epoch: int
    urls: tuple[str, ...]
    version: str
    now: int
    restored_at: int = 0


class NodeName(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Names a node."""

    name: str


class NodeLine(View, frozen=True):
    """A process that endpoints speak to, and what it says that it accepts (times in unix seconds)."""

    name: str
    started_at: int
    seen_at: int
    profile_seq: int
    modes: tuple[str, ...]
    generations: tuple[str, ...]
    token_keys: tuple[str, ...]


class Introspection(View, frozen=True, omit_defaults=True):
    """RFC 7662 section 2.2, with ``cnf`` of RFC 9449 section 6.2."""

    active: bool
    client_id: str = ""
    token_type: str = ""
    iat: int = 0
    exp: int = 0
    cnf: dict[str, str] = {}


class AccountOrder(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    r"""Which account to add.

    Attributes:
        account: ``DOMAIN\\\\name``, ``name@domain`` or a bare name.
        password: its current password; proven once, then sealed.
        despite: conditions in which to take it all the same, for example ``over_privileged``.
    """

    account: str
    password: str
    despite: tuple[str, ...] = ()

    def __repr__(self) -> str:
        """Never the password."""
        return f"AccountOrder({self.account!r})"


class AccountName(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Which account is meant."""

    account: str


class AccountLine(View, frozen=True):
    """One client authentication account in a list. Times are unix seconds."""

    account: str
    condition: str
    summary: str
    generation: int
    endpoints: int
    read_at: int


class FindingView(View, frozen=True):
    """One thing to know about an account; see ``core.account.Finding``."""

    condition: str
    severity: str
    sentence: str
    meaning: str
    repair: str
    servers: tuple[str, ...]
    at: int
    packages: tuple[str, ...]


class ReadingView(View, frozen=True):
    """What one domain controller says; ``reason`` is set when it could not be read."""

    server: str
    read_at: int
    reason: str = ""
    exists: bool = True
    password_set_at: int = 0
    password_expires_at: int | None = None
    expires_at: int | None = None
    disabled: bool = False
    locked: bool = False
    must_change: bool = False
    bad_passwords: int = 0
    lockout_threshold: int | None = None
    policy: str = ""


class GenerationLine(View, frozen=True):
    """One credential generation: its state, and how many endpoints enrolled with packages that embed it."""

    generation: int
    state: str
    created_at: int
    judged_at: int
    grace_ends_at: int
    endpoints: int


class AccountView(View, frozen=True):
    """Everything about one client authentication account, except its password."""

    account: str
    condition: str
    summary: str
    read_at: int
    findings: tuple[FindingView, ...]
    readings: tuple[ReadingView, ...]
    generations: tuple[GenerationLine, ...]


class AccountChange(View, frozen=True):
    """One change of an account as a domain controller told it."""

    read_at: int
    reading: ReadingView


class ModeLine(View, frozen=True):
    """An open authentication mode; ``ring`` is empty for every ring without lines of its own."""

    ring: str
    mode: str
    since: int
    opened_by: str


class ModeOrder(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Which mode to open or close.

    Attributes:
        mode: ``windows``, ``oauth`` or ``anonymous``.
        ring: for the endpoints of one ring; empty for all rings without modes of their own.
        despite_endpoints: close it although endpoints use it.
    """

    mode: str
    ring: str = ""
    despite_endpoints: bool = False
