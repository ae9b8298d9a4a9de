"""What BitLocker's numbers and names mean, and when they may be believed. Pure.

Numbers are those of Win32_EncryptableVolume (GetConversionStatus, GetProtectionStatus, GetKeyProtectorType)
and of the BitLocker module of Windows PowerShell; the names are that module's.
"""

from dataclasses import dataclass

from keyfast.disks.volume import PLAIN, State
from keyfast.wire.messages import Encryption, Protection

STATUSES = (
    "FullyDecrypted",
    "FullyEncrypted",
    "EncryptionInProgress",
    "DecryptionInProgress",
    "EncryptionPaused",
    "DecryptionPaused",
    "FullyEncryptedWipeInProgress",
    "FullyEncryptedWipePaused",
)
PROTECTIONS = ("Off", "On", "Unknown")
METHODS = (
    "None",
    "Aes128Diffuser",
    "Aes256Diffuser",
    "Aes128",
    "Aes256",
    "Hardware",
    "XtsAes128",
    "XtsAes256",
)
PROTECTORS = (
    "Unknown",
    "Tpm",
    "ExternalKey",
    "RecoveryPassword",
    "TpmPin",
    "TpmStartupKey",
    "TpmPinStartupKey",
    "PublicKey",
    "Password",
    "TpmNetworkKey",
    "AdAccountOrGroup",
)
"""Names by their number."""

_CHANGING = {
    "EncryptionInProgress": Encryption.ENCRYPTING,
    "EncryptionPaused": Encryption.ENCRYPTING,
    "DecryptionInProgress": Encryption.DECRYPTING,
    "DecryptionPaused": Encryption.DECRYPTING,
}
_PROTECTION = {"On": Protection.ON, "Off": Protection.OFF}


@dataclass(frozen=True, slots=True)
class Facts:
    """What a tool said of one volume: names of the tables above, empty where it said nothing known."""

    status: str
    protection: str
    method: str = ""
    percent: float | None = None
    protectors: tuple[str, ...] = ()
    locked: bool = False


def judge(facts: Facts) -> State:
    """Return the state of a volume; whatever contradicts itself is unknown.

    All data encrypted and protection off is what a clear key on the disk looks like: it stays ``off``.
    """
    if facts.locked:
        return State(technology="bitlocker", protectors=facts.protectors, detail="the volume is locked")
    if facts.status == STATUSES[0]:
        believable = facts.protection == "Off" and not facts.percent
        return PLAIN if believable else State(detail="BitLocker contradicts itself")
    encryption = _CHANGING.get(facts.status)
    if encryption is None and facts.status in STATUSES:
        encryption = Encryption.ENCRYPTED
    if encryption is None:
        return State(detail="BitLocker did not tell the state of the volume")
    protection = _PROTECTION.get(facts.protection, Protection.UNKNOWN)
    return State(
        encryption=encryption,
        protection=protection,
        technology="bitlocker",
        method="" if facts.method == METHODS[0] else facts.method,
        percent=facts.percent,
        protectors=facts.protectors,
        detail="" if facts.protection in _PROTECTION else "BitLocker did not tell whether protection is on",
    )


def size_of(gib: float | None) -> int:
    """Return bytes; both tools count in units of 2**30 and call them GB."""
    return int(min(gib or 0, 2**32) * 2**30)
