"""Who gets in: the session's cookie, where a request comes from, permissions, and proving again who one is."""

import hashlib
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any
from urllib.parse import quote

import msgspec
from msgspec import structs
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from keyfast.api import http
from keyfast.api.acts import Trail, actor_for, is_refusal, part_of
from keyfast.api.console.forms import SECRETS, read_form
from keyfast.api.console.frame import Frame, go
from keyfast.api.console.origin import SAFE_METHODS, comes_from_here
from keyfast.api.console.pages import Row, Shape, page_above
from keyfast.api.console.visit import Visit
from keyfast.api.gate import Approvals, Rings, demand
from keyfast.core.audit import Actor
from keyfast.core.caller import is_fresh, reason_fault
from keyfast.core.person import Session, SignedIn, SignIn
from keyfast.core.role import DANGEROUS, Permission
from keyfast.errors import ApprovalNeededError, KeyfastError, NotReadyError, NotSignedInError, UsageError
from keyfast.services.approvals import Wanted
from keyfast.store.acts import acting

COOKIE = "__Host-keyfast"
MAX_TOKEN_CHARS = 512

View = Callable[[Visit], Awaitable[Response]]
Again = Callable[[Visit, KeyfastError], Awaitable[Response]]
"""Shows a form again, with what was entered and why that was refused."""


class Gate:
    """Stands before every page.

    Args:
        sign_in: knows whose a session is.
        frame: renders what is answered instead of a page.
        rings: of what paths name, for people who answer for some rings only.
        approvals: knows what a second person has to agree to.
        trail: where refused acts are put on record.
        clock: unix seconds.
    """

    def __init__(
        self,
        sign_in: SignIn,
        frame: Frame,
        rings: Rings,
        approvals: Approvals,
        trail: Trail,
        clock: Callable[[], float],
    ) -> None:
        self._sign_in = sign_in
        self._frame = frame
        self._rings = rings
        self._approvals = approvals
        self._trail = trail
        self._clock = clock

    def guarded(self, row: Row, view: View, again: Again | None = None) -> http.Handler:
        """Return a handler that asks the view only if the table allows it."""

        async def handler(request: Request) -> Response:
            try:
                return await self._enter(request, row, view, again)
            except NotReadyError as fault:  # also where nobody could be recognised
                return self._frame.bare("bare.html", status=503, heading="Not ready", message=fault.message)

        return handler

    async def _enter(self, request: Request, row: Row, view: View, again: Again | None) -> Response:
        if not comes_from_here(request.method, request.headers):
            return self.foreign()
        who = await self.known(request, watching=row.shape is not Shape.PAGE)
        if who is None:
            return _to_sign_in(request)
        visit = Visit(request, who, fresh=is_fresh(who.proved_at, self._clock()))
        try:
            if request.method in SAFE_METHODS:
                await demand(visit.caller, row.permission, visit.request.path_params.get("id"), self._rings)
                return await view(visit)
            return await self._act(visit, row, view, again)
        except KeyfastError as fault:
            return await self._frame.fault(visit, fault, page_above(row, request.url.path))

    async def _act(self, visit: Visit, row: Row, view: View, again: Again | None) -> Response:
        """Do what a form asks for; what is refused goes on record, whoever refuses it."""
        allowed = False
        try:
            await demand(visit.caller, row.permission, visit.request.path_params.get("id"), self._rings)
            allowed = True
            visit = replace(visit, form=await read_form(visit.request, row.limit))
            with acting(_actor(visit)):
                return await self._proved(visit, row.permission, view)
        except KeyfastError as fault:
            action = part_of(row.action, visit.request.path_params)
            if action and is_refusal(fault):
                await self._trail.refused(action, _asked_for(visit), _actor(visit), fault.message)
            if again is None or not allowed:
                raise
            return await again(visit, fault)

    async def _proved(self, visit: Visit, permission: Permission, view: View) -> Response:
        """Ask the view, for a dangerous act once everything is there that it takes."""
        if permission in DANGEROUS:
            if not visit.fresh and not await self._proves(visit):
                return await self.ask_again(visit)
            if fault := reason_fault(visit.form.text("reason")):
                raise UsageError(fault)
            if self._approvals.needs(visit.caller, permission):
                try:
                    await self._approvals.demand(visit.caller, _wanted(visit, permission))
                except ApprovalNeededError as needed:
                    return await self._ask_second(visit, needed)
        answer = await view(visit)
        self._frame.acted()
        return answer

    async def known(self, request: Request, *, watching: bool = False) -> SignedIn | None:
        """Return who a request's cookie belongs to; ``watching`` if a page asks and nobody did anything."""
        token = request.cookies.get(COOKIE, "")
        return await self._sign_in.person_of(token, watching=watching) if 0 < len(token) <= MAX_TOKEN_CHARS else None

    async def demand_still(self, request: Request, row: Row) -> None:
        """Make sure that whoever asked for something to watch may still see it.

        Raises:
            NotSignedInError: the session has ended.
            ForbiddenError, NotFoundError: see ``demand``.
        """
        who = await self.known(request, watching=True)
        if who is None:
            raise NotSignedInError("the session has ended")
        await demand(Visit(request, who).caller, row.permission, request.path_params.get("id"), self._rings)

    async def begun(self, request: Request, session: Session, next_: str) -> Response:
        """Answer that somebody has signed in; the session that their browser had before ends."""
        former = request.cookies.get(COOKIE)
        if former:
            await self._sign_in.end(former)
        answer = go(next_)
        answer.set_cookie(COOKIE, session.token.reveal().decode("ascii"), secure=True, httponly=True, samesite="lax")
        return answer

    def foreign(self) -> Response:
        """Answer a form that another site sent."""
        return self._frame.bare(
            "bare.html", status=403, heading="Not from here", message="Another site sent this form; nothing was done."
        )

    async def _proves(self, visit: Visit) -> bool:
        password = visit.form.secret("proof_password")
        token = visit.request.cookies[COOKIE]
        return bool(password.reveal()) and await self._sign_in.prove_again(
            token, password, visit.form.text("proof_code")
        )

    async def _ask_second(self, visit: Visit, needed: ApprovalNeededError) -> Response:
        """Answer that a second person has to agree, with the same form to be sent again when they have."""
        asked = [name for name in visit.form.names() if name in SECRETS and not name.startswith("proof_")]
        return await self._frame.page(
            visit,
            "second.html",
            status=409,
            fields=[pair for pair in visit.form.shown() if pair[0] != "approval"],
            again=asked,
            approval=needed.approval,
            action=visit.request.url.path,
        )

    async def ask_again(self, visit: Visit) -> Response:
        """Answer with the same form, to be sent with a password; secrets in it must be typed anew."""
        tried = bool(visit.form.secret("proof_password").reveal())
        asked = [name for name in visit.form.names() if name in SECRETS and not name.startswith("proof_")]
        return await self._frame.page(
            visit,
            "prove.html",
            status=403,
            fields=visit.form.shown(),
            again=asked,
            tried=tried,
            action=visit.request.url.path,
        )


def _actor(visit: Visit) -> Actor:
    reason = visit.form.text("reason")
    typed = reason if reason_fault(reason) is None else ""
    return actor_for(structs.replace(visit.caller, reason=typed), visit.number)


def _asked_for(visit: Visit) -> dict[str, Any]:
    """What was entered and may be shown; of that the trail keeps what its table allows."""
    entered = {name: visit.form.every(name) for name, _ in visit.form.shown()}
    return {name: values[0] if len(values) == 1 else values for name, values in entered.items()} | (
        visit.request.path_params
    )


def _wanted(visit: Visit, permission: Permission) -> Wanted:
    """What a second person agrees to: everything that was entered but what proves who one is."""
    request, form = visit.request, visit.form
    beside = {"reason", "approval", "proof_password", "proof_code"}
    entered = [(name, value) for name, value in form.fields() if name not in beside]
    digest = hashlib.sha256(msgspec.json.encode((request.method, request.url.path, entered))).digest()
    what = f"{request.method} {request.url.path}"
    return Wanted(permission, what, digest, form.text("reason"), form.text("approval"))


def _to_sign_in(request: Request) -> Response:
    if request.headers.get("hx-request"):  # a part of a page that is looked at: the whole page goes on to sign in
        return Response(status_code=401, headers={"hx-refresh": "true"})
    if request.method not in SAFE_METHODS:
        return RedirectResponse("/sign-in", 303)
    path = request.url.path + (f"?{request.url.query}" if request.url.query else "")
    return RedirectResponse(f"/sign-in?next={quote(path, safe='')}" if path != "/" else "/sign-in", 303)
