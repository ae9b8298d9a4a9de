"""A provisioned domain, made once per machine and copied by every start."""

import contextlib
import fcntl
import hashlib
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

from tests.support import samba_files, samba_policy
from tests.support.require import require
from tests.support.samba_database import Database

ADMINISTRATOR_PASSWORD = "Adm1n-Passw0rd-1"
SEE_PASSWORD = "See-Passw0rd-1"
HTTP_PASSWORD = "Http-Passw0rd-1"
READER_PASSWORD = "Reader-Passw0rd-1"
ALICE_PASSWORD = "Alice-Passw0rd-1"
ACCOUNTS = {
    "svc-see": SEE_PASSWORD,
    "svc-http": HTTP_PASSWORD,
    "svc-reader": READER_PASSWORD,
    "alice": ALICE_PASSWORD,
}
HTTP_NAMES = ("HTTP/localhost", "HTTP/127.0.0.1")
_NORMAL_ACCOUNT, _NEVER_EXPIRES = 0x200, 0x10000
_AES_ONLY = 8 | 16
_POLICY = {"max_age_days": 42, "min_age_days": 0, "history": 24, "lockout_threshold": 5, "lockout_minutes": 30}
_FOLDERS = ("private", "state", "keytabs", "tls")
_STAND_IN_ADDRESS = "127.0.0.2"


def copy_seed(directory: Path, realm: str, netbios: str) -> None:
    """Copy the provisioned domain into ``directory``; the first one on a machine waits for it to be made."""
    cache = _cache() / f"samba-{realm.lower()}"
    cache.mkdir(exist_ok=True)
    seed = cache / _recipe(realm, netbios)
    with _locked(cache.with_name(f"{cache.name}.lock")):
        if not seed.is_dir():
            for outdated in cache.iterdir():
                shutil.rmtree(outdated)
            _make(seed, realm, netbios)
        for folder in _FOLDERS:
            shutil.copytree(seed / folder, directory / folder, symlinks=True)


def _cache() -> Path:
    home = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    cache = Path(home) / "keyfast-tests"
    cache.mkdir(mode=0o700, parents=True, exist_ok=True)
    return cache


def _recipe(realm: str, netbios: str) -> str:
    """What a seed depends on: this code, Samba's version, the names."""
    version = subprocess.run([require("samba", "samba-ad-dc"), "-V"], check=True, capture_output=True).stdout
    sources = (Path(__file__), Path(samba_files.__file__), Path(samba_policy.__file__))
    parts = [version, realm.encode(), netbios.encode(), *(path.read_bytes() for path in sources)]
    return hashlib.sha256(b"\0".join(parts)).hexdigest()[:16]


@contextlib.contextmanager
def _locked(path: Path) -> Iterator[None]:
    with path.open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _make(seed: Path, realm: str, netbios: str) -> None:
    with tempfile.TemporaryDirectory(prefix="kf-seed-", dir=seed.parent) as name:
        draft = Path(name)
        _provision(draft, realm, netbios)
        samba_files.write_authority(draft, realm)
        draft.rename(seed)
        draft.mkdir()  # for TemporaryDirectory to remove


def _provision(draft: Path, realm: str, netbios: str) -> None:
    samba_files.write_settings(draft, realm, netbios, _STAND_IN_ADDRESS, 60)
    provisioned = draft / "provisioned"
    _samba_tool(
        ["domain", "provision", "-s", "/dev/null", f"--targetdir={provisioned}", "--host-name=dc1"],
        [f"--realm={realm}", f"--domain={netbios}", f"--host-ip={_STAND_IN_ADDRESS}", "--server-role=dc"],
    )
    for folder in ("private", "state"):
        shutil.rmtree(draft / folder)
        (provisioned / folder).rename(draft / folder)
    database = Database(draft / "etc/smb.conf", draft / "script.log")
    try:
        _fill(database, draft, realm)
    finally:
        database.close()


def _samba_tool(*arguments: list[str]) -> None:
    command = [require("samba-tool", "samba-common-bin"), *(word for words in arguments for word in words)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd="/")
    if done.returncode:
        raise RuntimeError(f"samba-tool failed:\n{done.stdout[-2000:]}{done.stderr[-2000:]}")


def _fill(database: Database, draft: Path, realm: str) -> None:
    database.modify(database.base, **samba_policy.domain_policy(_POLICY))
    database.ask("reset", name="Administrator", password=ADMINISTRATOR_PASSWORD)
    for name, password in ACCOUNTS.items():
        database.ask("add_user", name=name, password=password)
        database.modify(database.dn(name), userPrincipalName=f"{name}@{realm.lower()}")
        if name.startswith("svc-"):
            database.modify(database.dn(name), userAccountControl=_NORMAL_ACCOUNT | _NEVER_EXPIRES)
    web = database.dn("svc-http")
    database.modify(web, servicePrincipalName=HTTP_NAMES, msDS_SupportedEncryptionTypes=_AES_ONLY)
    for principal in (*HTTP_NAMES, "svc-http"):  # the last so that the web server can log on with it
        database.ask("keytab", principal=principal, path=str(draft / "keytabs/http.keytab"))
