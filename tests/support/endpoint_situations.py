"""Situations of one endpoint, each made on real parts, and what ``keyfast-agent diagnose`` is to say first.

A situation is a context: while it lasts something is broken, and it yields whom to ask, and how.
"""

import os
import ssl
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.support import front, processes
from tests.support.agent import RealAgent
from tests.support.device import read_bundle
from tests.support.endpoint_site import (
    NOTHING,
    Fronted,
    diagnosed,
    diagnosed_here,
    enrolled,
    stranger,
)
from tests.support.postgres import Cluster
from tests.support.require import require
from tests.support.server import RunningServer

from keyfast.agent.diagnosis import network
from keyfast.agent.file_database import FILE_NAME
from keyfast.agent.vaults import key_files
from keyfast.core.diagnosis.engine import CANNOT_TELL
from keyfast.wire.admin import Changed

ALONE = ("/usr/bin/env", "PATH=/nowhere")
"""Without programs beside it: so the vault is a file, and libfaketime does not break the wait for them."""


@dataclass
class Lab:
    """What situations are made with."""

    server: Fronted
    cluster: Cluster
    folder: Path
    other: RunningServer
    well: RealAgent = field(init=False)
    alone: RealAgent = field(init=False)

    def __post_init__(self) -> None:
        self.well = enrolled(self.server, self.folder)
        self.alone = enrolled(self.server, self.folder, ALONE)

    def issue(self, name: str, *names: str, **dates: Any) -> front.Certificate:
        return self.server.authority.issue(self.folder / name, *names, **dates)

    def behind(self, certificate: front.Certificate, newest: ssl.TLSVersion = ssl.TLSVersion.TLSv1_3) -> front.How:
        return front.relay(self.server.behind, certificate, newest)


Report = dict[str, Any]
Ask = Callable[[], Report]
Make = Callable[[Lab], AbstractContextManager[Ask]]


def at_front(how: Callable[[Lab], front.How | None]) -> Make:
    """What stands at the server's port is broken, and the endpoint is well."""

    @contextmanager
    def make(lab: Lab) -> Iterator[Ask]:
        with lab.server.standing(how(lab)):
            yield lambda: diagnosed(lab.well)

    return make


def clock(ahead: str) -> Make:
    """The endpoint's clock is off."""

    @contextmanager
    def make(lab: Lab) -> Iterator[Ask]:
        faketime = require("faketime", "faketime")
        yield lambda: diagnosed(lab.alone, (faketime, "--exclude-monotonic", "-f", ahead))

    return make


@contextmanager
def healthy(lab: Lab) -> Iterator[Ask]:
    yield lambda: diagnosed(lab.well)


@contextmanager
def unresolved(lab: Lab) -> Iterator[Ask]:
    """A real look-up that fails, in this process: the name of a running server cannot be taken out of its DNS."""
    with lab.server.standing(None):
        yield lambda: diagnosed_here(lab.well.state, resolve=lambda _, port: network.addresses("keyfast.invalid", port))


@contextmanager
def database_down(lab: Lab) -> Iterator[Ask]:
    lab.cluster.stop()
    try:
        yield lambda: diagnosed(lab.well)
    finally:
        lab.cluster.start()


@contextmanager
def another_installation(lab: Lab) -> Iterator[Ask]:
    """The name leads to another installation, with a certificate that endpoints trust."""
    with lab.server.standing(front.relay(lab.other.port, lab.server.good)):
        yield lambda: diagnosed(lab.well)


@contextmanager
def copied(lab: Lab) -> Iterator[Ask]:
    """A copy of the state folder checks in as well."""
    original = enrolled(lab.server, lab.folder)
    copy = original.copy(original.state.with_name("copy"))
    assert copy.check_in(), copy.output
    assert copy.check_in(), copy.output
    yield lambda: diagnosed(original)


@contextmanager
def put_back(lab: Lab) -> Iterator[Ask]:
    """One machine, put back to an older image of itself."""
    original = enrolled(lab.server, lab.folder)
    image = original.copy(original.state.with_name("image"))
    assert original.check_in(), original.output
    yield lambda: diagnosed(image)


def administrator(path: str) -> Make:
    """An administrator did something to the endpoint."""

    @contextmanager
    def make(lab: Lab) -> Iterator[Ask]:
        agent = enrolled(lab.server, lab.folder)
        lab.server.admin.post(path.format(id=agent.status()["endpoint"]), Changed)
        yield lambda: diagnosed(agent)

    return make


@contextmanager
def pending(lab: Lab) -> Iterator[Ask]:
    bundle = read_bundle(lab.server.package(admission="approve").path)
    agent = RealAgent(lab.folder / "pending").install(bundle)
    assert not agent.check_in()
    assert "approve" in agent.output, agent.output
    yield lambda: diagnosed(agent)


@contextmanager
def package_revoked(lab: Lab) -> Iterator[Ask]:
    line = lab.server.package()
    agent = RealAgent(lab.folder / "late").install(read_bundle(line.path))
    lab.server.admin.post(f"/admin/v1/packages/{line.id}/revoke", Changed)
    processes.until(lambda: not agent.check_in() and "enrolment_revoked" in agent.output, "the refusal")
    yield lambda: diagnosed(agent)


@contextmanager
def not_tried(lab: Lab) -> Iterator[Ask]:
    agent = RealAgent(lab.folder / "untried").install(read_bundle(lab.server.package().path))
    yield lambda: diagnosed(agent)


@contextmanager
def not_installed(lab: Lab) -> Iterator[Ask]:
    yield lambda: diagnosed(RealAgent(lab.folder / "nothing"))


@contextmanager
def disk_full(lab: Lab) -> Iterator[Ask]:
    """No file of the process may grow."""
    yield lambda: diagnosed(lab.well, (require("prlimit", "util-linux"), "--fsize=0"))


@contextmanager
def damaged_database(lab: Lab) -> Iterator[Ask]:
    broken = lab.well.copy(lab.folder / "damaged")
    file = broken.state / FILE_NAME
    file.write_bytes(os.urandom(file.stat().st_size))
    yield lambda: diagnosed(broken)


def key_file(change: Callable[[Path], object]) -> Make:
    """Something happens to the key of the vault."""

    @contextmanager
    def make(lab: Lab) -> Iterator[Ask]:
        broken = lab.alone.copy(lab.folder / f"vault-{os.urandom(4).hex()}")
        (key,) = key_files(broken.state)
        change(key)
        yield lambda: diagnosed(broken)

    return make


SITUATIONS: Sequence[tuple[str, Make, str, str]] = (
    ("all is well", healthy, NOTHING, ""),
    ("no package was installed", not_installed, "client-not-installed", "certain"),
    ("installed a moment ago, nothing tried yet", not_tried, CANNOT_TELL, ""),
    ("client database overwritten", damaged_database, "client-database-damaged", "certain"),
    ("key of the vault gone", key_file(Path.unlink), "client-vault-closed", "certain"),
    ("key of the vault changed", key_file(lambda key: key.write_bytes(bytes(32))), "client-vault-closed", "certain"),
    ("disk full", disk_full, "disk-full", "likely"),
    ("name without an address", unresolved, "name-unresolved", "certain"),
    ("port closed", at_front(lambda _: None), "connection-refused", "certain"),
    ("packets dropped", at_front(lambda _: front.swallowing), "connection-timeout", "likely"),
    ("server hangs: TCP opens, nothing answers", at_front(lambda _: front.deaf), "tls-unanswered", "certain"),
    ("connections cut", at_front(lambda _: front.cutting), "tls-cut", "likely"),
    ("plain HTTP at the port", at_front(lambda _: front.plain), "port-without-tls", "certain"),
    (
        "TLS 1.2 only",
        at_front(lambda lab: lab.behind(lab.server.good, ssl.TLSVersion.TLSv1_2)),
        "tls-too-old",
        "certain",
    ),
    (
        "certificate expired",
        at_front(lambda lab: lab.behind(lab.issue("expired", begins=-40, days=30))),
        "certificate-expired",
        "certain",
    ),
    (
        "certificate not valid yet",
        at_front(lambda lab: lab.behind(lab.issue("early", begins=10))),
        "certificate-not-begun",
        "certain",
    ),
    (
        "certificate for another name",
        at_front(lambda lab: lab.behind(lab.issue("other", "elsewhere.example"))),
        "certificate-wrong-name",
        "certain",
    ),
    (
        "certificate of another authority, sent along",
        at_front(lambda lab: lab.behind(stranger(lab.folder / "stranger", sends_root=True))),
        "certificate-untrusted",
        "likely",
    ),
    (
        "certificate of another authority, not sent",
        at_front(lambda lab: lab.behind(stranger(lab.folder / "unknown", sends_root=False))),
        "certificate-issuer-unknown",
        "certain",
    ),
    (
        "intermediate certificate not sent",
        at_front(lambda lab: lab.behind(lab.server.authority.issue_below(lab.folder / "below"))),
        "certificate-issuer-unknown",
        "certain",
    ),
    (
        "a proxy answers 401",
        at_front(lambda lab: front.answering(401, lab.server.good, 'www-authenticate: Basic realm="proxy"')),
        "proxy-refuses",
        "certain",
    ),
    (
        "a proxy answers 407",
        at_front(lambda lab: front.answering(407, lab.server.good, 'proxy-authenticate: Basic realm="proxy"')),
        "proxy-refuses",
        "certain",
    ),
    ("a gateway answers 502", at_front(lambda lab: front.answering(502, lab.server.good)), "gateway-fails", "certain"),
    (
        "another web server answers 404",
        at_front(lambda lab: front.answering(404, lab.server.good)),
        "stranger-answers",
        "certain",
    ),
    ("clock five hours ahead", clock("+5h"), "clock-skew", "likely"),
    ("clock five hours behind", clock("-5h"), "clock-skew", "likely"),
    ("clock ten years ahead", clock("+10y"), "clock-skew", "certain"),
    ("clock ten years behind", clock("-10y"), "clock-skew", "certain"),
    ("database of the server down", database_down, "refused-not-ready", "certain"),
    ("another installation at the address", another_installation, "token-foreign", "certain"),
    ("endpoint revoked", administrator("/admin/v1/endpoints/{id}/revoke"), "refused-revoked", "certain"),
    ("endpoint waits for approval", pending, "refused-pending", "certain"),
    ("package revoked before it enrolled", package_revoked, "refused-enrolment-revoked", "certain"),
    ("a copy of the machine checks in", copied, "identity-went-on", "certain"),
    ("put back to an older image", put_back, "identity-went-on", "certain"),
)
"""What is made, how, what is said first, and how sure."""
