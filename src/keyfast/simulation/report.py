"""What a simulation came to."""

from collections import Counter
from dataclasses import dataclass

from keyfast.simulation.fleet import Fleet


@dataclass(frozen=True, slots=True)
class Result:
    """The outcome of one scenario.

    Attributes:
        scenario: its name.
        endpoints: machines in the fleet at the end.
        days: virtual days, without the roll call.
        check_ins: accepted.
        missed: visits that ended without a check-in though one was due.
        why: reasons of those, by refusal class or ``unreached``.
        stranded: names of machines that could not check in at the roll call. The figure that counts; it is 0.
        short_of: what the scenario did not come to in its time, so that it shows less; empty for nothing.
        seconds: real time it took.
    """

    scenario: str
    endpoints: int
    days: int
    check_ins: int
    missed: int
    why: dict[str, int]
    stranded: tuple[str, ...]
    short_of: str
    seconds: float


def result(name: str, fleet: Fleet, stranded: tuple[str, ...], short_of: str, seconds: float) -> Result:
    """Sum up."""
    why: Counter[str] = Counter()
    for day in fleet.log.values():
        why.update(day.why)
    return Result(
        scenario=name,
        endpoints=len(fleet.endpoints),
        days=fleet.days,
        check_ins=sum(day.check_ins for day in fleet.log.values()),
        missed=sum(day.missed for day in fleet.log.values()),
        why=dict(why.most_common()),
        stranded=stranded,
        short_of=short_of,
        seconds=round(seconds, 1),
    )
