"""Messages of the admin API about people, their sessions and their API tokens. Times are unix seconds, 0 for never."""

import msgspec

from keyfast.core.role import Role
from keyfast.wire.admin import View

REASON_HEADER = "keyfast-reason"
"""Why somebody does something dangerous, percent-encoded; demanded of everybody but the local socket."""

APPROVAL_HEADER = "keyfast-approval"
"""Id of the approval by which a request is made again, where a second person has to agree."""


class PersonLine(View, frozen=True):
    """Somebody who may sign in.

    Attributes:
        rings: empty for all.
        state: ``invited``, ``active`` or ``disabled``.
        second_factor: whether a code is demanded at sign-in.
        invited_until: when the invitation ends that is open.
        source: ``local`` for somebody who was added here, ``directory`` for somebody who comes by an account there.
        group: of the directory, from which they have role and rings; empty for somebody in none any more.
    """

    name: str
    role: str
    rings: tuple[str, ...]
    state: str
    second_factor: bool
    created_at: int
    created_by: str
    signed_in_at: int
    invited_until: int
    source: str = "local"
    group: str = ""


class PersonOrder(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Who to add.

    Attributes:
        password: the first one; empty for an invitation instead, by which the person chooses it.
    """

    name: str
    role: Role
    rings: tuple[str, ...] = ()
    password: str = ""


class PersonChange(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What to change about a person; None leaves it."""

    role: Role | None = None
    rings: tuple[str, ...] | None = None


class Invited(View, frozen=True):
    """A person, and the code by which they choose their password: told once."""

    person: PersonLine
    code: str = ""


class Joining(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Who takes up an invitation, and the password they choose."""

    code: str
    password: str


class SecondFactor(View, frozen=True):
    """A secret for an authenticator, as a URI that it reads: told once, in force when a first code is confirmed."""

    uri: str


class Code(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A code of an authenticator."""

    code: str


class TokenOrder(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What API token to make.

    Attributes:
        person: whose; they must be able to do what it allows.
        name: what it is for.
        scopes: permissions.
        days: how long it may be used.
    """

    person: str
    name: str
    scopes: tuple[str, ...]
    days: int


class TokenLine(View, frozen=True):
    """An API token; ``used_at`` is as of the day."""

    id: str
    person: str
    name: str
    scopes: tuple[str, ...]
    created_at: int
    expires_at: int
    used_at: int
    revoked_at: int


class TokenMade(View, frozen=True):
    """A new API token and its text: told once, only its hash is kept."""

    line: TokenLine
    token: str


class SessionLine(View, frozen=True):
    """A browser session."""

    id: str
    person: str
    begun_at: int
    seen_at: int
    address: str


class Myself(View, frozen=True):
    """Who calls, and what they may do."""

    name: str
    role: str
    rings: tuple[str, ...]
    via: str
    permissions: tuple[str, ...]


class ApprovalLine(View, frozen=True):
    """An act that waits, or waited, for a second person.

    Attributes:
        state: ``asked``, ``given``, ``denied``, ``used``, or ``over`` for one that is too old.
    """

    id: str
    asked_at: int
    asked_by: str
    permission: str
    what: str
    reason: str
    state: str
    decided_at: int
    decided_by: str


class PasskeyLine(View, frozen=True):
    """A passkey of somebody: what proves who they are by an authenticator of theirs."""

    id: str
    name: str
    created_at: int
    used_at: int


class GroupLine(View, frozen=True):
    """What the members of a group of the directory are here.

    Attributes:
        rings: empty for all.
        known: the directory has such a group; without it nobody comes by it.
    """

    name: str
    role: str
    rings: tuple[str, ...]
    known: bool


class GroupMember(View, frozen=True):
    """What an account of the directory would be here.

    Attributes:
        name: of its person.
        refused: why they could not sign in, even with the right password; empty if they could.
        groups: those of the settings that it is in.
        group: the one of them that counts, empty for none; role and rings are from it.
    """

    name: str
    refused: str
    groups: tuple[str, ...]
    group: str
    role: str
    rings: tuple[str, ...]


class GroupsView(View, frozen=True):
    """Groups whose members may sign in, and an account that was asked about."""

    groups: tuple[GroupLine, ...]
    member: GroupMember | None = None
