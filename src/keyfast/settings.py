"""Settings of a server: one frozen value per process, read once at start from ``server.toml``."""

import json
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path

from keyfast import settings_audit, settings_directory, settings_notify
from keyfast.core.role import DANGEROUS, Permission
from keyfast.errors import UsageError
from keyfast.settings_audit import FOR_EVER, AuditSettings
from keyfast.settings_directory import ActiveDirectorySettings
from keyfast.settings_notify import NOBODY, NotifySettings

FILE_NAME = "server.toml"


@dataclass(frozen=True, slots=True)
class WindowsSettings:
    """How this server authenticates Windows logons (table ``windows``).

    Attributes:
        keytab: keys of the service ``HTTP/<host>``, for Kerberos.
        ntlm_auth: winbind's helper program, for NTLM.
        extended_protection: ``allow`` checks channel bindings that a client sends, ``require`` refuses
            clients that send none, ``off`` is for a proxy in front that ends TLS.
        basic: whether Basic is offered.
    """

    keytab: Path | None = None
    ntlm_auth: Path | None = None
    extended_protection: str = "allow"
    basic: bool = True


@dataclass(frozen=True, slots=True)
class RecoverySettings:
    """How endpoints recover (table ``recovery``).

    Attributes:
        device_key: ``always``: a device key brings an access back at any time; ``window``: only while a
            recovery window is open that covers the endpoint.
    """

    device_key: str = "always"


@dataclass(frozen=True, slots=True)
class PackagesSettings:
    """How packages are built (table ``packages``).

    Attributes:
        signing_certificate: PEM file of the certificate that signs packages, with those above it; None for one
            that this installation makes itself.
        signing_key: its private key, mode 0600.
        rpm_key: armoured OpenPGP secret key that signs .rpm packages, mode 0600; None for one of its own.
        python_embed: official embeddable zip of CPython for Windows, None for a runtime from wheels.
        python_embed_sha256: its SHA-256 (hex), as published.
        wheels: folder with the wheels of the agent's libraries; None to fetch them.
        keep: base artefacts of how many versions of the agent are kept.
    """

    signing_certificate: Path | None = None
    signing_key: Path | None = None
    rpm_key: Path | None = None
    python_embed: Path | None = None
    python_embed_sha256: str = ""
    wheels: Path | None = None
    keep: int = 3


@dataclass(frozen=True, slots=True)
class ConsoleSettings:
    """Where people reach the server from elsewhere (table ``console``).

    Attributes:
        listen: address.
        port: TCP port; 0 serves the local socket only.
        url: how browsers reach it; empty for this machine and this port.
    """

    listen: str = "127.0.0.1"
    port: int = 0
    url: str = ""

    @property
    def home(self) -> str:
        """URL of the console."""
        return self.url or f"https://localhost:{self.port}"


@dataclass(frozen=True, slots=True)
class OidcSettings:
    """Single sign-on by OpenID Connect (table ``oidc``).

    Attributes:
        issuer: URL of the identity provider, exactly as it calls itself.
        client_id: what it calls this server.
        client_secret_file: file with the secret that it gave, mode 0600.
        claim: which claim of an identity is the name of a person here.
        ca: PEM file of the authority behind its certificate, None for the operating system's.
    """

    issuer: str
    client_id: str
    client_secret_file: Path
    claim: str = "preferred_username"
    ca: Path | None = None


@dataclass(frozen=True, slots=True)
class Settings:
    """All settings (docs/operate/settings.md).

    Attributes:
        data: directory that holds everything of this server; mode 0700.
        listen: address the endpoint API listens on.
        port: TCP port of the endpoint API.
        urls: base URLs under which endpoints reach it, in order of preference; ``https`` only.
        database: database URL; empty means SQLite in ``data``.
        windows: Windows Authentication.
        directory: Active Directory, None for the embedded directory.
        recovery: who may recover when.
        packages: how packages are built.
        console: where people reach it from elsewhere.
        notify: who is told of what needs somebody.
        audit: how long the audit trail is kept.
        oidc: single sign-on, None for none.
        second_person: dangerous permissions for which a second person has to agree.
    """

    data: Path
    listen: str = "127.0.0.1"
    port: int = 8443
    urls: tuple[str, ...] = ("https://localhost:8443",)
    database: str = ""
    windows: WindowsSettings = WindowsSettings()
    directory: ActiveDirectorySettings | None = None
    recovery: RecoverySettings = RecoverySettings()
    packages: PackagesSettings = PackagesSettings()
    console: ConsoleSettings = ConsoleSettings()
    notify: NotifySettings = NOBODY
    audit: AuditSettings = FOR_EVER
    oidc: OidcSettings | None = None
    second_person: tuple[Permission, ...] = ()

    @property
    def database_url(self) -> str:
        """The database in use."""
        return self.database or f"sqlite:///{self.data / 'keyfast.db'}"

    @property
    def kek_file(self) -> Path:
        """Where the key that seals secrets at rest is."""
        return self.data / "kek.json"

    @property
    def tls(self) -> Path:
        """Directory of the certificate authority and the server certificate."""
        return self.data / "tls"

    @property
    def package_files(self) -> Path:
        """Directory of packages, of what they are stamped from, and of what signs them."""
        return self.data / "packages"

    @property
    def package_signing(self) -> Path:
        """Directory of the keys by which this installation signs packages when none are configured."""
        return self.package_files / "signing"

    @property
    def admin_socket(self) -> Path:
        """Local socket of the admin API."""
        return self.data / "run" / "admin.sock"


def load(data: Path) -> Settings:
    """Read ``server.toml`` in ``data``; a missing file means the defaults.

    Raises:
        UsageError: the file is not TOML, names an unknown setting or has a value of the wrong type.
    """
    path, default = data / FILE_NAME, Settings(data)
    try:
        found = tomllib.loads(path.read_text("utf-8")) if path.exists() else {}
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as cause:
        raise UsageError(f"{path} is not TOML: {cause}") from cause
    _demand_known(path, found, {field.name for field in fields(Settings)} - {"data"})
    return Settings(
        data=data,
        listen=_text(path, found, "listen", default.listen),
        port=_port(path, found.get("port", default.port)),
        urls=_urls(path, found.get("urls", list(default.urls))),
        database=_text(path, found, "database", ""),
        windows=_windows(path, _table(path, found, "windows") or {}),
        directory=settings_directory.read(path, _table(path, found, "directory")),
        recovery=_recovery(path, _table(path, found, "recovery") or {}),
        packages=_packages(path, _table(path, found, "packages") or {}),
        console=_console(path, _table(path, found, "console") or {}),
        notify=settings_notify.read(path, _table(path, found, "notify") or {}),
        audit=settings_audit.read(path, _table(path, found, "audit") or {}),
        oidc=_oidc(path, _table(path, found, "oidc")),
        second_person=_second_person(path, found.get("second_person", [])),
    )


def write(settings: Settings) -> None:
    """Write ``server.toml`` for a new installation; an administrator's own file is never replaced."""
    lines = [
        f"listen = {_toml(settings.listen)}",
        f"port = {settings.port}",
        f"urls = [{', '.join(map(_toml, settings.urls))}]",
    ]
    if settings.database:
        lines.append(f"database = {_toml(settings.database)}")
    if settings.console.port:
        lines += ["", "[console]", f"listen = {_toml(settings.console.listen)}", f"port = {settings.console.port}"]
    text = "\n".join(lines) + "\n"
    path = settings.data / FILE_NAME
    if not path.exists():
        path.touch(mode=0o600)
        path.write_text(text, "utf-8")


def _toml(text: str) -> str:
    """A TOML basic string: JSON escapes are a subset of TOML's."""
    return json.dumps(text)


def _text(path: Path, found: dict[str, object], name: str, default: str) -> str:
    value = found.get(name, default)
    if not isinstance(value, str):
        raise UsageError(f"{path}: {name} must be a string")
    return value


def _port(path: Path, value: object) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or not 0 < value < 65536:  # noqa: PLR2004 - ports
        raise UsageError(f"{path}: port must be a number from 1 to 65535")
    return value


def _urls(path: Path, value: object) -> tuple[str, ...]:
    if not isinstance(value, Sequence) or isinstance(value, str) or not value:
        raise UsageError(f"{path}: urls must be a list of base URLs")
    for url in value:
        if not isinstance(url, str) or not url.startswith("https://"):
            raise UsageError(f"{path}: '{url}' is not an https URL; tokens and keys never travel without TLS")
    return tuple(str(url).rstrip("/") for url in value)


DEVICE_KEY = ("always", "window")
EXTENDED_PROTECTION = ("allow", "require", "off")


def _demand_known(path: Path, found: dict[str, object], names: set[str]) -> None:
    unknown = set(found) - names
    if unknown:
        raise UsageError(f"{path} names unknown settings: {', '.join(sorted(unknown))}")


def _table(path: Path, found: dict[str, object], name: str) -> dict[str, object] | None:
    value = found.get(name)
    if value is None or isinstance(value, dict):
        return value
    raise UsageError(f"{path}: {name} must be a table")


def _file(path: Path, found: dict[str, object], name: str) -> Path | None:
    text = _text(path, found, name, "")
    return path.parent / text if text else None


def _windows(path: Path, found: dict[str, object]) -> WindowsSettings:
    _demand_known(path, found, {"keytab", "ntlm_auth", "extended_protection", "basic"})
    protection = _text(path, found, "extended_protection", "allow")
    if protection not in EXTENDED_PROTECTION:
        raise UsageError(f"{path}: extended_protection must be one of {', '.join(EXTENDED_PROTECTION)}")
    basic = found.get("basic", True)
    if not isinstance(basic, bool):
        raise UsageError(f"{path}: basic must be true or false")
    return WindowsSettings(_file(path, found, "keytab"), _file(path, found, "ntlm_auth"), protection, basic)


def _console(path: Path, found: dict[str, object]) -> ConsoleSettings:
    _demand_known(path, found, {field.name for field in fields(ConsoleSettings)})
    default = ConsoleSettings()
    port = found.get("port", default.port)
    url = _text(path, found, "url", "").rstrip("/")
    if url and not url.startswith("https://"):
        raise UsageError(f"{path}: console.url must be an https URL")
    return ConsoleSettings(
        listen=_text(path, found, "listen", default.listen), port=_port(path, port) if port != 0 else 0, url=url
    )


def _oidc(path: Path, found: dict[str, object] | None) -> OidcSettings | None:
    if found is None:
        return None
    _demand_known(path, found, {field.name for field in fields(OidcSettings)})
    issuer = _text(path, found, "issuer", "")
    secret = _file(path, found, "client_secret_file")
    client = _text(path, found, "client_id", "")
    if not (issuer.startswith("https://") and client and secret):
        raise UsageError(f"{path}: oidc needs issuer (https), client_id and client_secret_file")
    return OidcSettings(
        issuer=issuer,
        client_id=client,
        client_secret_file=secret,
        claim=_text(path, found, "claim", "preferred_username"),
        ca=_file(path, found, "ca"),
    )


def _second_person(path: Path, value: object) -> tuple[Permission, ...]:
    # Deciding cannot need deciding.
    possible = {permission.value: permission for permission in DANGEROUS - {Permission.APPROVAL_DECIDE}}
    if not isinstance(value, list) or not all(isinstance(name, str) and name in possible for name in value):
        raise UsageError(f"{path}: second_person must be a list of: {', '.join(sorted(possible))}")
    return tuple(possible[name] for name in value)


def _recovery(path: Path, found: dict[str, object]) -> RecoverySettings:
    _demand_known(path, found, {"device_key"})
    device_key = _text(path, found, "device_key", DEVICE_KEY[0])
    if device_key not in DEVICE_KEY:
        raise UsageError(f"{path}: recovery.device_key must be one of {', '.join(DEVICE_KEY)}")
    return RecoverySettings(device_key)


def _packages(path: Path, found: dict[str, object]) -> PackagesSettings:
    _demand_known(path, found, set(PackagesSettings.__slots__))
    keep = found.get("keep", PackagesSettings().keep)
    if not isinstance(keep, int) or isinstance(keep, bool) or not 1 <= keep <= 100:  # noqa: PLR2004
        raise UsageError(f"{path}: packages.keep must be a number of versions from 1 to 100")
    certificate, key = (_file(path, found, name) for name in ("signing_certificate", "signing_key"))
    if (certificate is None) != (key is None):
        raise UsageError(f"{path}: packages needs both signing_certificate and signing_key, or neither")
    embed, digest = _file(path, found, "python_embed"), _text(path, found, "python_embed_sha256", "").lower()
    if (embed is None) != (not digest):
        raise UsageError(f"{path}: packages needs both python_embed and python_embed_sha256, or neither")
    rpm_key, wheels = (_file(path, found, name) for name in ("rpm_key", "wheels"))
    return PackagesSettings(certificate, key, rpm_key, embed, digest, wheels, keep)
