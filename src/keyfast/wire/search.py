"""Messages of the admin API about searches that people keep."""

import msgspec

from keyfast.core.search import Search
from keyfast.wire.admin import View


class SavedSearch(View, frozen=True):
    """A search under a name of one's own, and when it was kept (unix seconds)."""

    name: str
    search: Search
    saved_at: int


class SearchOrder(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A search to keep."""

    name: str
    search: Search
