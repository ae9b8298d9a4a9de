"""What somebody looks for among endpoints: read from a query, and written as one."""

from collections.abc import Mapping
from enum import StrEnum
from typing import TypeVar

import msgspec

from keyfast.core.endpoint import EndpointState
from keyfast.core.protection import Disks
from keyfast.errors import UsageError

MAX_TEXT = 256
W = TypeVar("W", bound=StrEnum)


class Search(msgspec.Struct, frozen=True, omit_defaults=True, forbid_unknown_fields=True):
    r"""Which endpoints are looked for; what is empty says nothing.

    Attributes:
        q: how the name begins; else a serial number or SMBIOS UUID of the computer, or who uses it.
        name: how the name begins, and nothing else.
        state: lifecycle state.
        disks: what the last inventory says of all volumes.
        account: ``DOMAIN\name`` that it authenticates with.
        package: id of the package it came from.
        ring: of its package.
    """

    q: str = ""
    name: str = ""
    state: EndpointState | None = None
    disks: Disks | None = None
    account: str = ""
    package: str = ""
    ring: str = ""

    @property
    def query(self) -> dict[str, str]:
        """As a query says it, in a fixed order."""
        told = {name: getattr(self, name) for name in FIELDS}
        return {name: str(value) for name, value in told.items() if value}


EVERYTHING = Search()
FIELDS = Search.__struct_fields__


def read_search(query: Mapping[str, str]) -> Search:
    """Read a query; what is no field of a search is left alone, as it belongs to the page.

    Raises:
        UsageError: a word that there is not, or a text that is too long to be one.
    """
    found = {name: query[name].strip() for name in FIELDS if query.get(name, "").strip()}
    if any(len(text) > MAX_TEXT for text in found.values()):
        raise UsageError(f"a search has at most {MAX_TEXT} characters in a field")
    state, disks = found.pop("state", ""), found.pop("disks", "")
    return Search(state=_word(EndpointState, "state", state), disks=_word(Disks, "disks", disks), **found)


def _word(words: type[W], field: str, text: str) -> W | None:
    try:
        return words(text) if text else None
    except ValueError:
        raise UsageError(f"no {field} '{text}'", repair=f"one of: {', '.join(words)}") from None
