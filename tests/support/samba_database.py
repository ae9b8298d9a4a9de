"""The directory's database as the tests see it: ``samba_script`` in a process of its own, asked by lines of JSON."""

import contextlib
import json
import subprocess
import threading
from pathlib import Path
from typing import Any

_SCRIPT = Path(__file__).with_name("samba_script.py")


class DatabaseError(AssertionError):
    """Samba refused what a test asked for."""


class Database:
    """The database of one domain controller, read and written as SYSTEM; it need not be running."""

    def __init__(self, conf: Path, log: Path) -> None:
        with log.open("ab") as chatter:
            self._process = subprocess.Popen(
                ["/usr/bin/python3", "-I", str(_SCRIPT), str(conf)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=chatter,
                text=True,
                bufsize=1,
                start_new_session=True,
            )
        self._turn = threading.Lock()
        self.base = self.ask("base")

    def ask(self, do: str, **arguments: object) -> Any:
        """Send one request (see ``samba_script.Script``) and return its answer."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        with self._turn:
            self._process.stdin.write(json.dumps({"do": do, **arguments}) + "\n")
            line = self._process.stdout.readline()
        if not line:
            raise DatabaseError(f"{do}: the script ended, see the log beside smb.conf")
        answer = json.loads(line)
        if "error" in answer:
            raise DatabaseError(f"{do}: {answer['error']}")
        return answer["ok"]

    def dn(self, name: str) -> str:
        """The DN of an account or group that must be there."""
        found: str = self.ask("find", name=name)
        if not found:
            raise DatabaseError(f"no account {name}")
        return found

    def modify(self, dn: str, /, **values: object) -> None:
        """Replace attributes: a value, a list of values, or None to remove. ``msDS_X`` stands for ``msDS-X``."""
        lists = {name.replace("_", "-"): _texts(value) for name, value in values.items()}
        self.ask("modify", dn=dn, values=lists)

    def close(self) -> None:
        """End the process."""
        with contextlib.suppress(BrokenPipeError):
            self._process.communicate(timeout=20)


def _texts(value: object) -> list[str]:
    if value is None:
        return []
    return [str(one) for one in value] if isinstance(value, (list, tuple)) else [str(value)]
