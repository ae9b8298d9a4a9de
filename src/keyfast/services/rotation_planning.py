"""Turn what an administrator asks for into a plan that makes sense here."""

from collections.abc import Iterable
from typing import Any, TypeVar

import msgspec
from msgspec.structs import replace
from sqlalchemy.ext.asyncio import AsyncConnection

from keyfast.core.directory import PasswordDirectory, account_key
from keyfast.core.mode import Mode
from keyfast.core.rotation_plan import Holds, Kind, Limits, Plan, Waves
from keyfast.errors import UsageError
from keyfast.store import accounts, modes
from keyfast.wire.rotation import RotationOrder

Part = TypeVar("Part", Waves, Holds, Limits)
MAX_APPROVALS = 2


async def planned(conn: AsyncConnection, order: RotationOrder, directory: PasswordDirectory) -> Plan:
    """Make a plan.

    Raises:
        UsageError: it makes no sense; the message says what is missing.
    """
    try:
        kind = Kind(order.kind)
    except ValueError:
        raise UsageError(f"no kind '{order.kind}'; kinds: {', '.join(Kind)}") from None
    if not 1 <= order.approvals <= MAX_APPROVALS:
        raise UsageError(f"1 or {MAX_APPROVALS} persons approve a rotation")
    known = [row.key for row in await accounts.load(conn)]
    source, target = (_key(name, directory.domain) for name in (order.source, order.target))
    sets = kind is Kind.PASSWORD and directory.can_reset_password and not order.by_hand
    waves = _part(Waves, order)
    members: dict[str, Any] = {"source": source, "target": target}
    if kind in {Kind.ACCOUNT, Kind.PASSWORD}:
        _demand_pair(source, target, known, target_may_be_new=sets)
        members |= {"mode": Mode.WINDOWS.value, "sets_password": sets}
    elif kind is Kind.OAUTH:
        members |= {"mode": Mode.OAUTH.value, "source": source or _only(known), "target": ""}
    elif kind is Kind.ADDRESS:
        members |= _address(order, {row.mode for row in await modes.load(conn)})
    elif kind is Kind.RECOVERY:
        members |= _recovery(order, source, target, known)
    elif kind is Kind.DEVICE_KEY:
        members = _device_key(order)
        waves = replace(waves, restart_proof=True)  # a check-in with the new key, before the canary widens
    else:
        members = {}
    return Plan(
        kind,
        ring=order.ring,
        hasty=order.hasty,
        approvals=order.approvals,
        waves=waves,
        holds=_part(Holds, order),
        limits=_part(Limits, order),
        **members,
    )


def _part(kind: type[Part], order: RotationOrder) -> Part:
    """The members that were asked for; the others keep their defaults."""
    asked = {name: getattr(order, name) for name in kind.__struct_fields__}
    chosen = {name: value for name, value in asked.items() if value is not None}
    if any(value < 0 for value in chosen.values() if isinstance(value, int | float)):
        raise UsageError("durations, sizes and limits are not negative")
    if chosen.get("rate_per_minute") == 0:
        raise UsageError("at least one endpoint is released a minute")
    return msgspec.convert(chosen, kind)


def _key(name: str, home: str) -> str:
    if not name:
        return ""
    domain, _, bare = name.rpartition("\\")
    return account_key(domain or home, bare)


def _demand_known(account: str, known: Iterable[str]) -> None:
    if account not in known:
        raise UsageError(f"{account} is not a client authentication account", repair=f"keyfast account add {account}")


def _demand_pair(source: str, target: str, known: list[str], *, target_may_be_new: bool) -> None:
    if not source or not target:
        raise UsageError("name the account to move away from and the one to move to", repair="--from A --to B")
    if source == target:
        raise UsageError("the password of an account in use is never changed; move to another account of a pair")
    _demand_known(source, known)
    if not target_may_be_new:
        _demand_known(target, known)


def _only(known: list[str]) -> str:
    if len(known) == 1:
        return known[0]
    raise UsageError("name the account whose endpoints move to OAuth", repair="--from ACCOUNT")


def _address(order: RotationOrder, open_modes: set[Mode]) -> dict[str, Any]:
    mode = order.mode or (next(iter(open_modes)).value if len(open_modes) == 1 else "")
    if mode not in {Mode.WINDOWS.value, Mode.OAUTH.value}:
        raise UsageError("name the mode whose endpoints get a new address", repair="--mode windows or --mode oauth")
    if not order.urls and not order.ca:
        raise UsageError("a new address has URLs, an authority, or both", repair="--url https://HOST --ca FILE")
    if wrong := [url for url in order.urls if not url.startswith("https://")]:
        raise UsageError(f"'{wrong[0]}' is not an https URL")
    if order.ca and "BEGIN CERTIFICATE" not in order.ca:
        raise UsageError("the authority is no PEM certificate")
    return {
        "mode": mode,
        "urls": tuple(url.rstrip("/") for url in order.urls),
        "ca": order.ca,
        "source": "",
        "target": "",
    }


def _device_key(order: RotationOrder) -> dict[str, Any]:
    if order.mode not in {"", Mode.WINDOWS.value, Mode.OAUTH.value}:
        raise UsageError("name the mode whose endpoints renew their keys, or none for all", repair="--mode oauth")
    if order.source or order.target:
        raise UsageError("device keys are renewed whatever account an endpoint uses; name a ring or a mode")
    return {"mode": order.mode}


def _recovery(order: RotationOrder, source: str, target: str, known: list[str]) -> dict[str, Any]:
    if not source:
        raise UsageError("name the account that broke", repair="--from ACCOUNT")
    _demand_known(source, known)
    if order.mode == Mode.OAUTH.value:
        return {"mode": order.mode, "source": source, "target": ""}
    target = target or source
    _demand_known(target, known)
    return {"mode": Mode.WINDOWS.value, "source": source, "target": target}
