"""Read what cryptsetup says of one encrypted device: luksDump and status (cryptsetup(8)).

LUKS2 metadata is specified in the LUKS2 On-Disk Format, section 3; LUKS1 has a text dump only.
"""

import re
from dataclasses import replace

import msgspec

from keyfast.disks.decode import read_json, read_text
from keyfast.disks.volume import State
from keyfast.wire.messages import Encryption, Protection

NULL_CIPHER = "cipher_null"
_ENCRYPTING_SEGMENTS = {"crypt", "hw-opal", "hw-opal-crypt"}
_CHANGING = {"encrypt": Encryption.ENCRYPTING, "decrypt": Encryption.DECRYPTING}

_LUKS1_VERSION = re.compile(r"^Version:\s+1\s*$", re.MULTILINE)
_LUKS1_CIPHER = re.compile(r"^Cipher name:[ \t]+(\S+)\s+^Cipher mode:[ \t]+(\S+)\s*$", re.MULTILINE)
_LUKS1_SLOT = re.compile(r"^Key Slot (\d+): ENABLED\s*$", re.MULTILINE)
_STATUS_ACTIVE = re.compile(r"\A/dev/mapper/\S+ is active")
_STATUS_CIPHER = re.compile(r"^\s+cipher:\s+(\S+)\s*$", re.MULTILINE)
_STATUS_CHANGING = re.compile(r"^\s+reencryption:", re.MULTILINE)


class _KeySlot(msgspec.Struct, frozen=True):
    type: str
    mode: str = ""


class _Token(msgspec.Struct, frozen=True):
    type: str
    keyslots: tuple[str, ...] = ()


class _Segment(msgspec.Struct, frozen=True):
    type: str
    encryption: str = ""
    flags: tuple[str, ...] = ()

    @property
    def live(self) -> bool:
        """Whether it describes the data of now; backups describe a change's start and goal."""
        return not any(flag.startswith("backup-") for flag in self.flags)


class _Metadata(msgspec.Struct, frozen=True):
    keyslots: dict[str, _KeySlot]
    segments: dict[str, _Segment]
    tokens: dict[str, _Token] = {}


_metadata = msgspec.json.Decoder(_Metadata)


def parse_luks2(text: bytes) -> State | None:
    """Read ``luksDump --dump-json-metadata``; None if it is not LUKS2 metadata."""
    metadata = read_json(_metadata, text)
    if metadata is None or not metadata.segments:
        return None
    method = ", ".join(sorted({segment.encryption for segment in metadata.segments.values()} - {""}))
    found = State(technology="luks2", method=method, protectors=_protectors(metadata))
    for slot in metadata.keyslots.values():
        if slot.type == "reencrypt" and slot.mode in _CHANGING:
            return replace(found, encryption=_CHANGING[slot.mode], protection=Protection.OFF)
    if any(segment.live and segment.type not in _ENCRYPTING_SEGMENTS for segment in metadata.segments.values()):
        return replace(found, detail="a part of the device is mapped in a way this version does not know")
    return _encrypted(found)


def parse_luks1(text: bytes) -> State | None:
    """Read the text of ``luksDump``; None if it is not a whole LUKS1 dump."""
    dump = read_text(text)
    cipher = _LUKS1_CIPHER.search(dump)
    if cipher is None or not _LUKS1_VERSION.search(dump):
        return None
    slots = tuple(f"slot {number}: passphrase" for number in _LUKS1_SLOT.findall(dump))
    return _encrypted(State(technology="luks1", method=f"{cipher[1]}-{cipher[2]}", protectors=slots))


def parse_status(text: bytes) -> State | None:
    """Read ``cryptsetup status NAME`` of an open mapping; None if there is none with a cipher."""
    status = read_text(text)
    cipher = _STATUS_CIPHER.search(status)
    if cipher is None or not _STATUS_ACTIVE.match(status):
        return None
    found = State(technology="dm-crypt", method=cipher[1])
    if _STATUS_CHANGING.search(status):
        return replace(found, detail="encryption is being changed")
    return _encrypted(found, headed=False)


def _encrypted(found: State, *, headed: bool = True) -> State:
    if NULL_CIPHER in found.method:
        detail = "the null cipher leaves data as it is"
        return replace(found, encryption=Encryption.UNENCRYPTED, protection=Protection.OFF, detail=detail)
    detail = "no key slot is left: what is closed stays closed" if headed and not found.protectors else ""
    return replace(found, encryption=Encryption.ENCRYPTED, protection=Protection.ON, percent=100, detail=detail)


def _protectors(metadata: _Metadata) -> tuple[str, ...]:
    kinds = {slot: token.type for token in metadata.tokens.values() for slot in token.keyslots}
    slots = sorted(
        (name for name, slot in metadata.keyslots.items() if slot.type != "reencrypt"),
        key=lambda name: (len(name), name),
    )
    return tuple(f"slot {name}: {kinds.get(name, 'passphrase')}" for name in slots)
