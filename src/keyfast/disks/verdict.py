"""Put together what is known of the layers under one volume. Pure; doubt makes a volume unknown."""

from collections.abc import Sequence
from dataclasses import replace

from keyfast.disks.layers import Stack
from keyfast.disks.volume import PLAIN, State
from keyfast.wire.messages import Encryption, Protection

# A mounted file system of these kinds has been read by the kernel; none of them encrypts a whole volume.
_READABLE = {
    *(
        "btrfs",
        "erofs",
        "exfat",
        "ext2",
        "ext3",
        "ext4",
        "f2fs",
        "fuseblk",
        "gfs2",
        "hfsplus",
        "iso9660",
        "jfs",
    ),
    *("msdos", "nilfs2", "ntfs", "ntfs3", "ocfs2", "reiserfs", "squashfs", "swap", "udf", "vfat", "xfs"),
}


def verdict(fstype: str, stacks: Sequence[Stack], layers: Sequence[State]) -> State:
    """Judge one volume in use.

    Args:
        fstype: type of its file system, as the kernel mounted it.
        stacks: what each of its devices lies on.
        layers: state of every encrypted layer of those stacks.
    """
    unclear = next((stack.unclear for stack in stacks if stack.unclear), "")
    plain = any(stack.plain for stack in stacks)
    if unclear:
        return State(detail=unclear)
    if layers and plain:
        return replace(
            together(layers),
            encryption=Encryption.UNKNOWN,
            protection=Protection.OFF,
            percent=None,
            detail="only some of the devices under it are encrypted",
        )
    if layers:
        return together(layers)
    if plain and fstype in _READABLE:
        return PLAIN
    return State(detail=f"whether {fstype or 'its file system'} encrypts by itself is not known")


def together(layers: Sequence[State]) -> State:
    """Return the state of data spread over ``layers``: what they agree on, and the weakest protection."""
    first = layers[0]
    if all(layer == first for layer in layers):
        return first
    return State(
        encryption=_agreed(*(layer.encryption for layer in layers)),
        protection=_weakest(*(layer.protection for layer in layers)),
        technology=first.technology if len({layer.technology for layer in layers}) == 1 else "",
        method=", ".join(sorted({layer.method for layer in layers} - {""})),
        percent=first.percent if len({layer.percent for layer in layers}) == 1 else None,
        protectors=tuple(sorted({protector for layer in layers for protector in layer.protectors})),
        detail=next((layer.detail for layer in layers if layer.detail), ""),
    )


def _agreed(*encryptions: Encryption) -> Encryption:
    return encryptions[0] if len(set(encryptions)) == 1 else Encryption.UNKNOWN


def _weakest(*protections: Protection) -> Protection:
    for protection in (Protection.OFF, Protection.UNKNOWN):
        if protection in protections:
            return protection
    return Protection.ON
