"""What the directory said to a name and a password, remembered briefly by keyed digest.

Basic presents the password with every request. The directory is asked once for each: by the first of
many requests at once, then not again until the answer is old or the account's password was set anew.
A refused password is remembered much longer than a granted one, since asking again could lock the account.
"""

import asyncio
import hmac
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from functools import partial

from keyfast.core.directory import Logon
from keyfast.core.secret import Secret

GRANTED_SECONDS = 300
REFUSED_SECONDS = 6 * 3600
CAPACITY = 4096


@dataclass(frozen=True, slots=True)
class _Said:
    logon: Logon
    until: float


class BasicCache:
    """Answers of one directory. Holds digests, never a password.

    Args:
        key: 32 random bytes of this process.
        clock: unix seconds.
    """

    def __init__(self, key: Secret, clock: Callable[[], float]) -> None:
        self._key = key
        self._clock = clock
        self._said: OrderedDict[bytes, _Said] = OrderedDict()
        self._asking: dict[bytes, asyncio.Future[Logon]] = {}

    async def ask(
        self, account: str, password: Secret, stamps: Sequence[int], verify: Callable[[], Awaitable[Logon]]
    ) -> tuple[Logon, bool]:
        """Return what the directory says, and whether it was asked now.

        Args:
            account: key of the account.
            password: as presented.
            stamps: each domain controller's stamp of the account's password; other stamps are another question,
                so that what one that lags behind said is asked again as soon as it has caught up.
            verify: asks the directory.

        Raises:
            NotReadyError: the directory could not be asked; nothing is remembered.
        """
        digest = hmac.digest(self._key.reveal(), f"{account}\0{(*stamps,)}\0".encode() + password.reveal(), "sha256")
        known = self._said.get(digest)
        if known is not None and known.until > self._clock():
            self._said.move_to_end(digest)
            return known.logon, False
        asking = self._asking.get(digest)
        first = asking is None
        if asking is None:
            asking = self._asking[digest] = asyncio.ensure_future(verify())
            asking.add_done_callback(partial(self._answered, digest))
        # Whoever hangs up must not take the answer along: the next one would ask again.
        return await asyncio.shield(asking), first

    def _answered(self, digest: bytes, asked: asyncio.Future[Logon]) -> None:
        del self._asking[digest]
        # Whoever waits gets a fault as well; a future that nobody waits for must not complain about it.
        if not asked.cancelled() and asked.exception() is None:
            self._remember(digest, asked.result())

    def _remember(self, digest: bytes, logon: Logon) -> None:
        if logon is Logon.GRANTED:
            seconds = GRANTED_SECONDS
        elif logon is Logon.WRONG_PASSWORD:
            seconds = REFUSED_SECONDS
        else:
            return  # the account's state; the watch knows sooner when it changes
        self._said[digest] = _Said(logon, self._clock() + seconds)
        while len(self._said) > CAPACITY:
            self._said.popitem(last=False)
