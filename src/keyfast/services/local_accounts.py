"""Accounts of the embedded directory: kept in the store, changed by administrators."""

from collections.abc import Callable

import msgspec
from msgspec.structs import replace

from keyfast.core.secret import Secret
from keyfast.directory.local import LocalAccount, LocalDirectory, reading_of
from keyfast.errors import UsageError
from keyfast.store import events, local_accounts
from keyfast.store.database import Database
from keyfast.wire.directory import LocalAccountLine, LocalAccountOrder

DAY = 86400
MAX_NAME = 64


class StoredAccounts:
    """Implements ``directory.local.LocalAccounts`` over the store."""

    def __init__(self, database: Database, clock: Callable[[], float]) -> None:
        self._database = database
        self._clock = clock

    async def get(self, name: str) -> LocalAccount | None:
        """Return the account of that name (lower case)."""
        async with self._database.read() as conn:
            document = await local_accounts.get(conn, name)
        return None if document is None else msgspec.convert(document, LocalAccount)

    async def put(self, account: LocalAccount, by: str = "") -> None:
        """See ``directory.local.LocalAccounts``; what an administrator ordered is an event."""
        async with self._database.write() as conn:
            before = await local_accounts.get(conn, account.name) if by else None
            await local_accounts.put(conn, account.name, msgspec.to_builtins(account))
            if by:
                line = _line(account)
                detail = {
                    "name": line.name,
                    "new_password": before is None or before["verifier"] != account.verifier,
                    "disabled": line.disabled,
                    "must_change": line.must_change,
                    "max_age_days": line.max_age_days,
                    "by": by,
                }
                now = int(self._clock())
                await events.add(conn, at=now, kind="local_account_set", endpoint_id=None, detail=detail)

    async def load(self) -> list[LocalAccount]:
        """Return all accounts."""
        async with self._database.read() as conn:
            return [msgspec.convert(document, LocalAccount) for document in await local_accounts.load(conn)]


class LocalAccountService:
    """What administrators do with accounts of the embedded directory."""

    def __init__(self, directory: LocalDirectory, accounts: StoredAccounts) -> None:
        self._directory = directory
        self._accounts = accounts

    async def list_(self) -> list[LocalAccountLine]:
        """Every account."""
        return [_line(account) for account in await self._accounts.load()]

    async def set_(self, order: LocalAccountOrder, by: str) -> LocalAccountLine:
        """Make or change an account.

        Raises:
            UsageError: the name is none, or a new account has no password.
            NotFoundError: it is to be changed and does not exist.
        """
        name = order.name.lower()
        if not 0 < len(name) <= MAX_NAME or set(name) & set("\\/@:\0"):
            raise UsageError(f"'{order.name}' is no logon name")
        changes = {
            member: value
            for member, value in (
                ("disabled", order.disabled),
                ("must_change", order.must_change),
                ("max_age_s", None if order.max_age_days is None else order.max_age_days * DAY),
            )
            if value is not None
        }

        def alter(known: LocalAccount) -> LocalAccount:
            return replace(known, **changes)

        if not order.password:
            return _line(await self._directory.change(name, alter, by))
        return _line(await self._directory.set_password(name, Secret(order.password.encode()), alter, by))


def _line(account: LocalAccount) -> LocalAccountLine:
    reading = reading_of(account, 0)
    return LocalAccountLine(
        account.name, reading.password_set_at, account.disabled, account.must_change, account.max_age_s // DAY
    )
