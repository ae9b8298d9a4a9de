"""A registry in memory that can die between any two writes."""

from typing import Any


class Died(BaseException):
    """The machine lost power here."""


class FakeRegistry:
    """Values by name; dies before the n-th change, tears the value it dies in, or refuses it."""

    HKEY_LOCAL_MACHINE = "HKLM"
    REG_BINARY = 3
    REG_SZ = 1

    def __init__(self) -> None:
        self.values: dict[str, tuple[Any, int]] = {}
        self.changes = 0
        self.die_at = -1
        self.torn = False
        self.refuse = False

    def CreateKey(self, key: Any, sub_key: str, /) -> str:  # noqa: N802
        return f"{key}/{sub_key}"

    def QueryValueEx(self, key: Any, name: str, /) -> tuple[Any, int]:  # noqa: N802
        if name not in self.values:
            raise FileNotFoundError(name)
        return self.values[name]

    def SetValueEx(self, key: Any, name: str, reserved: int, kind: int, value: Any, /) -> None:  # noqa: N802
        if self.refuse:
            raise PermissionError(name)
        if self.changes == self.die_at:
            if self.torn:
                self.values[name] = (value[: len(value) // 2], kind)
            raise Died
        self.changes += 1
        self.values[name] = (value, kind)

    def FlushKey(self, key: Any, /) -> None:  # noqa: N802
        if self.changes == self.die_at:
            raise Died

    def DeleteValue(self, key: Any, name: str, /) -> None:  # noqa: N802
        if self.changes == self.die_at:
            raise Died
        if name not in self.values:
            raise FileNotFoundError(name)
        self.changes += 1
        del self.values[name]

    def DeleteKey(self, key: Any, sub_key: str, /) -> None:  # noqa: N802
        self.values.clear()

    def CloseKey(self, key: Any, /) -> None:  # noqa: N802
        pass
