"""Remember what may be used once, for as long as it would still be valid. Bounded."""

from keyfast.errors import NotReadyError

CAPACITY = 200_000


class SeenOnce:
    """A set of names with expiry times, in memory.

    Client assertions live for minutes and are asked for once a day by an endpoint, so this stays small;
    if it does not, the server is being flooded and says that it is not ready rather than forgetting.
    """

    def __init__(self, capacity: int = CAPACITY) -> None:
        self._capacity = capacity
        self._until: dict[str, int] = {}

    def first(self, name: str, now: int, until: int) -> bool:
        """Return True the first time ``name`` is seen before ``until`` (unix seconds).

        Raises:
            NotReadyError: too many names are being remembered.
        """
        if self._until.get(name, now - 1) >= now:
            return False
        if len(self._until) >= self._capacity:
            self._until = {known: end for known, end in self._until.items() if end >= now}
            if len(self._until) >= self._capacity:
                raise NotReadyError("too many token requests at once", retry_after=60)
        self._until[name] = until
        return True
