"""The admin API about where accounts come from, and about those of the embedded directory."""

import msgspec

from keyfast.wire.admin import View


class DirectoryView(View, frozen=True):
    """Where accounts come from, and what this server can authenticate with."""

    kind: str
    domain: str
    servers: tuple[str, ...]
    mechanisms: tuple[str, ...]


class LocalAccountOrder(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """An account of the embedded directory: make it, or change it.

    Attributes:
        name: logon name.
        password: set to this, unless empty.
        disabled, must_change: switch on or off; None leaves it.
        max_age_days: the password expires so many days after it was set, 0 for never; None leaves it.
    """

    name: str
    password: str = ""
    disabled: bool | None = None
    must_change: bool | None = None
    max_age_days: int | None = None

    def __repr__(self) -> str:
        """Never the password."""
        return f"LocalAccountOrder({self.name!r})"


class LocalAccountLine(View, frozen=True):
    """One account of the embedded directory."""

    name: str
    password_set_at: int
    disabled: bool
    must_change: bool
    max_age_days: int
