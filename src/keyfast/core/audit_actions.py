"""Every act that the audit trail knows, and what of it may be written down. One table.

An act carries the name of the event that it is: there is one vocabulary of what happened. What is not a field
of its rule never reaches the trail; no field holds a secret.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from keyfast.core.audit import Act, Actor, Outcome, Via, picked, plain
from keyfast.core.rotation_state import RotationEvent

KEYFAST = "keyfast"
SEALED = "trail_sealed"
"""An act that is no event: the server seals the trail (``services.audit_seal``)."""
SHORTENED = "trail_shortened"
"""Another one: the server removes what is older than the trail is kept (``services.audit_keep``)."""
WHY = "why"
"""The field that holds why an act was refused."""
REASON = "reason"
"""The field that holds why it was done, in the words of whoever did it."""


@dataclass(frozen=True, slots=True)
class Rule:
    """What is written down of an act.

    Attributes:
        subject: what kind of thing it is done to.
        named: the particular that names this thing; empty where it is the event's endpoint, or the installation.
        fields: other particulars that may be written down.
        by_itself: the server also does it by itself; without a person it is nobody's act otherwise.
        asked: what a request that is refused calls this thing, in its path or its body.
        own: whom it names did it, over the network, before any request was theirs.
    """

    subject: str
    named: str = ""
    fields: tuple[str, ...] = ()
    by_itself: bool = False
    own: bool = False
    asked: str = "id"


_ROTATION = Rule("rotation", "rotation", ("kind", "ring", "reason"), by_itself=True)
_ENDPOINT = Rule("endpoint")
_PACKAGE = Rule("package", "package")
_APPROVAL = Rule("approval", "approval", ("what", "asked_by", "decided_by"))
_PERSON = Rule("person", "person", ("role", "rings", "group"), asked="name")

ACTIONS: Mapping[str, Rule] = {
    "endpoint_approved": _ENDPOINT,
    "endpoint_revoked": _ENDPOINT,
    "endpoint_reinstated": _ENDPOINT,
    "endpoint_cleared": _ENDPOINT,
    "command_queued": Rule("endpoint", "", ("command", "action", "interval_s")),
    "package_created": Rule("package", "package", ("kind", "ring", "mode", "account", "admission", "warnings")),
    "package_downloaded": _PACKAGE,
    "package_revoked": _PACKAGE,
    "notification_tested": Rule("installation"),
    "node_forgotten": Rule("node", "node"),
    "policy_changed": Rule("policy", "version", ("interval_s", "before_s")),
    "mode_opened": Rule("mode", "mode", ("ring",)),
    "mode_closed": Rule("mode", "mode", ("ring", "endpoints", "despite_endpoints")),
    "account_added": Rule("account", "account", ("generation", "despite")),
    "account_removed": Rule("account", "account"),
    "local_account_set": Rule("local account", "name", ("disabled", "must_change", "max_age_days", "new_password")),
    "window_opened": Rule(
        "window", "window", ("reason", "minutes", "deadline", "ranges", "account", "ring", "endpoints")
    ),
    "window_closed": Rule("window", "window", ("proven", "unproven", "despite_unproven", "missing", "waive")),
    "window_expired": Rule("window", "window", ("proven", "unproven", "missing"), by_itself=True),
    "recovery_begun": Rule("account", "account", ("way", "to", "rotation", "despite", "reason")),
    "recovery_finished": Rule("account", "account", ("rotation", "missing", "waive", "despite_unproven")),
    "rotation_planned": Rule("rotation", "rotation", ("kind", "ring", "source", "target", "mode", "urls", "approvals")),
    "rotation_waived": Rule("rotation", "rotation", ("endpoint", "endpoints", "reason")),
    "rotation_acted": Rule(
        "rotation",
        "rotation",
        ("act", "account", "generation", "profile", "targets", "wave", "released", "changed", "kid", "by_hand"),
        by_itself=True,
    ),
    **{f"rotation_{event.value}": _ROTATION for event in RotationEvent},
    "incident_closed": Rule("incident", "incident", ("state", "silent")),
    "approval_asked": _APPROVAL,
    "approval_given": _APPROVAL,
    "approval_denied": _APPROVAL,
    "approval_used": _APPROVAL,
    "person_added": _PERSON,
    "person_changed": _PERSON,
    "person_reset": _PERSON,
    "person_disabled": _PERSON,
    "person_enabled": _PERSON,
    "person_joined": _PERSON,
    "person_renamed": Rule("person", "person", ("formerly",)),
    "person_dropped": Rule("person", "person", ("group", "cause")),
    "signed_in": Rule("person", "person", ("address", "session", "way"), own=True),
    "signed_out": Rule("person", "person", own=True),
    "passkey_added": Rule("person", "person", ("passkey", "name"), own=True),
    "passkey_removed": Rule("person", "person", ("passkey",), asked="name"),
    "second_factor_set": Rule("person", "person", asked="name"),
    "session_ended": Rule("session", "session"),
    "api_token_created": Rule("API token", "token", ("name", "person", "scopes")),
    "api_token_revoked": Rule("API token", "token"),
    SEALED: Rule("trail", "number", ("seal",), by_itself=True),
    SHORTENED: Rule("trail", "number", ("first", "upto", "hash", "days", "file"), by_itself=True),
    "rotation_approved": Rule("rotation", "rotation", ("kind", "by", "name")),
    "keys_rotated": Rule("key", "role"),
    "keys_exported": Rule("installation"),
    "keys_imported": Rule("installation"),
    "keys_rewrapped": Rule("installation", "", ("from",)),
    "root_removed": Rule("installation"),
    "server_recovery_ended": Rule("installation", "", ("since",)),
}


def act_of(kind: str, at: int, endpoint_id: str | None, detail: Mapping[str, Any], actor: Actor | None) -> Act | None:
    """Say which act an event is; None if it is nobody's.

    Args:
        kind: of the event.
        at: unix seconds.
        endpoint_id: of the event, None if it is about no endpoint.
        detail: its particulars.
        actor: whose request this is part of; None outside one.
    """
    rule = ACTIONS.get(kind)
    if rule is None:
        return None
    by = str(detail.get("by") or "")
    if actor is None and rule.own:
        actor = Actor(str(detail.get(rule.named) or ""), Via.HTTPS)
    if actor is None and (by or rule.by_itself):
        actor = Actor(by or KEYFAST, Via.SERVER)
    if actor is None:
        return None
    about = {**detail, "endpoint": endpoint_id or ""}
    subject = str(about.get(rule.named or "endpoint", ""))
    return Act(at, actor, kind, rule.subject, plain(subject), _typed(actor) | picked(about, rule.fields))


def _typed(actor: Actor) -> dict[str, str]:
    return picked({REASON: actor.reason}, (REASON,)) if actor.reason else {}


def refused_act(kind: str, at: int, asked: Mapping[str, Any], actor: Actor, why: str) -> Act:
    """Say what was asked for and refused.

    Args:
        kind: the action.
        at: unix seconds.
        asked: what the request said, in its path and its body.
        actor: who asked.
        why: the reason as the asker heard it.
    """
    rule = ACTIONS[kind]
    subject = str(asked.get(rule.asked) or asked.get(rule.named) or "")
    detail = _typed(actor) | picked(asked, rule.fields) | picked({WHY: why}, (WHY,))
    return Act(at, actor, kind, rule.subject, plain(subject), detail, Outcome.REFUSED)
