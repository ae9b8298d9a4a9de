"""A runner without a machine: answers are told beforehand, and what was asked is kept."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from keyfast.disks.runner import MISSING, Result

FIXTURES = Path(__file__).resolve().parents[1] / "fixtures" / "disks"

Answer = Result | Callable[[tuple[str, ...]], Result]


def fixture(name: str) -> Result:
    """Return a tool's output from ``tests/fixtures/disks``."""
    return Result(0, (FIXTURES / name).read_bytes())


class FakeRunner:
    """Implements ``CommandRunner``.

    Args:
        answers: by the beginning of a command line, words separated by blanks; the longest that fits
            answers. What no entry fits is a tool that is not installed.
    """

    def __init__(self, answers: Mapping[str, Answer]) -> None:
        self._answers = {tuple(line.split()): answer for line, answer in answers.items()}
        self.asked: list[tuple[str, ...]] = []

    def run(self, argv: Sequence[str], *, timeout: float = 20) -> Result:
        """See ``CommandRunner.run``."""
        line = tuple(argv)
        self.asked.append(line)
        fitting = [start for start in self._answers if line[: len(start)] == start]
        if not fitting:
            return Result(MISSING)
        answer = self._answers[max(fitting, key=len)]
        return answer(line) if callable(answer) else answer
