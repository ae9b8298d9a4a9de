"""Structured logs by allow-list: a field that is not listed is dropped, so nothing leaks by accident."""

import logging
import sys
from collections.abc import MutableMapping
from pathlib import Path
from typing import Any

import structlog

FIELDS = frozenset(
    {
        "event",
        "level",
        "timestamp",
        "process",
        "code",
        "reason",
        "child",
        "status",
        "seconds",
        "port",
        "address",
        "pid",
    }
)


def _listed_only(_logger: object, _method: str, fields: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    return {name: value for name, value in fields.items() if name in FIELDS}


def configure(process: str, file: Path | None = None) -> None:
    """Send logs of this process to standard error, or to a file: one JSON object a line."""
    stream = sys.stderr
    if file is not None:
        file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        stream = file.open("a", buffering=1, encoding="utf-8")
    logging.basicConfig(stream=stream, level=logging.WARNING, format="%(message)s")
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.contextvars.merge_contextvars,
            _listed_only,
            structlog.processors.JSONRenderer(),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.INFO),
        logger_factory=structlog.PrintLoggerFactory(stream),
        cache_logger_on_first_use=True,
    )
    structlog.contextvars.bind_contextvars(process=process)


def get() -> Any:
    """The process's logger."""
    return structlog.get_logger()
