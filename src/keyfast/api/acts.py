"""Which route is which act, and who acts: nothing an administrator changes stays off the audit trail.

A route that may change something is in one of two tables, or the application does not start. The act itself is put
on record by the transaction that makes the change (``store.acts``); what is refused is put on record here.
"""

import secrets
from collections.abc import Mapping
from typing import Any, Protocol

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from keyfast.api import http
from keyfast.api.admin_api import ORDER
from keyfast.api.gate import known_caller
from keyfast.core.audit import Actor, Via
from keyfast.core.caller import Caller, WayIn
from keyfast.core.endpoint import DECISIONS
from keyfast.core.rotation_state import RotationEvent
from keyfast.errors import (
    ApprovalNeededError,
    ConflictError,
    ForbiddenError,
    KeyfastError,
    KeyFileError,
    TrustError,
    UsageError,
)
from keyfast.store.acts import acting

WRITING = frozenset({"POST", "PUT", "PATCH", "DELETE"})
"""Methods that may change something."""
_REQUEST_BYTES = 8
INVITED = "whoever has the invitation"
E = RotationEvent

ROTATION_ACTS: Mapping[str, RotationEvent] = {
    "start": E.STARTED,
    "pause": E.PAUSED,
    "resume": E.RESUMED,
    "roll-back": E.ROLLED_BACK,
    "retrust": E.RETRUSTED,
    "finish": E.FINISHED,
    "abandon": E.ABANDONED,
}
"""What may be done with a rotation, by the last part of the path; what can strand somebody has a route of its own."""

ACTS: Mapping[str, str | Mapping[str, str]] = {
    "POST /admin/v1/installation/end-recovery": "server_recovery_ended",
    "POST /admin/v1/notifications/test": "notification_tested",
    "POST /admin/v1/nodes/forget": "node_forgotten",
    "POST /admin/v1/policy": "policy_changed",
    "POST /admin/v1/endpoints/{id}/check-in-now": "command_queued",
    "POST /admin/v1/endpoints/{id}/renew-key": "command_queued",
    "POST /admin/v1/endpoints/{id}/{event}": {word: f"endpoint_{event}" for word, event in DECISIONS.items()},
    "POST /admin/v1/packages": "package_created",
    "GET /admin/v1/packages/{id}/file": "package_downloaded",
    "POST /admin/v1/packages/{id}/revoke": "package_revoked",
    "POST /admin/v1/keys/rotate": "keys_rotated",
    "POST /admin/v1/keys/export": "keys_exported",
    "POST /admin/v1/keys/import": "keys_imported",
    "POST /admin/v1/keys/remove-root": "root_removed",
    "POST /admin/v1/keys/rewrap": "keys_rewrapped",
    "POST /admin/v1/modes/open": "mode_opened",
    "POST /admin/v1/modes/close": "mode_closed",
    "POST /admin/v1/accounts": "account_added",
    "POST /admin/v1/accounts/remove": "account_removed",
    "POST /admin/v1/directory/accounts": "local_account_set",
    "POST /admin/v1/windows/open": "window_opened",
    "POST /admin/v1/windows/close": "window_closed",
    "POST /admin/v1/recovery/begin": "recovery_begun",
    "POST /admin/v1/recovery/resume": "rotation_started",
    "POST /admin/v1/recovery/finish": "recovery_finished",
    "POST /admin/v1/incidents/{id}/close": "incident_closed",
    "POST /admin/v1/approvals/{id}/approve": "approval_given",
    "POST /admin/v1/approvals/{id}/deny": "approval_denied",
    "POST /admin/v1/join": "person_joined",
    "POST /admin/v1/people": "person_added",
    "POST /admin/v1/people/{name}": "person_changed",
    "POST /admin/v1/people/{name}/reset": "person_reset",
    "POST /admin/v1/people/{name}/disable": "person_disabled",
    "POST /admin/v1/people/{name}/enable": "person_enabled",
    "POST /admin/v1/people/{name}/second-factor/confirm": "second_factor_set",
    "POST /admin/v1/people/{name}/passkeys/{id}/remove": "passkey_removed",
    "POST /admin/v1/sessions/{id}/end": "session_ended",
    "POST /admin/v1/tokens": "api_token_created",
    "POST /admin/v1/tokens/{id}/revoke": "api_token_revoked",
    "POST /admin/v1/rotations": "rotation_planned",
    "POST /admin/v1/rotations/{id}/approve": "rotation_approved",
    "POST /admin/v1/rotations/{id}/waive": "rotation_waived",
    "POST /admin/v1/rotations/{id}/retire": "rotation_retired",
    "POST /admin/v1/rotations/{id}/hasten": "rotation_hastened",
    "POST /admin/v1/rotations/{id}/{act}": {act: f"rotation_{event}" for act, event in ROTATION_ACTS.items()},
}
"""The act of each route, by method and path; where the path's last part says which, by that."""

CHANGE_NOTHING = frozenset(
    {
        "POST /admin/v1/packages/verify",
        "POST /admin/v1/accounts/check",
        "POST /admin/v1/rotations/preview",
        "POST /admin/v1/people/{name}/second-factor",
        "POST /admin/v1/searches",
        "POST /admin/v1/searches/{name}/remove",
        "POST /oauth/introspect",
    }
)
"""Routes that only ask, although they send a body, prepare what another one puts in force, or keep one's own notes."""


class Trail(Protocol):
    """Where refused acts are put on record."""

    async def refused(self, action: str, asked: Mapping[str, Any], actor: Actor, why: str) -> None:
        """Put on record what was asked for and refused."""
        ...


def demand_listed(method: str, path: str) -> None:
    """Make sure that a route which may change something is known as an act.

    Raises:
        LookupError: it is not.
    """
    route = f"{method} {path}"
    if method in WRITING and route not in ACTS and route not in CHANGE_NOTHING:
        raise LookupError(f"{route} is neither an act nor among those that change nothing")


def action_of(route: str, parts: Mapping[str, str]) -> str:
    """Return the act of a route with the parts of its path; empty if it is none."""
    return part_of(ACTS.get(route, ""), parts)


def part_of(action: str | Mapping[str, str], parts: Mapping[str, str]) -> str:
    """Return an act, or that which the last part of a path says; empty if it is none."""
    return action if isinstance(action, str) else action.get(list(parts.values())[-1], "")


def request_id() -> str:
    """Make an id that everything one request does goes on record with."""
    return secrets.token_hex(_REQUEST_BYTES)


def actor_of(request: Request) -> Actor:
    """Say who sends a request, under an id of its own for this request."""
    caller = known_caller(request)
    number = request_id()
    return Actor(INVITED, Via.HTTPS, "", number) if caller is None else actor_for(caller, number)


def actor_for(caller: Caller, number: str) -> Actor:
    """Say who acts: a caller, in the request of an id."""
    via = Via.LOCAL_SOCKET if caller.via is WayIn.SOCKET else Via.HTTPS
    return Actor(caller.name, via, caller.person.role.value, number, caller.reason)


def audited(route: str, handler: http.Handler, trail: Trail) -> http.Handler:
    """Let a handler act in the name of its caller, and put on record what it refuses them.

    What a stranger sends is not on record: anyone on the network could fill a trail that is never shortened.
    """

    async def inner(request: Request) -> Response:
        actor = actor_of(request)
        with acting(actor):
            try:
                return await handler(request)
            except KeyfastError as fault:
                action = action_of(route, request.path_params)
                if action and known_caller(request) is not None and is_refusal(fault):
                    await trail.refused(action, _asked_for(request), actor, fault.message)
                raise

    return inner


def is_refusal(fault: KeyfastError) -> bool:
    """An outage decides nothing, and what does not exist cannot be refused.

    What waits for a second person was not refused, nor was what was sent again: the first request is on record.
    """
    if isinstance(fault, ApprovalNeededError | KeyFileError):
        return False
    return isinstance(fault, ConflictError | UsageError | TrustError | ForbiddenError)


def _asked_for(request: Request) -> dict[str, Any]:
    order = request.scope.get(ORDER)
    said: dict[str, Any] = {} if order is None else msgspec.to_builtins(order)
    return said | request.path_params
