"""Put NTLM check-ins on a server: ``python -m benchmarks.ntlm_load``, with options of the load generator.

A check-in is three requests on one new TLS connection: without ``Authorization``, with the first message, with
the answer to the challenge. Closed loop. It is slower than the server: what a check-in costs there is the
result, not how many there are.
"""

import argparse
import asyncio
import base64
import json
import re
import ssl
import struct
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

import spnego
import uvloop
from tests.support.samba_seed import SEE_PASSWORD

from benchmarks.windows_requests import HOST, header

USER = "CORP\\svc-see"
_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)
_CHALLENGE = re.compile(rb"\r\nwww-authenticate: *NTLM +([A-Za-z0-9+/=]+)", re.IGNORECASE)
_AUTHORIZATION = b"dpop: "
"""The line before which ``Authorization`` goes."""


@dataclass(slots=True)
class Tally:
    """What was answered within the window, final answers only; ``latency`` in seconds."""

    status: Counter[str] = field(default_factory=Counter)
    latency: list[float] = field(default_factory=list)
    failed: int = 0


class Driver:
    """Takes requests from a file and checks in with them, one after the other on each of several connections."""

    def __init__(self, port: int, requests: Path, first: int) -> None:
        self._port = port
        self._file = requests.open("rb")
        self.next = 0
        while self.next < first and self._take():
            pass
        self._tls = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        self._tls.check_hostname, self._tls.verify_mode = False, ssl.CERT_NONE
        self.tally = Tally()
        self.exhausted = self.stop = False

    def _take(self) -> bytes:
        length = self._file.read(4)
        if not length:
            self.exhausted = True
            return b""
        self.next += 1
        return self._file.read(struct.unpack("<I", length)[0])

    async def work(self) -> None:
        """Check in until told to stop."""
        while not self.stop and (request := self._take()):
            begin, tally = time.monotonic(), self.tally
            try:
                status = await self._check_in(request)
            except (OSError, asyncio.IncompleteReadError, ValueError):
                self.tally.failed += 1
                continue
            if tally is self.tally:
                tally.latency.append(time.monotonic() - begin)
            self.tally.status[status] += 1

    async def _check_in(self, request: bytes) -> str:
        reader, writer = await asyncio.open_connection("127.0.0.1", self._port, ssl=self._tls, server_hostname=HOST)
        try:
            client = spnego.client(USER, SEE_PASSWORD, hostname=HOST, service="HTTP", protocol="ntlm")
            head = await _ask(reader, writer, request)
            if head[9:12] != b"401":
                raise ValueError("the server did not ask for a logon")
            head = await _ask(reader, writer, _with(request, client.step() or b""))
            challenge = _CHALLENGE.search(head)
            if challenge is None:
                raise ValueError("the server sent no challenge")
            head = await _ask(reader, writer, _with(request, client.step(base64.b64decode(challenge[1])) or b""))
            return head[9:12].decode("ascii")
        finally:
            writer.close()


def _with(request: bytes, token: bytes) -> bytes:
    return request.replace(_AUTHORIZATION, header("NTLM", token).encode("ascii") + _AUTHORIZATION, 1)


async def _ask(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, request: bytes) -> bytes:
    """Send a request; return the head of the answer once all of it is here."""
    writer.write(request)
    head = await reader.readuntil(b"\r\n\r\n")
    length = _LENGTH.search(head)
    await reader.readexactly(int(length[1]) if length else 0)
    return head


async def main() -> None:
    """Run once and report like the load generator."""
    parser = argparse.ArgumentParser()
    for name, kind in (("port", int), ("requests", Path), ("connections", int), ("first", int)):
        parser.add_argument(f"--{name}", type=kind, required=True)
    for name in ("warm", "seconds", "rate"):
        parser.add_argument(f"--{name}", type=float, required=True)
    asked = parser.parse_args()
    driver = Driver(asked.port, asked.requests, asked.first)
    workers = [asyncio.ensure_future(driver.work()) for _ in range(asked.connections)]
    await asyncio.sleep(asked.warm)
    tally = driver.tally = Tally()
    print("START", flush=True)
    begin, cpu = time.monotonic(), time.process_time()
    await asyncio.wait(workers, timeout=asked.seconds)
    print("END", flush=True)
    elapsed, cpu = time.monotonic() - begin, time.process_time() - cpu
    driver.tally, driver.stop = Tally(), True
    await asyncio.gather(*workers)
    print(json.dumps(_report(tally, elapsed, cpu, driver)), flush=True)


def _report(tally: Tally, elapsed: float, cpu: float, driver: Driver) -> dict[str, object]:
    answered, latency = tally.status.total(), sorted(tally.latency) or [0.0]
    return {
        "answered": answered,
        "seconds": elapsed,
        "per_second": answered / elapsed,
        "failed": tally.failed,
        "unfinished": 0,
        "handshakes": answered,
        "p50_ms": latency[len(latency) // 2] * 1e3,
        "p99_ms": latency[len(latency) * 99 // 100] * 1e3,
        "max_ms": latency[-1] * 1e3,
        "client_cpu_s": cpu,
        "next": driver.next,
        "exhausted": driver.exhausted,
        "status": dict(tally.status),
    }


if __name__ == "__main__":
    uvloop.run(main())
