r"""The client database in the Windows registry: ``HKLM\SOFTWARE\Keyfast\Agent\Client Database``.

Two binary values, ``StateA`` and ``StateB``, take turns; each is one checksummed frame, so a kill between
any two writes leaves one intact. The readable values beside them are mirrors for people and scripts: the
agent writes them after the truth and never reads them.

Not yet run on real Windows: the tests use a registry that can die between any two writes. The lock is a file's, and
the installer restricts the key to SYSTEM and Administrators.
"""

import contextlib
import datetime as dt
import logging
from typing import Any, Protocol

import msgspec

from keyfast.agent.client_database import Record, decode_record, encode_record
from keyfast.agent.frames import Frame, encode_frame, read_frames
from keyfast.agent.vault import Safe, is_sealed
from keyfast.errors import ClientDatabaseError
from keyfast.trust.encoding import unb64u

KEY_PATH = r"SOFTWARE\Keyfast\Agent\Client Database"
SLOTS = ("StateA", "StateB")

_log = logging.getLogger(__name__)


class Registry(Protocol):
    """The part of the standard library's ``winreg`` that is used, by its names."""

    HKEY_LOCAL_MACHINE: Any
    REG_BINARY: int
    REG_SZ: int

    def CreateKey(self, key: Any, sub_key: str, /) -> Any:  # noqa: N802
        """See ``winreg.CreateKey``."""
        ...

    def QueryValueEx(self, key: Any, name: str, /) -> tuple[Any, int]:  # noqa: N802
        """See ``winreg.QueryValueEx``; FileNotFoundError if there is no such value."""
        ...

    def SetValueEx(self, key: Any, name: str, reserved: int, kind: int, value: Any, /) -> None:  # noqa: N802
        """See ``winreg.SetValueEx``."""
        ...

    def FlushKey(self, key: Any, /) -> None:  # noqa: N802
        """See ``winreg.FlushKey``; returns when the change is on disk."""
        ...

    def DeleteValue(self, key: Any, name: str, /) -> None:  # noqa: N802
        """See ``winreg.DeleteValue``; FileNotFoundError if there is no such value."""
        ...

    def DeleteKey(self, key: Any, sub_key: str, /) -> None:  # noqa: N802
        """See ``winreg.DeleteKey``."""
        ...

    def CloseKey(self, key: Any, /) -> None:  # noqa: N802
        """See ``winreg.CloseKey``."""
        ...


class RegistryDatabase:
    """A ``ClientDatabase`` over the registry.

    Args:
        registry: ``winreg``, or something that behaves like it.
        safe: seals records; None leaves them as they are.

    Raises:
        ClientDatabaseError: the key cannot be opened for writing.
    """

    def __init__(self, registry: Registry, safe: Safe | None = None) -> None:
        self._registry = registry
        self._safe = safe or Safe(())
        self._seals = safe is not None
        self._clear = False
        self._generation = 0
        try:
            self._key = registry.CreateKey(registry.HKEY_LOCAL_MACHINE, KEY_PATH)
        except OSError as cause:
            raise ClientDatabaseError(rf"cannot open HKLM\{KEY_PATH}: {cause}", repair="run as SYSTEM") from cause

    def load(self) -> Record | None:
        """See ``ClientDatabase.load``."""
        readings = [read_frames(data) for name in SLOTS if (data := self._value(name))]
        frames = [reading.newest for reading in readings if reading.newest]
        if not frames:
            # The first store of all, cut off, leaves one broken-off value and nothing to lose.
            if len(readings) > 1 or any(reading.damaged for reading in readings):
                raise ClientDatabaseError(
                    rf"HKLM\{KEY_PATH} is damaged and holds no intact record",
                    repair="restore the key from a backup, or remove it and install the agent again",
                )
            return None
        newest = max(frames, key=lambda frame: frame.generation)
        self._generation = newest.generation
        self._clear = self._seals and not all(is_sealed(frame.payload) for frame in frames)
        return decode_record(self._safe.open(newest.payload))

    def store(self, record: Record) -> None:
        """See ``ClientDatabase.store``; overwrites the older of the two values, never the newest."""
        payload = encode_record(record)
        sealed = self._safe.seal(payload, record.installation) if self._seals else payload
        # A record that was not sealed yet does not stay behind in the other value.
        for _ in range(2 if self._clear else 1):
            self._write(sealed)
        self._clear = False
        for name, text in mirrors(record).items():
            try:
                self._set(name, self._registry.REG_SZ, text)
            except OSError as cause:
                _log.warning("the readable value %s is stale: %s", name, cause)

    def _write(self, payload: bytes) -> None:
        generation = self._generation + 1
        try:
            self._set(SLOTS[generation % 2], self._registry.REG_BINARY, encode_frame(Frame(generation, payload)))
            self._registry.FlushKey(self._key)
        except OSError as cause:
            raise ClientDatabaseError(rf"cannot write HKLM\{KEY_PATH}: {cause}") from cause
        self._generation = generation

    def set_aside(self) -> None:
        """See ``LocalDatabase.set_aside``; only the last one is kept."""
        try:
            for name in SLOTS:
                if value := self._value(name):
                    self._set(f"Sealed{name}", self._registry.REG_BINARY, value)
            self._registry.FlushKey(self._key)
            for name in SLOTS:
                with contextlib.suppress(FileNotFoundError):
                    self._registry.DeleteValue(self._key, name)
        except OSError as cause:
            raise ClientDatabaseError(rf"cannot set HKLM\{KEY_PATH} aside: {cause}") from cause
        self._safe.forget()

    def forget(self) -> None:
        """See ``LocalDatabase.forget``; the key goes as a whole, mirrors and all."""
        try:
            self._registry.DeleteKey(self._registry.HKEY_LOCAL_MACHINE, KEY_PATH)
        except FileNotFoundError:
            pass
        except OSError as cause:
            raise ClientDatabaseError(rf"cannot remove HKLM\{KEY_PATH}: {cause}") from cause

    def close(self) -> None:
        """See ``ClientDatabase.close``."""
        self._registry.CloseKey(self._key)

    def _value(self, name: str) -> bytes:
        try:
            value, kind = self._registry.QueryValueEx(self._key, name)
        except FileNotFoundError:
            return b""
        except OSError as cause:
            raise ClientDatabaseError(rf"cannot read HKLM\{KEY_PATH}\{name}: {cause}") from cause
        return bytes(value) if kind == self._registry.REG_BINARY else b""

    def _set(self, name: str, kind: int, value: bytes | str) -> None:
        self._registry.SetValueEx(self._key, name, 0, kind, value)


def mirrors(record: Record) -> dict[str, str]:
    """Return the readable values: nothing secret, times in UTC by ISO 8601."""
    due = record.due
    profile = _told(record.slots.current)
    return {
        "ServerUrl": profile.urls[0] if profile.urls else "",
        "AuthenticationMode": profile.mode,
        "AccountName": record.account_name,
        "AccountDomain": record.account_domain,
        "EndpointId": record.endpoint_id,
        "InstallationId": record.installation,
        "LastCheckIn": _utc(record.last_check_in_wall),
        "NextCheckIn": _utc(due.since.wall + due.delay) if due else "",
    }


class _Told(msgspec.Struct, frozen=True):
    """The members of an access profile that are shown; whoever uses them verifies the signature."""

    mode: str = ""
    urls: tuple[str, ...] = ()


def _told(statement: str) -> _Told:
    try:
        return msgspec.json.decode(unb64u(statement.split(".")[1]), type=_Told)
    except (IndexError, ValueError):
        return _Told()


def _utc(seconds: float) -> str:
    if not 0 < seconds < dt.datetime.max.replace(tzinfo=dt.UTC).timestamp():
        return ""
    return dt.datetime.fromtimestamp(int(seconds), dt.UTC).isoformat()
