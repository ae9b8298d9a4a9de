"""A real server behind a front, and endpoints that were well before something is broken for real."""

import asyncio
import datetime as dt
import itertools
import json
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec
from cryptography import x509
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID
from tests.support import front, processes
from tests.support.agent import RealAgent
from tests.support.device import read_bundle
from tests.support.front import Certificate, Front, How
from tests.support.server import RunningServer

from keyfast import settings as settings_room
from keyfast.agent.diagnosis.collect import Means, collect
from keyfast.agent.diagnosis.report import report_of
from keyfast.agent.local import system_clock
from keyfast.agent.platform import here
from keyfast.core.secret import Secret
from keyfast.trust.device import DeviceKey
from keyfast.trust.kek import load_kek
from keyfast.trust.tls import create_authority, issue_certificate

NOTHING = "nothing is wrong here"


class Fronted(RunningServer):
    """A server that listens on another port than endpoints know; a front stands at theirs."""

    def __init__(self, data: Path, database: str = "") -> None:
        super().__init__(data, database)
        self.close()
        self.front = Front(self.port)
        self.behind = processes.free_port()
        file = data / settings_room.FILE_NAME
        file.write_text(file.read_text().replace(f"port = {self.port}\n", f"port = {self.behind}\n", 1))
        self.settings = settings_room.load(data)
        assert self.settings.port == self.behind
        self.authority = Authority(self)
        self.good = self.authority.issue(data / "good")
        self.well()
        self.start()

    def well(self) -> None:
        """Nothing is broken."""
        self.front.stand(front.relay(self.behind, self.good))

    @contextmanager
    def standing(self, how: How | None) -> Iterator[None]:
        """Something is broken for a while."""
        self.front.stand(how)
        try:
            yield
        finally:
            self.well()

    def close(self) -> None:
        super().close()
        if hasattr(self, "front"):
            self.front.close()


class Authority:
    """The authority that endpoints of a server trust, in the test's hands."""

    def __init__(self, server: RunningServer) -> None:
        sealed = (server.settings.tls / "ca.key.sealed").read_text("ascii")
        installation = json.loads(server.settings.kek_file.read_text())["installation"]
        self.key = load_kek(server.settings.kek_file, installation).open(sealed, bound_to="tls/ca")
        self.pem = (server.settings.tls / "ca.pem").read_bytes()

    def issue(self, path: Path, name: str = "localhost", *, begins: float = 0, days: int = 30) -> Certificate:
        """A certificate that begins so many days from now."""
        now = dt.datetime.now(dt.UTC) + dt.timedelta(days=begins)
        pem, key = issue_certificate(self.pem, self.key, [name], now, days)
        return written(path, pem, key)

    def issue_below(self, path: Path) -> Certificate:
        """One of an intermediate authority, which is not sent along."""
        between, key = _intermediate(self)
        pem, own = issue_certificate(between, key, ["localhost"], dt.datetime.now(dt.UTC))
        return written(path, pem, own)


def stranger(path: Path, *, sends_root: bool) -> Certificate:
    """A certificate of an authority that nobody trusts."""
    now = dt.datetime.now(dt.UTC)
    root, root_key = create_authority("somebody else", now)
    pem, key = issue_certificate(root, root_key, ["localhost"], now)
    return written(path, pem + (root if sends_root else b""), key)


def written(path: Path, chain: bytes, key: Secret) -> Certificate:
    """As files."""
    path.with_suffix(".pem").write_bytes(chain)
    path.with_suffix(".key").write_bytes(key.reveal())
    return Certificate(path.with_suffix(".pem"), path.with_suffix(".key"))


def _intermediate(above: Authority) -> tuple[bytes, Secret]:
    key, now = DeviceKey.generate(), dt.datetime.now(dt.UTC)
    root = x509.load_pem_x509_certificate(above.pem)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "between")]))
        .issuer_name(root.subject)
        .public_key(key.private.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(days=1))
        .not_valid_after(now + dt.timedelta(days=30))
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(DeviceKey.from_pem(above.key).private, SHA256())
    )
    return certificate.public_bytes(Encoding.PEM), key.to_pem()


_numbers = itertools.count(1)


def enrolled(server: RunningServer, folder: Path, prefix: Sequence[str] = ()) -> RealAgent:
    """An endpoint that has checked in."""
    agent = RealAgent(folder / f"agent{next(_numbers)}", prefix)
    agent.install(read_bundle(server.package(max_uses=100).path))
    assert agent.check_in(), agent.output
    return agent


def diagnosed(agent: RealAgent, prefix: Sequence[str] = ()) -> dict[str, Any]:
    """``keyfast-agent diagnose --json`` as a process."""
    agent = RealAgent(agent.state, (*agent.prefix, *prefix))
    done = agent.do("diagnose", "--json")
    assert done.stdout, done.stderr
    report: dict[str, Any] = json.loads(done.stdout)
    assert {"well": 0, "found": 1, "cannot_tell": 3}[report["verdict"]] == done.returncode
    return report


def diagnosed_here(state: Path, **means: Any) -> dict[str, Any]:
    """The same in this process, with something of it in the test's hands."""
    facts = asyncio.run(collect(Means(here(), state, system_clock(), lambda: str(uuid.uuid4()), **means)))
    report: dict[str, Any] = json.loads(msgspec.json.encode(report_of(facts)))
    return report


def first(report: dict[str, Any]) -> tuple[str, str]:
    """Code of the first finding, and how sure it is."""
    if report["verdict"] == "well":
        return NOTHING, ""
    found = report["findings"][0]
    return found["code"], "" if report["verdict"] == "cannot_tell" else found["confidence"]
