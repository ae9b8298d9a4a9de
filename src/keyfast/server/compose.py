"""Build the services of each process from its parts. The only place that knows all of them."""

import random
import secrets
import time
from dataclasses import dataclass
from functools import partial

from starlette.applications import Starlette

from keyfast.api.admin_api import AdminApi
from keyfast.api.endpoint_api import EndpointApi
from keyfast.api.oauth_api import OAuthApi
from keyfast.api.routes import AdminHandlers, EndpointApp, EndpointHandlers, admin_app
from keyfast.services.check_in import CheckInService
from keyfast.services.command import CommandService
from keyfast.services.enrol import EnrolService
from keyfast.services.founding import Opened, open_installation
from keyfast.services.keyring import KeyringService
from keyfast.services.live import LiveState
from keyfast.services.package import PackageService
from keyfast.services.replay import SeenOnce
from keyfast.services.report import ReportService
from keyfast.services.tokens import TokenService
from keyfast.settings import Settings
from keyfast.store.database import Database
from keyfast.store.writer import GroupCommit, open_writer
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


async def open_parts(settings: Settings) -> Parts:
    """Open database, KEK and keys; raises what a person must know about (KeyFileError, NotReadyError ...)."""
    database = await Database.open(settings.database_url)
    try:
        opened = await open_installation(settings, database)
        live = LiveState(database, partial(load_kek, settings.kek_file), settings.urls)
        await live.refresh()
    except BaseException:
        await database.close()
        raise
    return Parts(settings, database, opened, live)


async def check_in_service(parts: Parts) -> tuple[EndpointApp, GroupCommit]:
    """The service that endpoints speak to, and its writer (close it last)."""
    writer = await open_writer(parts.settings.database_url)
    reports = ReportService(parts.database, clock)
    handlers = EndpointHandlers(
        endpoint=EndpointApi(
            parts.live,
            CheckInService(parts.live, writer, parts.database, clock, random.random),
            reports,
            clock,
        ),
        oauth=OAuthApi(
            parts.live,
            EnrolService(parts.live, parts.database, clock, entropy),
            TokenService(parts.live, parts.database, SeenOnce(), clock, entropy),
            clock,
        ),
    )
    return EndpointApp(handlers, clock), writer


def admin_service(parts: Parts) -> Starlette:
    """The service that administrators speak to."""
    handlers = AdminHandlers(
        AdminApi(
            parts.live,
            ReportService(parts.database, clock),
            PackageService(parts.live, parts.database, parts.settings.data / "packages", clock),
            KeyringService(parts.live, parts.database, parts.opened.kek, parts.settings.kek_file, clock),
            CommandService(parts.live, parts.database, clock),
            clock,
        )
    )
    return admin_app(handlers, clock)
