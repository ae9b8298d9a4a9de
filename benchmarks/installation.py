"""Found an installation for a benchmark and learn what it takes to speak for its endpoints."""

import asyncio
import time
from dataclasses import dataclass
from pathlib import Path

from benchmarks.make_requests import Maker
from keyfast.server import compose
from keyfast.server.run import prepare
from keyfast.settings import FILE_NAME, load


@dataclass(frozen=True, slots=True)
class Founded:
    """An installation on disk: data directory, database URL, and the maker of its requests."""

    data: Path
    url: str
    maker: Maker


def found(data: Path, port: int, database: str, endpoints: int, tables: str = "") -> Founded:
    """Found an installation in ``data`` that listens on ``port``; ``database`` empty means SQLite.

    Args:
        data: does not exist yet.
        port: TCP port on 127.0.0.1.
        database: URL.
        endpoints: how many requests are to speak for.
        tables: what to add to its settings, in TOML.
    """
    data.mkdir(mode=0o700, parents=True)
    origin = f"https://localhost:{port}"
    (data / FILE_NAME).write_text(
        f'listen = "127.0.0.1"\nport = {port}\nurls = ["{origin}"]\ndatabase = "{database}"\n{tables}'
    )
    settings = load(data)
    now = int(time.time())
    maker = asyncio.run(_found(data, origin, now, endpoints))
    return Founded(data, settings.database_url, maker)


async def _found(data: Path, origin: str, now: int, endpoints: int) -> Maker:
    settings = load(data)
    await prepare(settings, found=True, name="benchmark", now=now)
    parts = await compose.open_parts(settings)
    keyset = parts.live.current.keyset
    secrets, current = keyset.access_token_keys()
    await parts.database.close()
    return Maker(
        installation=keyset.installation,
        mac_keys={kid: key.reveal() for kid, key in secrets.items()},
        current=current,
        nonce_keys=tuple(key.reveal() for key in keyset.nonce_keys()),
        origin=origin,
        now=now,
        endpoints=endpoints,
    )
