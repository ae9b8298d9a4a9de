"""What administrators read about packages: lists, one in full, its endpoints, which package a file is."""

from collections.abc import Callable, Sequence

from sqlalchemy.ext.asyncio import AsyncConnection

from keyfast.errors import NotFoundError
from keyfast.services.package import PackageService
from keyfast.services.package_build import Workshop
from keyfast.services.package_origin import Generations, faults_of, generations_of
from keyfast.store import accounts, package_endpoints, packages
from keyfast.store.database import Database
from keyfast.store.packages import EnrolmentTokenRow, PackageRow
from keyfast.wire.admin import FindingView, PackageLine
from keyfast.wire.packages import CameLine, FileCheck, FileVerdict, KindLine, MissingProgram, PackageView

SAMPLE = 1000
"""Endpoints among which the last check-in is looked for: those that enrolled last are the ones that live."""
MAX_NAMED = 1000
"""Package ids that one file may name: an .msi has many other UUIDs."""


class PackageReports:
    """Reads records of packages.

    Args:
        database: the store.
        service: knows what is being built.
        workshop: knows what can be built.
        clock: unix seconds.
    """

    def __init__(
        self, database: Database, service: PackageService, workshop: Workshop, clock: Callable[[], float]
    ) -> None:
        self._database = database
        self._service = service
        self._workshop = workshop
        self._clock = clock

    async def list_page(self, after: str, limit: int, rings: Sequence[str] = ()) -> list[PackageLine]:
        """One page, newest first; of some rings, or of all."""
        async with self._database.read() as conn:
            rows = await packages.list_page(conn, after=after, limit=limit, rings=rings)
            return await self._lines(conn, rows)

    async def line(self, package_id: str, warnings: Sequence[FindingView] = ()) -> PackageLine:
        """One package in a line, with what there is to say about its account.

        Raises:
            NotFoundError: there is none of this id.
        """
        async with self._database.read() as conn:
            row = await _demand(conn, package_id)
            (line,) = await self._lines(conn, [row], tuple(found.sentence for found in warnings))
        return line

    async def show(self, package_id: str) -> PackageView:
        """Everything on record about one package.

        Raises:
            NotFoundError: there is none of this id.
        """
        async with self._database.read() as conn:
            row = await _demand(conn, package_id)
            (line,) = await self._lines(conn, [row])
            token = (await packages.tokens(conn, [row.id])).get(row.id)
            held = await accounts.generations(conn) if row.account_key else []
            seen_at = await package_endpoints.seen_at(conn, row.id, among=SAMPLE)
        newest = max((found.generation for found in held if found.account_key == row.account_key), default=0)
        return PackageView(line, token.jti if token else "", row.product_code, seen_at, newest)

    async def endpoints(self, package_id: str, after: str, limit: int) -> list[CameLine]:
        """One page of the endpoints that came from a package, newest first.

        Raises:
            NotFoundError: there is no such package.
        """
        async with self._database.read() as conn:
            row = await _demand(conn, package_id)
            found = await package_endpoints.page(conn, package_id, after=after, limit=limit)
        brought = (row.mode, row.account_key, row.generation)
        return [
            CameLine(
                one.id,
                one.name,
                one.state,
                one.registered_at,
                one.seen_at,
                (one.mode, one.account_key, one.generation) == brought,
            )
            for one in found
        ]

    async def check_file(self, check: FileCheck) -> FileVerdict:
        """Tell which package a file is: by its bytes, else by what it names."""
        async with self._database.read() as conn:
            row = await packages.by_digest(conn, check.sha256.lower())
            genuine = row is not None
            row = row or await packages.named(conn, check.named[:MAX_NAMED])
            lines = await self._lines(conn, [row]) if row else [None]
        return FileVerdict(genuine, lines[0])

    def kinds(self) -> list[KindLine]:
        """Every kind, and what keeps this server from building it."""
        return [
            KindLine(kind, tuple(MissingProgram(need.program, need.package) for need in installer.missing()))
            for kind, installer in self._workshop.installers.items()
        ]

    async def _lines(
        self, conn: AsyncConnection, rows: Sequence[PackageRow], warnings: tuple[str, ...] = ()
    ) -> list[PackageLine]:
        tokens = await packages.tokens(conn, [row.id for row in rows])
        generations = await generations_of(conn, rows)
        return [self._line(row, tokens.get(row.id), generations, warnings) for row in rows]

    def _line(
        self, row: PackageRow, token: EnrolmentTokenRow | None, generations: Generations, warnings: tuple[str, ...]
    ) -> PackageLine:
        work = self._service.work(row.id)
        return PackageLine(
            id=row.id,
            created_at=row.created_at,
            created_by=row.created_by,
            mode=row.mode,
            ring=row.ring,
            admission=row.admission,
            sha256=row.sha256,
            path=str(self._service.path(row)),
            revoked=row.revoked_at is not None,
            account=row.account_key,
            generation=row.generation,
            kind=row.kind,
            version=row.version,
            policy_version=row.policy_version,
            state=row.state.value,
            built_at=row.built_at,
            size=row.size,
            reason=row.reason,
            faults=faults_of(row, token, generations, int(self._clock())),
            expires_at=token.expires_at if token else 0,
            uses=token.uses if token else 0,
            max_uses=token.max_uses if token else 0,
            using=token.uses - token.left if token else 0,
            used_at=token.used_at if token else 0,
            serials=row.serials,
            warnings=warnings,
            doing=work.doing,
            share=work.share,
        )


async def _demand(conn: AsyncConnection, package_id: str) -> PackageRow:
    row = await packages.get(conn, package_id)
    if row is None:
        raise NotFoundError(f"no package {package_id}", repair="keyfast package list")
    return row
