"""The admin API of a guided recovery."""

from starlette.requests import Request

from keyfast.api.admin_api import asked, ok
from keyfast.api.gate import caller_of
from keyfast.api.operations import Answer, Asks, query
from keyfast.services.recovery_options import RecoveryOptionsService
from keyfast.wire.recovery import RecoveryFinish, RecoveryOrder, RecoveryStatus, SituationView


class RecoveryApi:
    """Handlers of ``/admin/v1/recovery``."""

    def __init__(self, options: RecoveryOptionsService) -> None:
        self._options = options

    async def situations(
        self,
        request: Request,  # noqa: ARG002 - the framework's signature
    ) -> Answer[list[SituationView]]:
        """``GET /admin/v1/recovery/situations``: who is stranded behind which account, and the ways out."""
        return ok(await self._options.situations())

    @query(account=str)
    async def status(self, request: Request) -> Answer[RecoveryStatus]:
        """``GET /admin/v1/recovery/status?account=``: how far the recovery has come, with who is missing."""
        return ok(await self._options.status(request.query_params.get("account", "")))

    async def begin(self, request: Asks[RecoveryOrder]) -> Answer[RecoveryStatus]:
        """``POST /admin/v1/recovery/begin``: take a way out."""
        return ok(await self._options.begin(await asked(request, RecoveryOrder), caller_of(request).name))

    async def resume(self, request: Request) -> Answer[RecoveryStatus]:  # noqa: ARG002 - the framework's signature
        """``POST /admin/v1/recovery/resume``: go on with the recovery that is under way."""
        return ok(await self._options.resume())

    async def finish(self, request: Asks[RecoveryFinish]) -> Answer[RecoveryStatus]:
        """``POST /admin/v1/recovery/finish``: close the window and end the recovery, once all are back."""
        return ok(await self._options.finish(await asked(request, RecoveryFinish), caller_of(request).name))
