"""The admin API of the audit trail: read, verify, export."""

import re

from starlette.requests import Request
from starlette.responses import StreamingResponse

from keyfast.api import http
from keyfast.api.acts import Trail
from keyfast.api.admin_api import MAX_PAGE, PAGE, ok
from keyfast.api.operations import Answer, query
from keyfast.core.audit import Entry, Head
from keyfast.errors import NotFoundError, UsageError
from keyfast.services.audit import AuditService
from keyfast.wire.audit import UPTO_HEADER, TrailHead, Verified
from keyfast.wire.audit_formats import Format

_MEDIA_TYPES = {Format.JSONL: "application/jsonl", Format.SYSLOG: "text/plain", Format.CEF: "text/plain"}
_ENDINGS = {Format.JSONL: "jsonl", Format.SYSLOG: "log", Format.CEF: "cef"}
_HASH = re.compile("[0-9a-f]{64}")
_LAST = 2**53
_DIGITS = 16


class AuditApi:
    """Handlers of ``/admin/v1/audit``."""

    def __init__(self, audit: AuditService) -> None:
        self._audit = audit

    @property
    def trail(self) -> Trail:
        """Where refused acts of every route are put on record."""
        return self._audit

    @query(actor=str, action=str, subject=str, before=int, limit=int)
    async def list_(self, request: Request) -> Answer[list[Entry]]:
        """``GET /admin/v1/audit?actor=&action=&subject=&before=&limit=``: records of the audit trail, newest first."""
        query = request.query_params
        page = await self._audit.list_page(
            before=number(query.get("before", "")) or None,
            limit=http.query_int(query, "limit", PAGE, MAX_PAGE),
            actor=query.get("actor", ""),
            action=query.get("action", ""),
            subject=query.get("subject", ""),
        )
        return ok(page)

    async def show(self, request: Request) -> Answer[Entry]:
        """``GET /admin/v1/audit/{number}``: one record."""
        asked = number(request.path_params["number"])
        if not asked:
            raise NotFoundError("records are numbered from 1", repair="keyfast audit list")
        return ok(await self._audit.show(asked))

    async def head(self, request: Request) -> Answer[TrailHead]:  # noqa: ARG002 - the framework's signature
        """``GET /admin/v1/audit/head``: the end of the trail."""
        return ok(await self._audit.head())

    @query(after=int, hash=str)
    async def verify(self, request: Request) -> Answer[Verified]:
        """``GET /admin/v1/audit/verify?after=&hash=``: a stretch; none named is the first."""
        asked = request.query_params
        return ok(await self._audit.verify(stretch(asked.get("after", ""), asked.get("hash", ""))))

    @query(format=str, after=int)
    async def export(self, request: Request) -> StreamingResponse:
        """``GET /admin/v1/audit/export?format=&after=``: all records above a number, as lines, in their order."""
        query = request.query_params
        return await exported(self._audit, query.get("format", Format.JSONL), query.get("after", ""))


async def exported(audit: AuditService, wanted: str, above: str) -> StreamingResponse:
    """Answer with all records above a number, as lines, in their order, as a file.

    Raises:
        UsageError: there is no such format.
    """
    try:
        form = Format(wanted)
    except ValueError:
        raise UsageError(f"formats are {', '.join(Format)}") from None
    after, upto = number(above), await audit.last()
    headers = {
        UPTO_HEADER: str(max(after, upto)),
        "cache-control": "no-store",
        "content-disposition": f'attachment; filename="keyfast-audit-{upto}.{_ENDINGS[form]}"',
        "x-content-type-options": "nosniff",
    }
    return StreamingResponse(audit.export(form, after, upto), headers=headers, media_type=_MEDIA_TYPES[form])


def stretch(after: str, link: str) -> Head | None:
    """Return the record after which a stretch begins; None for the first, after number 0 or none.

    Args:
        after: its number.
        link: its hash.

    Raises:
        UsageError: that is no hash.
    """
    if not link and after in {"", "0"}:
        return None
    if not _HASH.fullmatch(link):
        raise UsageError("a stretch begins after the number and the hash of a record")
    return Head(number(after), link)


def number(text: str) -> int:
    """Return the number of a record that somebody typed; 0 for what is none."""
    return min(int(text), _LAST) if text.isascii() and text.isdecimal() and len(text) <= _DIGITS else 0
