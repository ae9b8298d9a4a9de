"""What the console's pages ask and tell: the same services that answer the admin API."""

from collections.abc import Callable
from dataclasses import dataclass

from keyfast.api.gate import Rings
from keyfast.services.account import AccountService
from keyfast.services.api_tokens import ApiTokenService
from keyfast.services.approvals import ApprovalService
from keyfast.services.audit import AuditService
from keyfast.services.command import CommandService
from keyfast.services.forecast import ForecastService
from keyfast.services.incident import IncidentService
from keyfast.services.keyring import KeyringService
from keyfast.services.live import LiveState
from keyfast.services.modes import ModeService
from keyfast.services.node import NodeService
from keyfast.services.notify import NotificationService
from keyfast.services.oidc import OidcService
from keyfast.services.package import PackageService
from keyfast.services.package_report import PackageReports
from keyfast.services.passkeys import PasskeyService
from keyfast.services.people import PeopleService
from keyfast.services.person_groups import PersonGroups
from keyfast.services.policy import PolicyService
from keyfast.services.recovery_options import RecoveryOptionsService
from keyfast.services.recovery_window import RecoveryWindowService
from keyfast.services.report import ReportService
from keyfast.services.rotate import RotationService
from keyfast.services.saved_searches import SavedSearchService
from keyfast.services.second_factor import SecondFactors
from keyfast.services.server_diagnosis import ServerDiagnosisService
from keyfast.services.sessions import SessionService
from keyfast.services.went_back import EndRecovery
from keyfast.wire.directory import DirectoryView


@dataclass(frozen=True, slots=True)
class Services:
    """All of them."""

    live: LiveState
    reports: ReportService
    commands: CommandService
    keyring: KeyringService
    end_recovery: EndRecovery
    modes: ModeService
    accounts: AccountService
    directory: DirectoryView
    windows: RecoveryWindowService
    recovery: RecoveryOptionsService
    rotations: RotationService
    nodes: NodeService
    policy: PolicyService
    packages: PackageService
    package_reports: PackageReports
    incidents: IncidentService
    forecasts: ForecastService
    diagnoses: ServerDiagnosisService
    rings: Rings
    people: PeopleService
    groups: PersonGroups
    codes: SecondFactors
    sessions: SessionService
    searches: SavedSearchService
    tokens: ApiTokenService
    approvals: ApprovalService
    audit: AuditService
    notifications: NotificationService
    passkeys: PasskeyService
    oidc: OidcService | None
    clock: Callable[[], float]
