"""Messages of the admin API about packages; the two that everybody needs are in ``wire.admin``."""

import msgspec

from keyfast.core.package import PackageKind
from keyfast.wire.admin import PackageLine, View

DIGEST_HEADER = "repr-digest"
"""Carries the SHA-256 of a download (RFC 9530): ``sha-256=:<base64>:``."""


class PackageView(View, frozen=True):
    """Everything on record about one package. Times are unix seconds, 0 for never.

    Attributes:
        token: id (``jti``) of its enrolment token, empty until it is ready.
        product_code: UUID by which Windows knows it.
        seen_at: last check-in of an endpoint that came from it, among the thousand that enrolled last.
        newest_generation: newest credential generation of the account inside.
    """

    line: PackageLine
    token: str
    product_code: str
    seen_at: int
    newest_generation: int


class CameLine(View, frozen=True):
    """One endpoint that came from a package; ``in_use``: it authenticates with what the package brought."""

    id: str
    name: str
    state: str
    enrolled_at: int
    seen_at: int
    in_use: bool


class MissingProgram(View, frozen=True):
    """A program that is not installed, and the Debian package that brings it."""

    program: str
    package: str


class KindLine(View, frozen=True):
    """A kind of package, and what keeps this server from building it."""

    kind: PackageKind
    missing: tuple[MissingProgram, ...]


class FileCheck(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A file that may be a package.

    Attributes:
        sha256: of its bytes (hex).
        named: package ids that it names, inside or by its file name.
    """

    sha256: str
    named: tuple[str, ...] = ()


class FileVerdict(View, frozen=True):
    """Which package a file is.

    Attributes:
        genuine: its bytes are those on record.
        package: the one it is, or names; None if none of this installation.
    """

    genuine: bool
    package: PackageLine | None
