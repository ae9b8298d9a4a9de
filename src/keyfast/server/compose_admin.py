"""Put the admin service together: what people and their programs ask, and the jobs that go on beside it."""

import socket
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from starlette.applications import Starlette
from starlette.types import ASGIApp

from keyfast.api.access_api import AccessApi
from keyfast.api.admin_api import AdminApi
from keyfast.api.approval_api import ApprovalApi
from keyfast.api.audit_api import AuditApi
from keyfast.api.console.app import Network, console_app
from keyfast.api.console.services import Services as ConsoleServices
from keyfast.api.console.stream import Streams
from keyfast.api.gate import BearerDoor
from keyfast.api.incident_api import IncidentApi
from keyfast.api.node_api import NodeApi
from keyfast.api.notification_api import NotificationApi
from keyfast.api.package_api import PackageApi
from keyfast.api.people_api import PeopleApi
from keyfast.api.policy_api import PolicyApi
from keyfast.api.recovery_api import RecoveryApi
from keyfast.api.rotation_api import RotationApi
from keyfast.api.routes import AdminHandlers, admin_app
from keyfast.api.search_api import SearchApi
from keyfast.api.window_api import WindowApi
from keyfast.core.directory import Directory
from keyfast.core.forecast import Thing
from keyfast.core.mode import Mechanism
from keyfast.core.person import SignIn
from keyfast.core.person_groups import DomainNames
from keyfast.directory.active_directory import ActiveDirectory
from keyfast.directory.local import LocalDirectory
from keyfast.server.compose import Parts, chance, entropy, process_name
from keyfast.server.packages import open_workshop
from keyfast.server.receivers import open_receivers
from keyfast.server.windows import open_directory, read_password
from keyfast.services.account import AccountService
from keyfast.services.api_tokens import ApiTokenService
from keyfast.services.approvals import ApprovalService
from keyfast.services.audit import AuditService
from keyfast.services.audit_keep import TrailKeeper
from keyfast.services.audit_seal import Seals, TrailSealer
from keyfast.services.command import CommandService
from keyfast.services.directory_people import DirectoryPeople
from keyfast.services.forecast import CertificateFile, ForecastService
from keyfast.services.idempotency import KeptAnswers
from keyfast.services.incident import IncidentService
from keyfast.services.keyring import KeyringService
from keyfast.services.local_accounts import LocalAccountService, StoredAccounts
from keyfast.services.modes import ModeService
from keyfast.services.node import NodeService
from keyfast.services.notify import NotificationService, Notifier
from keyfast.services.oidc import OidcService
from keyfast.services.package import PackageService
from keyfast.services.package_report import PackageReports
from keyfast.services.passkeys import PasskeyService
from keyfast.services.people import PeopleService
from keyfast.services.person_groups import PersonGroups
from keyfast.services.policy import PolicyService
from keyfast.services.recovery_by_rotation import RecoveryRotations
from keyfast.services.recovery_options import RecoveryOptionsService
from keyfast.services.recovery_window import RecoveryWindowService
from keyfast.services.report import ReportService
from keyfast.services.rings import StoredRings
from keyfast.services.roll_call import RollCallService
from keyfast.services.rotate import RotationService
from keyfast.services.rotation_acts import RotationActs
from keyfast.services.rotation_generations import StoredGenerations
from keyfast.services.rotation_ledger import RotationLedger
from keyfast.services.rotation_password import PasswordSetter
from keyfast.services.rotation_profile import ProfileSigner
from keyfast.services.rotation_runner import RotationRunner
from keyfast.services.saved_searches import SavedSearchService
from keyfast.services.second_factor import SecondFactors
from keyfast.services.server_diagnosis import ServerDiagnosisService
from keyfast.services.server_evidence import ServerEvidence
from keyfast.services.sessions import SessionService
from keyfast.services.sign_in import SignInService
from keyfast.services.watch import INTERVAL_SECONDS, AccountWatch
from keyfast.services.went_back import EndRecovery
from keyfast.services.window_counts import KeptCounts
from keyfast.settings import Settings
from keyfast.store.database import Database
from keyfast.trust.kek import Kek, load_kek
from keyfast.trust.sign_in import Passwords
from keyfast.wire.directory import DirectoryView


@dataclass(frozen=True, slots=True)
class AdminParts:
    """The service that administrators speak to, and what must be run and closed with it.

    Attributes:
        app: for the local socket.
        network: for the console's listener: the admin API for callers with API tokens, the console for browsers.
        streams: what the console tells pages as it moves; ended before its listener is stopped.
        sign_in: for people in browsers.
    """

    app: Starlette
    network: ASGIApp
    streams: Streams
    sign_in: SignIn
    people: PeopleService
    watch: AccountWatch
    modes: ModeService
    windows: RecoveryWindowService
    directory: Directory
    rotations: RotationRunner
    packages: PackageService
    roll_calls: RollCallService
    console: ConsoleServices
    sealer: TrailSealer
    keeper: TrailKeeper
    notifier: Notifier
    answers: KeptAnswers


def admin_service(parts: Parts) -> AdminParts:
    """The service that administrators speak to, and the watch over accounts."""
    settings, database, live, clock = parts.settings, parts.database, parts.live, parts.clock
    directory = open_directory(settings, database, clock)
    mechanisms = _mechanisms(settings)

    def kek() -> Kek:
        return load_kek(settings.kek_file, live.current.installation.id)

    interval = settings.directory.watch_interval_s if settings.directory else INTERVAL_SECONDS
    watch = AccountWatch(database, directory, kek, clock, interval)
    realm = settings.directory.realm if settings.directory else ""
    accounts = AccountService(database, directory, watch, kek, clock, realm)
    modes = ModeService(live, database, mechanisms, lambda: (settings.tls / "ca.pem").read_text("ascii"), clock)
    counts = KeptCounts(clock)
    windows = RecoveryWindowService(live, database, clock, counts=counts)
    keyring = KeyringService(live, database, parts.opened.kek, settings.kek_file, clock)
    ledger = RotationLedger(database, clock)
    acts = RotationActs(
        database,
        PasswordSetter(database, directory, watch, kek, entropy, clock),
        ProfileSigner(live, clock),
        modes,
        keyring,
        StoredGenerations(),
        clock,
        chance,
    )
    planner = RotationService(database, ledger, directory, clock, entropy)
    recoveries = RecoveryRotations(planner, database)
    always = settings.recovery.device_key == "always"
    workshop = open_workshop(settings, f"Keyfast {parts.opened.installation.id}", clock)
    package = PackageService(live, database, workshop, accounts, modes, clock, entropy)
    evidence = ServerEvidence(live, settings.tls, directory.grace_s, clock, counts)
    options = RecoveryOptionsService(live, database, accounts, windows, recoveries, clock, always=always)
    seals = Seals(kek)
    local = _local(database, directory, clock)
    codes, passwords = SecondFactors(database, kek, clock), Passwords()
    there = _people_of_directory(settings, directory, database, clock)
    sign_in = SignInService(database, codes, passwords, clock, entropy, there)
    told = ConsoleServices(
        live=live,
        reports=ReportService(database, clock),
        commands=CommandService(live, database, clock),
        keyring=keyring,
        end_recovery=EndRecovery(live, database, clock),
        modes=modes,
        accounts=accounts,
        directory=_directory_view(settings, directory, mechanisms),
        windows=windows,
        recovery=options,
        rotations=planner,
        nodes=NodeService(database, clock),
        policy=PolicyService(live, database, clock),
        packages=package,
        package_reports=PackageReports(database, package, workshop, clock),
        incidents=IncidentService(database, live, evidence, options, clock),
        forecasts=ForecastService(database, _certificates(settings), clock, counts),
        diagnoses=ServerDiagnosisService(database, live, evidence, settings.tls, clock),
        clock=clock,
        rings=StoredRings(database),
        people=PeopleService(database, passwords, clock, entropy),
        codes=codes,
        sessions=SessionService(database, clock),
        searches=SavedSearchService(database, clock),
        groups=PersonGroups(database, there),
        tokens=ApiTokenService(database, clock, entropy, there),
        approvals=ApprovalService(database, kek, settings.second_person, clock, entropy),
        audit=AuditService(live, database, seals, socket.gethostname(), clock),
        notifications=NotificationService(database, clock),
        passkeys=PasskeyService(database, settings.console.home, sign_in, clock, entropy),
        oidc=_oidc(settings, sign_in, clock),
    )
    handlers = AdminHandlers(
        admin=AdminApi(live, told.reports, keyring, told.commands, told.end_recovery, clock),
        access=AccessApi(modes, accounts, told.directory, local),
        window=WindowApi(windows),
        recovery=RecoveryApi(told.recovery),
        rotation=RotationApi(planner),
        node=NodeApi(told.nodes),
        policy=PolicyApi(told.policy),
        package=PackageApi(package, told.package_reports),
        notification=NotificationApi(told.notifications),
        audit=AuditApi(told.audit),
        people=PeopleApi(told.people, codes, told.passkeys, told.sessions, told.tokens, told.groups),
        incident=IncidentApi(told.incidents, told.forecasts, told.diagnoses),
        approval=ApprovalApi(told.approvals),
        search=SearchApi(told.searches),
    )
    roll_calls = RollCallService(database, live, evidence, process_name(), entropy, clock)
    rotations = RotationRunner(database, ledger, acts, clock)
    answers = KeptAnswers(database, kek, clock)
    api = admin_app(
        handlers,
        answers,
        clock,
        windows.banner,
        door=BearerDoor(told.tokens),
        rings=told.rings,
        approvals=told.approvals,
    )
    streams = Streams(time.monotonic)
    return AdminParts(
        app=admin_app(handlers, answers, clock, windows.banner),
        network=Network(api, console_app(told, sign_in, clock, streams)),
        streams=streams,
        sign_in=sign_in,
        people=told.people,
        watch=watch,
        modes=modes,
        windows=windows,
        directory=directory,
        rotations=rotations,
        packages=package,
        roll_calls=roll_calls,
        console=told,
        sealer=TrailSealer(database, seals, clock),
        keeper=TrailKeeper(database, seals, settings.audit, clock),
        notifier=Notifier(live, database, open_receivers(settings.notify, clock), clock),
        answers=answers,
    )


def _people_of_directory(
    settings: Settings, directory: Directory, database: Database, clock: Callable[[], float]
) -> DirectoryPeople | None:
    """People who come by an account; None where no group of the directory is anything here."""
    found = settings.directory
    if found is None or not found.group or not isinstance(directory, ActiveDirectory):
        return None
    return DirectoryPeople(database, directory, found.group, DomainNames(found.domain, found.realm), clock, entropy)


def _oidc(settings: Settings, sign_in: SignInService, clock: Callable[[], float]) -> OidcService | None:
    if settings.oidc is None:
        return None
    secret = partial(read_password, settings.oidc.client_secret_file, "the client secret of single sign-on")
    return OidcService(settings.oidc, secret, settings.console.home, sign_in, clock)


def _certificates(settings: Settings) -> list[CertificateFile]:
    """The certificates of a server that may end."""
    folder, chosen = settings.tls, settings.packages.signing_certificate
    found = [
        CertificateFile(Thing.SERVER_CERTIFICATE, folder / "server.pem", folder / "ca.key.sealed"),
        CertificateFile(Thing.AUTHORITY, folder / "ca.pem"),
        CertificateFile(Thing.SIGNING_CERTIFICATE, chosen or settings.package_signing / "msi" / "signer.pem"),
    ]
    if settings.directory is not None and settings.directory.ca is not None:
        found.append(CertificateFile(Thing.DIRECTORY_AUTHORITY, settings.directory.ca))
    return found


def _mechanisms(settings: Settings) -> tuple[Mechanism, ...]:
    windows = settings.windows
    here = {
        Mechanism.KERBEROS: windows.keytab is not None,
        Mechanism.NTLM: windows.ntlm_auth is not None,
        Mechanism.BASIC: windows.basic,
    }
    return tuple(mechanism for mechanism, configured in here.items() if configured)


def _directory_view(settings: Settings, directory: Directory, mechanisms: tuple[Mechanism, ...]) -> DirectoryView:
    found = settings.directory
    kind, servers = ("active_directory", found.servers) if found else ("embedded", ())
    return DirectoryView(kind, directory.domain, servers, tuple(mechanism.value for mechanism in mechanisms))


def _local(database: Database, directory: Directory, clock: Callable[[], float]) -> LocalAccountService | None:
    if not isinstance(directory, LocalDirectory):
        return None
    return LocalAccountService(directory, StoredAccounts(database, clock))
