"""What a simulated server leaves behind: nothing that is open, whatever was done to it."""

import asyncio
import gc
import sqlite3
import warnings
from collections.abc import Callable, Coroutine
from contextlib import closing
from pathlib import Path

import httpx2
import pytest

from keyfast.errors import KeyFileError
from keyfast.simulation.moments import VirtualTime
from keyfast.simulation.run import START, run
from keyfast.simulation.site import Site, new_site


def lived(folder: Path, life: Callable[[Site], Coroutine[None, None, None]]) -> None:
    """Let a site live, and fail if anything of it was forgotten open."""
    site = new_site(folder, VirtualTime(START))
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always", ResourceWarning)
        asyncio.run(life(site))
        gc.collect()
    assert [str(warning.message) for warning in told] == []


def test_a_server_that_is_down_has_no_background_jobs(tmp_path):
    async def life(site: Site) -> None:
        await site.found()
        await site.stop()
        await site.tick()  # used to open the closed database anew, and nobody closed that
        await site.start()
        await site.tick()
        await site.stop()
        await site.stop()

    lived(tmp_path, life)


def test_a_server_that_cannot_be_opened_leaves_nothing_open(tmp_path):
    async def life(site: Site) -> None:
        await site.found()
        await site.stop()
        with closing(sqlite3.connect(tmp_path / "keyfast.db")) as database, database:
            database.execute("DELETE FROM installation")
        with pytest.raises(KeyFileError):
            await site.start()
        await site.stop()

    lived(tmp_path, life)


def test_nobody_is_there_while_the_server_is_down(tmp_path):
    async def life(site: Site) -> None:
        url = f"{site.settings.urls[0]}/endpoint/v1/time"
        async with httpx2.AsyncClient(transport=site.net, trust_env=False) as client:
            with pytest.raises(httpx2.ConnectError):
                await client.get(url)
            await site.found()
            assert (await client.get(url, params={"challenge": "c" * 22})).is_success
            with pytest.raises(httpx2.ConnectError):
                await client.get("https://elsewhere.example/endpoint/v1/time")
            await site.stop()
            with pytest.raises(httpx2.ConnectError):
                await client.get(url)

    lived(tmp_path, life)


def test_a_scenario_that_breaks_off_leaves_nothing_open(tmp_path):
    def breaks(_share: float) -> None:
        raise ArithmeticError

    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always", ResourceWarning)
        with pytest.raises(ArithmeticError):
            run("calm", tmp_path, count=2, days=1, seed=1, progress=breaks)
        gc.collect()
    assert [str(warning.message) for warning in told] == []
