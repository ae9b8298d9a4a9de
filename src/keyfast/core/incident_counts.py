"""What a roll call counts for incidents: with what they explain, and while some are young as if those were none."""

from collections.abc import Iterable, Sequence

from keyfast.core.incident import Incident
from keyfast.core.roll_call import Line, RollCall


class Counts:
    """Counts of one roll call, and while there are young incidents the same as if there were none.

    Args:
        now: when it began.
        incidents: those that have not ended.
        interval_s: between two check-ins.
    """

    def __init__(self, now: int, incidents: Iterable[Incident], interval_s: int) -> None:
        open_ = list(incidents)
        old = [one for one in open_ if not one.is_young(interval_s, now)]
        self.young = {one.id for one in open_} - {one.id for one in old}
        self.all = RollCall(now, [one.explains for one in open_])
        self.afresh = RollCall(now, [one.explains for one in old]) if self.young else self.all

    def count(self, lines: Sequence[Line]) -> None:
        """Count endpoints."""
        self.all.count(lines)
        if self.afresh is not self.all:
            self.afresh.count(lines)
