"""Checksummed frames: how a record is told from a torn or damaged one.

A frame is magic (4 bytes), generation (8, big endian), length (4), SHA-256 over these two and the payload
(32), payload. A reader that meets something else looks for the next frame, so damage costs only what it hit.
"""

import hashlib
import struct
from dataclasses import dataclass

MAGIC = b"KFR1"
_HEAD = struct.Struct(">4sQI32s")
MAX_PAYLOAD = 1 << 20


@dataclass(frozen=True, slots=True)
class Frame:
    """An intact frame.

    Attributes:
        generation: rises with every store.
        payload: the encoded record.
    """

    generation: int
    payload: bytes


@dataclass(frozen=True, slots=True)
class Reading:
    """What a sequence of bytes holds.

    Attributes:
        newest: intact frame of the highest generation, if any.
        end: offset after the last intact frame.
        damaged: bytes were found that are neither a frame nor what a broken-off append leaves.
    """

    newest: Frame | None
    end: int
    damaged: bool


def encode_frame(frame: Frame) -> bytes:
    """Encode one frame."""
    return (
        _HEAD.pack(MAGIC, frame.generation, len(frame.payload), _digest(frame.generation, frame.payload))
        + frame.payload
    )


def read_frames(data: bytes) -> Reading:
    """Find the newest intact frame in ``data``; never raises."""
    newest, end, damaged, offset = None, 0, False, 0
    while (start := data.find(MAGIC, offset)) >= 0:
        frame = _frame_at(data, start)
        if frame is None:
            offset = start + 1
            continue
        damaged = damaged or start != end
        offset = end = start + _HEAD.size + len(frame.payload)
        if newest is None or frame.generation > newest.generation:
            newest = frame
    return Reading(newest, end, damaged or not _broken_off(data[end:]))


def _frame_at(data: bytes, start: int) -> Frame | None:
    if len(data) - start < _HEAD.size:
        return None
    _, generation, length, digest = _HEAD.unpack_from(data, start)
    payload = data[start + _HEAD.size : start + _HEAD.size + length]
    if len(payload) != length or digest != _digest(generation, payload):
        return None
    return Frame(generation, payload)


def _broken_off(tail: bytes) -> bool:
    """Tell whether an append that never finished explains ``tail``."""
    if len(tail) < _HEAD.size:
        return MAGIC.startswith(tail[:4]) or tail[:4] == MAGIC
    magic, _, length, _ = _HEAD.unpack_from(tail)
    return bool(magic == MAGIC) and len(tail) < _HEAD.size + length


def _digest(generation: int, payload: bytes) -> bytes:
    return hashlib.sha256(struct.pack(">QI", generation, len(payload)) + payload).digest()
