"""Passkeys: one's own page, and signing in by one. What the script asks for is JSON; forms carry its answers."""

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from keyfast.api import http
from keyfast.api.console.forms import read_form
from keyfast.api.console.frame import Frame, go
from keyfast.api.console.gate import Gate
from keyfast.api.console.origin import comes_from_here, local_path
from keyfast.api.console.services import Services
from keyfast.api.console.visit import Visit
from keyfast.errors import KeyfastError
from keyfast.services.passkeys import Asked, PasskeyService

MAX_FORM = 32 * 1024


class MyViews:
    """Handlers of ``/me``."""

    def __init__(self, frame: Frame, services: Services) -> None:
        self._frame = frame
        self._passkeys = services.passkeys

    async def show(self, visit: Visit) -> Response:
        """``GET /me``: who one is here, and one's passkeys."""
        lines = await self._passkeys.list_(visit.person.name) if visit.person.id else []
        return await self._frame.page(visit, "me.html", lines=lines)

    async def begin(self, visit: Visit) -> Response:
        """``POST /me/passkeys/begin``: what the browser is to make."""
        return _asked(await self._passkeys.begin_adding(visit.person))

    async def add(self, visit: Visit) -> Response:
        """``POST /me/passkeys``: what it made."""
        form = visit.form
        await self._passkeys.add(visit.person, form.text("name"), form.text("ticket"), form.text("answer"))
        return go("/me", "changed")

    async def remove(self, visit: Visit) -> Response:
        """``POST /me/passkeys/{id}/remove``."""
        await self._passkeys.remove(visit.person.name, visit.path("id"), visit.by)
        return go("/me", "changed")


class PasskeySignIn:
    """Handlers of ``/sign-in/passkey``."""

    def __init__(self, passkeys: PasskeyService, gate: Gate, frame: Frame) -> None:
        self._passkeys = passkeys
        self._gate = gate
        self._frame = frame

    async def begin(self, request: Request) -> Response:
        """``POST /sign-in/passkey/begin``: what the browser is to use."""
        if not comes_from_here(request.method, request.headers):
            return self._gate.foreign()
        return _asked(self._passkeys.begin_using())

    async def use(self, request: Request) -> Response:
        """``POST /sign-in/passkey``: what it answered; a new session, and the former one ends."""
        if not comes_from_here(request.method, request.headers):
            return self._gate.foreign()
        address = request.client.host if request.client else ""
        try:
            form = await read_form(request, MAX_FORM)
            begun = await self._passkeys.use(form.text("ticket"), form.text("answer"), address)
        except KeyfastError as fault:
            return self._frame.bare(
                "bare.html", status=fault.status, heading="That did not sign you in", message=fault.message
            )
        return await self._gate.begun(request, begun, local_path(form.text("next", "/")))


def _asked(asked: Asked) -> Response:
    options = msgspec.json.decode(asked.options)
    return http.answer(msgspec.json.encode({"options": options, "ticket": asked.ticket.reveal().decode("ascii")}))
