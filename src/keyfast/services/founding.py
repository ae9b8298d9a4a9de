"""Found an installation, once, and open it ever after.

A founding that was interrupted is finished by the next start; the intent (file ``founding``) is written
first and removed last. Without that file nothing is made: a missing key or an empty database beside an
existing key is a loss that a person must know of, and never a reason to start afresh.
"""

import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from keyfast.core.mode import Mode
from keyfast.errors import KeyFileError
from keyfast.services.live import row_from_key
from keyfast.settings import Settings
from keyfast.store import installations, keys, policies, profiles
from keyfast.store.database import Database
from keyfast.store.profiles import AccessProfileRow
from keyfast.trust import tls
from keyfast.trust.encoding import b64u
from keyfast.trust.files import write_private
from keyfast.trust.kek import Kek, create_kek_file, load_kek
from keyfast.trust.keyset import Keyset
from keyfast.trust.roles import PROFILE_TYP
from keyfast.wire.messages import AccessProfile, Policy

DEFAULT_INTERVAL = 900
RENEW_DAYS = 60


@dataclass(frozen=True, slots=True)
class Opened:
    """An installation ready for use."""

    installation: installations.InstallationRow
    kek: Kek


async def open_installation(settings: Settings, database: Database) -> Opened:
    """Open the installation that the database holds.

    Raises:
        KeyFileError, ForeignError: the KEK is missing, unreadable, exposed or another installation's.
    """
    async with database.read() as conn:
        row = await installations.get(conn)
    if row is None:
        raise KeyFileError(
            f"the database {settings.database_url.split('@')[-1]} holds no installation",
            repair="restore the database from a backup, or found a new installation with: keyfast up",
        )
    return Opened(row, load_kek(settings.kek_file, row.id))


async def found_installation(settings: Settings, database: Database, name: str, now: int) -> Opened:
    """Make a new installation, or finish one whose founding was interrupted, or open the one there is."""
    async with database.read() as conn:
        row = await installations.get(conn)
    intent = settings.data / "founding"
    if row is None:
        installation = _intended(settings, intent)
        kek = load_kek(settings.kek_file, installation)
        await _record(database, settings, kek, installation, name, now)
    opened = await open_installation(settings, database)
    ensure_server_certificate(settings, opened.kek, now)
    intent.unlink(missing_ok=True)
    return opened


def _intended(settings: Settings, intent: Path) -> str:
    if not intent.exists():
        if settings.kek_file.exists():
            raise KeyFileError(
                f"{settings.kek_file} exists but the database holds no installation",
                repair="restore the database from a backup, or move the data directory away to start anew",
            )
        write_private(intent, f"kf-{b64u(secrets.token_bytes(9))}".encode(), replace=True)
    installation = intent.read_text("ascii")
    if not settings.kek_file.exists():
        create_kek_file(settings.kek_file, installation)
    return installation


async def _record(database: Database, settings: Settings, kek: Kek, installation: str, name: str, now: int) -> None:
    authority = _ensure_authority(settings, kek, installation, now)
    keyset = Keyset.generate(installation, now)
    profile = AccessProfile(installation, seq=1, mode="oauth", urls=settings.urls, ca=authority.decode("ascii"))
    async with database.write() as conn:
        await installations.create(
            conn,
            installations.InstallationRow(id=installation, name=name, created_at=now, kek_id=kek.current, epoch=1),
        )
        await keys.save(conn, [row_from_key(key, kek) for key in keyset.keys])
        await policies.add(conn, Policy(version=1, check_in_interval_s=DEFAULT_INTERVAL), created_at=now)
        await profiles.add(conn, AccessProfileRow(1, now, keyset.sign(PROFILE_TYP, profile), Mode.OAUTH))


def _ensure_authority(settings: Settings, kek: Kek, installation: str, now: int) -> bytes:
    certificate, sealed = settings.tls / "ca.pem", settings.tls / "ca.key.sealed"
    if not (certificate.exists() and sealed.exists()):
        settings.tls.mkdir(mode=0o700, exist_ok=True)
        pem, key = tls.create_authority(f"Keyfast {installation}", datetime.fromtimestamp(now, UTC))
        write_private(sealed, kek.seal(key, bound_to="tls/ca").encode("ascii"), replace=True)
        write_private(certificate, pem, replace=True)
    return certificate.read_bytes()


def ensure_server_certificate(settings: Settings, kek: Kek, now: int) -> bool:
    """Issue the server certificate from the own authority, and renew it well before it ends; tell whether it did."""
    certificate, key_file = settings.tls / "server.pem", settings.tls / "server.key"
    moment = datetime.fromtimestamp(now, UTC)
    usable = certificate.exists() and key_file.exists()
    if usable and tls.days_left(certificate.read_bytes(), moment) > RENEW_DAYS:
        return False
    authority, sealed = settings.tls / "ca.pem", settings.tls / "ca.key.sealed"
    if not sealed.exists():
        return False  # an administrator's own certificate: not ours to renew
    key = kek.open(sealed.read_text("ascii"), bound_to="tls/ca")
    pem, server_key = tls.issue_certificate(authority.read_bytes(), key, _names(settings.urls), moment)
    write_private(key_file, server_key.reveal(), replace=True)
    write_private(certificate, pem, replace=True)
    return True


def _names(urls: Sequence[str]) -> list[str]:
    hosts = [url.removeprefix("https://").split("/")[0] for url in urls]
    bare = [host.rsplit(":", 1)[0] if not host.endswith("]") else host for host in hosts]
    return list(dict.fromkeys(host.strip("[]") for host in bare))
