"""Status: is this endpoint well, since when, and if not, the one command that helps."""

import datetime as dt

import msgspec

from keyfast.agent import hold, requests
from keyfast.agent.client_database import Admission, Record
from keyfast.agent.evidence import chain_of, device_key, profile_in
from keyfast.agent.package import Verdict, refusal_of
from keyfast.agent.recovery import UNREACHED
from keyfast.agent.timing import Moment, server_now
from keyfast.core import change as rules
from keyfast.core.change import ChangeState
from keyfast.core.mode import Mode
from keyfast.core.refusal import RefusalClass
from keyfast.errors import TrustError

_REPAIRS = {
    RefusalClass.PENDING: "ask an administrator to approve this endpoint",
    RefusalClass.REVOKED: "ask an administrator to reinstate this endpoint",
    RefusalClass.ENROLMENT_EXPIRED: "install a newer package: keyfast-agent install --bundle FOLDER",
    RefusalClass.ENROLMENT_EXHAUSTED: "install a newer package: keyfast-agent install --bundle FOLDER",
    RefusalClass.ENROLMENT_REVOKED: "install a newer package: keyfast-agent install --bundle FOLDER",
    RefusalClass.ENROLMENT_NOT_LISTED: "install a package whose allow-list names this computer, or one without a list",
    RefusalClass.ACCOUNT_REFUSED: "put the account right in the directory, then: keyfast-agent check-in",
}


class Status(msgspec.Struct, frozen=True):
    """What ``status --json`` prints.

    Attributes:
        well: the last try ended in an accepted check-in.
        endpoint: endpoint id, empty before enrolment.
        admission: ``none``, ``pending`` or ``registered``.
        servers: URLs in use, in order.
        mode: authentication mode.
        device_key: RFC 7638 thumbprint.
        account: logon name of the account with its domain, empty outside Windows mode.
        credential_generation: of the account's password.
        mechanism: how the last accepted logon travelled.
        hold_until: server time before which the password is not presented again, 0 if it may be.
        token_until: server time at which the access token ends.
        last_check_in: server time of the last accepted one, 0 if never.
        next_check_in_s: seconds until the next try.
        failures: failed tries since.
        reason: why the endpoint is not well, empty if it is.
        last_refusal: class of the last refusal, the server's or the domain's own.
        repair: the one command or act that helps, empty if none is needed.
        change: what became of the last change of the web access server, empty if there was none.
        recovery: that the endpoint asks for its access by its device key and why, empty if it does not.
        renewal: how far a renewal of the device key is, empty if there is none.
        package: a package lies there that is not taken, and why; empty if none does.
        package_fault: class of that fault.
        package_repair: what helps.
        vault: how the client database is sealed, empty for one that is not.
    """

    well: bool
    installation: str
    endpoint: str
    admission: str
    servers: tuple[str, ...]
    mode: str
    profile_seq: int
    device_key: str
    account: str
    credential_generation: int
    mechanism: str
    hold_until: int
    token_until: int
    last_check_in: int
    next_check_in_s: int
    failures: int
    reason: str
    last_refusal: str
    repair: str
    server_time: int
    change: str = ""
    recovery: str = ""
    renewal: str = ""
    package: str = ""
    package_fault: str = ""
    package_repair: str = ""
    vault: str = ""


def status_of(record: Record, now: Moment, package: Verdict | None = None, vault: str = "") -> Status:
    """Return the status of a record at ``now``, beside what is said of a package that lies there."""
    refused = package if package and package.fault else None
    waiting = record.admission is Admission.PENDING
    well = record.failures == 0 and record.last_success_at > 0 and not waiting
    servers, mode = _servers(record)
    refusal = record.last_refusal
    windows = record.mode is Mode.WINDOWS
    held = hold.remaining(record.hold, record.credential, now) if windows else 0.0
    due = record.due.remaining(now) if record.due else 0.0
    return Status(
        well=well,
        installation=record.installation,
        endpoint=record.endpoint_id,
        admission=record.admission.value,
        servers=servers,
        mode=mode,
        profile_seq=record.profile_seq,
        device_key=device_key(record.device_key).thumbprint if record.device_key else "",
        account=requests.account_of(record).user if windows else "",
        credential_generation=record.credential_generation,
        mechanism=record.mechanism,
        hold_until=server_now(record.anchor, now) + round(held) if held else 0,
        token_until=record.token_expires_at,
        last_check_in=record.last_success_at,
        next_check_in_s=round(max(due, held)),
        failures=record.failures,
        reason="" if well else _reason(record),
        last_refusal=refusal.kind if refusal else "",
        repair="" if well else _repair(record),
        server_time=server_now(record.anchor, now),
        change=_change(record),
        recovery=_recovery(record),
        renewal=_renewal(record),
        package=refusal_of(refused) if refused else "",
        package_fault=refused.fault.value if refused and refused.fault else "",
        package_repair=refused.repair if refused else "",
        vault=vault,
    )


def five_lines(status: Status) -> str:
    """Say it to a person."""
    seen = f"last checked in {_utc(status.last_check_in)}" if status.last_check_in else "it never checked in"
    newer = f" ({status.renewal})" if status.renewal else ""
    key = f"{status.device_key[:16]}...{newer}" if status.device_key else "none yet"
    credential = (
        f"account {status.account} (generation {status.credential_generation}) by {status.mechanism or 'no logon yet'}"
        if status.account
        else f"token until {_utc(status.token_until)}"
    )
    held = f"; the password is not tried before {_utc(status.hold_until)}" if status.hold_until else ""
    moved = f"; {status.change}" if status.change else ""
    asks = f"; {status.recovery}" if status.recovery else ""
    lines = {
        "Endpoint": f"well; {seen}" if status.well else f"NOT WELL: {status.reason}; {seen}",
        "Server": f"{', '.join(status.servers) or 'none'} (mode {status.mode}, profile {status.profile_seq}){moved}",
        "Credential": f"endpoint {status.endpoint or 'not enrolled'}, device key {key}, {credential}",
        "Check-in": (
            f"last {_utc(status.last_check_in)}, next in {status.next_check_in_s} s, "
            f"{status.failures} failed tries since{held}{asks}"
        ),
        "Reason": f"last refusal: {status.last_refusal or 'none'}; to do: {status.repair or 'nothing'}",
    }
    if status.package:
        lines["Package"] = f"{status.package}; to do: {status.package_repair}"
    return "\n".join(f"{name:<11}{text}" for name, text in lines.items())


def _change(record: Record) -> str:
    if record.change is not None:
        tries = f"{record.change.tries} of {rules.PROBE_TRIES} tries"
        if record.change.state is not ChangeState.FAILED:
            why = f", {record.change.reason}" if record.change.reason else ""
            return f"a change of the web access server is in hand and not proven yet ({tries}{why})"
        return f"a change of the web access server failed: {record.change.reason}"
    watch = record.watch
    if watch is None:
        return ""
    if watch.state is ChangeState.REVERTED:
        return f"a change of the web access server was taken back: {watch.reason}"
    if watch.state is ChangeState.COMMITTED:
        return f"changed, and watched: {watch.good} of {rules.GOOD_CHECK_INS} good check-ins, then a restart"
    return "the last change of the web access server is verified"


def _renewal(record: Record) -> str:
    if record.renewal is None:
        return ""
    return "a newer one is made, and not in use yet" if record.renewal.keys else "a newer one is to be made"


def _recovery(record: Record) -> str:
    asking = record.recovery
    if asking is None:
        return ""
    why = "no server answers" if asking.why == UNREACHED else f"the server said: {asking.why}"
    return f"it asks for its access by its device key ({why}; asked {asking.asks} times)"


def _servers(record: Record) -> tuple[tuple[str, ...], str]:
    try:
        profile = profile_in(chain_of(record), record.slots.current).profile
    except TrustError:
        return (), ""
    return profile.urls, profile.mode


def _reason(record: Record) -> str:
    refusal = record.last_refusal
    if record.trouble and refusal and refusal.kind in record.trouble:
        return f"{record.trouble} ({refusal.detail})" if refusal.detail else record.trouble
    if record.trouble:
        return record.trouble
    return (
        "enrolment has not finished" if record.admission is not Admission.REGISTERED else "no check-in was accepted yet"
    )


def _repair(record: Record) -> str:
    refusal = record.last_refusal
    if record.admission is Admission.PENDING:
        return _REPAIRS[RefusalClass.PENDING]
    if record.failures and refusal and refusal.kind in record.trouble:
        known = {kind.value: text for kind, text in _REPAIRS.items()}
        return refusal.repair or known.get(refusal.kind) or "keyfast-agent check-in"
    return "keyfast-agent check-in"


def _utc(seconds: int) -> str:
    if not 0 < seconds < dt.datetime.max.replace(tzinfo=dt.UTC).timestamp():
        return "never"
    return dt.datetime.fromtimestamp(seconds, dt.UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
