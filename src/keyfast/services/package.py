"""Packages: build an installer for a set of endpoints, with an enrolment token of its own inside."""

import hashlib
import os
import secrets
import uuid
from collections.abc import Callable
from pathlib import Path

import msgspec

from keyfast.core.directory import account_key
from keyfast.core.mode import Mode
from keyfast.errors import NotFoundError, UsageError
from keyfast.installers import bundle
from keyfast.services.account import AccountService
from keyfast.services.live import Live, LiveState
from keyfast.services.modes import ModeService
from keyfast.store import events, packages
from keyfast.store.database import Database
from keyfast.store.packages import EnrolmentTokenRow, PackageRow
from keyfast.trust.enrolment import TYP, EnrolmentToken
from keyfast.trust.keyset import Role
from keyfast.trust.package import seal
from keyfast.wire.admin import PackageOrder
from keyfast.wire.messages import Bundle, BundleAccount

DAY = 86400
MAX_DAYS = 730
MAX_USES = 10_000_000
MAX_RING = 64


class PackageService:
    """Builds and lists packages; archives lie in ``directory``."""

    def __init__(
        self,
        live: LiveState,
        database: Database,
        directory: Path,
        accounts: AccountService,
        modes: ModeService,
        clock: Callable[[], float],
    ) -> None:
        self._live = live
        self._accounts = accounts
        self._modes = modes
        self._database = database
        self._directory = directory
        self._clock = clock

    async def create(self, order: PackageOrder, builder: str) -> PackageRow:
        """Build a package and put it on record; the token works only once the record is committed."""
        _check(order)
        account = await self._account(order) if order.mode == "windows" else None
        await self._modes.ensure_profile(Mode(order.mode))
        live, now = self._live.current, int(self._clock())
        package_id = str(uuid.UUID(bytes=secrets.token_bytes(16), version=4))
        token = EnrolmentToken(
            installation=live.installation.id,
            jti=secrets.token_hex(16),
            package=package_id,
            ring=order.ring,
            admission=order.admission,
            issued_at=now,
            expires_at=now + order.days * DAY,
            max_uses=order.max_uses,
            mode=order.mode,
        )
        archive = bundle.build(seal(live.keyset, _content(live, token, account)), now)
        name = f"keyfast-agent-{package_id[:8]}.tar.gz"
        self._write(name, archive)
        row = PackageRow(
            id=package_id,
            created_at=now,
            created_by=builder,
            mode=order.mode,
            ring=order.ring,
            admission=order.admission,
            file_name=name,
            sha256=hashlib.sha256(archive).hexdigest(),
            revoked_at=None,
            account_key=account_key(account.domain, account.name) if account else "",
            generation=account.generation if account else 0,
        )
        async with self._database.write() as conn:
            await packages.create(
                conn,
                row,
                EnrolmentTokenRow(
                    jti=token.jti,
                    package_id=package_id,
                    issued_at=now,
                    expires_at=token.expires_at,
                    max_uses=order.max_uses,
                    uses=0,
                    revoked_at=None,
                ),
            )
            await events.add(
                conn,
                at=now,
                kind="package_created",
                endpoint_id=None,
                detail={"package": package_id, "by": builder},
            )
        return row

    async def _account(self, order: PackageOrder) -> BundleAccount:
        """The account that a Windows package embeds, if its password works now."""
        if not order.account:
            raise UsageError(
                "a package in Windows mode embeds a client authentication account",
                repair="keyfast package create --mode windows --account DOMAIN\\NAME",
            )
        return await self._accounts.embeddable(order.account)

    async def list_page(self, after: str, limit: int) -> list[PackageRow]:
        """One page of packages."""
        async with self._database.read() as conn:
            return list(await packages.list_page(conn, after=after, limit=limit))

    async def revoke(self, package_id: str, builder: str) -> None:
        """Revoke a package's enrolment token; endpoints that enrolled with it are not touched."""
        now = int(self._clock())
        async with self._database.write() as conn:
            if not await packages.revoke(conn, package_id, at=now):
                raise NotFoundError(f"no package {package_id}")
            await events.add(
                conn,
                at=now,
                kind="package_revoked",
                endpoint_id=None,
                detail={"package": package_id, "by": builder},
            )

    def path(self, row: PackageRow) -> Path:
        """Where the archive is."""
        return self._directory / row.file_name

    def _write(self, name: str, archive: bytes) -> None:
        self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor = os.open(self._directory / name, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(archive)
            file.flush()
            os.fsync(file.fileno())


def _check(order: PackageOrder) -> None:
    if not 1 <= order.days <= MAX_DAYS:
        raise UsageError(f"the enrolment token lives for 1 to {MAX_DAYS} days")
    if not 1 <= order.max_uses <= MAX_USES:
        raise UsageError(f"the use ceiling lies between 1 and {MAX_USES:,}")
    if not 1 <= len(order.ring) <= MAX_RING:
        raise UsageError(f"a ring has a name of 1 to {MAX_RING} characters")


def _content(live: Live, token: EnrolmentToken, account: BundleAccount | None) -> Bundle:
    root = next(key for key in live.keyset.keys if key.role is Role.ROOT)
    return Bundle(
        installation=live.installation.id,
        root=msgspec.json.encode(root.public_jwk).decode("ascii"),
        delegations=live.keyset.delegations(),
        profile=live.profile(Mode(token.mode)).statement,
        statement=live.keyset.sign(TYP, token),
        package=token.package,
        account=account,
    )
