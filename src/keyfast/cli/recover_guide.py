"""The steps of ``keyfast recover``: look, choose, begin, follow, finish. Everything that counts is on the server."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol, TypeVar

from keyfast.errors import UsageError
from keyfast.wire.admin import PackageLine, PackageOrder
from keyfast.wire.recovery import RecoveryFinish, RecoveryOrder, RecoveryStatus, SituationView, WayLine

Answer = TypeVar("Answer")

POLL_SECONDS = 2.0
OVER = ("done", "idle")


class Admin(Protocol):
    """The admin API; see ``cli.client.AdminClient``."""

    def get(self, path: str, kind: type[Answer], query: Mapping[str, str | int] | None = None) -> Answer:
        """Read something."""
        ...

    def post(self, path: str, kind: type[Answer], body: object = None) -> Answer:
        """Change something."""
        ...


class Person(Protocol):
    """Whoever sits at the terminal."""

    def choose(self, question: str, answers: Sequence[tuple[str, str]]) -> str:
        """Have one of some (answer, explanation) chosen; the first is the one recommended."""
        ...

    def text(self, question: str) -> str:
        """Ask for a line."""
        ...

    def password(self, question: str) -> str:
        """Ask for a password without showing it."""
        ...


@dataclass(frozen=True, slots=True)
class Choices:
    """What was said on the command line; empty is asked for, if somebody is there to answer.

    Attributes:
        password: reads the password that was named on the command line, None if none was.
        wait: seconds to follow the recovery, None for until it is over.
    """

    account: str = ""
    way: str = ""
    to: str = ""
    password: Callable[[], str] | None = None
    despite: tuple[str, ...] = ()
    reason: str = ""
    minutes: int = 240
    ranges: tuple[str, ...] = ()
    resume: bool = False
    waive: tuple[str, ...] = ()
    despite_unproven: int | None = None
    wait: float | None = None

    @property
    def gives_up(self) -> bool:
        """Whether missing endpoints are given up."""
        return bool(self.waive) or self.despite_unproven is not None


class Guide:
    """Runs the steps.

    Args:
        admin: the server.
        person: None where nobody can be asked.
        show: shows a status, again and again.
        note: says a sentence.
        nap: sleeps some seconds.
        clock: seconds.
    """

    def __init__(
        self,
        admin: Admin,
        person: Person | None,
        show: Callable[[RecoveryStatus], None],
        note: Callable[[str], None],
        nap: Callable[[float], None],
        clock: Callable[[], float],
    ) -> None:
        self._admin = admin
        self._person = person
        self._show = show
        self._note = note
        self._nap = nap
        self._clock = clock

    def run(self, choices: Choices) -> RecoveryStatus:
        """Begin or go on, follow, and finish when all are back; return how far it came."""
        status = self._status(choices.account)
        if status.rotation or choices.resume:
            status = self._go_on(status, choices)
        elif not choices.gives_up and status.stage in ("waiting", "idle"):
            status = self._begin(status, choices)
        status = self._follow(status, choices.wait)
        if status.stage == "done" or choices.gives_up:
            order = RecoveryFinish(status.account, choices.waive, choices.despite_unproven)
            status = self._admin.post("/admin/v1/recovery/finish", RecoveryStatus, order)
            self._show(status)
        return status

    def _status(self, account: str) -> RecoveryStatus:
        return self._admin.get("/admin/v1/recovery/status", RecoveryStatus, {"account": account})

    def _go_on(self, status: RecoveryStatus, choices: Choices) -> RecoveryStatus:
        if status.rotation and choices.way:  # with what was said again, such as a new window after one expired
            return self._post(self._order(status.account, choices.way, choices, needs=()))
        return self._admin.post("/admin/v1/recovery/resume", RecoveryStatus)

    def _begin(self, status: RecoveryStatus, choices: Choices) -> RecoveryStatus:
        broken = [found for found in self._situations() if found.ways]
        if not broken:
            return status
        situation = self._broken(broken, status.account)
        if situation is None:
            return status
        way = self._way(situation, choices.way)
        needs = next((line.needs for line in situation.ways if line.way == way), ())
        status = self._post(self._order(situation.account, way, choices, needs))
        if way == "package":
            made = self._admin.post(
                "/admin/v1/packages", PackageLine, PackageOrder(mode="windows", account=situation.account)
            )
            self._note(f"install this package over each of them: {made.path}")
        return status

    def _situations(self) -> list[SituationView]:
        return self._admin.get("/admin/v1/recovery/situations", list[SituationView])

    def _broken(self, broken: Sequence[SituationView], account: str) -> SituationView | None:
        if account:
            return next((found for found in broken if found.account == account), None)
        if len(broken) == 1:
            return broken[0]
        answers = [(found.account, f"{found.stranded:,} endpoints: {found.summary}") for found in broken]
        chosen = self._asked("--account", lambda person: person.choose("Which account?", answers))
        return next(found for found in broken if found.account == chosen)

    def _way(self, situation: SituationView, said: str) -> str:
        if said:
            return said
        self._note(described(situation))
        answers = [(line.way, _explained(line)) for line in situation.ways if line.available]
        return self._asked("--way", lambda person: person.choose("Which way out?", answers))

    def _order(self, account: str, way: str, choices: Choices, needs: Sequence[str]) -> RecoveryOrder:
        to, reason, ranges, password = choices.to, choices.reason, choices.ranges, ""
        if "account" in needs and not to:
            to = self._asked("--to", lambda person: person.text(r"Move to which account (DOMAIN\name)"))
        if choices.password is not None:
            password = choices.password()
        elif "password" in needs:
            whose = to or account
            password = self._asked("--password-file", lambda person: person.password(f"Password of {whose} that works"))
        if "window" in needs and not reason:
            reason = self._asked("--reason", lambda person: person.text("Why is the window opened"))
        if "window" in needs and not ranges:
            told = self._asked("--address", lambda person: person.text("Address ranges, or any"))
            ranges = tuple(told.replace(",", " ").split())
        return RecoveryOrder(account, way, to, password, choices.despite, reason, choices.minutes, ranges)

    def _post(self, order: RecoveryOrder) -> RecoveryStatus:
        return self._admin.post("/admin/v1/recovery/begin", RecoveryStatus, order)

    def _follow(self, status: RecoveryStatus, wait: float | None) -> RecoveryStatus:
        until = None if wait is None else self._clock() + wait
        self._show(status)
        while _goes_on(status) and (until is None or self._clock() < until):
            self._nap(POLL_SECONDS)
            status = self._status(status.account)
            self._show(status)
        return status

    def _asked(self, option: str, ask: Callable[[Person], str]) -> str:
        if self._person is None:
            raise UsageError(f"nobody can be asked here: say {option}", repair="keyfast recover --help")
        return ask(self._person)


def _goes_on(status: RecoveryStatus) -> bool:
    """Tell whether looking again makes sense; not where nobody can come back until this is run again with more."""
    shut = bool(status.rotation) and status.stage == "waiting"
    return bool(status.account) and status.stage not in OVER and not shut


def described(situation: SituationView) -> str:
    """Say in lines what broke and who is affected."""
    lines = [
        f"{situation.account} is {situation.condition}: {situation.summary}",
        f"{situation.stranded:,} of {situation.endpoints:,} endpoints hold what is not accepted",
    ]
    if situation.refusals:
        reasons = ", ".join(f"{reason} {count:,}" for reason, count in sorted(situation.refusals.items()))
        lines.append(f"refused lately: {reasons}")
    if situation.silent:
        lines.append(f"silent: {', '.join(situation.silent)}")
    return "\n".join(lines + [f"{line.way} cannot be taken: {line.sentence}" for line in _closed(situation)])


def _closed(situation: SituationView) -> list[WayLine]:
    return [line for line in situation.ways if not line.available]


def _explained(line: WayLine) -> str:
    return f"brings back {line.endpoints:,}: {line.sentence}"
