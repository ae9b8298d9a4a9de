"""What every page tells first: whatever is extraordinary now. Read at most every few seconds, from small tables."""

from collections.abc import Callable
from dataclasses import dataclass

from keyfast.core.account import AccountCondition as C
from keyfast.core.incident import IncidentState
from keyfast.core.rotation_state import ENDED, RotationState
from keyfast.core.way_out import UNUSABLE
from keyfast.core.window import is_over
from keyfast.errors import KeyfastError
from keyfast.services.account import AccountService
from keyfast.services.incident import IncidentService
from keyfast.services.live import LiveState
from keyfast.services.rotate import RotationService

KEPT_SECONDS = 5
_ROTATIONS = 20
_INCIDENTS = 20
_OUTAGE = UNUSABLE | {C.CHANGED}
_AHEAD = frozenset({C.EXPIRES_SOON, C.ACCOUNT_EXPIRES_SOON, C.LAGGING, C.OVER_PRIVILEGED})
_CALM = frozenset({RotationState.DRAFT.value, *(state.value for state in ENDED)})


@dataclass(frozen=True, slots=True)
class Banner:
    """One sentence, how grave it is (``warn`` or ``bad``), and where to go."""

    weight: str
    sentence: str
    path: str
    label: str


class Banners:
    """Collects them.

    Args:
        live: recovery window and whether the server went back in time.
        accounts: verdicts on what was last read.
        rotations: those that are running.
        incidents: those that are open.
        clock: unix seconds.
    """

    def __init__(
        self,
        live: LiveState,
        accounts: AccountService,
        rotations: RotationService,
        incidents: IncidentService,
        clock: Callable[[], float],
    ) -> None:
        self._live = live
        self._accounts = accounts
        self._rotations = rotations
        self._incidents = incidents
        self._clock = clock
        self._read_at = float("-inf")
        self._stored: tuple[Banner, ...] = ()

    async def told(self) -> tuple[Banner, ...]:
        """Return what there is to tell, the gravest first."""
        now = self._clock()
        if not 0 <= now - self._read_at < KEPT_SECONDS:
            self._stored = await self._read()
            self._read_at = now
        found = (*self._of_this_process(int(now)), *self._stored)
        return tuple(sorted(found, key=lambda banner: banner.weight != "bad"))

    def _of_this_process(self, now: int) -> list[Banner]:
        live, found = self._live.current, []
        if live.window is not None and not is_over(live.window, now):
            minutes = max(1, (live.window.deadline - now) // 60)
            sentence = f"A recovery window is open for another {minutes} min: {live.window.reason}"
            found.append(Banner("warn", sentence, f"/windows/{live.window.id}", "Who is back"))
        if live.installation.restored_at:
            sentence = "This server went back in time, as after a restored backup: nothing is retired or erased."
            found.append(Banner("bad", sentence, "/settings", "What that means"))
        return found

    def forget(self) -> None:
        """Read everything anew when asked next: somebody did something."""
        self._read_at = float("-inf")

    async def _read(self) -> tuple[Banner, ...]:
        try:
            found = (await self._of_incidents(), await self._of_accounts(), await self._of_rotations())
            return tuple(banner for banners in found for banner in banners)
        except KeyfastError as fault:  # the page itself may have more to say
            return (Banner("bad", f"Not everything could be read: {fault.message}", "/", "Try again"),)

    async def _of_incidents(self) -> list[Banner]:
        found = []
        for line in await self._incidents.list_("", _INCIDENTS):
            if line.state == IncidentState.OPEN.value:
                told = f"{line.silent:,} of {line.endpoints:,} endpoints are silent: {line.told}."
                found.append(Banner("bad", told, f"/incidents/{line.id}", "What happened"))
            elif line.state == IncidentState.RECOVERING.value:
                told = f"Endpoints come back; {line.silent:,} are silent still: {line.told}."
                found.append(Banner("warn", told, f"/incidents/{line.id}", "Watch it"))
        return found

    async def _of_accounts(self) -> list[Banner]:
        found = []
        for line in await self._accounts.list_():
            if line.condition == C.UNREADABLE.value:
                found.append(Banner("bad", f"The directory could not be asked: {line.summary}", "/accounts", "Look"))
            elif line.condition in _OUTAGE:
                found.append(Banner("bad", f"{line.account}: {line.summary}", "/recovery", "Ways out"))
            elif line.condition in _AHEAD:
                found.append(Banner("warn", f"{line.account}: {line.summary}", "/accounts", "Look"))
        return found

    async def _of_rotations(self) -> list[Banner]:
        found = []
        for line in await self._rotations.list_(_ROTATIONS):
            if line.paused and line.state not in _CALM:
                told = f"A rotation ({line.kind}) is paused: {line.paused}"
                found.append(Banner("bad", told, f"/rotations/{line.id}", "Look at it"))
            elif line.state not in _CALM:
                moved = f": {line.moved:,} of {line.targets:,} endpoints moved" if line.targets else ""
                told = f"A rotation ({line.kind}) is under way{moved}."
                found.append(Banner("warn", told, f"/rotations/{line.id}", "Watch it"))
        return found
