"""The client database: everything an endpoint must not forget, as one record that is replaced whole.

One record, stored durably and atomically, is what makes "kill it anywhere" easy to reason about: the
next start finds the record before the last act or the one after it, never a mixture.
"""

from collections.abc import Sequence
from enum import StrEnum
from typing import Protocol

import msgspec

from keyfast.agent.timing import Anchor, Due
from keyfast.core.change import ChangeState
from keyfast.core.directory import account_key
from keyfast.core.mode import Mode
from keyfast.errors import ClientDatabaseError
from keyfast.wire.messages import CommandResult, Policy

KEY_HISTORY = 10
"""How many device keys an endpoint remembers; the server keeps every superseded one."""


class Admission(StrEnum):
    """How far enrolment has come."""

    NONE = "none"
    PENDING = "pending"
    REGISTERED = "registered"


class Slots(msgspec.Struct, frozen=True, omit_defaults=True):
    """Signed access profiles (JWS) by role, empty when there is none.

    Attributes:
        factory: from the package; never changes.
        previous: the last one that worked before ``current``.
        current: in use.
        candidate: written, not yet proven.
    """

    factory: str
    current: str
    previous: str = ""
    candidate: str = ""


class LastRefusal(msgspec.Struct, frozen=True, omit_defaults=True):
    """What the server said last time it said no.

    Attributes:
        kind: refusal class as received; may be one this version does not know.
        detail: the server's sentence.
        at: server time, unix seconds.
        repair: the server's advice, may be empty.
    """

    kind: str
    detail: str = ""
    at: int = 0
    repair: str = ""


Credential = tuple[str, int]
"""Key of an account, and the generation of its password: two accounts have a first generation each."""


class LogonHold(msgspec.Struct, frozen=True, omit_defaults=True):
    """No password of this generation is presented before ``due``; see ``keyfast.agent.hold``.

    Attributes:
        generation: credential generation it is about; any other is free.
        due: when the next try may be made.
        account: key of the account it is about, empty in records that knew only one.
    """

    generation: int
    due: Due
    account: str = ""


class KeptAccount(msgspec.Struct, frozen=True, omit_defaults=True):
    """A client authentication account beside the one in use.

    Attributes:
        name: logon name without the domain.
        domain: short (NetBIOS) name of the domain.
        password: secret.
        generation: number of the credential generation the password is.
        realm: the domain's Kerberos realm, empty where none was named.
    """

    name: str
    domain: str
    password: str
    generation: int
    realm: str = ""

    @property
    def credential(self) -> Credential:
        """What a hold is about."""
        return account_key(self.domain, self.name), self.generation

    def __repr__(self) -> str:
        """Never the password."""
        return f"KeptAccount({self.domain}\\{self.name}, generation={self.generation})"


class HeldChange(msgspec.Struct, frozen=True, omit_defaults=True):
    """A change of the web access server that this endpoint took; its profile is the slot ``candidate``.

    Attributes:
        id: command id.
        seq: number of the command.
        epoch: of the installation.
        state: how far it has come.
        rotation: id of the rotation it belongs to.
        mode: authentication mode of its profile.
        profile_seq: number of its profile.
        profile_epoch: epoch of its profile.
        account: to log on with, in Windows mode.
        token: access token for the candidate (OAuth mode); secret.
        token_expires_at: server time.
        tries: probes begun.
        due: when to probe next, None means now; once committed, when the agent restarts itself, None means never.
        good: accepted check-ins since the commit.
        missed: failed visits in a row since the commit.
        instance: id of the agent process that committed.
        reason: why it failed or was taken back, or why the last probe did not pass.
    """

    id: str
    seq: int
    epoch: int
    state: ChangeState = ChangeState.STAGED
    rotation: str = ""
    mode: Mode = Mode.OAUTH
    profile_seq: int = 0
    profile_epoch: int = 1
    account: KeptAccount | None = None
    token: str = ""
    token_expires_at: int = 0
    tries: int = 0
    due: Due | None = None
    good: int = 0
    missed: int = 0
    instance: str = ""
    reason: str = ""

    def __repr__(self) -> str:
        """Never the account or the token."""
        return f"HeldChange(id={self.id!r}, epoch={self.epoch}, seq={self.seq}, state={self.state.value!r})"


class Recovery(msgspec.Struct, frozen=True, omit_defaults=True):
    """The endpoint asks for its access by its device key.

    Attributes:
        why: class of the refusal that made it ask, ``unreached`` if no server answered.
        due: when to ask next.
        asks: how often it has asked since the last accepted check-in.
    """

    why: str
    due: Due
    asks: int = 0


class Record(msgspec.Struct, frozen=True, omit_defaults=True):
    """The whole state of an agent.

    Attributes:
        installation: id of the installation this endpoint belongs to.
        root: root key as JWK text, pinned by the package.
        delegations: the root's delegations (JWS) known so far.
        slots: access profiles.
        statement: the enrolment token of the package.
        package: package id.
        admission: how far enrolment has come.
        endpoint_id: given by the server.
        receipt: signed proof of enrolment (JWS).
        device_key: PEM of the device key; secret.
        seal_key: PEM of the HPKE key; secret.
        key_history: PEM of superseded device keys, newest first; secret.
        seq: last sequence number used, whether or not it was acknowledged.
        acked: SHA-256 (base64url) of the last body known to be accepted.
        token: access token; secret.
        token_expires_at: server time.
        nonce: the server's nonce for the next proof.
        policy: policy in force.
        profile_seq: number of the current access profile.
        mode: authentication mode of the current access profile.
        credential_generation: generation of the account's password (Windows mode).
        known_inventory: digest (base64url) of the inventory the server has, empty if none.
        account_name: shared account (Windows mode).
        account_domain: its domain.
        account_realm: the domain's Kerberos realm, empty if the package named none.
        account_password: secret.
        hold: keeps a password that was refused from being tried again too soon.
        mechanism: how the last accepted logon travelled.
        failures: failed tries since the last accepted check-in.
        polls: registrations answered with ``pending``.
        enrol_again: the server does not know the device key; register it again.
        last_success_at: server time of the last accepted check-in, 0 before the first.
        last_check_in_wall: the same by the endpoint's clock, for people.
        last_refusal: the server's last "no".
        trouble: why the last try failed when no server said so (network, disk).
        due: when to act next; None means now.
        anchor: newest server time heard.
        command_seq: highest command number seen.
        interval_s: check-in interval a command asked for, until the next policy; 0 for none.
        results: command results not yet delivered.
        done: results of the last commands, for a server that asks again.
        epoch: of the installation, as last heard.
        profile_epoch: epoch of the current access profile.
        previous_mode: authentication mode of the previous access.
        previous_seq: number of its profile.
        previous_epoch: epoch of its profile.
        previous_account: its account, where there was one; goes only when the server says so.
        change: the change of the web access server in hand, or the last one that failed.
        watch: the last change that was committed to.
        probe_hold: like ``hold``, for the password of a change in hand.
        recovery: set while the endpoint asks for its access by its device key.
        package_told: which refused package the server has heard of, empty if none lies there.
    """

    installation: str
    root: str
    delegations: tuple[str, ...]
    slots: Slots
    statement: str = ""
    package: str = ""
    admission: Admission = Admission.NONE
    endpoint_id: str = ""
    receipt: str = ""
    device_key: str = ""
    seal_key: str = ""
    key_history: tuple[str, ...] = ()
    seq: int = 0
    acked: str = ""
    token: str = ""
    token_expires_at: int = 0
    nonce: str = ""
    policy: Policy | None = None
    profile_seq: int = 0
    mode: Mode = Mode.OAUTH
    credential_generation: int = 0
    known_inventory: str = ""
    account_name: str = ""
    account_domain: str = ""
    account_realm: str = ""
    account_password: str = ""
    hold: LogonHold | None = None
    mechanism: str = ""
    failures: int = 0
    polls: int = 0
    enrol_again: bool = False
    last_success_at: int = 0
    last_check_in_wall: int = 0
    last_refusal: LastRefusal | None = None
    trouble: str = ""
    due: Due | None = None
    anchor: Anchor | None = None
    command_seq: int = 0
    interval_s: int = 0
    results: tuple[CommandResult, ...] = ()
    done: tuple[CommandResult, ...] = ()
    epoch: int = 0
    profile_epoch: int = 1
    previous_mode: Mode = Mode.OAUTH
    previous_seq: int = 0
    previous_epoch: int = 1
    previous_account: KeptAccount | None = None
    change: HeldChange | None = None
    watch: HeldChange | None = None
    probe_hold: LogonHold | None = None
    recovery: Recovery | None = None
    package_told: str = ""

    @property
    def account(self) -> KeptAccount | None:
        """The account in use, whatever the mode; None where there is none."""
        if not self.account_password:
            return None
        return KeptAccount(
            self.account_name,
            self.account_domain,
            self.account_password,
            self.credential_generation,
            self.account_realm,
        )

    @property
    def credential(self) -> Credential:
        """What a hold on the password in use is about."""
        return account_key(self.account_domain, self.account_name), self.credential_generation

    @property
    def must_join(self) -> bool:
        """The server has yet to give, or to be shown again, what a registration gives."""
        return self.enrol_again or not self.receipt

    def __repr__(self) -> str:
        """Name the endpoint and nothing else: most members are secret or long."""
        return f"Record(installation={self.installation!r}, endpoint_id={self.endpoint_id!r}, seq={self.seq})"


class ClientDatabase(Protocol):
    """Where the record lives. One process holds it at a time."""

    def load(self) -> Record | None:
        """Return the newest intact record, or None for a database that never held one.

        Raises:
            ClientDatabaseError: there is something, and none of it can be read.
        """
        ...

    def store(self, record: Record) -> None:
        """Replace the record, durably and atomically.

        Raises:
            ClientDatabaseError: it could not be made durable; the record before it is still there.
        """
        ...

    def close(self) -> None:
        """Let go of it."""
        ...


def encode_record(record: Record) -> bytes:
    """Encode for storage (JSON)."""
    return msgspec.json.encode(record)


def decode_record(payload: bytes) -> Record:
    """Decode what ``encode_record`` made; members of newer versions are ignored.

    Raises:
        ClientDatabaseError: the payload is intact but not a record this version can read.
    """
    try:
        return msgspec.json.decode(payload, type=Record)
    except (msgspec.DecodeError, UnicodeDecodeError) as cause:
        raise ClientDatabaseError(
            "the client database was written by a version this agent cannot read",
            repair="install a newer agent",
        ) from cause


def remembered(key: str, history: Sequence[str]) -> tuple[str, ...]:
    """Put a superseded key in front of the history, which keeps the last ``KEY_HISTORY``."""
    return (key, *(old for old in history if old != key))[:KEY_HISTORY]
