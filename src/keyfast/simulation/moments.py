"""Virtual time, and an endpoint's clocks in it."""

import uuid
from dataclasses import dataclass, field

from keyfast.agent.timing import Moment


@dataclass(slots=True)
class VirtualTime:
    """The one time of a simulation, in unix seconds."""

    now: float

    def __call__(self) -> float:
        """Return the time, as services read their clock."""
        return self.now


@dataclass(slots=True)
class EndpointClock:
    """The clocks of one endpoint (``keyfast.agent.clock.Clock``).

    Attributes:
        time: the simulation's.
        skew: seconds by which the endpoint's own clock is wrong.
        booted_at: when it was switched on.
    """

    time: VirtualTime
    skew: float = 0.0
    booted_at: float = 0.0
    boot_id: str = field(default_factory=lambda: str(uuid.uuid4()))

    def now(self) -> Moment:
        """Read all clocks at once."""
        return Moment(self.time.now + self.skew, self.time.now - self.booted_at, self.boot_id)

    def boot(self) -> None:
        """Switch the machine off and on."""
        self.booted_at, self.boot_id = self.time.now, str(uuid.uuid4())
