"""Make volumes that the wire accepts, whatever a tool said."""

from collections.abc import Sequence
from dataclasses import dataclass

from keyfast.wire.messages import Encryption, Protection, Volume

_SHORT = 128
_ROLE = 16
_TEXT = 1024
_PROTECTORS = 32
_SIZE_MAX = 2**62


@dataclass(frozen=True, slots=True)
class State:
    """What is known of the data on one volume; see ``wire.messages.Volume`` for the members."""

    encryption: Encryption = Encryption.UNKNOWN
    protection: Protection = Protection.UNKNOWN
    technology: str = ""
    method: str = ""
    percent: float | None = None
    protectors: tuple[str, ...] = ()
    detail: str = ""


PLAIN = State(Encryption.UNENCRYPTED, Protection.OFF, "plain", percent=0)


def make(state: State, *, id_: str, mount: str = "", role: str = "data", size: int = 0) -> Volume:
    """Return the volume in ``state``; what is too long for the wire is cut."""
    percent = state.percent if state.percent is not None and 0 <= state.percent <= 100 else None  # noqa: PLR2004
    return Volume(
        id=_cut(id_, _SHORT),
        encryption=state.encryption,
        protection=state.protection,
        mount=_cut(mount, _SHORT),
        role=role[:_ROLE],
        technology=state.technology[:_ROLE],
        method=_cut(state.method, _SHORT),
        percent=percent,
        protectors=tuple(_cut(protector, _SHORT) for protector in state.protectors[:_PROTECTORS]),
        size=min(max(size, 0), _SIZE_MAX),
        detail=_cut(state.detail, _TEXT),
    )


def unknown_system(detail: str, *, id_: str = "/") -> Volume:
    """Stand for the system volume when nothing could be read; ``detail`` says why."""
    return make(State(detail=detail), id_=id_, mount=id_, role="os")


def with_system(volumes: Sequence[Volume], detail: str, *, id_: str = "/") -> tuple[Volume, ...]:
    """Return ``volumes``; if none is the system's, an unknown one comes first: it exists, it was not seen."""
    if any(volume.role == "os" for volume in volumes):
        return tuple(volumes)
    return (unknown_system(detail, id_=id_), *volumes)


def _cut(text: str, limit: int) -> str:
    return text if len(text) <= limit else text[: limit - 1] + "…"
