"""Logs of IIS in the W3C extended format: what the web server answered, when, and to whom it granted.

Source of the format: the W3C's extended log file format as IIS writes it, times in UTC, ``#Fields`` naming the
columns, possibly anew within one file. A logon by Negotiate or NTLM has challenges on its way (401.2, and 401.1 with
"no credentials"), which are no refusals; only challenges that nothing follows are.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

from keyfast.core.diagnosis.evidence import Answer
from keyfast.see.registry_text import Damaged

MOST_STEPS = 4096
_FIRST_STEP = 60
_MOST_KINDS = 64
_NO_CREDENTIALS = 0x8009030E
_MOST_FIELDS = 64
_EARLIEST, _LATEST = datetime(1995, 1, 1, tzinfo=UTC).timestamp(), datetime(2100, 1, 1, tzinfo=UTC).timestamp()


@dataclass(slots=True)
class Step:
    """What was answered in one stretch of time.

    Attributes:
        granted: requests that succeeded.
        unnamed: of those, without a name.
        challenges: answers that ask for a logon (401.2).
        legs: answers in the middle of a logon (401.1, no credentials yet).
        refusals: other refusals and faults, by kind.
        accounts: successes by logon name in lower case, of names that were asked for.
    """

    granted: int = 0
    unnamed: int = 0
    challenges: int = 0
    legs: int = 0
    refusals: Counter[tuple[int, int, int]] = field(default_factory=Counter)
    accounts: Counter[str] = field(default_factory=Counter)

    @property
    def refused(self) -> int:
        """Requests that ended in a refusal; challenges only where nothing followed them."""
        others = self.refusals.total()
        return others + max(0, self.challenges - self.granted - others, self.legs - self.granted - others)

    def absorb(self, other: "Step") -> None:
        """Add what another step has."""
        self.granted += other.granted
        self.unnamed += other.unnamed
        self.challenges += other.challenges
        self.legs += other.legs
        self.refusals.update(other.refusals)
        self.accounts.update(other.accounts)


class IisLog:
    """Reads lines and keeps a history of at most MOST_STEPS steps, however long the log is.

    Args:
        accounts: logon names, in lower case, whose successes are told apart.
        prefix: only requests for paths that begin so, in lower case; empty for all.
    """

    def __init__(self, accounts: frozenset[str] = frozenset(), prefix: str = "") -> None:
        self._accounts = accounts
        self._prefix = prefix
        self._columns: dict[str, int] = {}
        self._width = 0
        self._minute = ("", 0.0)
        self._steps: dict[int, Step] = {}
        self._names = False
        self.step_s = _FIRST_STEP
        self.requests = 0

    def read(self, lines: Iterable[str | None]) -> Iterator[Damaged]:
        """Take a file; what is damaged is yielded."""
        self._columns, self._width = {}, 0
        for line in lines:
            if line is None:
                yield Damaged()
            elif line.startswith("#"):
                self._directive(line)
            elif line and not self._request(line):
                yield Damaged()

    @property
    def steps(self) -> list[tuple[int, Step]]:
        """The history, oldest first: when each step begins, and what it holds."""
        return [(number * self.step_s, self._steps[number]) for number in sorted(self._steps)]

    @property
    def has_names(self) -> bool:
        """Whether the log says to whom requests were granted."""
        return self._names

    def _directive(self, line: str) -> None:
        if line.startswith("#Fields:"):
            names = line[len("#Fields:") :].split()[:_MOST_FIELDS]
            self._columns = {name.lower(): place for place, name in enumerate(names)}
            self._width = len(names)
            self._names = self._names or "cs-username" in self._columns

    def _request(self, line: str) -> bool:
        parts = line.split(" ")
        columns = self._columns
        if len(parts) != self._width or not columns:
            return False
        try:
            at = self._time(parts[columns["date"]], parts[columns["time"]])
            status = int(parts[columns["sc-status"]])
            substatus = int(parts[columns["sc-substatus"]]) if "sc-substatus" in columns else 0
            win32 = int(parts[columns["sc-win32-status"]]) if "sc-win32-status" in columns else 0
        except (KeyError, ValueError):
            return False
        if self._prefix and not parts[columns.get("cs-uri-stem", 0)].lower().startswith(self._prefix):
            return True
        self.requests += 1
        name = parts[columns["cs-username"]] if "cs-username" in columns else "-"
        self._count(self._step(at), (status, substatus, win32), name)
        return True

    def _count(self, step: Step, kind: tuple[int, int, int], name: str) -> None:
        status, substatus, win32 = kind
        if 200 <= status < 400:  # noqa: PLR2004 - RFC 9110 section 15: success and redirection
            step.granted += 1
            if name == "-":
                step.unnamed += 1
            elif (known := logon(name)) in self._accounts:
                step.accounts[known] += 1
        elif status == 401 and substatus == 2:  # noqa: PLR2004 - a challenge
            step.challenges += 1
        elif status == 401 and win32 == _NO_CREDENTIALS:  # noqa: PLR2004
            step.legs += 1
        elif kind in step.refusals or len(step.refusals) < _MOST_KINDS:
            step.refusals[kind] += 1
        else:
            step.refusals[0, 0, 0] += 1

    def _time(self, date: str, clock: str) -> float:
        minute = f"{date} {clock[:5]}"
        if minute != self._minute[0]:
            at = datetime.strptime(minute, "%Y-%m-%d %H:%M").replace(tzinfo=UTC).timestamp()
            if not _EARLIEST <= at < _LATEST:
                raise ValueError("no such time in a log")
            self._minute = (minute, at)
        return self._minute[1]

    def _step(self, at: float) -> Step:
        number = int(at) // self.step_s
        found = self._steps.get(number)
        if found is None:
            if len(self._steps) >= MOST_STEPS:
                self._coarsen()
                return self._step(at)
            found = self._steps[number] = Step()
        return found

    def _coarsen(self) -> None:
        """Make steps twice as long."""
        self.step_s *= 2
        old, self._steps = self._steps, {}
        for number, step in old.items():
            self._steps.setdefault(number // 2, Step()).absorb(step)


def logon(name: str) -> str:
    r"""The logon name, in lower case, of ``DOMAIN\name``, ``name@domain`` or ``name``."""
    return name.rpartition("\\")[2].partition("@")[0].lower()


def answers(steps: Sequence[Step]) -> tuple[Answer, ...]:
    """What was answered in some steps, most frequent first; challenges only where nothing followed them."""
    counted: Counter[tuple[int, int, int]] = Counter()
    for step in steps:
        counted.update(step.refusals)
    open_ended = sum(step.refused for step in steps) - counted.total()
    found = [Answer(*kind, count) for kind, count in counted.most_common(_MOST_KINDS)]
    if open_ended > 0:
        found.append(Answer(401, 2, 0, open_ended))
    return tuple(sorted(found, key=lambda answer: -answer.count))
