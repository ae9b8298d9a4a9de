"""Messages of the endpoint protocol: frozen, strict, versioned (docs/protocol/check-in.md).

Unknown members are refused. New members come with a new wire version, which the server announces in
its metadata; an agent never sends more than the server said it reads.
Times are unix seconds in *server* time unless a name says otherwise; ages are seconds, so that no
decision depends on the endpoint's clock.
"""

from enum import StrEnum
from typing import Annotated

import msgspec
from msgspec import Meta

from keyfast.core.protection import Disks, together
from keyfast.wire import limits


class Message(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """Base of all wire messages."""


class Encryption(StrEnum):
    """State of a volume. What could not be read is ``unknown``, never ``unencrypted``."""

    ENCRYPTED = "encrypted"
    UNENCRYPTED = "unencrypted"
    ENCRYPTING = "encrypting"
    DECRYPTING = "decrypting"
    UNKNOWN = "unknown"


class Protection(StrEnum):
    """Whether the encryption protects now: a clear key or suspended protectors mean ``off``."""

    ON = "on"
    OFF = "off"
    UNKNOWN = "unknown"


class Volume(Message, frozen=True):
    """One volume as the endpoint sees it.

    Attributes:
        id: stable name (LUKS or file system UUID, BitLocker volume id), else the device path.
        mount: mount point or drive letter, empty if not mounted.
        role: ``os``, ``data``, ``swap`` or ``boot``.
        technology: ``luks2``, ``luks1``, ``dm-crypt`` (no header), ``bitlocker``, ``filevault``, ``plain``
            (not encrypted) or empty if unknown.
        encryption: state of the data on the volume.
        protection: whether a secret is needed to read it now.
        method: cipher as the tool names it.
        percent: share encrypted, 0 to 100; None if unknown.
        protectors: kinds of key protectors or key slots, no secrets.
        size: bytes, 0 if unknown.
        detail: why something is unknown, in one sentence.
    """

    id: limits.Short
    encryption: Encryption
    protection: Protection
    mount: limits.Short = ""
    role: Annotated[str, Meta(max_length=16)] = "data"
    technology: Annotated[str, Meta(max_length=16)] = ""
    method: limits.Short = ""
    percent: limits.Percent | None = None
    protectors: Annotated[tuple[limits.Short, ...], Meta(max_length=32)] = ()
    size: limits.Size = 0
    detail: limits.Text = ""


class Inventory(Message, frozen=True):
    """What changes rarely. Its canonical encoding is digested; see ``inventory_bytes``.

    Attributes:
        user: who was last seen signed in at the endpoint, as its operating system spells the name; empty if unknown.
    """

    hostname: limits.Name
    os: limits.Short
    os_version: limits.Short = ""
    architecture: Annotated[str, Meta(max_length=32)] = ""
    volumes: Annotated[tuple[Volume, ...], Meta(max_length=256)] = ()
    user: limits.Short = ""

    @property
    def disks(self) -> Disks:
        """All volumes that hold data, in one word."""
        return together([volume.protection.value for volume in self.volumes if volume.role != "boot"])


class CommandResult(Message, frozen=True):
    """What became of one command, told in a later check-in."""

    id: limits.Uuid
    state: Annotated[str, Meta(pattern=r"^(received|applied|verified|reverted|failed)\Z")]
    detail: limits.Text = ""


class Hardware(Message, frozen=True):
    """Facts about the hardware, sent at registration only.

    Attributes:
        smbios_uuid: SMBIOS UUID, empty if it cannot be read.
        machine_id: the operating system's machine id.
        serial: serial number of the computer, empty if it cannot be read; packages may name those they are for.
    """

    smbios_uuid: limits.Short = ""
    machine_id: limits.Short = ""
    serial: limits.Short = ""


class Join(Message, frozen=True):
    """Asks to join, inside a check-in: what ``POST /oauth/register`` says, where the account authenticates.

    The device key is the one that made the proof of the same request.

    Attributes:
        statement: the package's enrolment token (signed software statement).
        seal_jwk: public HPKE key of the endpoint (P-256 JWK).
        hardware: facts about the hardware.
    """

    statement: limits.Statement
    seal_jwk: dict[str, limits.Short]
    hardware: Hardware = Hardware()


class PackageRefused(Message, frozen=True):
    """A package lies on the endpoint that it did not take.

    Attributes:
        kind: why: ``tampered_package``, ``foreign_installation`` or ``unreadable_package``.
        package: the package id it claims, empty where it cannot be read.
    """

    kind: Annotated[str, Meta(max_length=64)]
    package: limits.Short = ""


class CheckIn(Message, frozen=True):
    """One check-in, up. A few hundred bytes when nothing changed.

    Attributes:
        seq: sequence number; stored by the endpoint before it is sent.
        acked: SHA-256 (base64url) of the last body this endpoint knows to be accepted; empty on the first.
        boot_id: id of the running boot.
        instance: random id of the running agent process.
        agent_version: version of the agent.
        profile_seq: access profile in use.
        credential_generation: generation of the credential in use.
        policy_version: policy in force on the endpoint.
        inventory_digest: SHA-256 (base64url) of ``inventory_bytes``.
        verified_age_s: for each volume of the inventory, seconds since its state was verified.
        inventory: the full inventory, when the server asked for it or it changed.
        clock: the endpoint's own clock, for diagnosis only.
        failures: failed tries since the last accepted check-in.
        last_refusal: class of the last refusal, empty if none.
        results: what became of commands.
        join: in Windows mode, until the endpoint holds a receipt.
        epoch: of the installation, as the endpoint last heard; 0 before the first answer.
        account: key of the account it logs on with (Windows mode), see ``core.directory``.
        renewal: statement (JWS) by which a new device key asks to take the place of the present one.
        package_refused: a package that was installed and is not taken; until a check-in that says so is accepted.
        farewell: the agent is being removed; any later check-in takes it back.
    """

    seq: limits.Seq
    boot_id: limits.Uuid
    instance: limits.Uuid
    agent_version: limits.Short
    inventory_digest: limits.Digest
    acked: limits.MaybeDigest = ""
    profile_seq: limits.Count = 0
    credential_generation: limits.Count = 0
    policy_version: limits.Count = 0
    verified_age_s: Annotated[tuple[limits.Age, ...], Meta(max_length=256)] = ()
    inventory: Inventory | None = None
    clock: limits.UnixTime = 0
    failures: limits.Count = 0
    last_refusal: Annotated[str, Meta(max_length=64)] = ""
    results: Annotated[tuple[CommandResult, ...], Meta(max_length=64)] = ()
    join: Join | None = None
    epoch: limits.Count = 0
    account: limits.Short = ""
    renewal: limits.Statement = ""
    package_refused: PackageRefused | None = None
    farewell: bool = False


class Policy(Message, frozen=True):
    """What the endpoint is told to do.

    Attributes:
        version: rises with every change.
        check_in_interval_s: mean time between check-ins.
    """

    version: limits.Count
    check_in_interval_s: Annotated[int, Meta(ge=limits.MIN_INTERVAL, le=limits.MAX_INTERVAL)]


class CheckInAnswer(msgspec.Struct, frozen=True, omit_defaults=True):
    """The answer, given only after the check-in is durably committed. The next nonce is a header.

    Attributes:
        server_time: unix seconds.
        next_check_in_s: seconds from now; server-chosen and jittered.
        policy_version: newest policy.
        policy: its content, when the endpoint has an older one.
        profile_seq: newest access profile for this endpoint.
        profile: that profile as a signed statement (JWS), when the endpoint has an older one.
        send_inventory: enclose the full inventory next time.
        commands: signed commands (JWS), oldest first.
        epoch: of the installation; rises when a server was restored from a backup.
        registered: the answer to ``CheckIn.join``.
        receipt: the answer to ``CheckIn.renewal``, a receipt (JWS) that names the new keys; empty if none are taken.
    """

    server_time: int
    next_check_in_s: int
    policy_version: int
    policy: Policy | None = None
    profile_seq: int = 0
    profile: str = ""
    send_inventory: bool = False
    commands: tuple[str, ...] = ()
    epoch: int = 1
    registered: "Registered | None" = None
    receipt: str = ""


class AccessProfile(msgspec.Struct, frozen=True, omit_defaults=True):
    """The web access server, as an endpoint is told: the claims of a JWS signed by the profile role.

    Attributes:
        installation: id of the installation.
        seq: rises with every change, never reused.
        mode: authentication mode (``oauth`` or ``windows``).
        urls: base URLs in order of preference, ``https`` only.
        ca: PEM of the certificate authority that issues the servers' certificates; empty means the
            operating system's trust store.
        mechanisms: in Windows mode, which of ``kerberos``, ``ntlm`` and ``basic`` the endpoint may use.
        epoch: of the installation when it was signed; epoch and number together never go back on an endpoint.
    """

    installation: str
    seq: int
    mode: str
    urls: tuple[str, ...]
    ca: str = ""
    mechanisms: tuple[str, ...] = ()
    epoch: int = 1


class SelfRecord(msgspec.Struct, frozen=True, omit_defaults=True):
    """Answer of ``GET /endpoint/v1/self``: what the server holds of the caller."""

    id: str
    name: str
    state: str
    registered_at: int
    seq: int
    seen_at: int
    next_due: int
    profile_seq: int
    policy_version: int


class Probed(msgspec.Struct, frozen=True):
    """Answer of ``GET /endpoint/v1/probe``: which account was recognised, and by which mechanism."""

    mode: str
    mechanism: str
    account: str


class SignedTime(msgspec.Struct, frozen=True):
    """Claims of the signed time statement (typ ``keyfast-time+jwt``, receipt role)."""

    installation: str
    time: int
    challenge: str


class Receipt(msgspec.Struct, frozen=True, omit_defaults=True):
    """Claims of a receipt (typ ``keyfast-receipt+jwt``): this device key was enrolled here.

    Attributes:
        installation: id of the installation.
        endpoint: endpoint id.
        thumbprint: RFC 7638 thumbprint of the device key.
        seal_thumbprint: RFC 7638 thumbprint of the device's HPKE key.
        epoch: of the installation when it was issued.
        issued_at: server time.
        ring: of its package.
        package: id of the package it enrolled with.
        account: key of the account its package embeds (Windows mode).
        generation: credential generation of that account.
        pending: an administrator had not let the endpoint in when it was issued.
    """

    installation: str
    endpoint: str
    thumbprint: str
    seal_thumbprint: str
    epoch: int
    issued_at: int
    ring: str = ""
    package: str = ""
    account: str = ""
    generation: int = 0
    pending: bool = False


class Command(msgspec.Struct, frozen=True, omit_defaults=True):
    """Claims of a command (typ ``keyfast-command+jwt``, command role).

    Attributes:
        installation: id of the installation.
        id: command id (UUID).
        endpoint: the only endpoint it is for.
        seq: rises per endpoint; one not above the highest seen is refused.
        issued_at: server time.
        expires_at: server time.
        action: for example ``CheckInNow``.
        interval_s: for ``CheckInNow``: check in this often until the next policy, 0 for once.
        rotation: id of the rotation it belongs to, empty for none.
    """

    installation: str
    id: str
    endpoint: str
    seq: int
    issued_at: int
    expires_at: int
    action: str
    interval_s: int = 0
    rotation: str = ""


class Registered(msgspec.Struct, frozen=True, omit_defaults=True):
    """Answer of ``POST /oauth/register`` and to ``CheckIn.join``: the RFC 7591 members and ours.

    Attributes:
        client_id: the endpoint id.
        client_id_issued_at: server time.
        token_endpoint_auth_method: always ``private_key_jwt``.
        keyfast_receipt: signed receipt.
        keyfast_profile: signed access profile.
        keyfast_delegations: the root's delegations, from which every signature can be checked.
        keyfast_state: ``registered`` or ``pending``.
    """

    client_id: str
    client_id_issued_at: int
    keyfast_receipt: str
    keyfast_profile: str
    keyfast_delegations: tuple[str, ...]
    keyfast_state: str
    token_endpoint_auth_method: str = "private_key_jwt"  # noqa: S105 - a method name
    grant_types: tuple[str, ...] = ("client_credentials",)
    dpop_bound_access_tokens: bool = True


_decode_inventory = msgspec.json.Decoder(Inventory).decode
_canonical = msgspec.json.Encoder(order="deterministic")


def inventory_bytes(inventory: Inventory) -> bytes:
    """Encode an inventory canonically; equal inventories give equal bytes on every platform.

    It takes the trip over the wire first: a whole number put into a float member comes back as a float.
    """
    return _canonical.encode(_decode_inventory(_canonical.encode(inventory)))


decode_check_in = msgspec.json.Decoder(CheckIn).decode
encode = msgspec.json.encode
