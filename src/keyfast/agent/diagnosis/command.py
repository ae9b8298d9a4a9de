"""``keyfast-agent diagnose``: why this endpoint is silent, and what can be done. Changes nothing."""

import argparse
import asyncio
import os
import secrets
import sys
import uuid
from pathlib import Path

import msgspec

from keyfast.agent.diagnosis.collect import Means, collect
from keyfast.agent.diagnosis.report import EXITS, report_of
from keyfast.agent.diagnosis.text import told
from keyfast.agent.local import system_clock
from keyfast.agent.platform import here
from keyfast.errors import UsageError

_NEW = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | getattr(os, "O_CLOEXEC", 0)


def diagnose(options: argparse.Namespace) -> int:
    """Look, judge and say; the exit code is the verdict's."""
    tell = _progress if sys.stderr.isatty() else _silence
    facts = asyncio.run(collect(Means(here(), options.state_dir, system_clock(), _new_id, tell)))
    report = report_of(facts)
    text = msgspec.json.encode(report).decode() if options.json else told(report)
    if options.to:
        _write(options.to, text)
    sys.stdout.write(text + "\n")
    return EXITS[report.verdict]


def _progress(name: str) -> None:
    sys.stderr.write(f"looked at {name}\n")
    sys.stderr.flush()


def _silence(_: str) -> None:
    """Programs get the result alone."""


def _write(path: Path, text: str) -> None:
    """Write a file that only its owner reads: it names servers and accounts."""
    try:
        with os.fdopen(os.open(path, _NEW, 0o600), "w", encoding="utf-8") as file:
            file.write(text + "\n")
    except OSError as cause:
        raise UsageError(f"cannot write {path}: {cause.strerror}") from cause


def _new_id() -> str:
    return str(uuid.UUID(bytes=secrets.token_bytes(16), version=4))
