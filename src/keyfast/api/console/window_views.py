"""Recovery windows: open one, see who is back by name, close it."""

from starlette.responses import Response

from keyfast.api.console.forms import Form
from keyfast.api.console.frame import Frame, go
from keyfast.api.console.live import Asked, Live
from keyfast.api.console.services import Services
from keyfast.api.console.visit import Visit
from keyfast.core.window import WindowState
from keyfast.errors import KeyfastError
from keyfast.wire.window import WindowClose, WindowOrder, WindowView

LISTED = 50
HOURS = 4


class WindowViews:
    """Handlers of ``/windows``."""

    def __init__(self, frame: Frame, services: Services) -> None:
        self._frame = frame
        self._windows = services.windows
        self._accounts = services.accounts

    async def list_(self, visit: Visit) -> Response:
        """``GET /windows``: newest first."""
        return await self._frame.page(visit, "windows.html", lines=await self._windows.list_(LISTED))

    async def new(self, visit: Visit) -> Response:
        """``GET /windows/new``."""
        return await self._form(visit, Form())

    async def open_(self, visit: Visit) -> Response:
        """``POST /windows``."""
        form = visit.form
        order = WindowOrder(
            reason=form.text("reason"),
            minutes=form.number("minutes", 60 * HOURS),
            ranges=form.lines("ranges"),
            account=form.text("account"),
            ring=form.text("ring"),
            endpoints=form.lines("endpoints"),
        )
        opened = await self._windows.open_(order, visit.by)
        return go(f"/windows/{opened.line.id}", "opened")

    async def again(self, visit: Visit, fault: KeyfastError) -> Response:
        """The form, with what was entered and why that was refused."""
        return await self._form(visit, visit.form, fault)

    async def show(self, visit: Visit) -> Response:
        """``GET /windows/{id}``."""
        return await self._frame.page(visit, "window.html", live=_live(await self._windows.show(visit.path("id"))))

    async def live(self, asked: Asked) -> Live:
        """``GET /windows/{id}/live``: how many are back, and who is missing; all anew when it is closed."""
        return _live(await self._windows.show(asked.path("id")))

    async def close(self, visit: Visit) -> Response:
        """``POST /windows/{id}/close``: over those that are missing only by name, or by their number."""
        form = visit.form
        typed = form.number("despite_unproven", -1)
        order = WindowClose(visit.path("id"), form.every("waive"), None if typed < 0 else typed)
        await self._windows.close(order, visit.by)
        return go(f"/windows/{visit.path('id')}", "closed")

    async def _form(self, visit: Visit, form: Form, fault: KeyfastError | None = None) -> Response:
        accounts = await self._accounts.names()
        status = fault.status if fault else 200
        return await self._frame.page(
            visit, "window_new.html", status=status, form=form, fault=fault, accounts=accounts, minutes=60 * HOURS
        )


def _live(found: WindowView) -> Live:
    state = found.line.state
    path = f"/windows/{found.line.id}/live"
    return Live("window_live.html", {"found": found}, path, state, moves=state == WindowState.OPEN)
