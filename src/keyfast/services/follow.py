"""Jobs beside a service: done again and again, whatever goes wrong."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import NoReturn


async def follow(work: Callable[[], Awaitable[None]], pause: float, failed: Callable[[Exception], None]) -> NoReturn:
    """Do a portion of work after each ``pause`` (seconds), for ever; a failure is reported and ends nothing."""
    while True:
        await asyncio.sleep(pause)
        try:
            await work()
        except Exception as cause:  # noqa: BLE001 - whatever it is, a job that ended would not be missed
            failed(cause)
