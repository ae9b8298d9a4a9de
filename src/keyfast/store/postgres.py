"""Connections to PostgreSQL: the same limits for each, and no commit is acknowledged before it is durable."""

from typing import Any

import asyncpg

CONNECT_TIMEOUT = 5.0
COMMAND_TIMEOUT = 10.0

_SESSION = {
    "application_name": "keyfast",
    "synchronous_commit": "on",
    "lock_timeout": "5s",
    "statement_timeout": "10s",
    "idle_in_transaction_session_timeout": "15s",
    "jit": "off",
}
# Every statement of the batch writer is a lookup by key. Plans are made once and may not depend on what
# statistics said at that moment: a table that was empty then would be scanned when it holds a million.
_LOOKUPS_ONLY = {
    "plan_cache_mode": "force_generic_plan",
    "enable_seqscan": "off",
    "enable_hashjoin": "off",
    "enable_mergejoin": "off",
    "enable_bitmapscan": "off",
}


async def connect(url: str, *, lookups_only: bool = False) -> "asyncpg.Connection[Any]":
    """Open a connection; raises what asyncpg raises, see ``outage.is_outage``."""
    return await asyncpg.connect(
        url,
        timeout=CONNECT_TIMEOUT,
        command_timeout=COMMAND_TIMEOUT,
        server_settings=_SESSION | (_LOOKUPS_ONLY if lookups_only else {}),
    )


async def pool(url: str, size: int) -> "asyncpg.Pool[Any]":
    """Open at most ``size`` connections for look-ups, as they are needed."""
    return await asyncpg.create_pool(
        url,
        min_size=0,
        max_size=size,
        timeout=CONNECT_TIMEOUT,
        command_timeout=COMMAND_TIMEOUT,
        server_settings=_SESSION | _LOOKUPS_ONLY,
    )
