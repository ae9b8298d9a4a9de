"""Read ``fdesetup status`` (fdesetup(8)): what FileVault does to the system volume."""

import re
from dataclasses import dataclass

from keyfast.disks.decode import read_text
from keyfast.wire.messages import Encryption

ARGV = ("fdesetup", "status")

_SWITCH = re.compile(r"FileVault is (On|Off)\.\s*$", re.MULTILINE)
_CHANGE = re.compile(
    r"^(Encryption|Decryption) in progress:(?: percent completed = (\d+(?:\.\d+)?))?",
    re.MULTILINE | re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class FileVault:
    """FileVault on the system.

    Attributes:
        on: whether it is switched on; a deferred switch-on is still off.
        change: ``encrypting``, ``decrypting`` or None.
        percent: share encrypted while it changes, None if not told.
    """

    on: bool
    change: Encryption | None = None
    percent: float | None = None


def parse(output: bytes) -> FileVault | None:
    """Return what FileVault does; None if ``output`` cannot be read."""
    text = read_text(output)
    switch = _SWITCH.match(text)
    if switch is None:
        return None
    on = switch[1] == "On"
    change = _CHANGE.search(text)
    if change is None:
        return FileVault(on)
    done = None if change[2] is None else min(float(change[2]), 100.0)
    if change[1].lower() == "encryption":
        return FileVault(on, Encryption.ENCRYPTING, done)
    return FileVault(on, Encryption.DECRYPTING, None if done is None else 100 - done)
