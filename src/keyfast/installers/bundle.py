"""The plain bundle: a .tar.gz with ``keyfast.json`` and an installer script for Linux.

Same input, same bytes: the caller passes the time, and nothing else varies.
"""

import gzip
import io
import tarfile
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from keyfast.core.package import BUNDLE_FILE, PackageKind
from keyfast.installers.stamp import Missing, Progress, Stamp
from keyfast.wire.bundle import Bundle
from keyfast.wire.messages import encode

SCRIPT = """\
#!/bin/sh
# Enrols this computer with its Keyfast server. Run as root, from the unpacked bundle.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
agent=${KEYFAST_AGENT:-$(command -v keyfast-agent || true)}
if [ -z "$agent" ]; then
    echo "keyfast-agent is not installed on this computer; install it first, or name it in KEYFAST_AGENT" >&2
    exit 1
fi
"$agent" install --bundle "$here/keyfast.json" --service "$@"
# The bundle holds the enrolment token; the agent keeps its own copy until it has enrolled.
rm -f "$here/keyfast.json"
exec "$agent" status
"""


def build(bundle: Bundle, now: int) -> bytes:
    """Return the bytes of the archive; times in it are ``now`` (unix seconds)."""
    buffer = io.BytesIO()
    with (
        gzip.GzipFile(fileobj=buffer, mode="wb", mtime=now) as squeezed,
        tarfile.open(fileobj=squeezed, mode="w", format=tarfile.USTAR_FORMAT) as archive,
    ):
        for name, content, mode in (
            (BUNDLE_FILE, encode(bundle), 0o600),
            ("install.sh", SCRIPT.encode(), 0o755),
        ):
            entry = tarfile.TarInfo(f"keyfast-agent/{name}")
            entry.size, entry.mode, entry.mtime = len(content), mode, now
            archive.addfile(entry, io.BytesIO(content))
    return buffer.getvalue()


@dataclass(frozen=True, slots=True)
class BundleInstaller:
    """Builds plain bundles, for computers that have an agent; needs nothing and has no base.

    Attributes:
        folder: stands for the base.
    """

    folder: Path
    kind: ClassVar[PackageKind] = PackageKind.BUNDLE

    def missing(self) -> tuple[Missing, ...]:
        """See ``Installer.missing``."""
        return ()

    def base(self, told: Progress) -> Path:
        """See ``Installer.base``."""
        told("ready", 1.0)
        return self.folder

    def stamp(self, base: Path, stamp: Stamp) -> bytes:  # noqa: ARG002 - there is no base
        """See ``Installer.stamp``."""
        return build(stamp.bundle, stamp.built_at)
