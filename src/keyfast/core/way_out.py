"""When an account broke: which ways out there are, how many endpoints each brings back, and in which order.

Nothing here opens or sends anything. The order is one of harm: first what opens nothing and touches no
endpoint by hand, last what needs a visit.
"""

from enum import StrEnum

import msgspec

from keyfast.core.account import AccountCondition


class Way(StrEnum):
    """Ways out."""

    DEVICE_KEY = "device-key"
    RESTORE = "restore"
    WINDOW = "window"
    ACCOUNT = "account"
    OAUTH = "oauth"
    PACKAGE = "package"


class Need(StrEnum):
    """What a way asks for."""

    PASSWORD = "password"  # noqa: S105 - a name, not a secret
    ACCOUNT = "account"
    WINDOW = "window"


C = AccountCondition
UNUSABLE = frozenset({C.MISSING, C.DISABLED, C.LOCKED, C.ACCOUNT_EXPIRED, C.EXPIRED, C.MUST_CHANGE})
"""Conditions in which the account itself must be mended: no password of it is taken."""


class Situation(msgspec.Struct, frozen=True):
    r"""What is known of an account and of the endpoints behind it.

    Attributes:
        account: its key, ``DOMAIN\name``.
        condition: how it stands.
        holders: endpoints by the credential generation that they hold.
        proven: newest generation whose password works, 0 for none.
        always: endpoints may recover by their device key at any time; else only while a window is open.
        others: keys of other accounts with a password that works.
        oauth: OAuth is open.
    """

    account: str
    condition: AccountCondition
    holders: dict[int, int]
    proven: int
    always: bool = True
    others: tuple[str, ...] = ()
    oauth: bool = True

    @property
    def endpoints(self) -> int:
        """How many endpoints authenticate with the account."""
        return sum(self.holders.values())

    @property
    def usable(self) -> bool:
        """Whether the account takes any password at all."""
        return self.condition not in UNUSABLE

    @property
    def stranded(self) -> int:
        """How many hold what is not accepted."""
        return self.endpoints - (self.holders.get(self.proven, 0) if self.usable else 0)


class WayOut(msgspec.Struct, frozen=True):
    """One way out of a situation.

    Attributes:
        way: which.
        endpoints: how many it brings back.
        available: whether it can be taken here and now.
        sentence: what it does, or why it cannot be taken.
        needs: what must be given for it.
    """

    way: Way
    endpoints: int
    available: bool
    sentence: str
    needs: tuple[Need, ...] = ()


def is_broken(situation: Situation) -> bool:
    """Tell whether endpoints are stranded behind the account."""
    return situation.stranded > 0


def ways(situation: Situation) -> tuple[WayOut, ...]:
    """Every way out, the one to take first at the top; those that cannot be taken last. None if nothing is broken."""
    if not is_broken(situation):
        return ()
    found = [_RULES[way](situation) for way in _order(situation)]
    return tuple(sorted(found, key=lambda out: not out.available))


def opens_window(way: Way, *, always: bool) -> bool:
    """Tell whether a way needs a recovery window: endpoints fetch a change by asking for recovery."""
    return way is Way.WINDOW or (not always and way in (Way.ACCOUNT, Way.OAUTH))


def is_shut(missing: int, *, always: bool, window_open: bool) -> bool:
    """Tell whether nobody who is missing can fetch a change: that takes a recovery window, and none is open."""
    return missing > 0 and not always and not window_open


def sends_change(way: Way) -> bool:
    """Tell whether a way gives endpoints another access, and is not done in the directory or by hand."""
    return way in (Way.DEVICE_KEY, Way.WINDOW, Way.ACCOUNT, Way.OAUTH)


def _order(situation: Situation) -> tuple[Way, ...]:
    if not situation.usable:
        return Way.RESTORE, Way.ACCOUNT, Way.OAUTH, Way.DEVICE_KEY, Way.WINDOW, Way.PACKAGE
    if situation.always:
        return Way.DEVICE_KEY, Way.RESTORE, Way.ACCOUNT, Way.OAUTH, Way.WINDOW, Way.PACKAGE
    return Way.RESTORE, Way.WINDOW, Way.ACCOUNT, Way.OAUTH, Way.DEVICE_KEY, Way.PACKAGE


def _device_key(situation: Situation) -> WayOut:
    name, count = situation.account, situation.stranded
    if not situation.always:
        why = "here endpoints recover by their device key only while a recovery window is open: take window"
        return WayOut(Way.DEVICE_KEY, 0, available=False, sentence=why)
    if not situation.usable:
        return WayOut(Way.DEVICE_KEY, 0, available=False, sentence=_useless(situation))
    who = _endpoints(count, "proves its device key and fetches", "prove their device key and fetch")
    does = f"{who} the password of {name} that works; nothing is opened"
    return WayOut(Way.DEVICE_KEY, count, available=True, sentence=does, needs=_password(situation))


def _restore(situation: Situation) -> WayOut:
    name = situation.account
    if situation.condition is C.MISSING:
        why = f"{name} is not in the directory any more: an account made anew has other keys"
        return WayOut(Way.RESTORE, 0, available=False, sentence=why)
    if not situation.usable:
        holding = situation.holders.get(situation.proven, 0) or max(situation.holders.values())
        does = f"mend {name} in the directory ({situation.condition}): {_back(holding)}"
        return WayOut(Way.RESTORE, holding, available=True, sentence=does)
    lost = {number: count for number, count in situation.holders.items() if number != situation.proven}
    number, count = max(lost.items(), key=lambda held: (held[1], held[0]))
    does = f"set the password of generation {number} again in the directory: {_back(count)}"
    holding = situation.holders.get(situation.proven, 0)
    if holding:
        held = f"generation {situation.proven}"
        refused = _endpoints(holding, f"that holds {held} is refused", f"that hold {held} are refused")
        does += f", and {refused} then"
    return WayOut(Way.RESTORE, count, available=True, sentence=does)


def _window(situation: Situation) -> WayOut:
    if not situation.usable:
        return WayOut(Way.WINDOW, 0, available=False, sentence=_useless(situation))
    one = "fetches the password that works, even if it lost its device key"
    many = "fetch the password that works, also those that lost their device key"
    does = f"open Anonymous for a time, for recovery only: {_endpoints(situation.stranded, one, many)}"
    needs = (*_password(situation), Need.WINDOW)
    return WayOut(Way.WINDOW, situation.stranded, available=True, sentence=does, needs=needs)


def _account(situation: Situation) -> WayOut:
    known = f" ({', '.join(situation.others)})" if situation.others else ""
    does = f"{_endpoints(situation.stranded, 'moves', 'move')} to another account{known}{_through(situation)}"
    needs = (Need.ACCOUNT, *(() if situation.others else (Need.PASSWORD,)), *_opening(situation))
    return WayOut(Way.ACCOUNT, situation.stranded, available=True, sentence=does, needs=needs)


def _oauth(situation: Situation) -> WayOut:
    if not situation.oauth:
        why = "OAuth is closed here: keyfast mode open oauth"
        return WayOut(Way.OAUTH, 0, available=False, sentence=why)
    who = _endpoints(situation.stranded, "moves to OAuth and holds", "move to OAuth and hold")
    does = f"{who} no password any more{_through(situation)}"
    return WayOut(Way.OAUTH, situation.stranded, available=True, sentence=does, needs=_opening(situation))


def _package(situation: Situation) -> WayOut:
    if not situation.usable:
        return WayOut(Way.PACKAGE, 0, available=False, sentence=_useless(situation))
    over = "1 endpoint: somebody must reach it"
    if situation.stranded != 1:
        over = f"each of {situation.stranded:,} endpoints: somebody must reach them all"
    does = f"build a package and install it over {over}"
    return WayOut(Way.PACKAGE, situation.stranded, available=True, sentence=does, needs=_password(situation))


_RULES = {
    Way.DEVICE_KEY: _device_key,
    Way.RESTORE: _restore,
    Way.WINDOW: _window,
    Way.ACCOUNT: _account,
    Way.OAUTH: _oauth,
    Way.PACKAGE: _package,
}


def _password(situation: Situation) -> tuple[Need, ...]:
    return () if situation.proven else (Need.PASSWORD,)


def _opening(situation: Situation) -> tuple[Need, ...]:
    return () if situation.always else (Need.WINDOW,)


def _through(situation: Situation) -> str:
    return "" if situation.always else ", through a recovery window"


def _useless(situation: Situation) -> str:
    return f"no password of {situation.account} is taken while it is {situation.condition}"


def _endpoints(count: int, one: str, many: str) -> str:
    """Say what so many endpoints do: ``one`` of a single one, ``many`` of any other number."""
    return f"1 endpoint {one}" if count == 1 else f"{count:,} endpoints {many}"


def _back(count: int) -> str:
    return _endpoints(count, "comes back by itself", "come back by themselves")
