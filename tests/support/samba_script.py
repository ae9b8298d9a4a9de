"""The part that needs Debian's ``samba`` module: run by /usr/bin/python3 -I, never imported by the tests.

Opens the domain's database from its files as SYSTEM, as Samba's own tools on a domain controller do, which is safe
while the controller runs. Reads one JSON request a line, ``{"do": name, ...arguments}``, and answers one line,
``{"ok": value}`` or ``{"error": text}``; ends when its input ends.
"""

import json
import os
import sys
from typing import Any

import ldb
from samba import dckeytab  # noqa: F401 - adds export_keytab to Net
from samba.auth import system_session
from samba.credentials import Credentials
from samba.dcerpc import security
from samba.ndr import ndr_unpack
from samba.net import Net
from samba.param import LoadParm
from samba.samdb import SamDB

_COMPUTED = [
    "msDS-User-Account-Control-Computed",
    "msDS-UserPasswordExpiryTimeComputed",
    "msDS-ResultantPSO",
    "msDS-KeyVersionNumber",
]


class Script:
    """What can be asked for; every public method is one request."""

    def __init__(self, conf: str) -> None:
        self._settings = LoadParm()
        self._settings.load(conf)
        creds = Credentials()
        creds.guess(self._settings)
        self._db = SamDB(
            url=self._settings.private_path("sam.ldb"),
            session_info=system_session(),
            credentials=creds,
            lp=self._settings,
        )

    def base(self) -> str:
        return str(self._db.domain_dn())

    def find(self, name: str) -> str:
        """The DN of an account or group; an empty text when there is none."""
        found = self._db.search(self.base(), expression=f"(sAMAccountName={ldb.binary_encode(name)})", attrs=[])
        return str(found[0].dn) if found else ""

    def read(self, dn: str) -> dict[str, list[str]]:
        found = self._db.search(dn, scope=ldb.SCOPE_BASE, attrs=["*", "tokenGroups", *_COMPUTED])[0]
        return {name: [_text(name, bytes(value)) for value in found[name]] for name in found if name != "dn"}

    def modify(self, dn: str, values: dict[str, list[str]], control: str = "") -> None:
        """Replace whole attributes; an empty list removes one."""
        message = ldb.Message(ldb.Dn(self._db, dn))
        for name, wanted in values.items():
            message[name] = ldb.MessageElement(wanted, ldb.FLAG_MOD_REPLACE, name)
        self._db.modify(message, controls=[control] if control else [])

    def add(self, dn: str, values: dict[str, list[str]]) -> None:
        self._db.add({"dn": dn, **values})

    def delete(self, dn: str) -> None:
        self._db.delete(dn)

    def add_user(self, name: str, password: str) -> None:
        self._db.newuser(name, password)

    def join(self, group: str, name: str) -> None:
        self._db.add_remove_group_members(group, [name], add_members_operation=True)

    def leave(self, group: str, name: str) -> None:
        self._db.add_remove_group_members(group, [name], add_members_operation=False)

    def add_group(self, name: str) -> None:
        self._db.newgroup(name)

    def rename(self, dn: str, name: str) -> None:
        self._db.rename(dn, f"CN={name},{ldb.Dn(self._db, dn).parent()}")

    def reset(self, name: str, password: str) -> None:
        self._db.setpassword(f"(sAMAccountName={ldb.binary_encode(name)})", password, force_change_at_next_login=False)

    def keytab(self, principal: str, path: str) -> None:
        Net(None, self._settings).export_keytab(keytab=path, principal=principal)


def _text(name: str, value: bytes) -> str:
    if name in ("objectSid", "tokenGroups"):
        return str(ndr_unpack(security.dom_sid, value))
    try:
        return value.decode()
    except UnicodeDecodeError:
        return value.hex()


def _answer(script: Script, request: dict[str, Any]) -> dict[str, object]:
    try:
        return {"ok": getattr(script, request.pop("do"))(**request)}
    except Exception as error:  # noqa: BLE001 - told to the one who asked
        return {"error": f"{type(error).__name__}: {error}"}


def main() -> None:
    # Samba's libraries chat on standard output as well: answers go out on a descriptor of their own.
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)
    script = Script(sys.argv[1])
    for line in sys.stdin:
        answers.write(json.dumps(_answer(script, json.loads(line))) + "\n")


if __name__ == "__main__":
    main()
