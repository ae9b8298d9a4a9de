"""Administer the installation's keys: list, rotate, export, import, take the root off line, rewrap."""

import asyncio
import contextlib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from sqlalchemy.ext.asyncio import AsyncConnection

from keyfast.core.endpoint import HEARD
from keyfast.core.refusal import Refusal
from keyfast.core.secret import Secret
from keyfast.errors import TrustError, UsageError
from keyfast.services.audit_seal import BEGINNING_PLACE
from keyfast.services.known_account import bound_to
from keyfast.services.live import LiveState, key_from_row, row_from_key
from keyfast.services.second_factor import code_bound_to
from keyfast.store import accounts, audit_start, endpoints, events, installations, keys, people
from keyfast.store.database import Database
from keyfast.trust.export import export_keys, import_keys
from keyfast.trust.files import write_private
from keyfast.trust.kek import Kek
from keyfast.trust.keyset import Keyset, KeyStatus, Role, SigningKey
from keyfast.wire.admin import Introspection, KeyLine

MIN_PASSPHRASE = 14


class KeyringService:
    """The installation's keys, for administrators. Changes follow each other, each on what is on record then."""

    def __init__(
        self, live: LiveState, database: Database, kek: Kek, kek_file: Path, clock: Callable[[], float]
    ) -> None:
        self._live = live
        self._database = database
        self._kek = kek
        self._kek_file = kek_file
        self._clock = clock
        self._changing = asyncio.Lock()

    def lines(self) -> list[KeyLine]:
        """Public facts of every key."""
        return [
            KeyLine(
                key.kid,
                key.role.value,
                key.status.value,
                key.created_at,
                private_here=key.private is not None,
            )
            for key in self._live.current.keyset.keys
        ]

    async def rotate(self, role: Role, by: str) -> list[KeyLine]:
        """Bring the next key of a role into use; the previous one stays accepted."""
        now = int(self._clock())
        async with self._changing:
            before = await self._on_record()
            if role is Role.ROOT:
                after, statement = before.rotate_root(now)
            else:
                after, statement = before.rotate(role, now), ""
            await self._save(after, "keys_rotated", {"role": role.value, "by": by}, statement)
        return self.lines()

    async def remove_root(self, by: str) -> list[KeyLine]:
        """Take the root's private half off this server; export it first."""
        async with self._changing:
            without = (await self._on_record()).without_root_private()
            await self._save(without, "root_removed", {"by": by})
        return self.lines()

    async def export(self, passphrase: Secret, by: str) -> str:
        """Return all keys, encrypted under a passphrase, for a backup kept elsewhere."""
        if len(passphrase.reveal()) < MIN_PASSPHRASE:
            raise UsageError(f"the passphrase must have at least {MIN_PASSPHRASE} characters")
        text = await asyncio.to_thread(export_keys, self._live.current.keyset, passphrase)
        async with self._database.write() as conn:
            await events.add(conn, at=int(self._clock()), kind="keys_exported", endpoint_id=None, detail={"by": by})
        return text

    async def restore(self, text: str, passphrase: Secret, by: str) -> list[KeyLine]:
        """Take back exported keys of this installation: private halves that are missing here are filled in.

        Raises:
            ForeignError: the export is another installation's.
            TrustError: wrong passphrase, or the export is damaged.
        """
        installation = self._live.current.installation.id
        imported = await asyncio.to_thread(import_keys, text, passphrase, installation)
        theirs = {key.kid: key for key in imported.keys}
        async with self._changing:
            merged = tuple(_filled(key, theirs.get(key.kid)) for key in (await self._on_record()).keys)
            await self._save(Keyset(installation, merged), "keys_imported", {"by": by})
        return self.lines()

    async def rewrap(self, by: str) -> int:
        """Seal every stored secret under a new KEK; return how many keys were sealed again.

        The KEK file holds old and new together while rows are re-sealed, so that a crash at any point
        leaves everything readable, and running it again finishes the work.
        """
        async with self._changing:
            return await self._rewrap(by)

    async def _rewrap(self, by: str) -> int:
        old = self._kek.current
        self._kek.add_key()
        self._kek.save(self._kek_file)
        async with self._database.write() as conn:
            rows = await keys.load(conn)
            await keys.save(conn, [row_from_key(key_from_row(row, self._kek), self._kek) for row in rows])
            passwords = await self._reseal_passwords(conn) + await self._reseal_codes(conn)
            await self._reseal_beginning(conn)
            await installations.set_kek(conn, self._kek.current)
            await events.add(
                conn,
                at=int(self._clock()),
                kind="keys_rewrapped",
                endpoint_id=None,
                detail={"by": by, "from": old},
            )
        self._reseal_authority()
        self._kek.drop_keys()
        self._kek.save(self._kek_file)
        return len(rows) + passwords

    async def _reseal_passwords(self, conn: AsyncConnection) -> int:
        rows = [row for row in await accounts.generations(conn) if row.password_sealed]  # the destroyed have none
        for row in rows:
            where = bound_to(row.account_key, row.generation)
            again = self._kek.seal(self._kek.open(row.password_sealed, bound_to=where), bound_to=where)
            await accounts.set_generation(conn, row, replace(row, password_sealed=again))
        return len(rows)

    async def _reseal_codes(self, conn: AsyncConnection) -> int:
        rows = await people.with_code(conn)
        for row in rows:
            where = code_bound_to(row.id)
            again = self._kek.seal(self._kek.open(row.code_sealed, bound_to=where), bound_to=where)
            await people.put(conn, replace(row, code_sealed=again))
        return len(rows)

    async def _reseal_beginning(self, conn: AsyncConnection) -> None:
        """Of the audit trail; one that does not hold stays as it is, so that ``verify`` goes on saying so."""
        await audit_start.hold(conn)  # whoever shortens the trail now is waited for, or seals under the new one
        found = await audit_start.get(conn)
        with contextlib.suppress(TrustError):
            if found is not None:
                told = self._kek.open(found[1], bound_to=BEGINNING_PLACE)
                await audit_start.seal_anew(conn, self._kek.seal(told, bound_to=BEGINNING_PLACE))

    def _reseal_authority(self) -> None:
        sealed = self._kek_file.parent / "tls" / "ca.key.sealed"
        if not sealed.exists():
            return
        again = self._kek.seal(self._kek.open(sealed.read_text("ascii"), bound_to="tls/ca"), bound_to="tls/ca")
        write_private(sealed, again.encode("ascii"), replace=True)  # durable before the old key is dropped

    async def introspect(self, token_text: str) -> Introspection:
        """Tell whether an access token works now (RFC 7662)."""
        token = self._live.current.tokens.read(token_text, int(self._clock()))
        if isinstance(token, Refusal):
            return Introspection(active=False)
        async with self._database.read() as conn:
            record = await endpoints.get(conn, token.endpoint_id)
        if record is None or record.presence.state not in HEARD or token.issued_at < record.presence.tokens_from:
            return Introspection(active=False)
        return Introspection(
            active=True,
            client_id=token.endpoint_id,
            token_type="DPoP",  # noqa: S106 - a type name
            iat=token.issued_at,
            exp=token.expires_at,
            cnf={"jkt": token.thumbprint},
        )

    async def _on_record(self) -> Keyset:
        await self._live.refresh()
        return self._live.current.keyset

    async def _save(self, keyset: Keyset, kind: str, detail: dict[str, str], root_change: str = "") -> None:
        now = int(self._clock())
        async with self._database.write() as conn:
            await keys.save(conn, [row_from_key(key, self._kek) for key in keyset.keys])
            if root_change:
                await keys.add_root_change(conn, root_change)
            await events.add(conn, at=now, kind=kind, endpoint_id=None, detail=detail)
        await self._live.refresh()


def _filled(ours: SigningKey, theirs: SigningKey | None) -> SigningKey:
    """Take back a private half that is missing here; what a key is for, and its status, are today's."""
    if ours.private is not None or theirs is None or ours.status is KeyStatus.PREVIOUS:
        return ours
    return replace(ours, private=theirs.private, mac=ours.mac or theirs.mac)
