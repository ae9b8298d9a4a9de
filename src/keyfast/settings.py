"""Settings of a server: one frozen value per process, read once at start from ``server.toml``."""

import json
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from keyfast.errors import UsageError

FILE_NAME = "server.toml"


@dataclass(frozen=True, slots=True)
class Settings:
    """All settings (docs/operate/settings.md).

    Attributes:
        data: directory that holds everything of this server; mode 0700.
        listen: address the endpoint API listens on.
        port: TCP port of the endpoint API.
        urls: base URLs under which endpoints reach it, in order of preference; ``https`` only.
        database: database URL; empty means SQLite in ``data``.
    """

    data: Path
    listen: str = "127.0.0.1"
    port: int = 8443
    urls: tuple[str, ...] = ("https://localhost:8443",)
    database: str = ""

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
    unknown = set(found) - {"listen", "port", "urls", "database"}
    if unknown:
        raise UsageError(f"{path} names unknown settings: {', '.join(sorted(unknown))}")
    return Settings(
        data=data,
        listen=_text(path, found, "listen", default.listen),
        port=_port(path, found.get("port", default.port)),
        urls=_urls(path, found.get("urls", list(default.urls))),
        database=_text(path, found, "database", ""),
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
