"""What may happen to a fleet: each scenario is a list of acts by day, and must strand nobody."""

from dataclasses import dataclass

from keyfast.simulation import acts, leading
from keyfast.simulation.fleet import Act, Fleet


@dataclass(frozen=True, slots=True)
class Scenario:
    """One scenario.

    Attributes:
        sentence: what happens.
        mode: authentication mode in which the fleet begins.
        acts: days (from 0) and what happens then, in order.
        last: what happens before the roll call, whatever day it is.
        device_key: setting ``recovery.device_key``.
    """

    sentence: str
    mode: str
    acts: tuple[tuple[float, Act], ...] = ()
    last: Act | None = None
    device_key: str = "always"


async def begin(fleet: Fleet, scenario: Scenario, count: int) -> None:
    """Set the site up and install the fleet's first package."""
    site = fleet.site
    fleet.order = {"mode": scenario.mode}
    if scenario.mode == "windows":
        await site.set_password(acts.ACCOUNT, acts.FIRST)
        await site.open_mode("windows")
        await site.add_account(acts.ACCOUNT, acts.FIRST)
        fleet.order["account"] = acts.ACCOUNT
    await site.tick()
    await fleet.join(count, await site.package(days=7, **fleet.order))


def _daily(act: Act, first: int, last: int) -> tuple[tuple[float, Act], ...]:
    return tuple((float(day), act) for day in range(first, last))


def _in_order(*parts: tuple[tuple[float, Act], ...]) -> tuple[tuple[float, Act], ...]:
    return tuple(sorted((act for part in parts for act in part), key=lambda act: act[0]))


def _rotation(begins: Act) -> tuple[tuple[float, Act], ...]:
    """A rotation that an administrator looks at every day."""
    return _in_order(
        ((8, leading.the_partner_is_put_on_record), (8, begins)),
        _daily(leading.the_rotation_is_looked_at, 9, 30),
        ((30, leading.the_missing_are_waived),),
        _daily(leading.the_old_access_is_refused, 31, 90),
        _daily(leading.the_old_access_is_destroyed, 40, 90),
    )


def _renewals(*further: tuple[float, Act]) -> tuple[tuple[float, Act], ...]:
    """Device keys are renewed over a bad network; then disks go back to before it, and the server, too."""
    return _in_order(
        (
            (8, acts.images_are_kept),
            (9, acts.a_backup_is_made),
            (10, acts.answers_get_lost),
            (10, leading.every_device_key_is_renewed),
            (24, acts.the_network_is_mended),
            (32, acts.images_are_restored),
            (40, acts.the_backup_is_restored),
            (45, leading.the_restore_is_over),
        ),
        _daily(leading.the_rotation_is_looked_at, 11, 39),
        further,
    )


SCENARIOS: dict[str, Scenario] = {
    "calm": Scenario("Nothing happens for three months.", "oauth"),
    "keys": Scenario(
        "Enrolment tokens expire and are revoked, token keys and the root are rotated, clocks go wrong.",
        "oauth",
        (
            (10, acts.packages_are_revoked),
            (20, acts.every_token_key_is_rotated),
            (30, acts.clocks_go_wrong),
            (40, acts.the_root_is_rotated),
        ),
    ),
    "device-keys": Scenario(
        "Every device key is renewed while many answers get lost; images and a backup from before that are restored.",
        "oauth",
        _renewals((46, leading.every_device_key_is_renewed)),
        last=leading.most_keys_are_new,
    ),
    "device-keys-windows": Scenario(
        "As device-keys, in Windows mode, and then somebody changes the password.",
        "windows",
        _renewals((48, acts.somebody_changes_the_password), (50, acts.the_new_password_is_put_on_record)),
        last=leading.most_keys_are_new,
    ),
    "outage": Scenario(
        "The server is down for a week.", "oauth", ((20, acts.the_server_is_down), (27, acts.the_server_is_back))
    ),
    "images": Scenario(
        "Disks are imaged, cloned, and rolled back six weeks.",
        "oauth",
        ((10, acts.images_are_kept), (20, acts.disks_are_cloned), (52, acts.images_are_restored)),
    ),
    "password": Scenario(
        "Somebody changes the shared account's password; four days later an administrator puts it on record.",
        "windows",
        ((20, acts.somebody_changes_the_password), (24, acts.the_new_password_is_put_on_record)),
    ),
    "password-restored": Scenario(
        "Somebody changes the shared account's password; two days later it is set back.",
        "windows",
        ((20, acts.somebody_changes_the_password), (22, acts.the_old_password_is_restored)),
    ),
    "restored": Scenario(
        "The server is lost and restored from a backup made before nearly a third of the fleet joined.",
        "oauth",
        ((10, acts.a_backup_is_made), (15, acts.machines_join), (40, acts.the_backup_is_restored)),
    ),
    "restored-windows": Scenario(
        "As restored, in Windows mode, and from before a rotation to an account whose password the backup has not.",
        "windows",
        (
            (8, leading.the_partner_is_put_on_record),
            (10, acts.a_backup_is_made),
            (15, acts.machines_join),
            (16, leading.the_partner_gets_a_newer_password),
            (17, leading.the_fleet_moves_to_the_partner),
            *_daily(leading.the_rotation_is_looked_at, 18, 35),
            (35, acts.the_backup_is_restored),
            (42, leading.the_partner_gets_a_newer_password),
            (45, leading.the_restore_is_over),
        ),
    ),
    "rotation": Scenario(
        "The fleet moves to another account; the old one is refused, and then destroyed.",
        "windows",
        _rotation(leading.the_fleet_moves_to_the_partner),
        last=leading.the_rotation_is_over,
    ),
    "oauth": Scenario(
        "The fleet moves from Windows Authentication to OAuth; the old account is refused, and then destroyed.",
        "windows",
        _rotation(leading.the_fleet_moves_to_oauth),
        last=leading.the_rotation_is_over,
    ),
    "recovery": Scenario(
        "Somebody changes the password; endpoints fetch the new one by their device keys, some months later.",
        "windows",
        (
            (20, acts.somebody_changes_the_password),
            (22, leading.recovery_by_device_key_begins),
            (30, leading.recovery_ends_over_the_missing),
        ),
    ),
    "window": Scenario(
        "The same where a recovery window must be open: for two days, and later for those who were away.",
        "windows",
        (
            (20, acts.somebody_changes_the_password),
            (24, leading.recovery_by_window_begins),
            (26 - 1 / 24, leading.recovery_ends_over_the_missing),
            (40, leading.a_window_opens_for_the_rest),
            (42 - 1 / 24, leading.the_window_is_closed),
        ),
        last=leading.a_window_opens_for_the_rest,
        device_key="window",
    ),
    "bad-rotation": Scenario(
        "An address at which there is no server is rolled out; the rotation pauses by itself and is undone.",
        "oauth",
        ((10, leading.the_address_is_mistyped), *_daily(leading.the_rotation_is_rolled_back, 12, 50)),
        last=leading.the_rollback_is_over,
    ),
}
