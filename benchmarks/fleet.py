"""A made-up fleet: everything about endpoint number n follows from n, so nobody has to pass it around."""

import hashlib
import uuid
from typing import NamedTuple

from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, derive_private_key

from keyfast.core.endpoint import EndpointState
from keyfast.core.mode import Mode
from keyfast.core.protection import Disks
from keyfast.trust.device import DeviceKey
from keyfast.wire.messages import Encryption, Inventory, Protection, Volume, inventory_bytes

BOOT_ID = "11111111-2222-4333-8444-555555555555"
INSTANCE = "66666666-7777-4888-8999-aaaaaaaaaaaa"
STRIDE = 611_953
"""A prime: stepping by it visits every endpoint once, in no order that a database page would know."""


class Trait(NamedTuple):
    """In what an endpoint is unlike the others.

    Attributes:
        package: id of the package it enrolled with, empty for that of the whole fleet.
        silent_s: seconds for which it has been silent; it was due to check in just now otherwise.
        serial: serial number of the computer, empty for none that it could read.
    """

    ring: str = ""
    account: str = ""
    generation: int = 0
    mode: str = Mode.OAUTH.value
    package: bytes = b""
    state: str = EndpointState.ACTIVE.value
    silent_s: int = 0
    address: str = "192.0.2.17"
    serial: str = ""


ORDINARY = Trait()


def name(n: int) -> str:
    """Host name of endpoint ``n``: names are in the order of numbers."""
    return f"laptop-{n:07d}.corp.example"


def user(n: int) -> str:
    """Who uses endpoint ``n``: everybody has two."""
    return f"user-{n // 2:07d}"


def disks(n: int) -> Disks:
    """What the disks of endpoint ``n`` are: four of a hundred are not protected, one is not known."""
    return {7: Disks.UNKNOWN, **dict.fromkeys((13, 39, 65, 91), Disks.EXPOSED)}.get(n % 100, Disks.PROTECTED)


def endpoint_bytes(n: int) -> bytes:
    """Endpoint id of endpoint ``n``, 16 bytes that look random."""
    return hashlib.md5(b"endpoint %d" % n, usedforsecurity=False).digest()


def endpoint_text(n: int) -> str:
    """The same id in canonical text form."""
    return str(uuid.UUID(bytes=endpoint_bytes(n)))


def device_key(n: int) -> DeviceKey:
    """The device key of endpoint ``n``, for those whose key must be on record."""
    scalar = int.from_bytes(hashlib.sha256(b"device key %d" % n).digest()[:31], "big")
    return DeviceKey(derive_private_key(scalar, SECP256R1()))


def _template() -> bytes:
    """Inventory of an ordinary laptop with three volumes; ``NUMBER`` stands for the endpoint's number."""
    volumes = (
        Volume(
            id="2f1c7a60-1d7e-4a53-9b0e-NUMBER",
            encryption=Encryption.ENCRYPTED,
            protection=Protection.ON,
            mount="/",
            role="os",
            technology="luks2",
            method="aes-xts-plain64",
            percent=100.0,
            protectors=("passphrase", "tpm2"),
            size=510_000_000_000,
        ),
        Volume(
            id="8d0b9a52-93d1-4c9b-8e56-NUMBER",
            encryption=Encryption.ENCRYPTED,
            protection=Protection.ON,
            role="swap",
            technology="luks2",
            percent=100.0,
            size=17_000_000_000,
        ),
        Volume(
            id="8C1A-77F0",
            encryption=Encryption.UNENCRYPTED,
            protection=Protection.OFF,
            mount="/boot/efi",
            role="boot",
            technology="plain",
            size=536_870_912,
        ),
    )
    return inventory_bytes(
        Inventory("laptop-NUMBER.corp.example", "Debian GNU/Linux 12 (bookworm)", "12", "x86_64", volumes)
    )


_TEMPLATE = _template()


def inventory(n: int) -> bytes:
    """Inventory document of endpoint ``n``, in canonical encoding."""
    return _TEMPLATE.replace(b"NUMBER", b"%012d" % n)
