"""Who may do what: one table from roles to permissions. What is not in it is denied.

A person who answers for some rings only keeps of a role's permissions those that are about single endpoints
and packages (``PER_RING``): everything else concerns the whole installation.
"""

from collections.abc import Mapping
from enum import StrEnum


class Permission(StrEnum):
    """One thing that somebody may be allowed to do. Stored with API tokens, so never renamed."""

    SELF = "self"
    SELF_CHANGE = "self.change"
    READ = "read"
    ENDPOINT_READ = "endpoint.read"
    ENDPOINT_ACT = "endpoint.act"
    ENDPOINT_JUDGE = "endpoint.judge"
    PACKAGE_READ = "package.read"
    PACKAGE_BUILD = "package.build"
    PACKAGE_TAKE = "package.take"
    PACKAGE_REVOKE = "package.revoke"
    ACCOUNT_CHANGE = "account.change"
    ROTATION_PLAN = "rotation.plan"
    ROTATION_APPROVE = "rotation.approve"
    ROTATION_RUN = "rotation.run"
    ROTATION_RETIRE = "rotation.retire"
    WINDOW_OPEN = "window.open"
    WINDOW_CLOSE = "window.close"
    RECOVERY_LEAD = "recovery.lead"
    INCIDENT_ACT = "incident.act"
    RECOVERY_KEY_REVEAL = "recovery_key.reveal"
    MODE_CHANGE = "mode.change"
    KEY_ROTATE = "key.rotate"
    KEY_MOVE = "key.move"
    AUDIT_READ = "audit.read"
    AUDIT_EXPORT = "audit.export"
    APPROVAL_DECIDE = "approval.decide"
    PEOPLE_READ = "people.read"
    PEOPLE_CHANGE = "people.change"
    SETTINGS_CHANGE = "settings.change"


P = Permission

NAMED: Mapping[str, Permission] = {permission.value: permission for permission in Permission}
"""Each permission by its name."""

MEANING: Mapping[Permission, str] = {
    P.SELF: "sign in, and see what one may do",
    P.SELF_CHANGE: "add and remove one's own passkeys",
    P.READ: "everything that concerns the whole installation: rotations, windows, accounts, keys, modes, events",
    P.ENDPOINT_READ: "endpoints, their lineage, history and disks",
    P.ENDPOINT_ACT: "ask an endpoint to check in now, or to renew its key",
    P.ENDPOINT_JUDGE: "let an endpoint in, revoke it, reinstate it, clear it of a suspicion",
    P.PACKAGE_READ: "packages and the endpoints that came by them",
    P.PACKAGE_BUILD: "build packages, and check one that was found",
    P.PACKAGE_TAKE: "download packages: whoever has one can enrol endpoints",
    P.PACKAGE_REVOKE: "revoke packages",
    P.ACCOUNT_CHANGE: "add, check and remove client authentication accounts",
    P.ROTATION_PLAN: "plan rotations, and wait no more for endpoints by name",
    P.ROTATION_APPROVE: "approve rotations",
    P.ROTATION_RUN: "start, pause, resume, finish, abandon and roll back rotations",
    P.ROTATION_RETIRE: "retire the old access, or move everybody at once",
    P.WINDOW_OPEN: "open recovery windows",
    P.WINDOW_CLOSE: "close recovery windows",
    P.RECOVERY_LEAD: "choose and lead a way out of an outage",
    P.INCIDENT_ACT: "take on, comment and close incidents",
    P.RECOVERY_KEY_REVEAL: "see recovery keys",
    P.MODE_CHANGE: "open and close authentication modes",
    P.KEY_ROTATE: "rotate signing keys",
    P.KEY_MOVE: "export, import, seal anew and remove keys, and end the caution after a restored backup",
    P.AUDIT_READ: "read and verify the audit trail",
    P.AUDIT_EXPORT: "export the audit trail",
    P.APPROVAL_DECIDE: "decide as the second person about what one may do oneself",
    P.PEOPLE_READ: "see people, their roles, sessions and API tokens",
    P.PEOPLE_CHANGE: "add and change people, end their sessions, revoke their API tokens",
    P.SETTINGS_CHANGE: "change settings, and forget processes that are gone",
}
"""Each permission in words; the reference is made of it."""


class Role(StrEnum):
    """What somebody is to this installation. Stored, so never renamed."""

    ADMINISTRATOR = "administrator"
    OPERATOR = "operator"
    HELPDESK = "helpdesk"
    AUDITOR = "auditor"


_SEES = frozenset({P.SELF, P.SELF_CHANGE, P.READ, P.ENDPOINT_READ, P.PACKAGE_READ})

ROLES: Mapping[Role, frozenset[Permission]] = {
    Role.ADMINISTRATOR: frozenset(Permission),
    Role.OPERATOR: _SEES
    | {
        P.ENDPOINT_ACT,
        P.ENDPOINT_JUDGE,
        P.PACKAGE_BUILD,
        P.PACKAGE_TAKE,
        P.PACKAGE_REVOKE,
        P.ACCOUNT_CHANGE,
        P.ROTATION_PLAN,
        P.ROTATION_APPROVE,
        P.ROTATION_RUN,
        P.ROTATION_RETIRE,
        P.WINDOW_OPEN,
        P.WINDOW_CLOSE,
        P.RECOVERY_LEAD,
        P.INCIDENT_ACT,
        P.APPROVAL_DECIDE,
    },
    Role.HELPDESK: _SEES | {P.ENDPOINT_ACT, P.RECOVERY_KEY_REVEAL},
    Role.AUDITOR: _SEES | {P.AUDIT_READ, P.AUDIT_EXPORT, P.PEOPLE_READ},
}
"""The table."""

PER_RING: frozenset[Permission] = frozenset(
    {
        P.SELF,
        P.SELF_CHANGE,
        P.ENDPOINT_READ,
        P.ENDPOINT_ACT,
        P.ENDPOINT_JUDGE,
        P.PACKAGE_READ,
        P.PACKAGE_BUILD,
        P.PACKAGE_TAKE,
        P.PACKAGE_REVOKE,
        P.RECOVERY_KEY_REVEAL,
    }
)
"""What somebody can hold for some rings only."""

DANGEROUS: frozenset[Permission] = frozenset(
    {
        P.SELF_CHANGE,
        P.ROTATION_RETIRE,
        P.WINDOW_OPEN,
        P.RECOVERY_LEAD,
        P.RECOVERY_KEY_REVEAL,
        P.MODE_CHANGE,
        P.KEY_ROTATE,
        P.KEY_MOVE,
        P.APPROVAL_DECIDE,
        P.PEOPLE_CHANGE,
        P.SETTINGS_CHANGE,
    }
)
"""What demands in a browser that one has just proved again who one is, and a typed reason."""


def permissions(role: Role, *, ringed: bool) -> frozenset[Permission]:
    """Return what a role allows; ``ringed`` for somebody who answers for some rings only."""
    allowed = ROLES[role]
    return allowed & PER_RING if ringed else allowed
