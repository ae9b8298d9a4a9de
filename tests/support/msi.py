"""Bundles and stamps with secrets that a test can look for, and small trees to build from."""

import uuid
from pathlib import Path

from keyfast.installers.stamp import Stamp
from keyfast.wire.bundle import Bundle, BundleAccount

PASSWORD = "Sup3r-s3cret-of-the-account"
TOKEN = "eyJ0.the-enrolment-token.c2ln"
VERSION = "1.2.3"


def stamp(package: str = "", *, mode: str = "windows", name: str = "svc-keyfast", password: str = PASSWORD) -> Stamp:
    """A stamp with codes of its own."""
    account = BundleAccount(name, "EXAMPLE", password, 3) if mode == "windows" else None
    bundle = Bundle("installation", "{}", (), "profile", TOKEN, package or str(uuid.uuid4()), account)
    return Stamp(bundle, 1_700_000_000, "https://localhost:8443", mode, str(uuid.uuid4()), str(uuid.uuid4()))


def tree(folder: Path) -> Path:
    """A folder that looks like the agent's, but for its size."""
    for name, content in {
        "keyfast-agent.exe": b"MZ launcher",
        "python311.dll": b"MZ dll",
        "python311._pth": b".\n",
        "site-packages/keyfast/agent/main.py": b"print()\n",
        "site-packages/keyfast/agent/__init__.py": b"# agent\n",
        "site-packages/odd & <named>/a b.txt": b"text\n",
    }.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    return folder
