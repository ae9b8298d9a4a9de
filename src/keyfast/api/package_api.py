"""The admin API of packages: order one and hear of its build, read, download, verify, revoke."""

import asyncio
import base64
from pathlib import Path

from starlette.requests import Request
from starlette.responses import FileResponse

from keyfast.api import http
from keyfast.api.admin_api import MAX_PAGE, PAGE, asked, ok
from keyfast.api.gate import caller_of
from keyfast.api.operations import Accepted, Answer, Asks, query
from keyfast.errors import ForbiddenError
from keyfast.services.package import PackageService
from keyfast.services.package_report import PackageReports
from keyfast.store.packages import PackageRow
from keyfast.wire import admin
from keyfast.wire.admin import PackageOrder
from keyfast.wire.packages import DIGEST_HEADER, CameLine, FileCheck, FileVerdict, KindLine, PackageView

MAX_ORDER = 8 * 1024 * 1024
"""An allow-list may be long."""
WAIT_SECONDS = 2.0
"""What is built sooner is answered with 200, as if there were nothing to wait for."""


class PackageApi:
    """Handlers of ``/admin/v1/packages``.

    Args:
        service: builds packages.
        reports: reads their records.
        wait_s: seconds that an order waits for its package.
    """

    def __init__(self, service: PackageService, reports: PackageReports, wait_s: float = WAIT_SECONDS) -> None:
        self._wait_s = wait_s
        self._service = service
        self._reports = reports

    @query(after=str, limit=int)
    async def packages(self, request: Request) -> Answer[list[admin.PackageLine]]:
        """``GET /admin/v1/packages``: packages, newest first."""
        query, rings = request.query_params, caller_of(request).person.rings
        limit = http.query_int(query, "limit", PAGE, MAX_PAGE)
        return ok(await self._reports.list_page(query.get("after", ""), limit, rings))

    async def create(self, request: Asks[PackageOrder]) -> Answer[admin.PackageLine] | Accepted[admin.PackageLine]:
        """``POST /admin/v1/packages``: build one; 202 while that takes longer, then look at it until it is ready."""
        order = await asked(request, PackageOrder, MAX_ORDER)
        if not caller_of(request).person.answers_for(order.ring):
            raise ForbiddenError(f"the ring '{order.ring}' is not among yours")
        begun = await self._service.begin(order, caller_of(request).name)
        done, _ = await asyncio.wait([begun.task], timeout=self._wait_s)
        fault = begun.task.result() if done else None
        if fault is not None:
            raise fault
        line = await self._reports.line(begun.package, begun.warnings)
        return ok(line) if done else Accepted(line)

    async def kinds(self, request: Request) -> Answer[list[KindLine]]:  # noqa: ARG002 - the framework's signature
        """``GET /admin/v1/packages/kinds``: which can be built here, and what is missing for the others."""
        return ok(await asyncio.to_thread(self._reports.kinds))

    async def verify(self, request: Asks[FileCheck]) -> Answer[FileVerdict]:
        """``POST /admin/v1/packages/verify``: which package a file is."""
        return ok(await self._reports.check_file(await asked(request, FileCheck)))

    async def package(self, request: Request) -> Answer[PackageView]:
        """``GET /admin/v1/packages/{id}``: everything on record about one package."""
        return ok(await self._reports.show(request.path_params["id"]))

    @query(after=str, limit=int)
    async def endpoints(self, request: Request) -> Answer[list[CameLine]]:
        """``GET /admin/v1/packages/{id}/endpoints``: endpoints that came from it, newest first."""
        query = request.query_params
        limit = http.query_int(query, "limit", PAGE, MAX_PAGE)
        return ok(await self._reports.endpoints(request.path_params["id"], query.get("after", ""), limit))

    async def download(self, request: Request) -> FileResponse:
        """``GET /admin/v1/packages/{id}/file``: the artefact, with its digest (RFC 9530)."""
        return download(*await self._service.artefact(request.path_params["id"], caller_of(request).name))

    async def revoke(self, request: Request) -> Answer[admin.Changed]:
        """``POST /admin/v1/packages/{id}/revoke``: it enrols no more endpoints, and its file is removed."""
        await self._service.revoke(request.path_params["id"], caller_of(request).name)
        return ok(admin.Changed("revoked"))


def download(row: PackageRow, path: Path) -> FileResponse:
    """Answer with a package's artefact and its digest (RFC 9530)."""
    digest = base64.b64encode(bytes.fromhex(row.sha256)).decode("ascii")
    headers = {"cache-control": "no-store", DIGEST_HEADER: f"sha-256=:{digest}:"}
    return FileResponse(path, headers=headers, media_type="application/octet-stream", filename=row.file_name)
