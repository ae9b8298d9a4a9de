"""Ways in besides a password: single sign-on by an identity provider, and taking up an invitation."""

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from keyfast.api.console.forms import Form, read_form
from keyfast.api.console.frame import Frame
from keyfast.api.console.gate import Gate
from keyfast.api.console.origin import comes_from_here, local_path
from keyfast.errors import KeyfastError, UsageError
from keyfast.services.oidc import OidcService
from keyfast.services.people import PeopleService
from keyfast.services.waiting import SECONDS

TICKET = "__Host-keyfast-sign-in"
MAX_FORM = 8 * 1024


class OidcViews:
    """Handlers of ``/sign-in/oidc``: both are links, as a form may not lead to another site."""

    def __init__(self, oidc: OidcService, gate: Gate, frame: Frame) -> None:
        self._oidc = oidc
        self._gate = gate
        self._frame = frame

    async def leave(self, request: Request) -> Response:
        """``GET /sign-in/oidc``: to the provider; ``again`` has it ask anew who somebody is."""
        query = request.query_params
        try:
            leaving = await self._oidc.begin(local_path(query.get("next", "/")), again="again" in query)
        except KeyfastError as fault:
            return self._failed(fault)
        answer = RedirectResponse(leaving.url, 303)
        ticket = leaving.ticket.reveal().decode("ascii")
        answer.set_cookie(TICKET, ticket, SECONDS, secure=True, httponly=True, samesite="lax")
        return answer

    async def arrive(self, request: Request) -> Response:
        """``GET /sign-in/oidc/answer``: back from it; a new session, and the former one ends."""
        address = request.client.host if request.client else ""
        try:
            begun, next_ = await self._oidc.finish(request.cookies.get(TICKET, ""), request.query_params, address)
        except KeyfastError as fault:
            return self._failed(fault)
        answer = await self._gate.begun(request, begun, next_)
        answer.delete_cookie(TICKET, secure=True, httponly=True, samesite="lax")
        return answer

    def _failed(self, fault: KeyfastError) -> Response:
        answer = self._frame.bare(
            "bare.html", status=fault.status, heading="That did not sign you in", message=fault.message
        )
        answer.delete_cookie(TICKET, secure=True, httponly=True, samesite="lax")
        return answer


class JoinViews:
    """Handlers of ``/join``: somebody who was invited chooses a password."""

    def __init__(self, people: PeopleService, gate: Gate, frame: Frame) -> None:
        self._people = people
        self._gate = gate
        self._frame = frame

    async def show(self, request: Request) -> Response:  # noqa: ARG002 - the framework's signature
        """``GET /join``."""
        return self._frame.bare("join.html", message="", code="", done="")

    async def take_up(self, request: Request) -> Response:
        """``POST /join``."""
        if not comes_from_here(request.method, request.headers):
            return self._gate.foreign()
        form = Form()
        try:
            form = await read_form(request, MAX_FORM)
            if not form.secret("password").same(form.secret("again")):
                raise UsageError("the two passwords differ")
            joined = await self._people.join(form.text("code"), form.secret("password"))
        except KeyfastError as fault:
            code = form.text("code")
            return self._frame.bare("join.html", status=fault.status, message=fault.message, code=code, done="")
        return self._frame.bare("join.html", message="", code="", done=joined.name)
