"""Packages: build, look at, download, revoke."""

import asyncio
from collections.abc import Mapping
from pathlib import PurePath

from starlette.responses import Response

from keyfast.api import http
from keyfast.api.console import words
from keyfast.api.console.forms import Form
from keyfast.api.console.frame import Frame, go
from keyfast.api.console.live import Asked, Live
from keyfast.api.console.services import Services
from keyfast.api.console.visit import Visit
from keyfast.api.package_api import download
from keyfast.core.package import PackageKind
from keyfast.core.package_standing import SENTENCES
from keyfast.errors import KeyfastError, UsageError
from keyfast.wire.admin import PackageLine, PackageOrder

PAGE = 50
CAME = 50
WAIT_SECONDS = 1.0
FAULTS: Mapping[str, str] = {fault.value: sentence for fault, sentence in SENTENCES.items()}


class PackageViews:
    """Handlers of ``/packages``."""

    def __init__(self, frame: Frame, services: Services) -> None:
        self._frame = frame
        self._packages = services.packages
        self._reports = services.package_reports
        self._accounts = services.accounts
        self._modes = services.modes

    async def list_(self, visit: Visit) -> Response:
        """``GET /packages``: newest first; of one's own rings."""
        limit = http.query_int(visit.request.query_params, "limit", PAGE, 4 * PAGE)
        lines = await self._reports.list_page(visit.query("after"), limit + 1, visit.person.rings)
        return await self._frame.page(
            visit,
            "packages.html",
            lines=lines[:limit],
            more=lines[limit - 1].id if len(lines) > limit else "",
            after=visit.query("after"),
        )

    async def new(self, visit: Visit) -> Response:
        """``GET /packages/new``."""
        return await self._form(visit, Form())

    async def build(self, visit: Visit) -> Response:
        """``POST /packages``: begin, and go on to where it is watched."""
        order = _order(visit.form)
        if not visit.person.answers_for(order.ring):
            raise UsageError("that ring is not one of yours")
        begun = await self._packages.begin(order, visit.by)
        await asyncio.wait([begun.task], timeout=WAIT_SECONDS)  # most are ready before the page is asked for
        return go(f"/packages/{begun.package}", "building")

    async def again(self, visit: Visit, fault: KeyfastError) -> Response:
        """The form, with what was entered and why that was refused."""
        return await self._form(visit, visit.form, fault)

    async def show(self, visit: Visit) -> Response:
        """``GET /packages/{id}``, with some of the endpoints that came by it."""
        found = await self._reports.show(visit.path("id"))
        came = await self._reports.endpoints(visit.path("id"), visit.query("after"), CAME + 1)
        return await self._frame.page(
            visit,
            "package.html",
            live=_live(found.line),
            found=found,
            install=words.INSTALL[found.line.kind.value].format(PurePath(found.line.path).name),
            faults=[FAULTS[fault] for fault in found.line.faults],
            came=came[:CAME],
            more=came[CAME - 1].id if len(came) > CAME else "",
            after=visit.query("after"),
        )

    async def live(self, asked: Asked) -> Live:
        """``GET /packages/{id}/live``: how far the build is; the whole page again when it has ended."""
        return _live(await self._reports.line(asked.path("id")))

    async def take(self, visit: Visit) -> Response:
        """``POST /packages/{id}/file``: the artefact; a form, so that no other site can have it fetched."""
        return download(*await self._packages.artefact(visit.path("id"), visit.by))

    async def revoke(self, visit: Visit) -> Response:
        """``POST /packages/{id}/revoke``."""
        await self._packages.revoke(visit.path("id"), visit.by)
        return go(f"/packages/{visit.path('id')}", "revoked")

    async def _form(self, visit: Visit, form: Form, fault: KeyfastError | None = None) -> Response:
        kinds = await asyncio.to_thread(self._reports.kinds)
        return await self._frame.page(
            visit,
            "package_new.html",
            status=fault.status if fault else 200,
            form=form,
            fault=fault,
            kinds=kinds,
            accounts=await self._accounts.names(),
            modes=sorted({line.mode for line in await self._modes.list_()}),
        )


def _live(line: PackageLine) -> Live:
    return Live(
        "package_live.html",
        {"line": line},
        path=f"/packages/{line.id}/live",
        state=line.state,
        moves=line.state == "building",
        every=0.5,
        asks="every 1s",
    )


def _order(form: Form) -> PackageOrder:
    mode, admission = form.text("mode", "oauth"), form.text("admission", "auto")
    try:
        kind = PackageKind(form.text("kind"))
    except ValueError:
        raise UsageError("choose what kind of package it is to be") from None
    return PackageOrder(
        ring=form.text("ring") or "default",
        admission="approve" if admission == "approve" else "auto",
        days=form.number("days", 30),
        max_uses=form.number("max_uses", 1000),
        mode="windows" if mode == "windows" else "oauth",
        account=form.text("account") if mode == "windows" else "",
        kind=kind,
        serials=tuple(form.text("serials").splitlines()),
        despite=form.every("despite"),
    )
