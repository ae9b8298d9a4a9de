"""One package's build: what goes into it, and the work of it, which is done in threads."""

import asyncio
import hashlib
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import msgspec

from keyfast import __version__
from keyfast.core.directory import account_key
from keyfast.core.mode import Mode
from keyfast.core.package import SUFFIXES, PackageKind
from keyfast.core.package_life import PackageState
from keyfast.errors import MissingToolError, UsageError
from keyfast.installers.stamp import Installer, Progress, Stamp
from keyfast.services.live import Live
from keyfast.services.package_files import PackageFiles
from keyfast.store.packages import EnrolmentTokenRow, PackageRow
from keyfast.trust.enrolment import TYP, EnrolmentToken
from keyfast.trust.keyset import Role
from keyfast.trust.package import seal
from keyfast.wire.admin import PackageOrder
from keyfast.wire.bundle import Bundle, BundleAccount

DAY = 86400


@dataclass(frozen=True, slots=True)
class Prepared:
    """All that makes one package, before anything of it is on disk.

    Attributes:
        row: its record while it is being built.
        token: the record of its enrolment token, for when it is ready.
        stamp: what the builder makes it from; holds its secrets.
    """

    row: PackageRow
    token: EnrolmentTokenRow
    stamp: Stamp


def prepare(
    live: Live,
    order: PackageOrder,
    account: BundleAccount | None,
    by: str,
    now: int,
    entropy: Callable[[int], bytes],
) -> Prepared:
    """Make up a package: its ids, its enrolment token, and the bundle inside.

    Args:
        live: keys, policy and profiles in force.
        order: what was asked for, checked.
        account: the account inside, in Windows mode.
        by: who builds it.
        now: server time.
        entropy: returns that many random bytes.
    """
    package, product, code = (str(uuid.UUID(bytes=entropy(16), version=4)) for _ in range(3))
    token = EnrolmentToken(
        installation=live.installation.id,
        jti=entropy(16).hex(),
        package=package,
        ring=order.ring,
        admission=order.admission,
        issued_at=now,
        expires_at=now + order.days * DAY,
        max_uses=order.max_uses,
        mode=order.mode,
        listed=bool(order.serials),
    )
    row = PackageRow(
        id=package,
        created_at=now,
        created_by=by,
        mode=order.mode,
        ring=order.ring,
        admission=order.admission,
        file_name=f"keyfast-agent-{package}{SUFFIXES[order.kind]}",
        sha256="",
        revoked_at=None,
        account_key=account_key(account.domain, account.name) if account else "",
        generation=account.generation if account else 0,
        kind=order.kind,
        version=__version__,
        policy_version=live.policy.version,
        product_code=product,
        state=PackageState.BUILDING,
        serials=len(order.serials),
    )
    stamp = Stamp(
        bundle=seal(live.keyset, _bundle(live, token, account)),
        built_at=now,
        server_url=live.urls[0],
        mode=order.mode,
        product_code=product,
        package_code=code,
    )
    return Prepared(row, EnrolmentTokenRow(token.jti, package, now, token.expires_at, order.max_uses, 0, None), stamp)


def _bundle(live: Live, token: EnrolmentToken, account: BundleAccount | None) -> Bundle:
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


class Workshop:
    """Builds artefacts and keeps them; a base artefact is built once, however many packages wait for it.

    Args:
        files: where artefacts lie.
        installers: builds each kind.
    """

    def __init__(self, files: PackageFiles, installers: Mapping[PackageKind, Installer]) -> None:
        self.files = files
        self.installers = installers
        self._turns = {kind: asyncio.Lock() for kind in installers}

    def demand(self, kind: PackageKind) -> None:
        """Refuse what cannot be built here.

        Raises:
            UsageError: no builder makes this kind.
            MissingToolError: programs are missing; the repair names their packages.
        """
        installer = self.installers.get(kind)
        if installer is None:
            raise UsageError(f"this server builds no packages of kind {kind}", repair="keyfast package kinds")
        missing = installer.missing()
        if missing:
            programs = ", ".join(need.program for need in missing)
            names = " ".join(dict.fromkeys(need.package for need in missing))
            raise MissingToolError(f"a package of kind {kind} needs {programs}", repair=f"apt install {names}")

    async def make(self, row: PackageRow, stamp: Stamp, told: Progress) -> tuple[str, int]:
        """Build and write one artefact, durably; return its SHA-256 (hex) and its size in bytes.

        Raises:
            KeyfastError: it cannot be built.
            OSError: it cannot be written.
        """
        installer = self.installers[row.kind]
        async with self._turns[row.kind]:
            base = await asyncio.to_thread(installer.base, told)

        def finish() -> tuple[str, int]:
            told("stamping", 1.0)
            artefact = installer.stamp(base, stamp)
            self.files.write(row.file_name, artefact)
            return hashlib.sha256(artefact).hexdigest(), len(artefact)

        return await asyncio.to_thread(finish)
