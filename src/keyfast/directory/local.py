"""The embedded directory: for sites without Active Directory, and for trying things out.

It behaves like Active Directory where that matters (expiry, must change, disabled, locked out), except that
an old password is never granted and that nothing locks an account unless told to. Only Basic works with it.
"""

import asyncio
import hashlib
import hmac
import secrets
from collections.abc import Callable
from typing import Protocol

import msgspec
from msgspec.structs import replace

from keyfast.core.account import unusable
from keyfast.core.directory import AccountReading, Logon, Unreachable
from keyfast.core.secret import Secret
from keyfast.directory.entry import filetime, stamp_of
from keyfast.errors import NotFoundError, UsageError
from keyfast.trust.encoding import b64u, unb64u

_SCHEME = "scrypt"
_COST, _BLOCK, _LANES = 2**15, 8, 1
_MEMORY = 64 * 1024 * 1024
_SALT_BYTES, _KEY_BYTES = 16, 32
_LOCK_S = 1800
_AT_ONCE = 2
"""Passwords tried at a time: each takes 32 MiB and a core."""
SERVER = "local"


class LocalAccount(msgspec.Struct, frozen=True):
    """One account as stored.

    Attributes:
        name: logon name, lower case.
        verifier: ``scrypt$cost$block$lanes$salt$key``, salt and key in base64url.
        password_stamp: when the password was set, in 100 ns since 1601.
        disabled: the account is switched off.
        must_change: the password must be changed before it is used.
        never_expires: ``max_age_s`` does not hold for it.
        expires_at: when the account expires (unix seconds), None for never.
        max_age_s: seconds a password lasts, 0 for ever.
        bad_passwords: wrong passwords since the last right one.
        locked_at: when it was locked, 0 for never.
        lockout_threshold: wrong passwords that lock it for 30 minutes, 0 for never.
    """

    name: str
    verifier: str
    password_stamp: int
    disabled: bool = False
    must_change: bool = False
    never_expires: bool = False
    expires_at: int | None = None
    max_age_s: int = 0
    bad_passwords: int = 0
    locked_at: int = 0
    lockout_threshold: int = 0


class LocalAccounts(Protocol):
    """Where the accounts are kept. Failures are NotReadyError."""

    async def get(self, name: str) -> LocalAccount | None:
        """Return the account of that name (lower case)."""
        ...

    async def put(self, account: LocalAccount, by: str = "") -> None:
        """Store an account in place of the one of its name; ``by`` is the administrator who ordered it."""
        ...


class LocalDirectory:
    """A directory of its own, see ``core.directory.Directory``.

    Args:
        domain: the name it goes by.
        accounts: where the accounts are kept.
        clock: unix time in seconds.
    """

    def __init__(self, domain: str, accounts: LocalAccounts, clock: Callable[[], float]) -> None:
        self._domain = domain.upper()
        self._accounts = accounts
        self._clock = clock
        self._changing = asyncio.Lock()
        self._hashing = asyncio.Semaphore(_AT_ONCE)

    @property
    def domain(self) -> str:
        """The name it goes by."""
        return self._domain

    @property
    def grace_s(self) -> int:
        """An old password is never granted."""
        return 0

    async def set_password(
        self,
        name: str,
        password: Secret,
        alter: Callable[[LocalAccount], LocalAccount] = lambda account: account,
        by: str = "",
    ) -> LocalAccount:
        """Make an account, or set a new password; that also unlocks it and ends "must change".

        Args:
            name: of the account.
            password: its new one.
            alter: what else becomes of the account.
            by: the administrator who ordered it.

        Raises:
            UsageError: the name or the password is empty.
        """
        if not name or not password.reveal():
            raise UsageError("an account needs a name and a password")
        verifier = await asyncio.to_thread(make_verifier, password)
        stamp = stamp_of(self._clock())
        async with self._changing:
            known = await self._accounts.get(name.lower()) or LocalAccount(name.lower(), "", 0)
            account = replace(
                known, verifier=verifier, password_stamp=stamp, must_change=False, bad_passwords=0, locked_at=0
            )
            account = alter(account)
            await self._accounts.put(account, by)
        return account

    @property
    def can_reset_password(self) -> bool:
        """Its accounts are this server's own."""
        return True

    async def reset_password(self, name: str, password: Secret) -> None:
        """See ``core.directory.PasswordDirectory``; an account is never made by it."""
        if await self._accounts.get(name.lower()) is None:
            raise NotFoundError(f"the local directory has no account {name!r}")
        await self.set_password(name, password)

    async def change(self, name: str, alter: Callable[[LocalAccount], LocalAccount], by: str = "") -> LocalAccount:
        """Store what ``alter`` makes of an account; ``by`` is the administrator who ordered it.

        Raises:
            NotFoundError: there is none of that name.
        """
        async with self._changing:
            known = await self._accounts.get(name.lower())
            if known is None:
                raise NotFoundError(f"the local directory has no account {name!r}")
            account = alter(known)
            await self._accounts.put(account, by)
            return account

    async def read(self, name: str) -> tuple[AccountReading | Unreachable, ...]:
        """Read an account."""
        now = int(self._clock())
        account = await self._accounts.get(name.lower())
        if account is None:
            return (AccountReading(SERVER, now, exists=False, name=name),)
        return (reading_of(account, now),)

    async def verify(self, name: str, password: Secret) -> Logon:
        """Try a name and a password."""
        account = await self._accounts.get(name.lower())
        now = int(self._clock())
        if account and reading_of(account, now).locked:
            return Logon.LOCKED
        async with self._hashing:
            # An unknown name costs as much time as a known one.
            right = await asyncio.to_thread(_matches, account.verifier if account else _NOBODY, password)
        if account is None or not password.reveal():
            return Logon.WRONG_PASSWORD
        if not right:
            await self.change(name, lambda known: _missed(known, now))
            return Logon.WRONG_PASSWORD
        trouble = unusable(reading_of(account, now), now)
        if trouble is None and account.bad_passwords:
            await self.change(name, lambda known: replace(known, bad_passwords=0, locked_at=0))
        return trouble or Logon.GRANTED

    async def prove(self, name: str, password: Secret) -> Logon:
        """Try a name and a password; an old password is never granted here."""
        return await self.verify(name, password)

    async def close(self) -> None:
        """Nothing is held."""


def reading_of(account: LocalAccount, now: int) -> AccountReading:
    """Turn a stored account into a reading."""
    set_at = filetime(account.password_stamp)
    ages = account.max_age_s > 0 and not account.never_expires
    ends = set_at + account.max_age_s if ages else None
    return AccountReading(
        server=SERVER,
        read_at=now,
        exists=True,
        name=account.name,
        password_stamp=0 if account.must_change else account.password_stamp,
        password_set_at=0 if account.must_change else set_at,
        password_expires_at=None if account.must_change else ends,
        password_expired=account.must_change or (ends is not None and ends <= now),
        must_change=account.must_change,
        never_expires=account.never_expires,
        disabled=account.disabled,
        locked=account.locked_at > 0 and now < account.locked_at + _LOCK_S,
        locked_at=account.locked_at,
        expires_at=account.expires_at,
        bad_passwords=account.bad_passwords,
        lockout_threshold=account.lockout_threshold,
    )


def _missed(account: LocalAccount, now: int) -> LocalAccount:
    count = account.bad_passwords + 1
    locks = 0 < account.lockout_threshold <= count
    return replace(account, bad_passwords=count, locked_at=now if locks else account.locked_at)


def make_verifier(password: Secret, cost: int = _COST) -> str:
    """Turn a password into what is stored of it; ``cost`` is the parameter N of scrypt, a power of two."""
    salt = secrets.token_bytes(_SALT_BYTES)
    key = _derive(password, salt, cost, _BLOCK, _LANES)
    return "$".join((_SCHEME, str(cost), str(_BLOCK), str(_LANES), b64u(salt), b64u(key)))


def _matches(verifier: str, password: Secret) -> bool:
    _, cost, block, lanes, salt, key = verifier.split("$")
    return hmac.compare_digest(_derive(password, unb64u(salt), int(cost), int(block), int(lanes)), unb64u(key))


def _derive(password: Secret, salt: bytes, cost: int, block: int, lanes: int) -> bytes:
    return hashlib.scrypt(password.reveal(), salt=salt, n=cost, r=block, p=lanes, maxmem=_MEMORY, dklen=_KEY_BYTES)


_NOBODY = "$".join((_SCHEME, str(_COST), str(_BLOCK), str(_LANES), b64u(bytes(_SALT_BYTES)), b64u(bytes(_KEY_BYTES))))
