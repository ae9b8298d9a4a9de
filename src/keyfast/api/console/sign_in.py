"""Signing in and out."""

from starlette.requests import Request
from starlette.responses import Response

from keyfast.api.console.forms import read_form
from keyfast.api.console.frame import Frame, go
from keyfast.api.console.gate import COOKIE, Gate
from keyfast.api.console.origin import comes_from_here, local_path
from keyfast.core.person import SignIn, SignInRefusal
from keyfast.errors import KeyfastError, NotReadyError

MAX_FORM = 8 * 1024


class SignInViews:
    """Handlers of ``/sign-in`` and ``/sign-out``: the only pages for somebody who is not known yet."""

    def __init__(self, sign_in: SignIn, gate: Gate, frame: Frame) -> None:
        self._sign_in = sign_in
        self._gate = gate
        self._frame = frame

    async def show(self, request: Request) -> Response:
        """``GET /sign-in``."""
        return self._page(local_path(request.query_params.get("next", "/")))

    async def begin(self, request: Request) -> Response:
        """``POST /sign-in``: a new session, whatever cookie came along; the former one ends."""
        if not comes_from_here(request.method, request.headers):
            return self._gate.foreign()
        name, next_ = "", "/"
        try:
            form = await read_form(request, MAX_FORM)
            name, next_ = form.text("name"), local_path(form.text("next", "/"))
            address = request.client.host if request.client else ""
            begun = await self._sign_in.begin(name, form.secret("password"), form.text("code"), address)
        except KeyfastError as fault:
            answer = self._page(next_, fault.message, name, fault.status)
            if isinstance(fault, NotReadyError):
                answer.headers["retry-after"] = str(fault.retry_after)
            return answer
        if isinstance(begun, SignInRefusal):
            answer = self._page(next_, begun.sentence, name, 429 if begun.retry_after else 403)
            if begun.retry_after:
                answer.headers["retry-after"] = str(begun.retry_after)
            return answer
        return await self._gate.begun(request, begun, next_)

    async def end(self, request: Request) -> Response:
        """``POST /sign-out``."""
        if not comes_from_here(request.method, request.headers):
            return self._gate.foreign()
        token = request.cookies.get(COOKIE)
        if token:
            await self._sign_in.end(token)
        answer = go("/sign-in")
        answer.delete_cookie(COOKIE, secure=True, httponly=True, samesite="lax")
        return answer

    def _page(self, next_: str, message: str = "", name: str = "", status: int = 200) -> Response:
        return self._frame.bare("sign_in.html", status=status, next=next_, message=message, name=name)
