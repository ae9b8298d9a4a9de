"""Rotations: plan with a look ahead, watch, steer, wait no more for somebody by name."""

from collections.abc import Mapping
from typing import NamedTuple

from starlette.responses import Response

from keyfast.api.acts import ROTATION_ACTS
from keyfast.api.console.forms import Form
from keyfast.api.console.frame import Frame, go
from keyfast.api.console.live import Asked, Live
from keyfast.api.console.services import Services
from keyfast.api.console.visit import Visit
from keyfast.core.role import DANGEROUS, Permission
from keyfast.core.rotation_plan import Kind
from keyfast.core.rotation_state import RotationEvent
from keyfast.errors import KeyfastError, NotFoundError, UsageError
from keyfast.wire.rotation import PreviewView, RotationOrder, RotationView

LISTED = 50
MISSING = 200
_RETIRING: Mapping[str, RotationEvent] = {"retire": RotationEvent.RETIRED, "hasten": RotationEvent.HASTENED}
STEPS: Mapping[RotationEvent, tuple[str, Permission]] = {
    event: (act, permission)
    for acts, permission in ((ROTATION_ACTS, Permission.ROTATION_RUN), (_RETIRING, Permission.ROTATION_RETIRE))
    for act, event in acts.items()
}
"""Steps that a person may take, by the event: the last part of the path, and what it takes."""
MEANING = {
    "start": "Begin: prepare the new access, then offer it wave by wave.",
    "pause": "Offer it to nobody else until it is resumed.",
    "resume": "Go on.",
    "hasten": "Offer it to everybody at once, without soaking. Only if the old access is compromised.",
    "retire": "Refuse the old access from now on. Safe when nothing stands against it.",
    "retrust": "Accept the old access again.",
    "finish": "Destroy the old access for good.",
    "roll-back": "Go back: everybody gets the old access again.",
    "abandon": "Give the plan up.",
}


class Step(NamedTuple):
    """Something that a person may do with a rotation now, and what stands against it."""

    act: str
    meaning: str
    permission: Permission
    against: tuple[str, ...]

    @property
    def dangerous(self) -> bool:
        """Whether it takes a proof of who one is."""
        return self.permission in DANGEROUS


class RotationViews:
    """Handlers of ``/rotations``."""

    def __init__(self, frame: Frame, services: Services) -> None:
        self._frame = frame
        self._rotations = services.rotations
        self._accounts = services.accounts

    async def list_(self, visit: Visit) -> Response:
        """``GET /rotations``: newest first."""
        lines = await self._rotations.list_(LISTED)
        return await self._frame.page(visit, "rotations.html", lines=lines)

    async def new(self, visit: Visit) -> Response:
        """``GET /rotations/new``: an empty form."""
        return await self._form(visit, Form())

    async def plan(self, visit: Visit) -> Response:
        """``POST /rotations``: put it on record; nothing happens by that."""
        made = await self._rotations.plan(_order(visit.form), visit.by)
        return go(f"/rotations/{made.id}", "planned")

    async def preview(self, visit: Visit) -> Response:
        """``POST /rotations/preview``: the same form, with what would be touched."""
        return await self._form(visit, visit.form, preview=await self._rotations.preview(_order(visit.form)))

    async def again(self, visit: Visit, fault: KeyfastError) -> Response:
        """The form, with what was entered and why that was refused."""
        return await self._form(visit, visit.form, fault=fault)

    async def show(self, visit: Visit) -> Response:
        """``GET /rotations/{id}``."""
        found = await self._rotations.show(visit.path("id"), MISSING)
        steps = [step for step in _steps(found) if visit.may(step.permission)]
        return await self._frame.page(visit, "rotation.html", live=_live(found), steps=steps)

    async def live(self, asked: Asked) -> Live:
        """``GET /rotations/{id}/live``: progress alone; the whole page again when the phase is another."""
        return _live(await self._rotations.show(asked.path("id"), 0))

    async def approve(self, visit: Visit) -> Response:
        """``POST /rotations/{id}/approve``: under the name of who has signed in."""
        await self._rotations.approve(visit.path("id"), visit.by)
        return go(f"/rotations/{visit.path('id')}", "approved")

    async def waive(self, visit: Visit) -> Response:
        """``POST /rotations/{id}/waive``: those that are ticked, or named."""
        chosen = (*visit.form.every("endpoint"), *visit.form.lines("endpoints"))
        await self._rotations.waive(visit.path("id"), chosen, visit.form.text("reason"), visit.by)
        return go(f"/rotations/{visit.path('id')}", "waived")

    async def retire(self, visit: Visit) -> Response:
        """``POST /rotations/{id}/retire`` and ``.../hasten``: what can strand somebody."""
        act = visit.request.url.path.rpartition("/")[2]
        return await self._act(visit, _RETIRING[act])

    async def act(self, visit: Visit) -> Response:
        """``POST /rotations/{id}/{act}``: start, pause, resume, roll back, finish ..."""
        event = ROTATION_ACTS.get(visit.path("act"))
        if event is None:
            raise NotFoundError("no such act")
        return await self._act(visit, event)

    async def _act(self, visit: Visit, event: RotationEvent) -> Response:
        reason = visit.form.text("reason")
        if event is RotationEvent.PAUSED and not reason:
            reason = f"by {visit.by}"
        await self._rotations.act(visit.path("id"), event, visit.by, reason)
        return go(f"/rotations/{visit.path('id')}", "changed")

    async def _form(
        self,
        visit: Visit,
        form: Form,
        *,
        preview: PreviewView | None = None,
        fault: KeyfastError | None = None,
    ) -> Response:
        return await self._frame.page(
            visit,
            "rotation_new.html",
            status=fault.status if fault else 200,
            form=form,
            preview=preview,
            fault=fault,
            kinds=tuple(kind.value for kind in Kind if kind is not Kind.RECOVERY),
            accounts=await self._accounts.names(),
        )


def _live(found: RotationView) -> Live:
    return Live(
        "rotation_live.html",
        {"found": found, "shares": _shares(found)},
        path=f"/rotations/{found.id}/live",
        state=f"{found.state}{'!' if found.paused else ''}",
        moves=not found.finished,
    )


def _steps(found: RotationView) -> list[Step]:
    """Return what a person may decide in this phase; a paused rotation is not paused, another not resumed."""
    senseless = "pause" if found.paused else "resume"
    steps = []
    for step in found.steps:
        act, permission = STEPS.get(RotationEvent(step.step), ("", Permission.READ))
        if act and act != senseless:
            steps.append(Step(act, MEANING[act], permission, step.against))
    return steps


def _order(form: Form) -> RotationOrder:
    approvals = form.number("approvals", 1)
    if approvals not in (1, 2):
        raise UsageError("one or two persons approve")
    return RotationOrder(
        kind=form.text("kind"),
        ring=form.text("ring"),
        source=form.text("source"),
        target=form.text("target"),
        mode=form.text("mode"),
        urls=form.lines("urls"),
        ca=form.text("ca"),
        by_hand=bool(form.text("by_hand")),
        hasty=bool(form.text("hasty")),
        approvals=approvals,
    )


def _shares(found: RotationView) -> list[tuple[str, int, int]]:
    """Return each wave in words, how many of it have moved, and how many it has."""
    done = ("applied", "verified", "waived")
    first = "canaries" if any(wave.wave > 1 for wave in found.waves) else "everybody"
    return [
        (
            "undone" if wave.wave < 0 else first if wave.wave == 1 else f"wave {wave.wave}",
            sum(wave.states.get(state, 0) for state in done),
            sum(wave.states.values()),
        )
        for wave in found.waves
    ]
