"""A process that submits check-ins and prints each that was acknowledged; made to be killed.

Usage: python -m tests.support.acknowledged URL ENDPOINT_ID...
"""

import asyncio
import sys

from tests.support.databases import check_in

from keyfast.core.check_in import Accepted
from keyfast.store.writer import GroupCommit, open_writer


async def _go_on(writer: GroupCommit, endpoint_id: str) -> None:
    seq = 0
    while True:
        seq += 1
        verdict = await writer.submit(check_in(endpoint_id, seq, inventory=str(seq).encode()))
        assert isinstance(verdict, Accepted), verdict
        print(endpoint_id, seq, flush=True)  # noqa: T201 - what it is for


async def _main(url: str, endpoint_ids: list[str]) -> None:
    writer = await open_writer(url)
    await asyncio.gather(*(_go_on(writer, endpoint_id) for endpoint_id in endpoint_ids))


if __name__ == "__main__":
    asyncio.run(_main(sys.argv[1], sys.argv[2:]))
