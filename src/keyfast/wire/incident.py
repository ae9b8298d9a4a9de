"""Messages of the admin API about silence: incidents, what was counted, and what will end."""

from keyfast.core.diagnosis.finding import Finding
from keyfast.core.incident import Point
from keyfast.wire.admin import View


class IncidentLine(View, frozen=True):
    """One incident. Times are unix seconds; see ``core.incident.Incident``.

    Attributes:
        group, name: what its endpoints have in common; ``told`` the same for a person.
        ended_at: 0 while it has not ended.
        cause: code of the first finding.
        sentence: what happened, for a person.
    """

    id: str
    state: str
    group: str
    name: str
    told: str
    began_at: int
    width_s: int
    opened_at: int
    ended_at: int
    endpoints: int
    silent: int
    most: int
    cause: str
    sentence: str


class HoldingLine(View, frozen=True):
    """What the endpoints hold, and what is accepted; ``accepted`` is None if that is no question of accepting."""

    held: str
    accepts: str
    accepted: bool | None


class OptionLine(View, frozen=True):
    """A way out: how many endpoints it brings back, whether it can be taken now, and the command."""

    way: str
    endpoints: int
    available: bool
    sentence: str
    command: str


class CourseView(View, frozen=True):
    """How an incident goes.

    Attributes:
        names: of some that are silent.
        course: how many were silent when, since it began.
    """

    line: IncidentLine
    names: tuple[str, ...]
    course: tuple[Point, ...]


class IncidentView(View, frozen=True):
    """An incident with everything that is known of it.

    Attributes:
        names: of some that are silent.
        course: how many were silent when, since it began.
        holdings: what they hold against what is accepted.
        findings: causes, the surest first; as of now while it has not ended, else as they were last found.
        options: ways out with real counts, where an account is behind it.
    """

    line: IncidentLine
    names: tuple[str, ...]
    course: tuple[Point, ...]
    holdings: tuple[HoldingLine, ...]
    findings: tuple[Finding, ...]
    options: tuple[OptionLine, ...]


class GroupLine(View, frozen=True):
    """Endpoints that have something in common, as the last roll call counted them.

    Attributes:
        silent: that missed a whole check-in; ``never``: that never checked in.
        usual: share that is usually silent at this hour, 0 to 1.
    """

    group: str
    name: str
    endpoints: int
    silent: int
    never: int
    usual: float
    names: tuple[str, ...]


class MinuteLine(View, frozen=True):
    """Traffic of a minute that began ``at`` (unix seconds)."""

    at: int
    check_ins: int
    refusals: dict[str, int]


class RollCallView(View, frozen=True):
    """What the last roll call counted, and the traffic of the last minutes.

    Attributes:
        counted_at: when it began (unix seconds), 0 if none was made yet.
        groups: by kind, in each those with most silent first; not more of a kind than were asked for.
        disks: endpoints by what their disks are: ``protected``, ``exposed`` or ``unknown``.
    """

    counted_at: int
    endpoints: int
    silent: int
    never: int
    groups: tuple[GroupLine, ...]
    traffic: tuple[MinuteLine, ...]
    disks: dict[str, int]


class CheckLine(View, frozen=True):
    """One thing that was looked at on the server: ``good``, ``bad`` or ``unknown``."""

    what: str
    state: str
    sentence: str


class SubjectFindings(View, frozen=True):
    """What is found about one subject, for example an account."""

    subject: str
    findings: tuple[Finding, ...]


class ServerDiagnosis(View, frozen=True):
    """The server's own evidence and findings (``at`` in unix seconds)."""

    at: int
    checks: tuple[CheckLine, ...]
    subjects: tuple[SubjectFindings, ...]


class EndingLine(View, frozen=True):
    """Something that will end, or has ended; see ``core.forecast.Ending``.

    Attributes:
        days: whole days until then, negative when it is past.
        strands: endpoints that cannot check in from then on.
    """

    thing: str
    name: str
    at: int
    days: int
    strands: int
    sentence: str
    command: str


class ForecastView(View, frozen=True):
    """What will end, the first first (times in unix seconds).

    Attributes:
        endpoints: that check in at this server, as counted at ``counted_at``; 0 before the first roll call.
    """

    at: int
    counted_at: int
    endpoints: int
    endings: tuple[EndingLine, ...]
