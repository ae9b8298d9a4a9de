"""What a diagnosis of a site says: the value that every output is made of. Times are unix seconds."""

import msgspec

from keyfast.core.diagnosis.evidence import Clients
from keyfast.core.diagnosis.finding import Finding
from keyfast.core.diagnosis.lockout import Lockouts


class SourceLine(msgspec.Struct, frozen=True):
    """One file that was read.

    Attributes:
        name: of the file, safe to show.
        kind: what it was read as.
        records: clients, versions or requests found in it.
        damaged: lines that could not be read.
        note: what else is to be known of it, empty for nothing.
    """

    name: str
    kind: str
    records: int
    damaged: int
    note: str = ""


class Moment(msgspec.Struct, frozen=True):
    """One point of a timeline.

    Attributes:
        at: when.
        what: what happened, safe to show.
    """

    at: int
    what: str


class Step(msgspec.Struct, frozen=True):
    """One step of the web server's history.

    Attributes:
        at: when it begins.
        granted: requests that succeeded.
        refused: requests that were refused or failed.
    """

    at: int
    granted: int
    refused: int


class GroupReport(msgspec.Struct, frozen=True):
    r"""What is said of one group.

    Attributes:
        account: ``DOMAIN\name``, empty for clients without an account.
        machines: how many.
        names: some of them.
        clients: by what their version can do.
        versions: machines by client version.
        servers: machines by web address in their client database.
        findings: the cause to act on first at the top.
        timeline: what is known of when, oldest first.
        notes: what else is to be known.
        lockouts: when machines are locked for lack of contact, None if it was not said that they are.
    """

    account: str
    machines: int
    names: tuple[str, ...]
    clients: Clients
    versions: dict[str, int]
    servers: dict[str, int]
    findings: tuple[Finding, ...]
    timeline: tuple[Moment, ...] = ()
    notes: tuple[str, ...] = ()
    lockouts: Lockouts | None = None


class SiteReport(msgspec.Struct, frozen=True):
    """What is said of a site.

    Attributes:
        made_at: when.
        machines: clients found.
        sources: files that were read.
        groups: the largest first.
        history: of the web server, oldest first; empty without a log.
        step_s: seconds of one step of the history.
        notes: about the whole.
    """

    made_at: int
    machines: int
    sources: tuple[SourceLine, ...]
    groups: tuple[GroupReport, ...]
    history: tuple[Step, ...] = ()
    step_s: int = 0
    notes: tuple[str, ...] = ()
