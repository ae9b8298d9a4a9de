"""A real domain controller that is watched: who connects to it, and who logs on (Samba, Linux, root)."""

import asyncio
import contextlib
import json
import re
import socket
import threading
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil
from tests.support.samba import READER_PASSWORD, Domain, start_domain

from benchmarks import machine

LDAPS = 636
WINBIND = "winbindd"
"""winbind belongs to the server's own machine; here it is the domain controller's, which has one anyway."""
_LOG_LEVEL = "[global]\n  log level = 1 auth_audit:3\n"
_LOGON = re.compile(r"Auth: \[(winbind,NTLM_AUTH|[^,\]]+),")
"""winbind tells each NTLM logon several times; once as what it was asked."""
CHUNK = 1 << 16


@dataclass(frozen=True, slots=True)
class Seen:
    """What the domain controller saw of the server.

    Attributes:
        connections: LDAPS connections opened to it.
        most_open: of those, most at the same time.
        binds: LDAP binds with a name.
        logons: NTLM logons that winbind was asked about.
        tickets: Kerberos logons at the KDC.
    """

    connections: int
    most_open: int
    binds: int
    logons: int
    tickets: int


class CountingProxy:
    """Passes TCP connections on, unseen, and counts them; runs in a thread.

    Args:
        address: where it listens, on a free port, and where the other side is: its certificate stays right.
        port: of the other side.
    """

    def __init__(self, address: str, port: int) -> None:
        self._address, self._target = address, port
        self._listener = socket.create_server((address, 0), backlog=4096)
        self.port: int = self._listener.getsockname()[1]
        self.connections = self.open = self.most_open = 0
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        self._loop.run_until_complete(asyncio.start_server(self._serve, sock=self._listener))
        self._loop.run_forever()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        self.open += 1
        self.most_open = max(self.open, self.most_open)
        try:
            with contextlib.suppress(OSError):
                there, back = await asyncio.open_connection(self._address, self._target)
                await asyncio.gather(_pump(reader, back), _pump(there, writer))
        finally:
            writer.close()
            self.open -= 1

    def close(self) -> None:
        """Stop; what is still open is dropped."""
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._listener.close()


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        while some := await reader.read(CHUNK):
            writer.write(some)
            await writer.drain()
    writer.close()


class WatchedDomain:
    """A domain, its controller's log, and a proxy in front of its LDAPS port."""

    def __init__(self, domain: Domain, proxy: CountingProxy) -> None:
        self.domain, self._proxy = domain, proxy

    @property
    def roots(self) -> list[int]:
        """The process below which all others of the controller are."""
        return [process.pid for process in self.domain.processes()[:1]]

    def tables(self, password_file: Path) -> str:
        """The tables of ``server.toml`` that lead to it, through the proxy; writes the reader's password file."""
        password_file.touch(mode=0o600)
        password_file.write_text(READER_PASSWORD)
        domain = self.domain
        windows = {"keytab": domain.http_keytab, "ntlm_auth": domain.ntlm_auth}
        directory = {
            "domain": domain.netbios,
            "realm": domain.realm,
            "reader": "svc-reader",
            "reader_password_file": password_file,
            "ca": domain.ca,
        }
        servers = f'servers = ["ldaps://{domain.address}:{self._proxy.port}"]\n'
        return f"[windows]\n{_toml(windows)}[directory]\n{_toml(directory)}{servers}"

    def forget_peak(self) -> None:
        """Begin to count the most open connections anew."""
        self._proxy.most_open = self._proxy.open

    def seen(self) -> Seen:
        """Count since the controller started."""
        log = (self.domain.directory / "samba.log").read_text(errors="replace")
        kinds = Counter(_LOGON.findall(log))
        return Seen(
            self._proxy.connections,
            self._proxy.most_open,
            kinds["LDAP"],
            kinds["winbind,NTLM_AUTH"],
            kinds["Kerberos KDC"],
        )


def between(before: Seen, after: Seen) -> Seen:
    """What was seen between two countings."""
    return Seen(
        after.connections - before.connections,
        after.most_open,
        after.binds - before.binds,
        after.logons - before.logons,
        after.tickets - before.tickets,
    )


def _toml(table: Mapping[str, object]) -> str:
    return "".join(f"{name} = {json.dumps(str(value))}\n" for name, value in table.items())


@contextmanager
def watched(directory: Path) -> Iterator[WatchedDomain]:
    """Run a domain controller on the core of the load, winbind on the server's.

    Raises:
        pytest.skip.Exception: a package is missing, or we are not root.
    """
    domain = start_domain(directory)
    try:
        _log_logons(domain)
        for process in domain.processes():
            core = machine.SERVER_CORE if machine.label(process) == WINBIND else machine.LOAD_CORE
            with contextlib.suppress(psutil.NoSuchProcess):
                process.cpu_affinity([core])
        proxy = CountingProxy(domain.address, LDAPS)
        try:
            yield WatchedDomain(domain, proxy)
        finally:
            proxy.close()
    finally:
        domain.close()


def _log_logons(domain: Domain) -> None:
    settings = domain.directory / "etc/smb.conf"
    domain.stop()
    settings.write_text(settings.read_text().replace("[global]\n", _LOG_LEVEL, 1))
    domain.start_again()
