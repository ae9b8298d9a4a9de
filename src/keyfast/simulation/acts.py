"""What fate, colleagues and disasters do to a fleet: each act happens at one moment of a scenario."""

from pathlib import Path

from keyfast.simulation.endpoint import Disk
from keyfast.simulation.fleet import Fleet
from keyfast.simulation.habits import DAY
from keyfast.wire.admin import Changed, KeyLine

ACCOUNT, PARTNER = "svc-see", "svc-see-2"
FIRST, SECOND = "First-Simulated-Passw0rd", "Second-Simulated-Passw0rd"


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
        (kept(fleet) / endpoint.name).write_bytes(endpoint.disk.content)


async def images_are_restored(fleet: Fleet) -> None:
    """The images are put back, weeks later."""
    for endpoint in fleet.endpoints[::20]:
        endpoint.restart((kept(fleet) / endpoint.name).read_bytes())


async def answers_get_lost(fleet: Fleet) -> None:
    """The network becomes so bad that two answers in five do not arrive."""
    fleet.faults.answer_lost = 0.4


async def the_network_is_mended(fleet: Fleet) -> None:
    """It loses one answer in a hundred, as before."""
    fleet.faults.answer_lost = 0.01


async def disks_are_cloned(fleet: Fleet) -> None:
    """Some machines are copied, and original and copy both live on."""
    for endpoint in fleet.endpoints[7:200:40]:
        fleet.add(Disk(endpoint.disk.content), endpoint.calendar)


async def a_backup_is_made(fleet: Fleet) -> None:
    """The database is copied."""
    await fleet.site.backup(kept(fleet) / "backup.db")


async def machines_join(fleet: Fleet) -> None:
    """Nearly a third more machines get a new package."""
    await fleet.join(len(fleet.endpoints) * 3 // 7, await fleet.site.package(days=30, **fleet.order))


async def the_backup_is_restored(fleet: Fleet) -> None:
    """The server is lost, and comes back as it was at the backup."""
    await fleet.site.restore(kept(fleet) / "backup.db")


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


def kept(fleet: Fleet) -> Path:
    """Where acts keep what later acts need."""
    folder = fleet.site.settings.data / "simulation"
    folder.mkdir(exist_ok=True)
    return folder
