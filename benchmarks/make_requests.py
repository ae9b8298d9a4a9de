"""Write check-in requests that a server will accept, each once: real tokens, real proofs, rising numbers."""

import hashlib
import multiprocessing
import shutil
import struct
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from benchmarks import fill, fleet
from keyfast.core.secret import Secret
from keyfast.trust.access_token import AccessTokens
from keyfast.trust.device import DeviceKey
from keyfast.trust.dpop import make_proof
from keyfast.trust.encoding import b64u
from keyfast.trust.nonce import Nonces
from keyfast.wire import limits
from keyfast.wire.messages import CheckIn, encode

PATH = "/endpoint/v1/check-in"
KEYS = 20_000
"""Device keys per process: far more than a server remembers, so that it must load nearly every key it meets,
as in real life; few enough to be made in a second."""
PROCESSES = 2
CHUNK = 2_000


@dataclass(frozen=True, slots=True)
class Maker:
    """What it takes to speak for any endpoint of a made-up fleet.

    Attributes:
        installation: installation id; ``mac_keys`` and ``current``: its access token keys.
        nonce_keys: its nonce keys.
        origin: scheme and authority that endpoints use.
        now: server time; ``endpoints``: size of the fleet.
    """

    installation: str
    mac_keys: dict[str, bytes]
    current: str
    nonce_keys: tuple[bytes, ...]
    origin: str
    now: int
    endpoints: int

    def requests(self, first: int, end: int) -> Iterator[bytes]:
        """Make the requests with the numbers from ``first`` to before ``end``: each with a token and a proof."""
        secrets = {kid: Secret(key) for kid, key in self.mac_keys.items()}
        tokens = AccessTokens(self.installation, secrets, self.current)
        nonce = Nonces([Secret(key) for key in self.nonce_keys]).issue(self.now)
        keys = [DeviceKey.generate() for _ in range(KEYS)]
        thumbprints = [key.thumbprint for key in keys]
        host = self.origin.partition("://")[2]
        for index in range(first, end):
            number, seq = endpoint_and_seq(index, self.endpoints)
            who = index % KEYS
            token = tokens.mint(
                endpoint_id=fleet.endpoint_text(number),
                thumbprint=thumbprints[who],
                now=self.now,
                lifetime=limits.ACCESS_TOKEN_LIFETIME,
                token_id=struct.pack(">Q", index),
            )
            body = check_in_body(number, seq, self.now)
            proof = make_proof(
                keys[who],
                method="POST",
                url=self.origin + PATH,
                jti=str(uuid.UUID(int=index)),
                issued_at=self.now,
                nonce=nonce,
                access_token=token,
                body=body,
            )
            yield request_text(host, f"authorization: DPoP {token}\r\n", proof, body)


def request_text(host: str, authorization: str, proof: str, body: bytes) -> bytes:
    """One whole HTTP request; ``authorization`` is a header line with its end, or empty."""
    return (
        f"POST {PATH} HTTP/1.1\r\nhost: {host}\r\nuser-agent: keyfast-agent/0.1.0\r\naccept: */*\r\n"
        f"{authorization}dpop: {proof}\r\ncontent-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n"
    ).encode() + body


def endpoint_and_seq(index: int, endpoints: int) -> tuple[int, int]:
    """Which endpoint request ``index`` speaks for, and with which sequence number."""
    return index * fleet.STRIDE % endpoints, fill.FIRST_SEQ + 1 + index // endpoints


class Writes(Protocol):
    """What makes requests; it travels to other processes."""

    def requests(self, first: int, end: int) -> Iterator[bytes]:
        """Make the requests with the numbers from ``first`` to before ``end``."""
        ...


def make(maker: Writes, count: int, target: Path, told: Callable[[int], None], first: int = 0) -> None:
    """Write ``count`` requests from number ``first`` on to ``target``: (length: 32 bits, bytes), in order of use."""
    parts = [target.with_suffix(f".{part}") for part in range(PROCESSES)]
    bounds = [first + count * part // PROCESSES for part in range(PROCESSES + 1)]
    context = multiprocessing.get_context("spawn")
    made = context.Value("q", 0)
    workers = [
        context.Process(target=_write, args=(maker, bounds[part], bounds[part + 1], path, made))
        for part, path in enumerate(parts)
    ]
    for worker in workers:
        worker.start()
    known = 0
    while any(worker.is_alive() for worker in workers):
        workers[0].join(0.2)
        if workers[0].exitcode is not None:
            workers[-1].join(0.2)
        told(made.value - known)
        known = made.value
    if any(worker.exitcode for worker in workers):
        raise RuntimeError("a process that makes requests has failed")
    with target.open("wb") as whole:
        for path in parts:
            with path.open("rb") as part:
                shutil.copyfileobj(part, whole, 1 << 20)
            path.unlink()


def _write(
    maker: Writes, first: int, end: int, path: Path, made: "multiprocessing.sharedctypes.Synchronized[int]"
) -> None:
    requests = maker.requests(first, end)
    with path.open("wb") as file:
        for index, request in enumerate(requests, start=1):
            file.write(struct.pack("<I", len(request)) + request)
            if index % CHUNK == 0:
                with made.get_lock():
                    made.value += CHUNK


def check_in_body(number: int, seq: int, now: int, generation: int = 0) -> bytes:
    """Body of a check-in in which nothing has changed; ``generation`` is that of the credential in use."""
    return encode(
        CheckIn(
            seq=seq,
            boot_id=fleet.BOOT_ID,
            instance=fleet.INSTANCE,
            agent_version="0.1.0",
            inventory_digest=b64u(hashlib.sha256(fleet.inventory(number)).digest()),
            acked=b64u(hashlib.sha256(b"%d before %d" % (number, seq)).digest()),
            profile_seq=1,
            credential_generation=generation,
            policy_version=1,
            verified_age_s=(12, 12, 12),
            clock=now,
        )
    )
