"""The guided way out: what broke, which ways there are, take one, watch it to the last name."""

from starlette.responses import Response

from keyfast.api.console.forms import Form
from keyfast.api.console.frame import Frame, go
from keyfast.api.console.live import Asked, Live
from keyfast.api.console.services import Services
from keyfast.api.console.visit import Visit
from keyfast.core.way_out import Need, Way
from keyfast.errors import KeyfastError, NotFoundError
from keyfast.wire.recovery import RecoveryFinish, RecoveryOrder, RecoveryStatus, SituationView, WayLine

MINUTES = 240
ENDED = frozenset({"idle", "done"})
"""Stages in which nothing moves."""


class RecoveryViews:
    """Handlers of ``/recovery``."""

    def __init__(self, frame: Frame, services: Services) -> None:
        self._frame = frame
        self._recovery = services.recovery

    async def situations(self, visit: Visit) -> Response:
        """``GET /recovery``: the recovery under way, and every account with its ways out."""
        status = await self._recovery.status()
        found = await self._recovery.situations()
        return await self._frame.page(visit, "recovery.html", progress=status, situations=found)

    async def way(self, visit: Visit) -> Response:
        """``GET /recovery/way?account=&way=``: what it does, and what it asks for."""
        return await self._form(visit, visit.query("account"), visit.query("way"), Form())

    async def begin(self, visit: Visit) -> Response:
        """``POST /recovery/begin``."""
        form = visit.form
        order = RecoveryOrder(
            account=form.text("account"),
            way=form.text("way"),
            to=form.text("to"),
            password=form.secret("password").reveal().decode(),
            despite=form.lines("despite"),
            reason=form.text("reason"),
            minutes=form.number("minutes", MINUTES),
            ranges=form.lines("ranges"),
        )
        await self._recovery.begin(order, visit.by)
        return go("/recovery/progress", "begun")

    async def again(self, visit: Visit, fault: KeyfastError) -> Response:
        """The form, with what was entered and why that was refused."""
        return await self._form(visit, visit.form.text("account"), visit.form.text("way"), visit.form, fault)

    async def progress(self, visit: Visit) -> Response:
        """``GET /recovery/progress``."""
        status = await self._recovery.status(visit.query("account"))
        return await self._frame.page(visit, "recovery_progress.html", live=_live(status))

    async def live(self, asked: Asked) -> Live:
        """``GET /recovery/progress/live``: progress alone; the whole page again at the next stage."""
        return _live(await self._recovery.status(asked.query("account")))

    async def resume(self, visit: Visit) -> Response:  # noqa: ARG002 - a view
        """``POST /recovery/resume``."""
        await self._recovery.resume()
        return go("/recovery/progress", "begun")

    async def finish(self, visit: Visit) -> Response:
        """``POST /recovery/finish``: over those that are missing only by name, or by their number."""
        form = visit.form
        typed = form.number("despite_unproven", -1)
        order = RecoveryFinish(form.text("account"), form.every("waive"), None if typed < 0 else typed)
        await self._recovery.finish(order, visit.by)
        return go("/recovery", "over")

    async def _form(
        self, visit: Visit, account: str, way: str, form: Form, fault: KeyfastError | None = None
    ) -> Response:
        found = await self._recovery.situations()
        situation, line = _chosen(found, account, way)
        others = [other.account for other in found if other.account != situation.account]
        return await self._frame.page(
            visit,
            "recovery_way.html",
            status=fault.status if fault else 200,
            situation=situation,
            way=line,
            others=others,
            form=form,
            fault=fault,
            needs={need: need.value in line.needs for need in Need},
            Need=Need,
            in_directory=line.way == Way.RESTORE.value,
            minutes=MINUTES,
        )


def _live(status: RecoveryStatus) -> Live:
    return Live(
        "recovery_live.html",
        {"progress": status},
        path="/recovery/progress/live",
        state=status.stage,
        moves=status.stage not in ENDED,
        words={"account": status.account},
    )


def _chosen(found: list[SituationView], account: str, way: str) -> tuple[SituationView, WayLine]:
    for situation in found:
        for line in situation.ways:
            if (situation.account, line.way) == (account, way):
                return situation, line
    raise NotFoundError("nobody is stranded there any more, or there is no such way", repair="look at Recovery")
