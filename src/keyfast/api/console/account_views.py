"""Client authentication accounts: how each stands, what changed, add, check, remove."""

from typing import Any
from urllib.parse import quote

import msgspec
from starlette.responses import Response

from keyfast.api import http
from keyfast.api.console.forms import Form
from keyfast.api.console.frame import Frame, go
from keyfast.api.console.services import Services
from keyfast.api.console.visit import Visit
from keyfast.errors import KeyfastError
from keyfast.wire.admin import AccountChange

HISTORY = 200
DAY = 86_400


class AccountViews:
    """Handlers of ``/accounts``."""

    def __init__(self, frame: Frame, services: Services) -> None:
        self._frame = frame
        self._accounts = services.accounts
        self._directory = services.directory

    async def list_(self, visit: Visit) -> Response:
        """``GET /accounts``."""
        return await self._list(visit, Form())

    async def add(self, visit: Visit) -> Response:
        """``POST /accounts``: its password is proven once, then sealed."""
        form = visit.form
        made = await self._accounts.add(form.text("account"), form.secret("password"), form.lines("despite"), visit.by)
        return go(_page(made.account), "added")

    async def again(self, visit: Visit, fault: KeyfastError) -> Response:
        """The form, with what was entered and why that was refused."""
        return await self._list(visit, visit.form, fault)

    async def show(self, visit: Visit) -> Response:
        """``GET /accounts/show?account=``."""
        found = await self._accounts.show(visit.query("account"))
        changes = await self._accounts.history(found.account, HISTORY)
        return await self._frame.page(visit, "account.html", found=found, changes=changes)

    async def history(self, visit: Visit) -> Response:
        """``GET /accounts/history.json?account=``: what the plot on the page draws; its table says the same."""
        changes = await self._accounts.history(visit.query("account"), HISTORY)
        return http.answer(msgspec.json.encode(_series(changes)))

    async def check(self, visit: Visit) -> Response:
        """``POST /accounts/check``: read it from the directory now."""
        await self._accounts.check(visit.form.text("account"))
        return go(_page(visit.form.text("account")), "checked")

    async def remove(self, visit: Visit) -> Response:
        """``POST /accounts/remove``."""
        await self._accounts.remove(visit.form.text("account"), visit.by)
        return go("/accounts", "removed")

    async def _list(self, visit: Visit, form: Form, fault: KeyfastError | None = None) -> Response:
        return await self._frame.page(
            visit,
            "accounts.html",
            status=fault.status if fault else 200,
            lines=await self._accounts.list_(),
            directory=self._directory,
            form=form,
            fault=fault,
        )


def _page(account: str) -> str:
    return f"/accounts/show?account={quote(account, safe='')}"


def _series(changes: list[AccountChange]) -> dict[str, Any]:
    """Return wrong passwords and the password's age over time, oldest first, each moment once (a plot needs that)."""
    by_moment = {change.read_at: change.reading for change in reversed(changes)}
    moments = sorted(by_moment)
    readings = [by_moment[at] for at in moments]
    return {
        "at": moments,
        "series": [
            {"label": "Wrong passwords", "values": [reading.bad_passwords for reading in readings]},
            {
                "label": "Age of the password in days",
                "values": [
                    round((at - reading.password_set_at) / DAY, 2) if reading.password_set_at else None
                    for at, reading in zip(moments, readings, strict=True)
                ],
            },
        ],
    }
