"""Build the check-in service from its parts, and the parts; ``compose_admin`` builds the other service.

The only two places that know all of them.
"""

import contextlib
import os
import random
import secrets
import socket
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from keyfast.api.endpoint_api import EndpointApi
from keyfast.api.oauth_api import OAuthApi
from keyfast.api.routes import EndpointApp, EndpointHandlers
from keyfast.errors import NotReadyError
from keyfast.server.windows import cache_key, open_directory, open_doors
from keyfast.services.basic_cache import BasicCache
from keyfast.services.change import ChangeService
from keyfast.services.check_in import CheckInService
from keyfast.services.enrol import EnrolService
from keyfast.services.enrolment_refusals import EnrolmentRefusals
from keyfast.services.founding import Opened, open_installation
from keyfast.services.live import LiveState
from keyfast.services.node import NodeVoice
from keyfast.services.probe import ProbeService
from keyfast.services.recover import RecoverService
from keyfast.services.refusal_tally import RefusalTally
from keyfast.services.replay import SeenOnce
from keyfast.services.report import ReportService
from keyfast.services.rotation_access import RotationTargets
from keyfast.services.tokens import TokenService
from keyfast.services.traffic import TrafficCounter
from keyfast.services.went_back import WentBack
from keyfast.services.window_gate import WindowGate
from keyfast.services.windows_check_in import WindowsCheckInService
from keyfast.services.windows_logon import Doors, WindowsLogon
from keyfast.settings import Settings
from keyfast.store.database import Database
from keyfast.store.identities import Identities, open_identities
from keyfast.store.writer import GAP, GroupCommit, open_writer
from keyfast.trust.kek import load_kek

clock = time.time
chance = random.SystemRandom().random
entropy = secrets.token_bytes


@dataclass(frozen=True, slots=True)
class Parts:
    """What both services need."""

    settings: Settings
    database: Database
    opened: Opened
    live: LiveState
    clock: Callable[[], float] = clock


async def open_parts(settings: Settings, clock: Callable[[], float] = clock) -> Parts:
    """Open database, KEK and keys; raises what a person must know about (KeyFileError, NotReadyError ...)."""
    database = await Database.open(settings.database_url)
    try:
        opened = await open_installation(settings, database)
        live = LiveState(database, partial(load_kek, settings.kek_file), settings.urls)
        await live.refresh()
    except BaseException:
        await database.close()
        raise
    return Parts(settings, database, opened, live, clock)


@dataclass(frozen=True, slots=True)
class CheckInParts:
    """The service that endpoints speak to, and what must be run and closed with it."""

    app: EndpointApp
    writer: GroupCommit
    identities: Identities
    tally: RefusalTally
    traffic: TrafficCounter
    doors: Doors
    voice: NodeVoice

    async def close(self) -> None:
        """Drain what was accepted, then let go of everything."""
        await self.writer.close()
        await self.identities.close()
        if self.doors.ntlm is not None:
            await self.doors.ntlm.close()
        await self.doors.directory.close()
        with contextlib.suppress(NotReadyError):
            await self.traffic.flush()


async def check_in_service(parts: Parts, *, gap_s: float = GAP) -> CheckInParts:
    """The service that endpoints speak to; ``gap_s`` is the writer's, for the other processes of the server."""
    clock = parts.clock
    doors = open_doors(parts.settings, open_directory(parts.settings, parts.database, clock))
    tally = RefusalTally(parts.database, clock)
    traffic = TrafficCounter(parts.database, process_name(), clock)
    writer = await open_writer(parts.settings.database_url, gap_s=gap_s)
    identities = open_identities(parts.settings.database_url)
    database, live, windows = parts.database, parts.live, WindowGate(parts.live, parts.database)
    realm = parts.settings.directory.realm if parts.settings.directory else ""
    changes = ChangeService(live, RotationTargets(live), entropy, realm)
    ahead = WentBack(live, database, clock)
    check_ins = CheckInService(live, writer, database, identities, changes, ahead, tally, clock, random.random)
    refusals = EnrolmentRefusals(live, tally)
    enrolments = EnrolService(live, database, refusals, clock, entropy)
    logon = WindowsLogon(live, doors, BasicCache(cache_key(), clock), tally, clock)
    windows_mode = WindowsCheckInService(
        live, logon, check_ins, enrolments, refusals, database, identities, ahead, clock
    )
    recoveries = RecoverService(
        live,
        database,
        identities,
        changes,
        enrolments,
        windows,
        ahead,
        SeenOnce(),
        tally,
        clock,
        random.random,
        always=parts.settings.recovery.device_key == "always",
    )
    probes = ProbeService(live, database, identities, windows_mode, windows, clock)
    handlers = EndpointHandlers(
        endpoint=EndpointApi(
            live, check_ins, windows_mode, ReportService(database, clock), recoveries, probes, traffic, clock
        ),
        oauth=OAuthApi(
            live,
            enrolments,
            TokenService(live, database, SeenOnce(), refusals, clock, entropy),
            traffic,
            clock,
        ),
    )
    voice = NodeVoice(live, database, f"{socket.gethostname()}:{parts.settings.port}", clock)
    return CheckInParts(EndpointApp(handlers, clock), writer, identities, tally, traffic, doors, voice)


def process_name() -> str:
    """A name that no other process has, here or on another node."""
    return f"{socket.gethostname()}:{os.getpid()}:{entropy(4).hex()}"
