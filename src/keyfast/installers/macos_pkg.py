"""The flat package for macOS on Apple silicon: Payload, Bom, Scripts and PackageInfo in a xar archive.

Nobody has installed one on a Mac yet; tests read its parts with other programs. It is not signed.
"""

import datetime as dt
import json
import plistlib
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import ClassVar
from xml.etree import ElementTree as ET

from keyfast import __version__
from keyfast.core.package import BUNDLE_FILE, MACOS, PackageKind
from keyfast.installers import odc
from keyfast.installers.agent_tree import PROGRAM, macos_tree
from keyfast.installers.archives import begin, finish, squeeze
from keyfast.installers.base import base_artefact
from keyfast.installers.bom import ROOT, Line, bom, line
from keyfast.installers.stamp import Missing, Progress, Stamp
from keyfast.installers.tree import Entry, digest
from keyfast.installers.wheels import Wheels
from keyfast.installers.xar import xar

IDENTIFIER = "org.keyfast.agent"
PLIST = f"Library/LaunchDaemons/{IDENTIFIER}.plist"
SECRET = f"{MACOS.package.lstrip('/')}/{BUNDLE_FILE}"
_PAYLOAD, _LINES = "payload.gz", "lines.json"

_POSTINSTALL = f"""\
#!/bin/sh
# "$3" is the volume that is installed to; only the running system's agent can be started.
set -u
if [ "${{3:-/}}" = / ]; then
    launchctl bootout system/{IDENTIFIER} 2>/dev/null
    launchctl bootstrap system /{PLIST} || echo "keyfast-agent: not started" >&2
fi
exit 0
"""


@dataclass(frozen=True, slots=True)
class MacosInstaller:
    """Builds .pkg packages.

    Attributes:
        wheels: the agent's libraries.
        folder: keeps base artefacts.
    """

    wheels: Wheels
    folder: Path
    kind: ClassVar[PackageKind] = PackageKind.PKG

    def missing(self) -> tuple[Missing, ...]:
        """See ``Installer.missing``."""
        return self.wheels.missing()

    def base(self, told: Progress) -> Path:
        """See ``Installer.base``."""
        entries = (Entry(ROOT), *_with_daemon(macos_tree(self.wheels, told)))
        place = self.folder / f"pkg-{__version__}-{digest(entries)[:16]}"
        return base_artefact(place, lambda: _parts(entries), told)

    def stamp(self, base: Path, stamp: Stamp) -> bytes:
        """See ``Installer.stamp``."""
        secret, at = Entry(SECRET, 0o600, stamp.secret), stamp.built_at
        lines = [*(Line(**found) for found in json.loads((base / _LINES).read_bytes())), line(secret)]
        scripts = odc.piece([Entry(ROOT), Entry("postinstall", 0o755, _POSTINSTALL.encode())], at) + odc.END
        files = (
            ("Bom", bom(lines, at)),
            ("Payload", finish((base / _PAYLOAD).read_bytes(), odc.piece([secret], at) + odc.END)),
            ("Scripts", squeeze(scripts)),
            ("PackageInfo", _package_info(lines, at)),
        )
        return xar(files, dt.datetime.fromtimestamp(at, dt.UTC).strftime("%Y-%m-%dT%H:%M:%S"))


def _parts(entries: tuple[Entry, ...]) -> dict[str, bytes]:
    lines = json.dumps([asdict(line(entry)) for entry in entries])
    return {_PAYLOAD: begin(odc.piece(entries, 0)), _LINES: lines.encode()}


def _with_daemon(entries: tuple[Entry, ...]) -> tuple[Entry, ...]:
    program = f"{MACOS.program}/{PROGRAM}"
    daemon = {
        "Label": IDENTIFIER,
        "ProgramArguments": [program, "run", "--state-dir", MACOS.state],
        "RunAtLoad": True,
        "KeepAlive": True,
        "ThrottleInterval": 10,
        "Umask": 0o077,
        "ProcessType": "Background",
    }
    own = (Entry(str(Path(PLIST).parent)), Entry(PLIST, 0o644, plistlib.dumps(daemon)))
    return tuple(sorted((*entries, *own), key=lambda entry: entry.path))


def _package_info(lines: list[Line], at: int) -> bytes:
    info = ET.Element(
        "pkg-info",
        {
            "format-version": "2",
            "identifier": IDENTIFIER,
            "version": f"{__version__}.{at}",
            "install-location": "/",
            "auth": "root",
            "overwrite-permissions": "true",
            "relocatable": "false",
        },
    )
    kib = sum(found.size for found in lines) // 1024
    ET.SubElement(info, "payload", {"installKBytes": str(kib), "numberOfFiles": str(len(lines))})
    ET.SubElement(ET.SubElement(info, "scripts"), "postinstall", {"file": "./postinstall"})
    return bytes(ET.tostring(info, encoding="utf-8", xml_declaration=True))
