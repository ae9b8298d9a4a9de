"""The admin API of Windows Authentication: modes, client authentication accounts, the directory."""

from starlette.requests import Request

from keyfast.api import http
from keyfast.api.admin_api import MAX_PAGE, asked, ok
from keyfast.api.gate import caller_of
from keyfast.api.operations import Answer, Asks, query
from keyfast.core.mode import Mode
from keyfast.core.secret import Secret
from keyfast.errors import ConflictError, UsageError
from keyfast.services.account import AccountService
from keyfast.services.local_accounts import LocalAccountService
from keyfast.services.modes import ModeService
from keyfast.wire.admin import (
    AccountChange,
    AccountLine,
    AccountName,
    AccountOrder,
    AccountView,
    Changed,
    ModeLine,
    ModeOrder,
)
from keyfast.wire.directory import DirectoryView, LocalAccountLine, LocalAccountOrder

HISTORY = 50


class AccessApi:
    """Handlers of ``/admin/v1/modes``, ``/admin/v1/accounts`` and ``/admin/v1/directory``."""

    def __init__(
        self,
        modes: ModeService,
        accounts: AccountService,
        directory: DirectoryView,
        local: LocalAccountService | None,
    ) -> None:
        self._modes = modes
        self._accounts = accounts
        self._directory = directory
        self._local = local

    async def modes(self, request: Request) -> Answer[list[ModeLine]]:  # noqa: ARG002 - the framework's signature
        """``GET /admin/v1/modes``: authentication modes that are open."""
        return ok(await self._modes.list_())

    async def open_mode(self, request: Asks[ModeOrder]) -> Answer[Changed]:
        """``POST /admin/v1/modes/open``: open an authentication mode."""
        order = await asked(request, ModeOrder)
        await self._modes.open_(_mode(order.mode), order.ring, caller_of(request).name)
        return ok(Changed("open"))

    async def close_mode(self, request: Asks[ModeOrder]) -> Answer[Changed]:
        """``POST /admin/v1/modes/close``: close an authentication mode."""
        order = await asked(request, ModeOrder)
        despite = order.despite_endpoints
        await self._modes.close(_mode(order.mode), order.ring, caller_of(request).name, despite_endpoints=despite)
        return ok(Changed("closed"))

    async def accounts(self, request: Request) -> Answer[list[AccountLine]]:  # noqa: ARG002 - the framework's signature
        """``GET /admin/v1/accounts``: client authentication accounts with their verdicts."""
        return ok(await self._accounts.list_())

    async def add_account(self, request: Asks[AccountOrder]) -> Answer[AccountView]:
        """``POST /admin/v1/accounts``: prove an account's password and put it on record."""
        order = await asked(request, AccountOrder)
        password = Secret(order.password.encode())
        return ok(await self._accounts.add(order.account, password, order.despite, caller_of(request).name))

    async def check_account(self, request: Asks[AccountName]) -> Answer[AccountView]:
        """``POST /admin/v1/accounts/check``: read an account now."""
        return ok(await self._accounts.check((await asked(request, AccountName)).account))

    async def remove_account(self, request: Asks[AccountName]) -> Answer[Changed]:
        """``POST /admin/v1/accounts/remove``: take an account off the record."""
        await self._accounts.remove((await asked(request, AccountName)).account, caller_of(request).name)
        return ok(Changed("removed"))

    @query(account=str, limit=int)
    async def account_history(self, request: Request) -> Answer[list[AccountChange]]:
        """``GET /admin/v1/accounts/history?account=``: what changed about an account, newest first."""
        limit = http.query_int(request.query_params, "limit", HISTORY, MAX_PAGE)
        return ok(await self._accounts.history(request.query_params.get("account", ""), limit))

    async def directory(self, request: Request) -> Answer[DirectoryView]:  # noqa: ARG002 - the framework's signature
        """``GET /admin/v1/directory``: which directory is used, and which mechanisms work."""
        return ok(self._directory)

    async def local_accounts(
        self,
        request: Request,  # noqa: ARG002 - the framework's signature
    ) -> Answer[list[LocalAccountLine]]:
        """``GET /admin/v1/directory/accounts``: accounts of the embedded directory."""
        return ok(await self._embedded().list_())

    async def set_local_account(self, request: Asks[LocalAccountOrder]) -> Answer[LocalAccountLine]:
        """``POST /admin/v1/directory/accounts``: make or change an account of the embedded directory."""
        return ok(await self._embedded().set_(await asked(request, LocalAccountOrder), caller_of(request).name))

    def _embedded(self) -> LocalAccountService:
        if self._local is None:
            raise ConflictError(
                f"accounts of {self._directory.domain} are kept in Active Directory, not here",
                repair="use the directory's own tools",
            )
        return self._local


def _mode(text: str) -> Mode:
    try:
        return Mode(text)
    except ValueError:
        raise UsageError(f"no mode '{text}'; modes: {', '.join(Mode)}") from None
