"""A process whose database may not grow for a while: check-ins fail, and go on once there is room.

Usage: python -m tests.support.full_disk URL ENDPOINT_ID
"""

import asyncio
import resource
import sys

from tests.support.databases import check_in

from keyfast.core.check_in import Accepted
from keyfast.errors import NotReadyError
from keyfast.store.writer import GroupCommit, open_writer


async def _fails(writer: GroupCommit, endpoint_id: str, seq: int) -> bool:
    try:
        await writer.submit(check_in(endpoint_id, seq, inventory=b"x" * 200_000))
    except NotReadyError:
        return True
    return False


async def _main(url: str, endpoint_id: str) -> None:
    writer = await open_writer(url)
    first = await writer.submit(check_in(endpoint_id, 1))
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, resource.RLIM_INFINITY))
    failed = await asyncio.gather(*(_fails(writer, endpoint_id, seq) for seq in (2, 3)))
    resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    again = await writer.submit(check_in(endpoint_id, 4, inventory=b"x" * 200_000))
    await writer.close()
    print(isinstance(first, Accepted), failed, isinstance(again, Accepted))  # noqa: T201


if __name__ == "__main__":
    asyncio.run(_main(*sys.argv[1:]))
