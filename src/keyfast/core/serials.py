"""Allow-lists of packages: which computers may enrol, by hardware serial number or SMBIOS UUID.

What a computer says of itself can be forged by whoever controls it: a list keeps packages from the wrong
computers, not attackers from enrolling.
"""

from collections.abc import Iterable

from keyfast.errors import UsageError

MAX_SERIALS = 50_000
MAX_LENGTH = 128


def plain(text: str) -> str:
    """Return a serial number as it is compared: without white space, in capitals."""
    return "".join(text.split()).upper()


def listed(lines: Iterable[str]) -> tuple[str, ...]:
    """Return an allow-list as it is stored: each serial once, in order; empty lines are left out.

    Raises:
        UsageError: there are too many, or one is too long to be one.
    """
    found = sorted({serial for line in lines if (serial := plain(line))})
    if len(found) > MAX_SERIALS:
        raise UsageError(f"an allow-list names at most {MAX_SERIALS:,} computers, not {len(found):,}")
    too_long = next((serial for serial in found if len(serial) > MAX_LENGTH), None)
    if too_long is not None:
        raise UsageError(f"'{too_long[:40]}...' is too long to be a serial number")
    return tuple(found)


def shown(serial: str, smbios_uuid: str) -> tuple[str, ...]:
    """Return by which names a computer may be on an allow-list; none if it could read none."""
    return tuple(name for name in (plain(serial), plain(smbios_uuid)) if name)
