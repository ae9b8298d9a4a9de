"""A real Active Directory for tests: a Samba domain controller on a loopback address of its own.

Kerberos, LDAP, LDAPS and winbindd (NTLM) answer on their standard ports; needs root and Debian's packages. The
controller ends when this process ends, however that ends. Two domains of one realm share SIDs, keys and passwords but
never replicate: two controllers of one domain, one of which lags behind.
"""

import os
import random
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import psutil
import pytest
from tests.support import samba_files, samba_policy
from tests.support.require import require
from tests.support.samba_database import Database
from tests.support.samba_processes import Family
from tests.support.samba_seed import (
    ACCOUNTS,
    ADMINISTRATOR_PASSWORD,
    ALICE_PASSWORD,
    HTTP_NAMES,
    HTTP_PASSWORD,
    READER_PASSWORD,
    SEE_PASSWORD,
    copy_seed,
)
from tests.support.samba_states import set_state

__all__ = [
    "ACCOUNTS",
    "ADMINISTRATOR_PASSWORD",
    "ALICE_PASSWORD",
    "HTTP_PASSWORD",
    "READER_PASSWORD",
    "SEE_PASSWORD",
    "Account",
    "Domain",
    "start_domain",
]
START_SECONDS = 60
_PORTS = (88, 389, 464, 636)
_LONGEST_PATH = 74  # + /run/ncalrpc/np/protected_storage = 107, the limit of a unix socket's path
_LONGEST_RUN = 6 * 3600
_PACKAGES = {
    "samba": "samba-ad-dc",
    "samba-tool": "samba-common-bin",
    "ntlm_auth": "winbind",
    "winbindd": "winbind",
    "kinit": "krb5-user",
    "/usr/lib/python3/dist-packages/samba/samdb.py": "python3-samba",
    "/usr/share/samba/setup/provision.ldif": "samba-ad-provision",
    "/usr/lib/*/samba/ldb/samba_dsdb.so": "samba-dsdb-modules",
    "/usr/lib/*/libnss_wrapper.so": "libnss-wrapper",
}


class Domain:
    """A domain and its one controller."""

    def __init__(self, directory: Path, realm: str, netbios: str, address: str) -> None:
        self.directory, self.realm, self.netbios, self.address = directory, realm, netbios, address
        self.host = f"dc1.{realm.lower()}"
        self.ldaps_url, self.ldap_url = f"ldaps://{address}", f"ldap://{address}"
        self.ca = directory / "tls/ca.pem"
        self.krb5_conf = directory / "etc/krb5.conf"
        self.hosts = directory / "etc/hosts"
        self.http_keytab = directory / "keytabs/http.keytab"
        self.ntlm_auth = directory / "bin/ntlm_auth"
        self._conf = directory / "etc/smb.conf"
        self._family: Family | None = None
        self.database = Database(self._conf, directory / "script.log")
        self.base_dn = self.database.base

    def environment(self, *, resolve: bool = False) -> dict[str, str]:
        """What a child needs to find the domain; with ``resolve`` it can look up the controller's name as well."""
        names = {"LD_PRELOAD": "libnss_wrapper.so", "NSS_WRAPPER_HOSTS": str(self.hosts)}
        return {
            "KRB5_CONFIG": str(self.krb5_conf),
            "KRB5CCNAME": f"FILE:{self.directory}/run/ccache",
            "LDAPTLS_CACERT": str(self.ca),
            **(names if resolve else {}),
        }

    # --- accounts

    def add_user(
        self, name: str, password: str, *, groups: Sequence[str] = (), attributes: Mapping[str, object] | None = None
    ) -> None:
        """Add a user with the UPN name@realm, whose password expires by policy; see ``Database.modify``."""
        self.database.ask("add_user", name=name, password=password)
        upn = {"userPrincipalName": f"{name}@{self.realm.lower()}"}
        self.database.modify(self.database.dn(name), **(upn | dict(attributes or {})))
        for group in groups:
            self.join(group, name)

    def delete_user(self, name: str) -> None:
        """Delete an account."""
        self.database.ask("delete", dn=self.database.dn(name))

    def add_group(self, name: str, *members: str) -> str:
        """Add a group with members (accounts or groups), and return its distinguished name."""
        self.database.ask("add_group", name=name)
        for member in members:
            self.join(name, member)
        return self.database.dn(name)

    def join(self, group: str, name: str) -> None:
        """Put an account or a group into a group."""
        self.database.ask("join", group=group, name=name)

    def leave(self, group: str, name: str) -> None:
        """Take an account or a group out of a group."""
        self.database.ask("leave", group=group, name=name)

    def rename(self, account: str, name: str) -> None:
        """Give an account another name, as somebody has who marries: all of them but the identifiers."""
        self.modify(account, sAMAccountName=name, userPrincipalName=f"{name}@{self.realm.lower()}")
        self.database.ask("rename", dn=self.database.dn(name), name=name)

    def exists(self, account: str) -> bool:
        """Whether there is such an account."""
        return bool(self.database.ask("find", name=account))

    def modify(self, account: str, **attributes: object) -> None:
        """Replace attributes of an account: see ``Database.modify``."""
        self.database.modify(self.database.dn(account), **attributes)

    def read(self, account: str) -> dict[str, list[str]]:
        """Every attribute as text, straight from the database: SIDs written out, what is not UTF-8 as hex."""
        found: dict[str, list[str]] = self.database.ask("read", dn=self.database.dn(account))
        return found

    def state(self, account: str, state: str) -> None:
        """Bring an account into a state.

        ``ok`` and ``never-expires`` end every other one and set the password's date to now. The others add to what is
        there: ``expired``, ``expiring:SECONDS``, ``age:DAYS`` (of the password), ``must-change``, ``disabled``,
        ``account-expired``, ``locked`` (by wrong passwords), ``hours-none``, ``workstations``, ``deleted``.
        """
        set_state(self.database, account, state, lambda: self._wrong_password(account))

    def password(self, account: str, new: str, *, old: str = "") -> None:
        """Reset a password as an administrator does; with ``old`` change it as the user does."""
        if not old:
            self.database.ask("reset", name=account, password=new)
            return
        done = self._kerberos(["kpasswd", account], f"{old}\n{new}\n{new}\n")
        assert done.returncode == 0, f"kpasswd: {done.stdout}{done.stderr}"

    def keytab(self, principal: str, path: Path) -> Path:
        """Add the present keys of an account or service name to a keytab."""
        self.database.ask("keytab", principal=principal, path=str(path))
        return path

    # --- policies

    def policy(self, **settings: float) -> None:
        """Change the domain's password policy: see ``samba_policy.domain_policy`` for the names."""
        self.database.modify(self.database.base, **samba_policy.domain_policy(settings))

    def pso(self, name: str, account: str, **settings: float) -> None:
        """Give an account a password policy of its own (a password settings object)."""
        values = samba_policy.password_settings(settings, self.database.dn(account))
        self.database.ask("add", dn=self._pso_dn(name), values=values)

    def delete_pso(self, name: str) -> None:
        """Delete a password settings object."""
        self.database.ask("delete", dn=self._pso_dn(name))

    def _pso_dn(self, name: str) -> str:
        return f"CN={name},CN=Password Settings Container,CN=System,{self.database.base}"

    def serve_also(self, *names: str) -> None:
        """Give the controller's account more service names, such as ldap/ADDRESS of its twin."""
        have = self.read("DC1$")["servicePrincipalName"]
        self.modify("DC1$", servicePrincipalName=list(dict.fromkeys([*have, *names])))

    def serve_http(self, *hosts: str) -> None:
        """Let svc-http answer for more host names, and add their keys to its keytab."""
        names = [f"HTTP/{host}" for host in hosts]
        self.modify("svc-http", servicePrincipalName=list(dict.fromkeys([*HTTP_NAMES, *names])))
        for name in names:
            self.keytab(name, self.http_keytab)

    # --- up and down

    def processes(self) -> list[psutil.Process]:
        """The running processes of the controller."""
        return self._family.members() if self._family is not None else []

    def start_again(self) -> None:
        """Start the controller, and wait until it serves."""
        if self._family is not None and self._family.alive():
            return
        command = [require("samba", "samba-ad-dc"), "-i", "-M", "single", "-s", str(self._conf), "--debug-stdout"]
        with (self.directory / "samba.log").open("ab") as log:
            process = subprocess.Popen(
                [*command, f"--maximum-runtime={_LONGEST_RUN}"],
                stdin=subprocess.PIPE,  # -i: Samba ends by itself when this pipe closes, that is, when we end
                stdout=log,
                stderr=log,
                start_new_session=True,
                cwd="/",
                env=os.environ | {"KRB5_CONFIG": str(self.krb5_conf)},
            )
        self._family = Family(process)
        self._wait_until_serving(process)

    def stop(self) -> None:
        """Stop the controller in order; the data stays."""
        if self._family is not None:
            self._family.end(signal.SIGTERM)
            self._family = None

    def kill(self) -> None:
        """Kill the controller as a power cut would: connections are refused from now on."""
        if self._family is not None:
            self._family.end(signal.SIGKILL)
            self._family = None

    def pause(self) -> None:
        """Stop every process of the controller where it is: connections are taken and never answered."""
        if self._family is not None:
            self._family.pause()

    def resume(self) -> None:
        """Let a paused controller go on."""
        if self._family is not None:
            self._family.resume()

    def close(self) -> None:
        """Stop everything and delete the data."""
        self.kill()
        self.database.close()
        shutil.rmtree(self.directory, ignore_errors=True)

    def _wait_until_serving(self, process: subprocess.Popen[bytes]) -> None:
        give_up = time.monotonic() + START_SECONDS
        while not self._serves():
            if process.poll() is not None or time.monotonic() > give_up:
                self.kill()
                log = (self.directory / "samba.log").read_text(errors="replace")
                raise RuntimeError(f"Samba did not start:\n{log[-3000:]}")
            time.sleep(0.05)

    def _serves(self) -> bool:
        try:
            for port in _PORTS:
                socket.create_connection((self.address, port), 1).close()
        except OSError:
            return False
        ping = [str(self.directory / "bin/wbinfo"), "--ping-dc"]
        return subprocess.run(ping, capture_output=True, check=False).returncode == 0

    def _wrong_password(self, account: str) -> None:
        self._kerberos(["kinit", "-c", "MEMORY:", account], "certainly-Wr0ng\n")

    def _kerberos(self, command: list[str], typed: str) -> subprocess.CompletedProcess[str]:
        env = os.environ | self.environment() | {"KRB5CCNAME": "MEMORY:"}
        return subprocess.run(command, input=typed, capture_output=True, text=True, check=False, env=env, timeout=30)


@dataclass(frozen=True)
class Account:
    """A user of a domain made for one test."""

    domain: Domain
    name: str
    password: str = field(repr=False)

    @property
    def logon(self) -> str:
        """As ``CORP\\name``."""
        return f"{self.domain.netbios}\\{self.name}"

    @property
    def upn(self) -> str:
        """As name@REALM, the Kerberos principal."""
        return f"{self.name}@{self.domain.realm}"

    def state(self, state: str) -> None:
        """See ``Domain.state``."""
        self.domain.state(self.name, state)

    def read(self) -> dict[str, list[str]]:
        """See ``Domain.read``."""
        return self.domain.read(self.name)


def start_domain(
    directory: Path,
    *,
    realm: str = "CORP.EXAMPLE.TEST",
    netbios: str = "CORP",
    address: str = "",
    http_hosts: Sequence[str] = (),
    old_password_minutes: int = 60,
) -> Domain:
    """Make a domain in the new folder ``directory`` and start its controller.

    Args:
        directory: does not exist yet, or is empty; at most 74 characters (unix sockets).
        realm: the Kerberos realm, in capitals.
        netbios: the domain as in ``CORP\\name``.
        address: of 127.0.0.0/8; a free one where empty.
        http_hosts: more hosts that svc-http answers for; localhost and 127.0.0.1 always are.
        old_password_minutes: how long NTLM and LDAP take the previous password after a change.
    """
    _require_packages()
    if len(str(directory)) > _LONGEST_PATH:
        raise ValueError(f"{directory} is too long for Samba's sockets")
    address = address or _free_address()
    directory.mkdir(parents=True, exist_ok=True)
    copy_seed(directory, realm, netbios)
    samba_files.write_settings(directory, realm, netbios, address, old_password_minutes)
    samba_files.write_certificate(directory, realm, address)
    domain = Domain(directory, realm, netbios, address)
    try:
        # With ldap/ADDRESS, Kerberos to ldap://ADDRESS works without any name resolution.
        domain.serve_also(f"ldap/{address}", f"ldap/{domain.host}", f"ldap/{domain.host}/{realm.lower()}")
        if http_hosts:
            domain.serve_http(*http_hosts)
        domain.start_again()
    except BaseException:
        domain.close()
        raise
    return domain


def _require_packages() -> None:
    for tool, package in _PACKAGES.items():
        if not (tool.startswith("/") and any(Path("/").glob(tool[1:]))):
            require(tool, package)
    if os.geteuid() != 0:
        pytest.skip("missing root: a domain controller listens below port 1024")


def _free_address() -> str:
    """Samba cannot leave the standard ports: each domain takes an address of its own."""
    for _ in range(50):
        address = f"127.{random.randint(64, 126)}.{random.randint(0, 255)}.{random.randint(1, 254)}"  # noqa: S311
        try:
            for port in _PORTS:
                with socket.socket() as probe:
                    probe.bind((address, port))
        except OSError:
            continue
        return address
    raise RuntimeError(f"no loopback address is free: something listens on 0.0.0.0 on one of {_PORTS}")
