"""The facts a diagnosis is made of. Every one may be unknown, which is None; nothing is assumed.

Whoever collects evidence fills in what it has seen, for one group of machines at a time. Names and texts are
safe to show (``core.visible``); times are unix seconds.
"""

from enum import StrEnum

import msgspec

from keyfast.core.account import GRACE, AccountCondition, Verdict
from keyfast.core.account import Finding as AccountFinding
from keyfast.core.diagnosis.finding import Affected, Scope
from keyfast.core.directory import AccountReading
from keyfast.core.refusal import RefusalClass


class Product(StrEnum):
    """Whose clients are silent: the ways out differ."""

    KEYFAST = "keyfast"
    SEE = "see"


class Connecting(StrEnum):
    """How the attempt to open a TCP connection to the server ended."""

    OPEN = "open"
    REFUSED = "refused"
    TIMEOUT = "timeout"


class TlsFault(StrEnum):
    """Why TLS with the server does not come about; NONE if it does."""

    NONE = "none"
    EXPIRED = "expired"
    NOT_YET = "not_yet"
    UNTRUSTED = "untrusted"
    INCOMPLETE = "incomplete"
    ISSUER_UNKNOWN = "issuer_unknown"
    WRONG_NAME = "wrong_name"
    NOT_TLS = "not_tls"
    TOO_OLD = "too_old"
    UNANSWERED = "unanswered"
    CUT = "cut"


class ClientDatabase(StrEnum):
    """How the database is in which a client keeps its identity and its access."""

    INTACT = "intact"
    ABSENT = "absent"
    DAMAGED = "damaged"
    SEALED = "sealed"


class Machine(msgspec.Struct, frozen=True):
    """The client's own state on the machine.

    Attributes:
        database: how its client database is.
        said: what was said of it when it was read; safe to show.
        repair: what helps, by whoever could not read it.
        system: ``linux``, ``darwin`` or ``win32``; empty if not known.
        folder: of the client database, where it is not the usual one.
    """

    database: ClientDatabase | None = None
    said: str = ""
    repair: str = ""
    system: str = ""
    folder: str = ""


class Reach(msgspec.Struct, frozen=True):
    """The way to the server, as seen from the machine or from the server's log.

    Attributes:
        resolves: the server's name has an address there.
        connecting: how a TCP connection to it ends.
        name_is_old: the machine asks for a name that the server no longer has.
        proxy_status: HTTP status with which a proxy on the way refuses, 0 for none.
        stranger_status: HTTP status of any other answer that no server of the product gave, 0 for none.
        service_runs: the client's service is running.
        disk_full: the machine cannot write.
        clock_off_s: its clock minus the server's.
        requests: requests of this group reach the server now.
        others: requests of other machines reach the server now.
        site_silent: all machines of its site are silent, and others are not.
    """

    resolves: bool | None = None
    connecting: Connecting | None = None
    name_is_old: bool | None = None
    proxy_status: int | None = None
    stranger_status: int | None = None
    service_runs: bool | None = None
    disk_full: bool | None = None
    clock_off_s: int | None = None
    requests: bool | None = None
    others: bool | None = None
    site_silent: bool | None = None


class Tls(msgspec.Struct, frozen=True):
    """TLS with the server.

    Attributes:
        fault: why it fails.
        expires_at: when the server's certificate ends.
        begins_at: when it begins.
        changed: the certificate was changed shortly before the silence.
        by_clock_alone: the machine's own clock refuses a certificate that is good by the server's.
    """

    fault: TlsFault | None = None
    expires_at: int | None = None
    begins_at: int | None = None
    changed: bool | None = None
    by_clock_alone: bool | None = None


class Answer(msgspec.Struct, frozen=True):
    """One kind of answer of a web server.

    Attributes:
        status: HTTP status.
        substatus: what IIS adds to it, 0 for nothing.
        win32: Windows error code.
        count: how many.
    """

    status: int
    substatus: int = 0
    win32: int = 0
    count: int = 1


class Http(msgspec.Struct, frozen=True):
    """What the web server answers now, that is since the silence began.

    Attributes:
        answers: refusals and faults that end a check-in; handshakes on the way to a success are none.
        granted: requests that succeeded in the same time.
        through_alias: the clients reach it by a load balancer or an alias.
        anonymous_open: anonymous access is switched on.
    """

    answers: tuple[Answer, ...] | None = None
    granted: int | None = None
    through_alias: bool | None = None
    anonymous_open: bool | None = None


class Account(msgspec.Struct, frozen=True):
    r"""The client authentication account.

    Attributes:
        name: ``DOMAIN\name``, safe to show.
        reading: as the domain controller that lags least has it.
        verdict: how it stands (``core.account_verdict.judge``).
        built_at: when the package was built, or last given a password.
        succeeds: the web server grants logons of this account now.
        carried: machines still carry its password; False where they use tokens.
        grace_s: how long the directory takes the previous password.
    """

    name: str = ""
    reading: AccountReading | None = None
    verdict: Verdict | None = None
    built_at: int | None = None
    succeeds: bool | None = None
    carried: bool | None = None
    grace_s: int = GRACE

    def finding(self, condition: AccountCondition) -> AccountFinding | None:
        """What the directory room says of a condition."""
        found = self.verdict.findings if self.verdict else ()
        return next((finding for finding in found if finding.condition is condition), None)

    @property
    def read(self) -> bool:
        """Whether any domain controller said anything about it."""
        if self.verdict is None:
            return False
        return self.reading is not None or self.finding(AccountCondition.MISSING) is not None


class Token(msgspec.Struct, frozen=True):
    """Tokens and keys.

    Attributes:
        key_known: the server has the key by which the token was made.
        foreign: it was made by another installation.
        signature_holds: the signature is good.
        in_time: the times in it fit the server's clock.
        key_ends_at: when the key or certificate behind the group's access ends.
        enrolment_ends_at: when the package's enrolment token ends.
    """

    key_known: bool | None = None
    foreign: bool | None = None
    signature_holds: bool | None = None
    in_time: bool | None = None
    key_ends_at: int | None = None
    enrolment_ends_at: int | None = None


class Record(msgspec.Struct, frozen=True):
    """What the management server has on record.

    Attributes:
        exists: there is a record of the machine.
        duplicate: another record has the same name, and one of the two is old.
        alternating: one identity is used by several machines in turn.
        went_on: there are check-ins of this identity that this machine has not made.
        uninstalled: the client was removed or the machine retired.
        checked_in_since_change: it has checked in since something it should have was changed.
        blocked_before_boot: the machine refuses to start for lack of contact.
        lockout_at: when it will be locked for lack of contact, if it goes on.
        unmanaged_after_upgrade: it lost its server with an upgrade.
        window_ends_at: when an open recovery window closes, 0 if none is open.
        window_missing: machines that have not recovered in it yet.
    """

    exists: bool | None = None
    duplicate: bool | None = None
    alternating: bool | None = None
    went_on: bool | None = None
    uninstalled: bool | None = None
    checked_in_since_change: bool | None = None
    blocked_before_boot: bool | None = None
    lockout_at: int | None = None
    unmanaged_after_upgrade: bool | None = None
    window_ends_at: int | None = None
    window_missing: int | None = None


class Policy(msgspec.Struct, frozen=True):
    """Policies, versions, and the consoles of administrators.

    Attributes:
        checks_in: the machine does check in.
        assigned: its record is in a group that gets policy.
        policy_age_s: how long ago the group policy was changed that has not arrived.
        oldest_version: the oldest client version in the group, as numbers.
        users_registered: users were registered within a quarter of an hour after logon.
        autologon_reported: the state of autologon is reported.
        console_denied: lists in the console fail for lack of rights in the database.
        sign_in_fails: single sign-on to the console fails.
    """

    checks_in: bool | None = None
    assigned: bool | None = None
    policy_age_s: int | None = None
    oldest_version: tuple[int, ...] | None = None
    users_registered: bool | None = None
    autologon_reported: bool | None = None
    console_denied: bool | None = None
    sign_in_fails: bool | None = None


class Clients(msgspec.Struct, frozen=True):
    """Machines of the group by what their client version can do (Symantec Endpoint Encryption).

    Attributes:
        tokens: 12.0.1 and later, which carry a token and no password.
        capable: 11.4 to 12.0.0, which can use OAuth if their package was made so.
        older: before 11.4.
        unknown: version not known.
    """

    tokens: int = 0
    capable: int = 0
    older: int = 0
    unknown: int = 0


class Evidence(msgspec.Struct, frozen=True):
    """Everything known of one group of machines.

    Attributes:
        product: whose clients they are.
        clients: their versions.
        now: when the diagnosis is made.
        affected: the group.
        since: when its silence began, found as a change-point.
        since_width_s: how exactly that is known.
        refusals: what a Keyfast server answered them last, with numbers.
        refusal_said: the server's own sentence with it, where it is one; safe to show.
        machine: the client's own state, where it is one machine.
    """

    product: Product = Product.KEYFAST
    clients: Clients | None = None
    now: int = 0
    affected: Affected = Affected(Scope.ACCOUNT, "", 0)
    since: int | None = None
    since_width_s: int = 0
    reach: Reach = Reach()
    tls: Tls = Tls()
    http: Http = Http()
    account: Account = Account()
    token: Token = Token()
    record: Record = Record()
    policy: Policy = Policy()
    refusals: dict[RefusalClass, int] | None = None
    refusal_said: str = ""
    machine: Machine = Machine()
