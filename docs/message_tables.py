# ruff: noqa: INP001 - a script beside the pages it writes
"""Describe the members of the protocol's messages, for the generated documentation."""

import inspect
import re
from typing import Any, get_args

import msgspec
from msgspec import inspect as shape

from keyfast.wire import bundle, changes, limits, messages, oauth, renewal

EXTRA = {
    "Inventory.hostname": "host name",
    "Inventory.os": "name of the operating system",
    "Inventory.os_version": "its version",
    "Inventory.architecture": "processor architecture",
    "Inventory.volumes": "every volume, see below",
    "CommandResult.id": "id of the command",
    "CommandResult.state": "what became of it",
    "CommandResult.detail": "why, in one sentence",
    "Hardware.smbios_uuid": "SMBIOS UUID, empty if it cannot be read",
    "Hardware.machine_id": "the operating system's machine id",
    "RegisterRequest.token_endpoint_auth_method": "nothing else is offered",
    "RegisterRequest.grant_types": "RFC 7591 metadata; not judged",
    "RegisterRequest.dpop_bound_access_tokens": "RFC 9449 metadata; tokens are always bound",
    "AccessProfile.installation": "id of the installation",
    "Registered.grant_types": "RFC 7591 metadata",
    "Registered.dpop_bound_access_tokens": "RFC 9449 metadata",
    "SelfRecord.id": "endpoint id",
    "SelfRecord.name": "name given at registration",
    "SelfRecord.state": "state of the record",
    "SelfRecord.registered_at": "server time of the registration",
    "SelfRecord.seq": "last accepted sequence number",
    "SelfRecord.seen_at": "server time of the last accepted check-in, 0 if none",
    "SelfRecord.next_due": "server time at which the next one is due",
    "SelfRecord.profile_seq": "access profile it last said it uses",
    "SelfRecord.policy_version": "policy it last said is in force",
    "SignedTime.installation": "id of the installation",
    "SignedTime.time": "server time",
    "SignedTime.challenge": "the caller's challenge",
    "TokenAnswer.access_token": "opaque to the client",
    "TokenAnswer.expires_in": "seconds",
    "TokenAnswer.token_type": "RFC 9449 section 5",
}
"""Descriptions of members that the code leaves to their names."""

_PATTERNS = {
    get_args(limits.Digest)[1].pattern: "SHA-256 in base64url",
    get_args(limits.MaybeDigest)[1].pattern: "SHA-256 in base64url, or empty",
    get_args(limits.Uuid)[1].pattern: "UUID, lower case",
}


def message(name: str) -> str:
    """A table of every member of a message."""
    kind = next(getattr(room, name) for room in (messages, bundle, changes, oauth, renewal) if hasattr(room, name))
    told = _attributes(kind.__doc__ or "")
    info = shape.type_info(kind)
    lines = ["| member | value | if left out | meaning |", "|---|---|---|---|"]
    for member in info.fields:  # type: ignore[attr-defined]
        meaning = told.get(member.name) or EXTRA[f"{name}.{member.name}"]
        value = describe(member.type)
        lines.append(f"| `{member.encode_name}` | {value} | {_left_out(member)} | {meaning} |")
    return "\n".join(lines)


def describe(kind: Any) -> str:
    """Say in words what values a member takes."""
    if isinstance(kind, shape.IntType | shape.FloatType):
        word = "whole number" if isinstance(kind, shape.IntType) else "number"
        return f"{word} {kind.ge:,} to {kind.le:,}" if kind.ge is not None and kind.le is not None else word
    if isinstance(kind, shape.StrType):
        return _text(kind)
    if isinstance(kind, shape.EnumType):
        return ", ".join(f"`{item.value}`" for item in kind.cls)
    if isinstance(kind, shape.VarTupleType | shape.DictType):
        return _several(kind)
    if isinstance(kind, shape.UnionType):
        return describe(next(item for item in kind.types if not isinstance(item, shape.NoneType)))
    return "true or false" if isinstance(kind, shape.BoolType) else str(kind.cls.__name__)


def _several(kind: shape.VarTupleType | shape.DictType) -> str:
    if isinstance(kind, shape.DictType):
        return f"members, each: {describe(kind.value_type)}"
    most = "" if kind.max_length is None else f" (at most {kind.max_length})"
    return f"list{most} of: {describe(kind.item_type)}"


def _text(kind: shape.StrType) -> str:
    if kind.pattern:
        words = kind.pattern.removeprefix("^").removesuffix(r"\Z").strip("()").split("|")
        return _PATTERNS.get(kind.pattern) or ", ".join(f"`{word}`" for word in words)
    most = "" if kind.max_length is None else f", at most {kind.max_length} characters"
    return f"text{most}"


def _left_out(member: shape.Field) -> str:
    if member.required:
        return "not allowed"
    default = member.default if member.default is not msgspec.NODEFAULT else ()
    if default is None:
        return "none"
    if default in ((), "") or isinstance(default, msgspec.Struct):
        return "empty"
    return f"`{msgspec.json.encode(default).decode()}`"


def _attributes(doc: str) -> dict[str, str]:
    """Read the ``Attributes:`` of a docstring."""
    _, _, section = inspect.cleandoc(doc).partition("Attributes:\n")
    found: dict[str, str] = {}
    for entry in re.split(r"\n {4}(?=\S)", "\n" + section.split("\n\n")[0]):
        names, _, text = entry.partition(": ")
        for name in names.split(","):
            if text:
                found[name.strip()] = " ".join(text.split()).replace("``", "`").rstrip(".")
    return found
