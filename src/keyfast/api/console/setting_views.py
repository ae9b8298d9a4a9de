"""Keys, authentication modes, server processes, events: what the installation itself is made of."""

from starlette.responses import Response

from keyfast.api import http
from keyfast.api.console.frame import Frame, go
from keyfast.api.console.services import Services
from keyfast.api.console.visit import Visit
from keyfast.core.mode import Mode
from keyfast.core.role import MEANING
from keyfast.errors import UsageError
from keyfast.trust.keyset import Role
from keyfast.wire.policy import PolicyOrder

EVENTS = 100
MINUTE = 60


class SettingViews:
    """Handlers of ``/keys``, ``/settings``, ``/events`` and ``/notifications``."""

    def __init__(self, frame: Frame, services: Services) -> None:
        self._frame = frame
        self._services = services

    async def keys(self, visit: Visit) -> Response:
        """``GET /keys``: public facts only."""
        await self._services.live.refresh()
        lines = self._services.keyring.lines()
        return await self._frame.page(visit, "keys.html", lines=lines, roles=tuple(role.value for role in Role))

    async def rotate_key(self, visit: Visit) -> Response:
        """``POST /keys/rotate``."""
        try:
            role = Role(visit.form.text("role"))
        except ValueError:
            raise UsageError("choose which key") from None
        await self._services.keyring.rotate(role, visit.by)
        return go("/keys", "rotated")

    async def settings(self, visit: Visit) -> Response:
        """``GET /settings``."""
        live = self._services.live.current
        return await self._frame.page(
            visit,
            "settings.html",
            row=live.installation,
            urls=live.urls,
            policy=await self._services.policy.show(),
            second=sorted(MEANING[permission] for permission in self._services.approvals.needing),
            modes=await self._services.modes.list_(),
            directory=self._services.directory,
            nodes=await self._services.nodes.list_(),
            choices=(Mode.OAUTH.value, Mode.WINDOWS.value),
        )

    async def open_mode(self, visit: Visit) -> Response:
        """``POST /settings/modes/open``."""
        await self._services.modes.open_(_mode(visit), visit.form.text("ring"), visit.by)
        return go("/settings", "mode")

    async def close_mode(self, visit: Visit) -> Response:
        """``POST /settings/modes/close``: over endpoints that use it only if that is ticked."""
        despite = bool(visit.form.text("despite_endpoints"))
        ring = visit.form.text("ring")
        await self._services.modes.close(_mode(visit), ring, visit.by, despite_endpoints=despite)
        return go("/settings", "mode")

    async def change_policy(self, visit: Visit) -> Response:
        """``POST /settings/policy``: how often endpoints check in, in minutes."""
        order = PolicyOrder(visit.form.number("minutes", 0) * MINUTE)
        await self._services.policy.change(order, visit.by)
        return go("/settings", "policy")

    async def end_recovery(self, visit: Visit) -> Response:
        """``POST /settings/end-recovery``: the caution after a restored backup is over."""
        await self._services.end_recovery.end(visit.by)
        return go("/settings", "changed")

    async def forget_node(self, visit: Visit) -> Response:
        """``POST /settings/nodes/forget``."""
        await self._services.nodes.forget(visit.form.text("name"), visit.by)
        return go("/settings", "changed")

    async def events(self, visit: Visit) -> Response:
        """``GET /events``: newest first."""
        before = http.query_int(visit.request.query_params, "before", 0, 2**31) or None
        lines = await self._services.reports.events_page(before, EVENTS + 1)
        more = lines[EVENTS - 1].id if len(lines) > EVENTS else 0
        return await self._frame.page(visit, "events.html", lines=lines[:EVENTS], more=more, before=before)

    async def notifications(self, visit: Visit) -> Response:
        """``GET /notifications``: newest first."""
        before = http.query_int(visit.request.query_params, "before", 0, 2**31) or None
        lines = await self._services.notifications.list_page(before, EVENTS + 1)
        more = lines[EVENTS - 1].id if len(lines) > EVENTS else 0
        return await self._frame.page(visit, "notifications.html", lines=lines[:EVENTS], more=more, before=before)

    async def test_notification(self, visit: Visit) -> Response:
        """``POST /notifications/test``: send every receiver a test."""
        await self._services.notifications.test(visit.by)
        return go("/notifications", "tested")


def _mode(visit: Visit) -> Mode:
    try:
        return Mode(visit.form.text("mode"))
    except ValueError:
        raise UsageError("choose a mode") from None
