"""Every page and act of the console: one table, each with the permission it takes and what it is on the trail."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from enum import Enum, auto

from keyfast.api.acts import ACTS
from keyfast.api.console.forms import MAX_FORM
from keyfast.core.role import Permission

P = Permission
LONG_FORM = 8 * 1024 * 1024
"""An allow-list of a package may be long."""

ENDPOINT_ACTS = ACTS["POST /admin/v1/endpoints/{id}/{event}"]
ROTATION_ACTS = ACTS["POST /admin/v1/rotations/{id}/{act}"]


class Shape(Enum):
    """What a handler answers with: a page, a part that moves, or a stream of what changes in it."""

    PAGE = auto()
    PART = auto()
    STREAM = auto()


@dataclass(frozen=True, slots=True)
class Row:
    """One page, or one act; what is not in the table of these is not there.

    Attributes:
        action: what it is called on the audit trail, or that by the last part of the path; empty if it changes nothing.
        again: what shows the form again after the act was refused; without it the reason has a page of its own.
        limit: bytes of the largest form that is read.
        shape: what is answered; parts and streams are asked for by pages, and keep no session alive.
    """

    method: str
    path: str
    permission: Permission
    handler: str
    action: str | Mapping[str, str] = ""
    again: str = ""
    limit: int = MAX_FORM
    shape: Shape = Shape.PAGE


def _live(path: str, permission: Permission, handler: str) -> tuple[Row, Row]:
    """A part of a page that moves: asked for, and told."""
    asked = Row("GET", path, permission, handler, shape=Shape.PART)
    return asked, replace(asked, path=f"{path}/stream", shape=Shape.STREAM)


PAGES: Sequence[Row] = (
    Row("GET", "/", P.SELF, "home.overview"),
    Row("GET", "/traffic.json", P.READ, "incidents.traffic"),
    Row("GET", "/incidents", P.READ, "incidents.list_"),
    Row("GET", "/incidents/{id}", P.READ, "incidents.show"),
    *_live("/incidents/{id}/live", P.READ, "incidents.live"),
    Row("GET", "/incidents/{id}/course.json", P.READ, "incidents.course"),
    Row("POST", "/incidents/{id}/close", P.INCIDENT_ACT, "incidents.close", "incident_closed"),
    Row("GET", "/forecast", P.READ, "incidents.forecast"),
    Row("GET", "/diagnosis", P.READ, "incidents.diagnosis"),
    Row("GET", "/endpoints", P.ENDPOINT_READ, "endpoints.list_"),
    Row("POST", "/searches", P.ENDPOINT_READ, "endpoints.save_search"),
    Row("POST", "/searches/remove", P.ENDPOINT_READ, "endpoints.remove_search"),
    Row("GET", "/endpoints/{id}", P.ENDPOINT_READ, "endpoints.show"),
    Row("POST", "/endpoints/{id}/check-in-now", P.ENDPOINT_ACT, "endpoints.check_in_now", "command_queued"),
    Row("POST", "/endpoints/{id}/renew-key", P.ENDPOINT_ACT, "endpoints.renew_key", "command_queued"),
    Row("POST", "/endpoints/{id}/{event}", P.ENDPOINT_JUDGE, "endpoints.judge", ENDPOINT_ACTS),
    Row("GET", "/rotations", P.READ, "rotations.list_"),
    Row("POST", "/rotations", P.ROTATION_PLAN, "rotations.plan", "rotation_planned", again="rotations.again"),
    Row("POST", "/rotations/preview", P.ROTATION_PLAN, "rotations.preview", again="rotations.again"),
    Row("GET", "/rotations/new", P.ROTATION_PLAN, "rotations.new"),
    Row("GET", "/rotations/{id}", P.READ, "rotations.show"),
    *_live("/rotations/{id}/live", P.READ, "rotations.live"),
    Row("POST", "/rotations/{id}/approve", P.ROTATION_APPROVE, "rotations.approve", "rotation_approved"),
    Row("POST", "/rotations/{id}/waive", P.ROTATION_PLAN, "rotations.waive", "rotation_waived"),
    Row("POST", "/rotations/{id}/retire", P.ROTATION_RETIRE, "rotations.retire", "rotation_retired"),
    Row("POST", "/rotations/{id}/hasten", P.ROTATION_RETIRE, "rotations.retire", "rotation_hastened"),
    Row("POST", "/rotations/{id}/{act}", P.ROTATION_RUN, "rotations.act", ROTATION_ACTS),
    Row("GET", "/windows", P.READ, "windows.list_"),
    Row("POST", "/windows", P.WINDOW_OPEN, "windows.open_", "window_opened", again="windows.again"),
    Row("GET", "/windows/new", P.WINDOW_OPEN, "windows.new"),
    Row("GET", "/windows/{id}", P.READ, "windows.show"),
    *_live("/windows/{id}/live", P.READ, "windows.live"),
    Row("POST", "/windows/{id}/close", P.WINDOW_CLOSE, "windows.close", "window_closed"),
    Row("GET", "/recovery", P.READ, "recovery.situations"),
    Row("GET", "/recovery/way", P.RECOVERY_LEAD, "recovery.way"),
    Row("GET", "/recovery/progress", P.READ, "recovery.progress"),
    *_live("/recovery/progress/live", P.READ, "recovery.live"),
    Row("POST", "/recovery/begin", P.RECOVERY_LEAD, "recovery.begin", "recovery_begun", again="recovery.again"),
    Row("POST", "/recovery/resume", P.RECOVERY_LEAD, "recovery.resume", "rotation_started"),
    Row("POST", "/recovery/finish", P.RECOVERY_LEAD, "recovery.finish", "recovery_finished"),
    Row("GET", "/packages", P.PACKAGE_READ, "packages.list_"),
    Row("POST", "/packages", P.PACKAGE_BUILD, "packages.build", "package_created", "packages.again", LONG_FORM),
    Row("GET", "/packages/new", P.PACKAGE_BUILD, "packages.new"),
    Row("GET", "/packages/{id}", P.PACKAGE_READ, "packages.show"),
    *_live("/packages/{id}/live", P.PACKAGE_READ, "packages.live"),
    Row("POST", "/packages/{id}/file", P.PACKAGE_TAKE, "packages.take", "package_downloaded"),
    Row("POST", "/packages/{id}/revoke", P.PACKAGE_REVOKE, "packages.revoke", "package_revoked"),
    Row("GET", "/accounts", P.READ, "accounts.list_"),
    Row("POST", "/accounts", P.ACCOUNT_CHANGE, "accounts.add", "account_added", again="accounts.again"),
    Row("GET", "/accounts/show", P.READ, "accounts.show"),
    Row("GET", "/accounts/history.json", P.READ, "accounts.history"),
    Row("POST", "/accounts/check", P.ACCOUNT_CHANGE, "accounts.check"),
    Row("POST", "/accounts/remove", P.ACCOUNT_CHANGE, "accounts.remove", "account_removed"),
    Row("GET", "/keys", P.READ, "settings.keys"),
    Row("POST", "/keys/rotate", P.KEY_ROTATE, "settings.rotate_key", "keys_rotated"),
    Row("GET", "/settings", P.READ, "settings.settings"),
    Row("POST", "/settings/modes/open", P.MODE_CHANGE, "settings.open_mode", "mode_opened"),
    Row("POST", "/settings/modes/close", P.MODE_CHANGE, "settings.close_mode", "mode_closed"),
    Row("POST", "/settings/end-recovery", P.KEY_MOVE, "settings.end_recovery", "server_recovery_ended"),
    Row("POST", "/settings/policy", P.SETTINGS_CHANGE, "settings.change_policy", "policy_changed"),
    Row("POST", "/settings/nodes/forget", P.SETTINGS_CHANGE, "settings.forget_node", "node_forgotten"),
    Row("GET", "/events", P.READ, "settings.events"),
    Row("GET", "/notifications", P.READ, "settings.notifications"),
    Row("POST", "/notifications/test", P.SETTINGS_CHANGE, "settings.test_notification", "notification_tested"),
    Row("GET", "/audit", P.AUDIT_READ, "audit.list_"),
    Row("POST", "/audit/export", P.AUDIT_EXPORT, "audit.export"),
    Row("GET", "/audit/verify", P.AUDIT_READ, "audit.verify"),
    *_live("/audit/verify/live", P.AUDIT_READ, "audit.live"),
    Row("GET", "/audit/{number}", P.AUDIT_READ, "audit.show"),
    Row("GET", "/me", P.SELF, "me.show"),
    Row("POST", "/me/passkeys/begin", P.SELF_CHANGE, "me.begin"),
    Row("POST", "/me/passkeys", P.SELF_CHANGE, "me.add", "passkey_added"),
    Row("POST", "/me/passkeys/{id}/remove", P.SELF_CHANGE, "me.remove", "passkey_removed"),
    Row("GET", "/approvals", P.READ, "approvals.list_"),
    Row("POST", "/approvals/{id}/approve", P.APPROVAL_DECIDE, "approvals.approve", "approval_given"),
    Row("POST", "/approvals/{id}/deny", P.APPROVAL_DECIDE, "approvals.deny", "approval_denied"),
    Row("GET", "/people", P.PEOPLE_READ, "people.list_"),
    Row("POST", "/people", P.PEOPLE_CHANGE, "people.add", "person_added"),
    Row("POST", "/people/sessions/{id}/end", P.PEOPLE_CHANGE, "people.end_session", "session_ended"),
    Row("GET", "/groups", P.PEOPLE_READ, "people.groups"),
    Row("GET", "/people/{name}", P.PEOPLE_READ, "people.show"),
    Row("POST", "/people/{name}/change", P.PEOPLE_CHANGE, "people.change", "person_changed"),
    Row("POST", "/people/{name}/reset", P.PEOPLE_CHANGE, "people.reset", "person_reset"),
    Row("POST", "/people/{name}/disable", P.PEOPLE_CHANGE, "people.disable", "person_disabled"),
    Row("POST", "/people/{name}/enable", P.PEOPLE_CHANGE, "people.enable", "person_enabled"),
    Row("POST", "/people/{name}/second-factor", P.PEOPLE_CHANGE, "people.begin_code"),
    Row("POST", "/people/{name}/second-factor/confirm", P.PEOPLE_CHANGE, "people.confirm_code", "second_factor_set"),
    Row("POST", "/people/{name}/tokens", P.PEOPLE_CHANGE, "people.create_token", "api_token_created"),
    Row("POST", "/people/{name}/tokens/{id}/revoke", P.PEOPLE_CHANGE, "people.revoke_token", "api_token_revoked"),
)
"""Every page and act of somebody who has signed in, in the order in which paths are matched."""

CHANGE_NOTHING = frozenset(
    {
        "/accounts/check",
        "/audit/export",
        "/me/passkeys/begin",
        "/people/{name}/second-factor",
        "/rotations/preview",
        "/searches",
        "/searches/remove",
    }
)
"""Forms that only ask, prepare what another one puts in force, or keep one's own notes."""


def page_above(row: Row, path: str) -> str:
    """Return the page that an act was on, or the list that a page is in; ``path`` is the one that fits the row."""
    pages = {page.path for page in PAGES if page.method == "GET" and page.shape is Shape.PAGE}
    above = row.path
    if row.method != "GET" and above in pages:
        return path
    while above:
        above, path = above.rpartition("/")[0], path.rpartition("/")[0]
        if above in pages:
            return path
    return "/"
