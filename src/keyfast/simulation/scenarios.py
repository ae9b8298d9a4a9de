"""What may happen to a fleet: each scenario is a list of acts by day, and must strand nobody."""

from dataclasses import dataclass
from pathlib import Path

from keyfast.simulation.endpoint import Disk
from keyfast.simulation.fleet import Act, Fleet
from keyfast.simulation.habits import DAY
from keyfast.wire.admin import Changed, KeyLine

ACCOUNT = "svc-see"
FIRST, SECOND = "First-Simulated-Passw0rd", "Second-Simulated-Passw0rd"


@dataclass(frozen=True, slots=True)
class Scenario:
    """One scenario.

    Attributes:
        sentence: what happens.
        mode: authentication mode in which the fleet begins.
        acts: days (from 0) and what happens then, in order.
    """

    sentence: str
    mode: str
    acts: tuple[tuple[float, Act], ...] = ()


async def begin(fleet: Fleet, scenario: Scenario, count: int) -> None:
    """Set the site up and install the fleet's first package."""
    site = fleet.site
    order: dict[str, str] = {"mode": scenario.mode}
    if scenario.mode == "windows":
        await site.set_password(ACCOUNT, FIRST)
        await site.open_mode("windows")
        await site.add_account(ACCOUNT, FIRST)
        order["account"] = ACCOUNT
    await site.tick()
    await fleet.join(count, await site.package(days=7, **order))


async def somebody_changes_the_password(fleet: Fleet) -> None:
    """The account's password is set anew in the directory, and nobody tells the server."""
    await fleet.site.set_password(ACCOUNT, SECOND)


async def the_new_password_is_put_on_record(fleet: Fleet) -> None:
    """An administrator tells the server the password that holds now."""
    await fleet.site.add_account(ACCOUNT, SECOND)


async def the_old_password_is_restored(fleet: Fleet) -> None:
    """An administrator sets the former password again."""
    await fleet.site.set_password(ACCOUNT, FIRST)


async def every_token_key_is_rotated(fleet: Fleet) -> None:
    """The keys behind access tokens, enrolment tokens and nonces change."""
    for _ in range(3):
        await fleet.site.post("/admin/v1/keys/rotate", list[KeyLine], {"role": "token"})


async def the_root_is_rotated(fleet: Fleet) -> None:
    """Root and every role get new keys."""
    for role in ("root", "profile", "command", "receipt"):
        await fleet.site.post("/admin/v1/keys/rotate", list[KeyLine], {"role": role})


async def images_are_kept(fleet: Fleet) -> None:
    """Somebody makes images of every twentieth disk."""
    for endpoint in fleet.endpoints[::20]:
        (_folder(fleet) / endpoint.name).write_bytes(endpoint.disk.content)


async def images_are_restored(fleet: Fleet) -> None:
    """The images are put back, weeks later."""
    for endpoint in fleet.endpoints[::20]:
        endpoint.restart((_folder(fleet) / endpoint.name).read_bytes())


async def disks_are_cloned(fleet: Fleet) -> None:
    """Some machines are copied, and original and copy both live on."""
    for endpoint in fleet.endpoints[7:200:40]:
        fleet.add(Disk(endpoint.disk.content), endpoint.calendar)


async def a_backup_is_made(fleet: Fleet) -> None:
    """The database is copied."""
    await fleet.site.backup(_folder(fleet) / "backup.db")


async def machines_join(fleet: Fleet) -> None:
    """Nearly a third more machines get a new package."""
    await fleet.join(len(fleet.endpoints) * 3 // 7, await fleet.site.package(days=30))


async def the_backup_is_restored(fleet: Fleet) -> None:
    """The server is lost, and comes back as it was at the backup."""
    await fleet.site.restore(_folder(fleet) / "backup.db")


async def the_server_is_down(fleet: Fleet) -> None:
    """The server fails."""
    await fleet.site.stop()


async def the_server_is_back(fleet: Fleet) -> None:
    """And is started again, days later."""
    await fleet.site.start()


async def clocks_go_wrong(fleet: Fleet) -> None:
    """Every tenth endpoint's clock is years off, in both directions."""
    for endpoint in fleet.endpoints[::10]:
        endpoint.clock.skew = endpoint.chance.choice((-20, 10)) * 365.0 * DAY


async def packages_are_revoked(fleet: Fleet) -> None:
    """Every package's enrolment token is revoked."""
    for line in await fleet.site.get("/admin/v1/packages", list[dict[str, object]]):
        await fleet.site.post(f"/admin/v1/packages/{line['id']}/revoke", Changed)


def _folder(fleet: Fleet) -> Path:
    folder = fleet.site.settings.data / "simulation"
    folder.mkdir(exist_ok=True)
    return folder


SCENARIOS: dict[str, Scenario] = {
    "calm": Scenario("Nothing happens for three months.", "oauth"),
    "keys": Scenario(
        "Enrolment tokens expire and are revoked, token keys and the root are rotated, clocks go wrong.",
        "oauth",
        (
            (10, packages_are_revoked),
            (20, every_token_key_is_rotated),
            (30, clocks_go_wrong),
            (40, the_root_is_rotated),
        ),
    ),
    "outage": Scenario("The server is down for a week.", "oauth", ((20, the_server_is_down), (27, the_server_is_back))),
    "images": Scenario(
        "Disks are imaged, cloned, and rolled back six weeks.",
        "oauth",
        ((10, images_are_kept), (20, disks_are_cloned), (52, images_are_restored)),
    ),
    "password": Scenario(
        "Somebody changes the shared account's password; four days later an administrator puts it on record.",
        "windows",
        ((20, somebody_changes_the_password), (24, the_new_password_is_put_on_record)),
    ),
    "password-restored": Scenario(
        "Somebody changes the shared account's password; two days later it is set back.",
        "windows",
        ((20, somebody_changes_the_password), (22, the_old_password_is_restored)),
    ),
    "restored": Scenario(
        "The server is lost and restored from a backup made before nearly a third of the fleet joined.",
        "oauth",
        ((10, a_backup_is_made), (15, machines_join), (40, the_backup_is_restored)),
    ),
}
