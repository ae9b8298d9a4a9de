"""What an acceptor says without any domain: about its keytab, and about what is no ticket."""

import struct
import subprocess
import sys

import pytest

from keyfast.errors import NotReadyError
from keyfast.trust.kerberos import Acceptor, Reason, Refused

KERBEROS = bytes.fromhex("06092a864886f712010202")
AES256 = 18
WITHOUT_GSSAPI = """
import sys
from pathlib import Path
sys.modules["gssapi"] = None
from keyfast.errors import MissingToolError
from keyfast.trust.kerberos import Acceptor
try:
    Acceptor(Path("keytab"))
except MissingToolError as fault:
    print(fault.repair)
"""


def counted(text):
    return struct.pack(">H", len(text)) + text


def write_keytab(path, service=b"HTTP"):
    """A keytab with one key, as MIT krb5 documents the format (keytab file format, version 2)."""
    name = struct.pack(">H", 2) + counted(b"CORP.EXAMPLE.TEST") + counted(service) + counted(b"localhost")
    entry = name + struct.pack(">IIBH", 1, 0, 2, AES256) + counted(bytes(32)) + struct.pack(">I", 2)
    path.write_bytes(b"\5\2" + struct.pack(">i", len(entry)) + entry)


@pytest.fixture
def keytab(tmp_path):
    path = tmp_path / "http.keytab"
    write_keytab(path)
    return path


@pytest.mark.parametrize(
    ("token", "reason"),
    [
        (b"", Reason.BAD_TOKEN),
        (b"junk", Reason.BAD_TOKEN),
        (b"NTLMSSP\0\1\0\0\0" + bytes(20), Reason.BAD_TOKEN),
        (b"\x60\x0b" + KERBEROS, Reason.OTHER),
        (b"\x60\x0d" + KERBEROS + b"\1\0", Reason.OTHER),
        (b"\xa1\x03\x30\x01\x00", Reason.BAD_TOKEN),
    ],
)
@pytest.mark.parametrize("binding", [None, b"tls-server-end-point:x"])
def test_what_is_no_ticket(keytab, token, reason, binding):
    outcome = Acceptor(keytab).accept(token, binding)
    assert isinstance(outcome, Refused)
    assert outcome.reason is reason


def test_a_keytab_with_a_key_is_fine(keytab):
    Acceptor(keytab).check()


def missing(path):
    path.unlink()


def foreign(path):
    path.write_bytes(b"not a keytab")


def empty(path):
    path.write_bytes(b"\5\2")


def other_service(path):
    write_keytab(path, b"host")


def folder(path):
    path.unlink()
    path.mkdir()


@pytest.mark.parametrize("spoil", [missing, foreign, empty, other_service, folder])
def test_a_keytab_that_is_of_no_use_is_the_servers_fault(keytab, spoil):
    acceptor = Acceptor(keytab)
    spoil(keytab)
    for act in (acceptor.check, lambda: acceptor.accept(b"", None)):
        with pytest.raises(NotReadyError, match="keytab") as caught:
            act()
        assert "ktpass" in caught.value.repair
        assert str(keytab) in caught.value.message


def test_a_keytab_that_is_made_later_is_found(keytab):
    acceptor = Acceptor(keytab)
    missing(keytab)
    with pytest.raises(NotReadyError):
        acceptor.check()
    write_keytab(keytab)
    acceptor.check()


def test_without_the_package_it_says_which_extra_is_missing():
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT_GSSAPI], capture_output=True, text=True, check=True, timeout=60
    )
    assert "keyfast[directory]" in done.stdout
