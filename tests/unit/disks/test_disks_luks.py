"""Headers of LUKS and what the kernel says of open mappings."""

import json

import pytest
from tests.support.runner import fixture

from keyfast.disks import luks
from keyfast.wire.messages import Encryption, Protection


def metadata(**members):
    segment = {"type": "crypt", "encryption": "aes-xts-plain64"}
    slots = {"0": {"type": "luks2"}}
    return json.dumps({"keyslots": slots, "segments": {"0": segment}, **members}).encode()


def test_luks2():
    found = luks.parse_luks2(fixture("luks2-dump-json-metadata.json").stdout)
    assert (found.encryption, found.protection) == (Encryption.ENCRYPTED, Protection.ON)
    assert found.protectors == ("slot 0: passphrase", "slot 1: systemd-recovery", "slot 7: keyfast-recovery")


def test_erased_luks2_is_encrypted_for_good():
    found = luks.parse_luks2(fixture("luks2-erased-dump-json-metadata.json").stdout)
    assert (found.encryption, found.protection, found.protectors) == (Encryption.ENCRYPTED, Protection.ON, ())
    assert "no key slot" in found.detail


def test_luks1():
    found = luks.parse_luks1(fixture("luks1-dump.txt").stdout)
    assert (found.encryption, found.protection) == (Encryption.ENCRYPTED, Protection.ON)
    assert (found.method, found.protectors) == ("aes-xts-plain64", ("slot 0: passphrase",))


def test_the_text_of_luks2_is_not_read_as_luks1():
    assert luks.parse_luks1(fixture("luks2-dump.txt").stdout) is None


@pytest.mark.parametrize(
    ("mode", "encryption", "protection"),
    [
        ("encrypt", Encryption.ENCRYPTING, Protection.OFF),
        ("decrypt", Encryption.DECRYPTING, Protection.OFF),
        ("reencrypt", Encryption.ENCRYPTED, Protection.ON),
    ],
)
def test_a_change_in_progress(mode, encryption, protection):
    slots = {"0": {"type": "luks2"}, "1": {"type": "reencrypt", "mode": mode}}
    found = luks.parse_luks2(metadata(keyslots=slots))
    assert (found.encryption, found.protection) == (encryption, protection)
    assert found.protectors == ("slot 0: passphrase",)


def test_the_null_cipher_protects_nothing():
    found = luks.parse_luks2(metadata(segments={"0": {"type": "crypt", "encryption": "cipher_null-ecb"}}))
    assert (found.encryption, found.protection) == (Encryption.UNENCRYPTED, Protection.OFF)


def test_a_live_segment_without_encryption_is_unknown():
    found = luks.parse_luks2(metadata(segments={"0": {"type": "linear"}}))
    assert (found.encryption, found.protection) == (Encryption.UNKNOWN, Protection.UNKNOWN)


def test_a_backup_segment_says_nothing_of_now():
    segments = {
        "0": {"type": "crypt", "encryption": "aes-xts-plain64"},
        "1": {"type": "linear", "flags": ["backup-previous"]},
    }
    assert luks.parse_luks2(metadata(segments=segments)).encryption is Encryption.ENCRYPTED


@pytest.mark.parametrize("text", [b"", b"{}", b"[]", b'{"keyslots":{},"segments":{}}', metadata(segments=7), b"\xff"])
def test_what_is_no_metadata(text):
    assert luks.parse_luks2(text) is None


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"/dev/mapper/x is inactive.\n",
        b"  cipher:  aes-xts-plain64\n",
        b"/dev/mapper/x is active.\n  type:    VERITY\n  hash name: sha256\n",
    ],
)
def test_a_status_without_cipher_proves_nothing(text):
    assert luks.parse_status(text) is None


def test_a_mapping_that_is_changed_is_unknown():
    text = b"/dev/mapper/x is active.\n  cipher:  aes-xts-plain64\n  reencryption:  in-progress\n"
    assert luks.parse_status(text).encryption is Encryption.UNKNOWN
