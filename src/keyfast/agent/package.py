"""The package that an installer left behind: taken once, then overwritten and removed; or left, with the reason.

The order is what counts: what a package brings is durable in the client database before its file goes. A package
that cannot be taken changes nothing, and its file stays where it is for whoever looks into it.
"""

import contextlib
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import msgspec

from keyfast.agent.client_database import ClientDatabase, Record
from keyfast.agent.install import Seeded, Taken, take
from keyfast.core.package import BUNDLE_FILE, PackageRefusal
from keyfast.errors import ForeignError, KeyfastError, NotFoundError, TrustError
from keyfast.wire.bundle import Bundle
from keyfast.wire.messages import PackageRefused

MAX_BUNDLE_BYTES = 256 * 1024
_MAX_ID = 128


@dataclass(frozen=True, slots=True)
class Verdict:
    """What became of a package that lay there.

    Attributes:
        package: the id it claims, empty for one that cannot be read.
        done: what it did to the client database, None if it was refused.
        fault: why it was refused, None if it was not.
        detail: one sentence.
        repair: what helps.
    """

    package: str = ""
    done: Seeded | None = None
    fault: PackageRefusal | None = None
    detail: str = ""
    repair: str = ""

    @property
    def told(self) -> PackageRefused | None:
        """What a check-in says of it: nothing of a package that was taken."""
        return PackageRefused(self.fault.value, self.package[:_MAX_ID]) if self.fault else None


def read_bundle(path: Path) -> Bundle:
    """Read a bundle from a file, or from ``keyfast.json`` in a folder.

    Raises:
        NotFoundError: there is none, or it cannot be read.
        TrustError: it is not a bundle.
    """
    file = path / BUNDLE_FILE if path.is_dir() else path
    try:
        with file.open("rb") as stream:
            content = stream.read(MAX_BUNDLE_BYTES + 1)
    except OSError as cause:
        raise NotFoundError(f"cannot read the package's bundle {file}: {cause.strerror}") from cause
    if len(content) > MAX_BUNDLE_BYTES:
        raise TrustError(f"{file} is too large to be a bundle")
    try:
        return msgspec.json.decode(content, type=Bundle)
    except (msgspec.DecodeError, UnicodeDecodeError):
        # The cause is dropped: a parser's message may quote what it was given.
        raise TrustError(f"{file} is not a bundle") from None


def lies(folder: Path) -> bool:
    """Tell whether an installer left a package."""
    return os.path.lexists(folder / BUNDLE_FILE)


def judge(held: Record | None, folder: Path) -> tuple[Verdict, Taken | None]:
    """Judge the package in ``folder`` without changing anything."""
    file = folder / BUNDLE_FILE
    try:
        bundle = read_bundle(file)
    except KeyfastError as cause:
        return _refused(PackageRefusal.UNREADABLE, "", cause.message, file), None
    try:
        taken = take(held, bundle)
    except ForeignError as cause:
        return _refused(PackageRefusal.FOREIGN, bundle.package, cause.message, file, cause.repair), None
    except TrustError as cause:
        detail = f"its content was changed after it was built, or was never signed: {cause.message}"
        return _refused(PackageRefusal.TAMPERED, bundle.package, detail, file), None
    return Verdict(bundle.package, taken.done), taken


def take_left(database: ClientDatabase, held: Record | None, folder: Path) -> Verdict | None:
    """Take the package that lies in ``folder``; None if there is none.

    Args:
        database: where its content goes.
        held: the record in it.
        folder: where installers leave packages.

    Raises:
        ClientDatabaseError: what it brings could not be made durable; the file is still there.
    """
    if not lies(folder):
        return None
    verdict, taken = judge(held, folder)
    if taken is None:
        return verdict
    if taken.done is not Seeded.KEPT:
        database.store(taken.record)
    erase(folder / BUNDLE_FILE)
    return verdict


def may_begin_anew(folder: Path) -> bool:
    """Tell whether a package lies in ``folder`` that an empty client database would take."""
    return lies(folder) and judge(None, folder)[1] is not None


def refusal_of(verdict: Verdict) -> str:
    """Say why a package is not taken."""
    named = f"the package {verdict.package[:_MAX_ID]}" if verdict.package else "a package"
    return f"{named} is not taken: {verdict.fault or ''} ({verdict.detail})"


def erase(file: Path, fsync: Callable[[int], None] = os.fsync) -> None:
    """Overwrite and remove a file that held a secret, as far as the file system lets itself be overwritten.

    One that cannot be removed is removed at the next start: what was in it is stored, and it is judged again.
    """
    with contextlib.suppress(OSError):
        with file.open("r+b") as stream:
            stream.write(bytes(file.stat().st_size))
            stream.flush()
            fsync(stream.fileno())
        file.unlink()


def _refused(fault: PackageRefusal, package: str, detail: str, file: Path, repair: str = "") -> Verdict:
    if fault is PackageRefusal.FOREIGN:
        advice = f"remove {file} to stay; to move: {repair}"
    else:
        advice = f"remove {file}, fetch the package again from the server that built it, and install that"
    return Verdict(package, None, fault, detail, advice)
