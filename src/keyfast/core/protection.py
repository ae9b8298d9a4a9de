"""What is known of the disks of an endpoint, in one word."""

from collections.abc import Collection
from enum import StrEnum


class Disks(StrEnum):
    """All volumes together: the worst that is known; what is not known is ``unknown``, never ``protected``."""

    PROTECTED = "protected"
    EXPOSED = "exposed"
    UNKNOWN = "unknown"


def together(protections: Collection[str]) -> Disks:
    """Judge the volumes of an endpoint.

    Args:
        protections: ``on``, ``off`` or ``unknown`` of each volume that holds data; a boot volume holds none.
    """
    if "off" in protections:
        return Disks.EXPOSED
    return Disks.PROTECTED if protections and set(protections) == {"on"} else Disks.UNKNOWN
