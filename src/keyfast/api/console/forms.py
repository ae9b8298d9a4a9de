"""Forms as browsers send them, read within bounds."""

from collections.abc import Iterable
from urllib.parse import parse_qsl

from starlette.requests import Request

from keyfast.api import http
from keyfast.core.refusal import Refusal
from keyfast.core.secret import Secret
from keyfast.errors import UsageError

MAX_FORM = 256 * 1024
MAX_FIELDS = 2000
SECRETS = frozenset({"password", "proof_password", "proof_code"})
"""Fields that are never shown again."""


class Form:
    """The fields of one form, in the order in which they were sent."""

    def __init__(self, fields: Iterable[tuple[str, str]] = ()) -> None:
        self._fields = tuple(fields)

    def __repr__(self) -> str:
        """Never a value: some are passwords."""
        return f"Form({', '.join(name for name, _ in self._fields)})"

    def text(self, name: str, default: str = "") -> str:
        """Return a field without the blanks around it; the last one of that name."""
        return next((value.strip() for field, value in reversed(self._fields) if field == name), default)

    def secret(self, name: str) -> Secret:
        """Return a field exactly as it was typed."""
        return Secret(next((value for field, value in reversed(self._fields) if field == name), "").encode())

    def every(self, name: str) -> tuple[str, ...]:
        """Return every field of a name that is not empty: ticked boxes."""
        return tuple(value for field, value in self._fields if field == name and value)

    def lines(self, name: str) -> tuple[str, ...]:
        """Return the words of a text, which stand in lines or between commas."""
        return tuple(word for word in self.text(name).replace(",", "\n").split() if word)

    def number(self, name: str, default: int) -> int:
        """Return a whole number; empty is the default.

        Raises:
            UsageError: it is none.
        """
        text = self.text(name)
        if not text:
            return default
        if not text.isascii() or not text.isdecimal() or len(text) > 9:  # noqa: PLR2004 - digits
            raise UsageError(f"'{text[:20]}' is no number")
        return int(text)

    def names(self) -> tuple[str, ...]:
        """Return the names of all fields, each once."""
        return tuple(dict.fromkeys(name for name, _ in self._fields))

    def fields(self) -> tuple[tuple[str, str], ...]:
        """Return everything as it was sent, secrets too: never shown, stored or logged."""
        return self._fields

    def shown(self) -> tuple[tuple[str, str], ...]:
        """Return the fields that may be shown again, in order."""
        return tuple(pair for pair in self._fields if pair[0] not in SECRETS)


async def read_form(request: Request, limit: int = MAX_FORM) -> Form:
    """Read a form.

    Raises:
        UsageError: it is none, or larger than ``limit`` bytes.
    """
    body = await http.read_body(request, http.FORM, limit)
    if isinstance(body, Refusal):
        raise UsageError(body.rule.title)
    try:
        return Form(parse_qsl(body.decode("ascii"), keep_blank_values=True, max_num_fields=MAX_FIELDS))
    except ValueError as cause:
        raise UsageError("this is not a form that the console sends") from cause
