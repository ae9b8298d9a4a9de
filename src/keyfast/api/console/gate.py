"""Who gets in: the session's cookie, where a request comes from, permissions, and proving again who one is."""

import hashlib
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from urllib.parse import quote

import msgspec
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from keyfast.api import http
from keyfast.api.console.forms import MAX_FORM, SECRETS, read_form
from keyfast.api.console.frame import Frame
from keyfast.api.console.origin import SAFE_METHODS, comes_from_here
from keyfast.api.console.visit import Visit
from keyfast.api.gate import Approvals, Rings
from keyfast.core.caller import FRESH, reason_fault
from keyfast.core.person import SignedIn, SignIn
from keyfast.core.role import DANGEROUS, Permission
from keyfast.errors import ApprovalNeededError, KeyfastError, NotFoundError, NotReadyError, UsageError
from keyfast.services.approvals import Wanted

COOKIE = "__Host-keyfast"
MAX_TOKEN_CHARS = 512

View = Callable[[Visit], Awaitable[Response]]


@dataclass(frozen=True, slots=True)
class Row:
    """One page, or one act; what is not in the table of these is not there.

    Attributes:
        limit: bytes of the largest form that is read.
    """

    method: str
    path: str
    permission: Permission
    handler: str
    limit: int = MAX_FORM


class Gate:
    """Stands before every page.

    Args:
        sign_in: knows whose a session is.
        frame: renders what is answered instead of a page.
        rings: of what paths name, for people who answer for some rings only.
        approvals: knows what a second person has to agree to.
        clock: unix seconds.
    """

    def __init__(
        self, sign_in: SignIn, frame: Frame, rings: Rings, approvals: Approvals, clock: Callable[[], float]
    ) -> None:
        self._sign_in = sign_in
        self._frame = frame
        self._rings = rings
        self._approvals = approvals
        self._clock = clock

    def guarded(self, row: Row, view: View) -> http.Handler:
        """Return a handler that asks the view only if the table allows it."""

        async def handler(request: Request) -> Response:
            try:
                return await self._enter(request, row, view)
            except NotReadyError as fault:  # also where nobody could be recognised
                return self._frame.bare("bare.html", status=503, heading="Not ready", message=fault.message)

        return handler

    async def _enter(self, request: Request, row: Row, view: View) -> Response:
        if not comes_from_here(request.method, request.headers):
            return self.foreign()
        who = await self.known(request)
        if who is None:
            return _to_sign_in(request)
        visit = Visit(request, who, fresh=who.proved_at <= self._clock() < who.proved_at + FRESH)
        try:
            return await self._visited(visit, row, view)
        except KeyfastError as fault:
            return await self._frame.fault(visit, fault)

    async def _visited(self, visit: Visit, row: Row, view: View) -> Response:
        if not visit.may(row.permission):
            return await self._frame.denied(visit)
        await self._demand_ring(visit, row.permission)
        if visit.request.method in SAFE_METHODS:
            return await view(visit)
        visit = replace(visit, form=await read_form(visit.request, row.limit))
        if row.permission in DANGEROUS:
            if not visit.fresh and not await self._proves(visit):
                return await self.ask_again(visit)
            if fault := reason_fault(visit.form.text("reason")):
                raise UsageError(fault)
            if self._approvals.needs(visit.caller, row.permission):
                try:
                    await self._approvals.demand(visit.caller, _wanted(visit, row.permission))
                except ApprovalNeededError as needed:
                    return await self._ask_second(visit, needed)
        return await view(visit)

    async def _demand_ring(self, visit: Visit, permission: Permission) -> None:
        """What a path names and is not of this person's rings does not exist for them."""
        noun, number = permission.partition(".")[0], visit.request.path_params.get("id")
        if not visit.person.rings or noun not in ("endpoint", "package") or number is None:
            return
        ring = await self._rings.ring_of(noun, number)
        if ring is None or not visit.person.answers_for(ring):
            raise NotFoundError(f"no {noun} {number}")

    async def known(self, request: Request) -> SignedIn | None:
        """Return who a request's cookie belongs to."""
        token = request.cookies.get(COOKIE, "")
        return await self._sign_in.person_of(token) if 0 < len(token) <= MAX_TOKEN_CHARS else None

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
