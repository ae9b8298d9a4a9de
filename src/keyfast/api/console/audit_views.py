"""The audit trail: find records, look at one, verify all of them stretch by stretch, export."""

from collections.abc import Mapping
from typing import Any
from urllib.parse import urlencode

from starlette.responses import Response

from keyfast.api.audit_api import exported, number, stretch
from keyfast.api.console.frame import Frame
from keyfast.api.console.live import Asked, Live
from keyfast.api.console.services import Services
from keyfast.api.console.visit import Visit
from keyfast.core.audit_actions import ACTIONS
from keyfast.errors import NotFoundError
from keyfast.wire.audit import Verified
from keyfast.wire.audit_formats import Format

PAGE = 100
FORMATS: Mapping[Format, str] = {
    Format.JSONL: "JSON lines, as they are hashed",
    Format.SYSLOG: "syslog (RFC 5424)",
    Format.CEF: "CEF",
}
"""Formats in words."""


class AuditViews:
    """Handlers of ``/audit``."""

    def __init__(self, frame: Frame, services: Services) -> None:
        self._frame = frame
        self._audit = services.audit

    async def list_(self, visit: Visit) -> Response:
        """``GET /audit?actor=&action=&subject=&before=``: newest first."""
        asked: dict[str, Any] = {name: visit.query(name) for name in ("actor", "action", "subject")}
        before = number(visit.query("before")) or None
        entries = await self._audit.list_page(before=before, limit=PAGE + 1, **asked)
        return await self._frame.page(
            visit,
            "audit.html",
            records=[entry.record for entry in entries[:PAGE]],
            more=entries[PAGE - 1].record.number if len(entries) > PAGE else 0,
            before=before,
            again=urlencode({name: text for name, text in asked.items() if text}),
            actions=sorted(ACTIONS),
            formats=[(form.value, said) for form, said in FORMATS.items()],
            **asked,
        )

    async def show(self, visit: Visit) -> Response:
        """``GET /audit/{number}``."""
        asked = number(visit.path("number"))
        if not asked:
            raise NotFoundError("records are numbered from 1")
        entry, (first, last) = await self._audit.show(asked), await self._audit.span()
        return await self._frame.page(visit, "audit_record.html", entry=entry, first=first, last=last)

    async def verify(self, visit: Visit) -> Response:
        """``GET /audit/verify?after=&hash=&sealed=``: nothing yet, or the next stretch with a button to go on."""
        begun = bool(visit.query("hash")) or visit.query("after") == "0"
        live = await self.live(Asked.of(visit.request)) if begun else None
        return await self._frame.page(visit, "audit_verify.html", live=live)

    async def live(self, asked: Asked) -> Live:
        """``GET /audit/verify/live?after=&hash=&sealed=``: the next stretch, for a page that goes on by itself."""
        found = await self._stretch(asked)
        sealed = max(number(asked.query("sealed")), found.sealed)
        return Live(
            "audit_verify_live.html",
            {"found": found, "sealed": sealed},
            path="/audit/verify/live",
            state="",
            moves=not found.done,
            words={"after": str(found.upto.number), "hash": found.upto.hash, "sealed": str(sealed)},
            every=0.05,
            asks="load delay:50ms",
        )

    async def export(self, visit: Visit) -> Response:
        """``POST /audit/export``: all records as a file; a form, so that no other site can have it fetched."""
        return await exported(self._audit, visit.form.text("format"), visit.form.text("after"))

    async def _stretch(self, asked: Asked) -> Verified:
        """Verify the next stretch; what was verified before is the browser's word, and good for its own eyes only."""
        return await self._audit.verify(stretch(asked.query("after"), asked.query("hash")))
