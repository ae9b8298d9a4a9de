"""A real server that authenticates Windows logons against a real domain, and the clients that log on to it."""

import json
import os
import ssl
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx2
from tests.support import processes
from tests.support.agent import RealAgent
from tests.support.device import read_bundle
from tests.support.fake_agent import MemoryDatabase, Rig
from tests.support.require import require
from tests.support.samba import READER_PASSWORD, Account, Domain
from tests.support.server import RunningServer

from keyfast.agent import hold
from keyfast.agent.install import Seeded, seed
from keyfast.agent.link import Link, direct
from keyfast.agent.loop import Agent
from keyfast.wire.admin import (
    AccountName,
    AccountOrder,
    AccountView,
    Changed,
    EventLine,
    ModeLine,
    ModeOrder,
)
from keyfast.wire.bundle import Bundle

PROBE = "/endpoint/v1/probe"


@dataclass(frozen=True)
class Said:
    """What a client heard in the end.

    Attributes:
        status: HTTP status, 0 if there was no answer.
        kind: class of a refusal.
        body: the decoded answer.
        retry_after: seconds, 0 for none.
        offers: schemes the server names, in its order.
    """

    status: int
    kind: str = ""
    body: dict[str, Any] = field(default_factory=dict)
    retry_after: int = 0
    offers: tuple[str, ...] = ()


class WindowsServer(RunningServer):
    """A server in front of a domain.

    Args:
        data: its directory.
        domain: whose accounts log on.
        also: further controllers of the same domain to read from.
        protection: ``extended_protection``.
        interval: seconds between two readings of an account.
        extra: more tables for its settings.
        head: settings that stand before all tables.
        windows: open the mode windows beside oauth, for every ring.
    """

    def __init__(
        self,
        data: Path,
        domain: Domain,
        *,
        also: Sequence[Domain] = (),
        protection: str = "allow",
        interval: int = 1,
        windows: bool = True,
        extra: str = "",
        head: str = "",
    ) -> None:
        self.domain, self.also = domain, also
        data.mkdir(parents=True, exist_ok=True, mode=0o700)
        password = data / "reader.password"
        password.touch(mode=0o600)
        password.write_text(READER_PASSWORD + "\n")
        authorities = data / "directory.pem"
        authorities.write_bytes(b"".join(one.ca.read_bytes() for one in (domain, *also)))
        servers = [one.ldaps_url for one in (domain, *also)]
        tables = f"""
[windows]
keytab = {_toml(domain.http_keytab)}
ntlm_auth = {_toml(domain.ntlm_auth)}
extended_protection = "{protection}"

[directory]
domain = "{domain.netbios}"
realm = "{domain.realm}"
servers = {json.dumps(servers)}
ca = "directory.pem"
reader = "svc-reader"
reader_password_file = "reader.password"
watch_interval_s = {interval}
"""
        super().__init__(data, tables=head + tables + extra, KRB5_CONFIG=str(domain.krb5_conf))
        if windows:
            self.open_mode("windows")

    # --- what administrators do

    def add_account(self, account: Account, *despite: str, password: str = "", wait: bool = True) -> AccountView:
        """Put an account on record with its present password; with ``wait`` until the check-in process knows it.

        It asks by NTLM, which remembers nothing; the first asking may leave an event ``account_not_allowed``.
        """
        order = AccountOrder(account.logon, password or account.password, despite)
        view = self.admin.post("/admin/v1/accounts", AccountView, order)
        if wait:
            processes.until(lambda: self.ntlm(account, password).kind != "account_not_allowed", "the new account")
        return view

    def new_account(self, name: str) -> Account:
        """Make a domain user that outlives a test, and put it on record."""
        account = Account(self.domain, name, f"Lasting-Passw0rd-{name}")
        for each in (self.domain, *self.also):
            each.add_user(account.name, account.password)
        self.add_account(account)
        return account

    def check_account(self, account: Account) -> AccountView:
        """``keyfast account check``."""
        return self.admin.post("/admin/v1/accounts/check", AccountView, AccountName(account.logon))

    def remove_account(self, account: Account) -> None:
        """``keyfast account remove``."""
        self.admin.post("/admin/v1/accounts/remove", Changed, AccountName(account.logon))

    def open_mode(self, mode: str, ring: str = "") -> None:
        """``keyfast mode open``."""
        self.admin.post("/admin/v1/modes/open", Changed, ModeOrder(mode, ring))
        if mode == "windows" and not ring:
            processes.until(lambda: self.curl().kind != "mode_closed", "the mode to open")

    def close_mode(self, mode: str, ring: str = "", *, despite_endpoints: bool = False) -> None:
        """``keyfast mode close``."""
        self.admin.post("/admin/v1/modes/close", Changed, ModeOrder(mode, ring, despite_endpoints))

    def modes(self) -> set[tuple[str, str]]:
        """Every open mode, as (ring, mode)."""
        return {(row.ring, row.mode) for row in self.admin.get("/admin/v1/modes", list[ModeLine])}

    def events(self, *kinds: str, account: Account | None = None, after: int = 0) -> list[EventLine]:
        """Events, oldest first: of some kinds or of all, about one account or all, with numbers above ``after``."""
        rows = self.admin.get("/admin/v1/events", list[EventLine], {"limit": 1000})
        key = "" if account is None else f"{account.domain.netbios}\\{account.name}"
        return [
            row
            for row in reversed(rows)
            if row.id > after and (not kinds or row.kind in kinds) and (not key or row.detail.get("account") == key)
        ]

    def await_events(self, *kinds: str, account: Account | None = None, after: int = 0) -> list[EventLine]:
        """The same, as soon as there is one."""
        return processes.until(lambda: self.events(*kinds, account=account, after=after) or None, f"events {kinds}")

    def last_event(self) -> int:
        """Number of the newest event."""
        return max((row.id for row in self.events()), default=0)

    def windows_bundle(self, account: Account, **order: object) -> Bundle:
        """A package of an account on record."""
        line = self.package(mode="windows", account=account.logon, **{"max_uses": 10_000, **order})
        return read_bundle(line.path)

    # --- clients

    def curl(self, *options: str, path: str = PROBE, tickets: Path | None = None, url: str = "") -> Said:
        """Ask the server, or ``url``, by curl, with nothing of this process's Kerberos but ``tickets``."""
        env = os.environ | {
            "KRB5_CONFIG": str(self.domain.krb5_conf),
            "KRB5CCNAME": f"FILE:{tickets or '/dev/null'}",
        }
        end = "\n%{http_code} %header{retry-after}"
        ca = str(self.settings.tls / "ca.pem")
        command = [require("curl", "curl"), "-sS", "--cacert", ca, "--noproxy", "*", "-m", "60", "-w", end]
        done = subprocess.run(
            [*command, *options, (url or self.url) + path],
            capture_output=True,
            text=True,
            check=False,
            env=env,
            timeout=90,
        )
        body, _, last = done.stdout.rpartition("\n")
        status, _, retry = last.partition(" ")
        assert status.isdecimal(), done.stderr
        return said(int(status), body.encode(), retry)

    def basic(self, account: Account, password: str = "") -> Said:
        """``curl --basic``."""
        return self._let_in("--basic", "-u", f"{account.logon}:{password or account.password}")

    def ntlm(self, account: Account, password: str = "") -> Said:
        """``curl --ntlm``."""
        return self._let_in("--ntlm", "-u", f"{account.logon}:{password or account.password}")

    def _let_in(self, *options: str) -> Said:
        """Ask as a stranger, who must wait until the account was read after the wrong try before, if it can be."""
        end = time.monotonic() + 10
        while True:
            heard = self.curl(*options)
            if "is being read" not in heard.body.get("detail", "") or time.monotonic() > end:
                return heard
            time.sleep(0.2)

    def negotiate(self, tickets: Path) -> Said:
        """``curl --negotiate`` with tickets at hand; see ``kinit``."""
        return self.curl("--negotiate", "-u", ":", tickets=tickets)

    def rig(self, bundle: Bundle, number: int = 0, *, only: str = "") -> "WindowsRig":
        """An agent in this process that has just taken over a package; Kerberos is this process's own.

        With ``only`` it hears no other scheme offered.
        """
        return WindowsRig(bundle, number, only)

    def agent(self, state: Path, *, kerberos: bool = True) -> RealAgent:
        """An agent by its command line; its machine knows the domain's Kerberos or none."""
        conf = self.domain.krb5_conf if kerberos else "/dev/null"
        return RealAgent(state, prefix=("env", f"KRB5_CONFIG={conf}", "KRB5CCNAME=MEMORY:agent"))


class WindowsRig(Rig):
    """An agent in this process over real TLS, with a clock and a client database in the test's hands.

    The clock starts at the real time, since the directory's cannot be moved.
    """

    def __init__(self, bundle: Bundle, number: int = 0, only: str = "") -> None:
        self._only = only
        self.wait = 0.0
        database = MemoryDatabase()
        assert seed(database, bundle) is Seeded.NEW
        super().__init__(None, database, number)  # type: ignore[arg-type] - it brings its own connections
        self.clock.set_wall(time.time())

    def _agent(self) -> Agent:
        self.link = Link(self.clock, self.new_id, self._connect)
        return Agent(self.database, self.link, self.machine, self.clock, self.random.random, self.new_id)

    def _connect(self, context: ssl.SSLContext) -> httpx2.AsyncBaseTransport:
        return _Deaf(direct(context), self._only) if self._only else direct(context)

    async def check_in(self) -> float:
        """Check in now, as ``keyfast-agent check-in`` does; return how long it wants to wait then."""
        self.agent.make_due()
        try:
            self.wait = await self.visit()
            return self.wait
        finally:
            await self.agent.rest()

    @property
    def held(self) -> bool:
        """Whether it keeps the password to itself for now."""
        record = self.agent.record
        return hold.remaining(record.hold, record.credential_generation, self.clock.now()) > 0

    @property
    def said(self) -> str:
        """``ok`` and the mechanism, or the class of the refusal, or ``unreached``; of the last try."""
        record = self.agent.record
        if not record.trouble:
            return f"ok {record.mechanism}"
        last = record.last_refusal
        return last.kind if last is not None and record.trouble.endswith(f": {last.kind}") else "unreached"


class _Deaf(httpx2.AsyncBaseTransport):
    """Hears one scheme offered and no other."""

    def __init__(self, inner: httpx2.AsyncBaseTransport, scheme: str) -> None:
        self._inner, self._scheme = inner, scheme

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        response = await self._inner.handle_async_request(request)
        offers = [line for line in response.headers.get_list("www-authenticate") if line.startswith(self._scheme)]
        kept = [(name, value) for name, value in response.headers.raw if name.lower() != b"www-authenticate"]
        response.headers = httpx2.Headers([*kept, *((b"www-authenticate", line.encode()) for line in offers)])
        return response

    async def aclose(self) -> None:
        await self._inner.aclose()


def said(status: int, body: bytes, retry_after: str = "", offers: Sequence[str] = ()) -> Said:
    """Read an answer."""
    try:
        told = json.loads(body)
    except ValueError:
        told = {}
    schemes = tuple(offer.partition(" ")[0] for offer in offers)
    return Said(status, str(told.get("class", "")), told, int(retry_after or 0), schemes)


def kinit(account: Account, to: Path, password: str = "") -> bool:
    """Get a Kerberos ticket by password into a file; tell whether the KDC gave one."""
    env = os.environ | {"KRB5_CONFIG": str(account.domain.krb5_conf)}
    done = subprocess.run(
        [require("kinit", "krb5-user"), "-c", f"FILE:{to}", account.upn],
        input=(password or account.password) + "\n",
        capture_output=True,
        text=True,
        check=False,
        env=env,
        timeout=60,
    )
    return done.returncode == 0


def bad_passwords(account: Account) -> int:
    """Wrong passwords counted for it; 0 if it is gone."""
    here = account.domain.exists(account.name)
    return int(account.read().get("badPwdCount", ["0"])[0]) if here else 0


@contextmanager
def down(domain: Domain) -> Iterator[None]:
    """A domain whose controller is dead for a while."""
    domain.kill()
    try:
        yield
    finally:
        domain.start_again()


def _toml(path: Path) -> str:
    return json.dumps(str(path))
