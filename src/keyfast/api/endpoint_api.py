"""The endpoint API: check-in, recovery, own record, signed time, and probes."""

import logging
from collections.abc import Awaitable, Callable

from starlette.requests import Request
from starlette.responses import Response

from keyfast.api import http
from keyfast.core.mode import Mode
from keyfast.core.refusal import Refusal, RefusalClass
from keyfast.errors import NotReadyError
from keyfast.services.authenticate import SignedRequest, endpoint_caller
from keyfast.services.check_in import CheckInService, Reply
from keyfast.services.live import LiveState
from keyfast.services.probe import ProbeService
from keyfast.services.recover import RecoverService
from keyfast.services.report import ReportService
from keyfast.services.traffic import TrafficCounter
from keyfast.services.windows_check_in import LOG_ON, WindowsCheckInService
from keyfast.services.windows_logon import Challenge, LoggedOn
from keyfast.trust.roles import TIME_TYP
from keyfast.wire import limits, messages

MAX_CHALLENGE = 64
TELL_AGAIN_SECONDS = 60
MAX_TOLD = 64
_log = logging.getLogger(__name__)


class EndpointApi:
    """Handlers of ``/endpoint/v1``."""

    def __init__(
        self,
        live: LiveState,
        check_ins: CheckInService,
        windows: WindowsCheckInService,
        reports: ReportService,
        recoveries: RecoverService,
        probes: ProbeService,
        traffic: TrafficCounter,
        clock: Callable[[], float],
    ) -> None:
        self._live = live
        self._check_ins = check_ins
        self._windows = windows
        self._told: dict[str, float] = {}
        self._reports = reports
        self._recoveries = recoveries
        self._probes = probes
        self._traffic = traffic
        self._clock = clock

    async def check_in(self, request: Request) -> Response:
        """``POST /endpoint/v1/check-in``: one request in the steady state."""
        signed = http.signed_request(request)
        service = self._check_ins if signed.presents_token else self._windows

        async def counted(signed: SignedRequest, body: bytes) -> Reply:
            reply = await service.check_in(signed, body)
            if not isinstance(reply.outcome, Refusal):
                self._traffic.checked_in()
            elif reply.outcome != LOG_ON:  # a leg on the way
                self._traffic.refused(reply.outcome.kind)
            return reply

        return await self._answered(request, signed, limits.MAX_CHECK_IN_BYTES, counted)

    async def probe_access(self, request: Request) -> Response:
        """``POST /endpoint/v1/probe``: an endpoint tries a new access as it will check in with it."""
        return await self._answered(request, http.signed_request(request), limits.MAX_PROBE_BYTES, self._probes.probe)

    async def recover(self, request: Request) -> Response:
        """``POST /endpoint/v1/recover``: brings an access back, by the device key alone."""
        return await self._answered(
            request, http.signed_request(request), limits.MAX_RECOVER_BYTES, self._recoveries.recover
        )

    async def _answered(
        self,
        request: Request,
        signed: SignedRequest,
        limit: int,
        serve: Callable[[SignedRequest, bytes], Awaitable[Reply]],
    ) -> Response:
        body = await http.read_body(request, http.JSON, limit)
        if isinstance(body, Refusal):
            return self._refused(body)
        try:
            reply = await serve(signed, body)
        except NotReadyError as fault:
            return self._not_ready(fault)
        if isinstance(reply.outcome, Refusal):
            return http.refused(reply.outcome, int(self._clock()), reply.nonce, reply.challenges)
        return http.with_challenges(http.answer(reply.outcome, reply.nonce), reply.challenges)

    async def probe(self, request: Request) -> Response:
        """``GET /endpoint/v1/probe``: log on with the account alone; tells who was recognised, and how."""
        try:
            found = await self._windows.probe(http.signed_request(request))
        except NotReadyError as fault:
            return self._not_ready(fault)
        if isinstance(found, LoggedOn):
            view = messages.Probed(Mode.WINDOWS.value, found.mechanism.value, found.account)
            return http.with_challenges(http.answer(messages.encode(view)), (found.answer,) if found.answer else ())
        if isinstance(found, Challenge):
            return http.refused(LOG_ON, int(self._clock()), challenges=found.lines)
        return http.refused(found, int(self._clock()), challenges=self._windows.offers(found))

    async def self_(self, request: Request) -> Response:
        """``GET /endpoint/v1/self``: what the server holds of the caller."""
        now = int(self._clock())
        caller = endpoint_caller(
            self._live.current, http.signed_request(request), None, now, limits.FRESH_NONCE_LIFETIME
        )
        if isinstance(caller, Refusal):
            return self._refused(caller)
        try:
            record = await self._reports.own_record(caller.token)
        except NotReadyError as fault:
            return self._not_ready(fault)
        if isinstance(record, Refusal):
            return self._refused(record)
        return http.answer(messages.encode(record), self._live.current.nonces.issue(now))

    async def time(self, request: Request) -> Response:
        """``GET /endpoint/v1/time?challenge=``: signed time, for endpoints whose clock is wrong."""
        challenge = request.query_params.get("challenge", "")
        if not 0 < len(challenge) <= MAX_CHALLENGE:
            return self._refused(Refusal(RefusalClass.MALFORMED, "challenge is missing or too long"))
        live, now = self._live.current, int(self._clock())
        claims = messages.SignedTime(installation=live.installation.id, time=now, challenge=challenge)
        statement = live.keyset.sign(TIME_TYP, claims)
        return http.answer(messages.encode({"statement": statement, "delegations": live.keyset.delegations()}))

    def _not_ready(self, fault: NotReadyError) -> Response:
        """Tell the caller when to come back, and the log why: at most once a minute for the same reason."""
        now = self._clock()
        if self._told.get(fault.message, 0.0) < now - TELL_AGAIN_SECONDS:
            self._told = {**dict(list(self._told.items())[-MAX_TOLD:]), fault.message: now}
            _log.warning("%s", f"{fault.message}; {fault.repair}".rstrip("; "))
        return self._refused(http.not_ready(fault))

    def _refused(self, refusal: Refusal) -> Response:
        now = int(self._clock())
        return http.refused(refusal, now, self._live.current.nonces.issue(now))
