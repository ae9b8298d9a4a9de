"""Read ``manage-bde -status``, the last resort: its labels are translated, only English is known."""

import re

from keyfast.disks import bitlocker
from keyfast.disks.decode import read_text
from keyfast.disks.volume import make
from keyfast.wire.messages import Volume

ARGV = ("manage-bde", "-status")

_VOLUME = re.compile(r"^Volume ([A-Z]:)(?: \[.*\])?\s*$", re.MULTILINE)
_FIELD = re.compile(r"^ {4}([A-Z][A-Za-z ]+):[ \t]*(.*?)\s*$", re.MULTILINE)
_PROTECTOR = re.compile(r"^ {8}([A-Z].*?)(?: \(.*\))?\s*$", re.MULTILINE)
_NUMBER = re.compile(r"(\d+(?:[.,]\d+)?) ?(?:%|GB)\Z")

_STATUSES = {
    "Fully Decrypted": "FullyDecrypted",
    "Fully Encrypted": "FullyEncrypted",
    "Used Space Only Encrypted": "FullyEncrypted",
    "Encryption in Progress": "EncryptionInProgress",
    "Decryption in Progress": "DecryptionInProgress",
    "Encryption Paused": "EncryptionPaused",
    "Decryption Paused": "DecryptionPaused",
}
_METHODS = {
    "None": "None",
    "AES 128 with Diffuser": "Aes128Diffuser",
    "AES 256 with Diffuser": "Aes256Diffuser",
    "AES 128": "Aes128",
    "AES 256": "Aes256",
    "XTS-AES 128": "XtsAes128",
    "XTS-AES 256": "XtsAes256",
}
_PROTECTIONS = {"Protection On": "On", "Protection Off": "Off"}
_PROTECTORS = {
    "TPM": "Tpm",
    "TPM And PIN": "TpmPin",
    "TPM And Startup Key": "TpmStartupKey",
    "TPM And PIN And Startup Key": "TpmPinStartupKey",
    "External Key": "ExternalKey",
    "Numerical Password": "RecoveryPassword",
    "Password": "Password",
    "Data Recovery Agent": "PublicKey",
}


def parse(output: bytes) -> tuple[Volume, ...] | None:
    """Return all volumes; None if there is none to be read, as in a translated or refused answer."""
    text = read_text(output).replace("\r\n", "\n")
    _, *pieces = _VOLUME.split(text)
    return tuple(_volume(*pair) for pair in zip(pieces[::2], pieces[1::2], strict=True)) or None


def _volume(mount: str, text: str) -> Volume:
    fields = dict(_FIELD.findall(text))
    none_found = fields.get("Key Protectors") == "None Found"
    _, found, listed = text.partition("Key Protectors:")
    facts = bitlocker.Facts(
        status=_STATUSES.get(fields.get("Conversion Status", ""), ""),
        # An answer that was cut short has no last field; then nothing of it is believed.
        protection=_PROTECTIONS.get(fields.get("Protection Status", ""), "") if found else "",
        method=_METHODS.get(fields.get("Encryption Method", ""), ""),
        percent=_number(fields.get("Percentage Encrypted", "")),
        protectors=() if none_found else _protectors(listed),
        locked=fields.get("Lock Status") == "Locked",
    )
    role = "os" if "[OS Volume]" in text else "data"
    size = bitlocker.size_of(_number(fields.get("Size", "")))
    return make(bitlocker.judge(facts), id_=mount, mount=mount, role=role, size=size)


def _protectors(listed: str) -> tuple[str, ...]:
    return tuple(_PROTECTORS.get(name, bitlocker.PROTECTORS[0]) for name in _PROTECTOR.findall(listed))


def _number(text: str) -> float | None:
    match = _NUMBER.match(text)
    return float(match[1].replace(",", ".")) if match else None
