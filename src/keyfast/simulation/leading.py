"""What an administrator does by the admin API: rotations, recoveries, recovery windows, the end of a restore."""

from msgspec.structs import replace

from keyfast.core.rotation_state import RotationState
from keyfast.errors import ConflictError
from keyfast.simulation.acts import ACCOUNT, FIRST, PARTNER, SECOND
from keyfast.simulation.fleet import Fleet
from keyfast.simulation.habits import DAY
from keyfast.simulation.site import AdminError
from keyfast.wire.admin import Changed
from keyfast.wire.recovery import RecoveryFinish, RecoveryOrder, RecoveryStatus
from keyfast.wire.rotation import RotationLine, RotationOrder, RotationView, Waived, Waiver
from keyfast.wire.window import WindowClose, WindowOrder, WindowView

HOLD = 14 * DAY
"""Every hold of a rotation: shorter than the defaults, so that a whole one fits into two months."""
WINDOW_MINUTES = 2 * 1440
PAGE = 1000
MOST = 0.7
"""Share of a fleet; the others are away for long."""
GONE = "Nobody-Knows-This-0ne"


class ScenarioError(ConflictError):
    """What the scenario is about did not happen, so that it shows nothing."""

    def __init__(self, message: str) -> None:
        super().__init__(message, repair="give it time and machines: --days 60 --agents 25")


async def the_partner_is_put_on_record(fleet: Fleet) -> None:
    """The other account of a pair is made, and the server is told its password."""
    await fleet.site.set_password(PARTNER, FIRST)
    await fleet.site.add_account(PARTNER, FIRST)


async def the_partner_gets_a_newer_password(fleet: Fleet) -> None:
    """While nobody uses it, the other account's password is changed, and put on record."""
    await fleet.site.set_password(PARTNER, SECOND)
    await fleet.site.add_account(PARTNER, SECOND)


async def the_fleet_moves_to_the_partner(fleet: Fleet) -> None:
    """An account rotation begins."""
    await _begun(fleet, _held(RotationOrder("account", source=ACCOUNT, target=PARTNER)))


async def the_fleet_moves_to_oauth(fleet: Fleet) -> None:
    """The fleet is to hold no password any more."""
    await _begun(fleet, _held(RotationOrder("oauth", source=ACCOUNT)))


async def every_device_key_is_renewed(fleet: Fleet) -> None:
    """Each endpoint is to have a new device key."""
    await _begun(fleet, RotationOrder("device_key"))


async def most_keys_are_new(fleet: Fleet) -> None:
    """Whatever happened since, most endpoints have had another device key before the one that they use."""
    new = sum(bool(endpoint.record.key_history) for endpoint in fleet.endpoints)
    if new < len(fleet.endpoints) * MOST:
        raise ScenarioError(f"only {new} of {len(fleet.endpoints)} device keys were renewed")


async def the_address_is_mistyped(fleet: Fleet) -> None:
    """A new address is rolled out at which there is no server."""
    await _begun(fleet, RotationOrder("address", mode="oauth", urls=("https://mistyped.example",)))


async def the_rotation_is_looked_at(fleet: Fleet) -> None:
    """If it paused by itself the administrator has a look, and lets it go on."""
    view = await _newest(fleet)
    if view.paused:
        await _act(fleet, view, "resume")


async def the_missing_are_waived(fleet: Fleet) -> None:
    """Who has not moved after weeks is not waited for."""
    view = await _newest(fleet)
    while view.missing:
        waiver = Waiver(tuple(found.id for found in view.missing), "not seen for weeks")
        if not (await fleet.site.post(f"/admin/v1/rotations/{view.id}/waive", Waived, waiver)).endpoints:
            return
        view = await _newest(fleet)


async def the_old_access_is_refused(fleet: Fleet) -> None:
    """As soon as nothing stands against it."""
    await _tried(fleet, RotationState.DRAINING, "retire")


async def the_old_access_is_destroyed(fleet: Fleet) -> None:
    """As soon as nothing stands against it; then the account gets a password that nobody knows."""
    if await _tried(fleet, RotationState.REFUSED, "finish"):
        await fleet.site.set_password(ACCOUNT, GONE)


async def the_rotation_is_over(fleet: Fleet) -> None:
    """Else the scenario has shown nothing."""
    view = await _newest(fleet)
    if not view.finished and view.state != RotationState.REFUSED:
        raise ScenarioError(f"the rotation is {view.state}: {view.paused}{_against(view)}")


async def the_rotation_is_rolled_back(fleet: Fleet) -> None:
    """As soon as it has paused by itself, before it did harm, it is undone: a canary may be away for days."""
    view = await _newest(fleet)
    if view.moved:
        raise ScenarioError(f"the rotation went on: {view.state}, {view.moved} moved")
    if view.paused:
        await _act(fleet, view, "roll-back")


async def the_rollback_is_over(fleet: Fleet) -> None:
    """Everybody is back where they were."""
    view = await _newest(fleet)
    if view.state != RotationState.ABANDONED:
        raise ScenarioError(f"the rotation is {view.state}: {_against(view)}")


async def recovery_by_device_key_begins(fleet: Fleet) -> None:
    """An administrator names the password that holds now; endpoints fetch it by their device keys."""
    order = RecoveryOrder(ACCOUNT, "device-key", password=SECOND)
    await fleet.site.post("/admin/v1/recovery/begin", RecoveryStatus, order)


async def recovery_by_window_begins(fleet: Fleet) -> None:
    """The same where endpoints recover only while a recovery window is open: one is opened for two days."""
    order = RecoveryOrder(
        ACCOUNT, "window", password=SECOND, reason="it was changed", minutes=WINDOW_MINUTES, ranges=("any",)
    )
    await fleet.site.post("/admin/v1/recovery/begin", RecoveryStatus, order)


async def recovery_ends_over_the_missing(fleet: Fleet) -> None:
    """Who is away is given up by number; the window, if there is one, is closed."""
    status = await fleet.site.get("/admin/v1/recovery/status", RecoveryStatus, account=ACCOUNT)
    finish = RecoveryFinish(ACCOUNT, despite_unproven=status.missing_count)
    await fleet.site.post("/admin/v1/recovery/finish", RecoveryStatus, finish)


async def a_window_opens_for_the_rest(fleet: Fleet) -> None:
    """Those who were away come back in office hours of the two days for which it is open again."""
    order = WindowOrder("for those who were away", WINDOW_MINUTES, ("any",), ACCOUNT)
    await fleet.site.post("/admin/v1/windows/open", WindowView, order)


async def the_window_is_closed(fleet: Fleet) -> None:
    """Over those who are still away, by number."""
    view = await fleet.site.get("/admin/v1/windows/show", WindowView)
    if view.line.state == "open":
        close = WindowClose(view.line.id, despite_unproven=view.line.counts.unproven)
        await fleet.site.post("/admin/v1/windows/close", WindowView, close)


async def the_restore_is_over(fleet: Fleet) -> None:
    """An operator says that the restored server is complete again."""
    await fleet.site.post("/admin/v1/installation/end-recovery", Changed)


def _against(view: RotationView) -> str:
    return "; ".join(f"{step.step}: {', '.join(step.against)}" for step in view.steps if step.against)


def _held(order: RotationOrder) -> RotationOrder:
    return replace(order, drain_s=HOLD, refused_s=HOLD, backup_s=HOLD)


async def _begun(fleet: Fleet, order: RotationOrder) -> None:
    view = await fleet.site.post("/admin/v1/rotations", RotationView, order)
    await _act(fleet, view, "start")


async def _act(fleet: Fleet, view: RotationView, act: str) -> None:
    await fleet.site.post(f"/admin/v1/rotations/{view.id}/{act}", RotationView)


async def _newest(fleet: Fleet) -> RotationView:
    lines = await fleet.site.get("/admin/v1/rotations", list[RotationLine])
    if not lines:
        raise ScenarioError("no rotation has begun")
    return await fleet.site.get(f"/admin/v1/rotations/{lines[0].id}", RotationView, limit=PAGE)


async def _tried(fleet: Fleet, state: RotationState, act: str) -> bool:
    view = await _newest(fleet)
    if view.state != state:
        return False
    try:
        await _act(fleet, view, act)
    except AdminError:
        return False  # something stands against it; another day
    return True
