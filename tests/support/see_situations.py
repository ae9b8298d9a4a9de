"""Situations of a site of Symantec Endpoint Encryption, made on a real domain, and what is to be said of each first."""

import json
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from tests.support.samba import READER_PASSWORD, Account, Domain
from tests.support.see_site import check_in, iis_line, iis_log, refused, write_reg
from typer.testing import CliRunner

from keyfast.cli import main as cli
from keyfast.core.diagnosis.engine import CANNOT_TELL

HOUR, DAY = 3600, 86_400


@dataclass
class Site:
    """One account's clients, and what is handed to the command about them."""

    domain: Domain
    account: Account
    folder: Path
    options: list[str] = field(default_factory=list)
    domain_name: str = "CORP"
    reads: bool = True

    def built(self, days_ago: float) -> None:
        at = datetime.fromtimestamp(time.time() - days_ago * DAY, UTC)
        self.options += ["--built-at", at.isoformat()]

    def log(self, lines: Sequence[str]) -> None:
        self.options += ["--iis", str(iis_log(self.folder / "u_ex.log", lines))]

    def run(self, *more: str) -> str:
        reg = write_reg(self.folder / "PC-0815.reg", self.account.name, self.domain_name)
        password = self.folder / "password"
        password.write_text(READER_PASSWORD)
        reading = [
            *("--ad", self.domain.ldaps_url, "--ad-user", "CORP\\svc-reader"),
            *("--ad-password-file", str(password), "--ad-ca", str(self.domain.ca)),
        ]
        arguments = ["diagnose", "see", "--reg", str(reg), *(reading if self.reads else []), *self.options, *more]
        result = CliRunner().invoke(cli.app, arguments)
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception
        assert result.exit_code == 0, result.output
        return result.stdout

    def findings(self) -> list[dict[str, object]]:
        (group,) = json.loads(self.run("--json"))["groups"]
        return group["findings"]


def history(site: Site, change: float, after: Callable[[float, int], list[str]], ends: float = 0) -> None:
    """Check-ins of twenty machines every half hour; from ``change`` (seconds ago) on as ``after`` has it."""
    now, user = time.time(), f"CORP\\{site.account.name}"
    lines: list[str] = []
    for at in range(int(now - 48 * HOUR), int(now - ends), 1800):
        for machine in range(20):
            moment = at + machine * 60
            if moment < now - ends:
                lines += check_in(moment, user, machine) if moment < now - change else after(moment, machine)
    site.log(sorted(lines))


def changed_with_build_date(site: Site) -> None:
    site.account.state("age:0.5")
    site.built(30)


def changed_with_log(site: Site) -> None:
    site.account.state("age:0.5")
    history(site, 0.5 * DAY - 0.75 * HOUR, lambda at, machine: refused(at, 1326, machine))


def changed_with_both(site: Site) -> None:
    changed_with_log(site)
    site.built(30)


def changed_untold(site: Site) -> None:
    site.account.state("age:0.5")


def changed_and_locked(site: Site) -> None:
    changed_with_build_date(site)
    site.account.state("locked")


def healthy_with_build_date(site: Site) -> None:
    site.account.state("age:30")
    site.built(1)


def healthy_and_granted(site: Site) -> None:
    site.account.state("never-expires")
    history(site, 0, check_in_again(site))


def check_in_again(site: Site) -> Callable[[float, int], list[str]]:
    return lambda at, machine: check_in(at, f"CORP\\{site.account.name}", machine)


def disabled_since_the_log(site: Site) -> None:
    history(site, 0, check_in_again(site), ends=6 * HOUR)
    site.account.state("disabled")


def disabled_and_silent(site: Site) -> None:
    history(site, 6 * HOUR, lambda *_: [])
    site.account.state("disabled")


def reset_with_a_tick(site: Site) -> None:
    site.domain.password(site.account.name, "Other-Passw0rd-1")
    site.account.state("must-change")
    site.built(30)


def disabled_and_fails_inside(site: Site) -> None:
    answered(500, 0)(site)
    site.account.state("disabled")


def another_domain(site: Site) -> None:
    site.domain_name = "OTHER"


def without_directory(site: Site) -> None:
    site.account.state("disabled")
    site.reads = False


def answered(status: int, substatus: int, win32: int = 0) -> Callable[[Site], None]:
    def make(site: Site) -> None:
        site.account.state("never-expires")
        site.built(0)
        history(site, 5 * HOUR, lambda at, machine: [iis_line(at, status, substatus, win32, machine=machine)])

    return make


def logged_only(win32: int) -> Callable[[Site], None]:
    def make(site: Site) -> None:
        site.reads = False
        history(site, 5 * HOUR, lambda at, machine: refused(at, win32, machine))

    return make


def state(name: str) -> Callable[[Site], None]:
    return lambda site: site.account.state(name)


SITUATIONS: list[tuple[str, str, Callable[[Site], None], str, str]] = [
    # made situation, what is known of it, how it is made, first finding, confidence
    ("password changed", "directory, build date", changed_with_build_date, "password-changed", "likely"),
    ("password changed", "directory, log", changed_with_log, "password-changed", "likely"),
    ("password changed", "directory, build date, log", changed_with_both, "password-changed", "certain"),
    ("password changed", "directory", changed_untold, CANNOT_TELL, ""),
    (
        "password changed, and locked by stale clients",
        "directory, build date",
        changed_and_locked,
        "password-changed",
        "",
    ),
    ("password expired", "directory", state("expired"), "password-expired", "certain"),
    ("account disabled", "directory", state("disabled"), "account-disabled", "certain"),
    ("account locked", "directory", state("locked"), "account-locked", "certain"),
    ("account expired", "directory", state("account-expired"), "account-expired", "certain"),
    ("must change at next logon", "directory", state("must-change"), "password-must-change", "certain"),
    ("account deleted", "directory", state("deleted"), "account-missing", "likely"),
    ("no logon hours", "directory", state("hours-none"), "logon-restricted", "likely"),
    ("restricted to workstations", "directory", state("workstations"), "logon-restricted", "likely"),
    ("account disabled", "nothing", without_directory, CANNOT_TELL, ""),
    ("account disabled", "directory, log of before", disabled_since_the_log, "account-disabled", "certain"),
    ("account disabled, clients gave up", "directory, log", disabled_and_silent, "account-disabled", "certain"),
    ("account disabled, and 500", "directory, build date, log", disabled_and_fails_inside, "database-unreachable", ""),
    ("password reset, with the tick", "directory, build date", reset_with_a_tick, "password-must-change", "certain"),
    ("account disabled", "log", logged_only(1331), "account-disabled", "likely"),
    ("password expired", "log", logged_only(1330), "password-expired", "likely"),
    ("account locked", "log", logged_only(1909), "account-locked", "likely"),
    ("must change at next logon", "log", logged_only(1907), "password-must-change", "likely"),
    ("account expired", "log", logged_only(1793), "account-expired", "likely"),
    ("no logon hours", "log", logged_only(1328), "logon-restricted", "certain"),
    ("wrong password, for whatever reason", "log", logged_only(1326), CANNOT_TELL, ""),
    ("all is well", "directory, build date", healthy_with_build_date, CANNOT_TELL, ""),
    ("all is well, logons succeed", "directory, log", healthy_and_granted, CANNOT_TELL, ""),
    ("account in a domain that was not read", "directory of another domain", another_domain, CANNOT_TELL, ""),
    (
        "Windows authentication switched off",
        "directory, build date, log",
        answered(401, 2),
        "mode-not-offered",
        "certain",
    ),
    ("folder's permissions changed", "directory, build date, log", answered(401, 3), "permission-denied", "certain"),
    ("HTTPS demanded of HTTP clients", "directory, build date, log", answered(403, 4), "https-demanded", "certain"),
    ("address restriction", "directory, build date, log", answered(403, 6), "address-refused", "certain"),
    (
        "client certificates demanded",
        "directory, build date, log",
        answered(403, 7),
        "client-certificate-demanded",
        "certain",
    ),
    ("database down", "directory, build date, log", answered(500, 0), "database-unreachable", "certain"),
    ("application pool stopped", "directory, build date, log", answered(503, 0), "server-overloaded", "certain"),
]
