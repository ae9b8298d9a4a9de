"""What the check-in process keeps in memory: keys, policy, profiles, modes, accounts. Small, and never per endpoint.

The administrator changes these through another process, so they are read again every few seconds; a
token key is published before it is used, so a process that has not read it yet loses nothing.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from urllib.parse import urlsplit

from keyfast.core.mode import Mode, Modes
from keyfast.core.secret import Secret
from keyfast.core.window import Window
from keyfast.services.follow import follow
from keyfast.services.known_account import KnownAccount, known_accounts
from keyfast.store import installations, keys, modes, policies, profiles, windows
from keyfast.store.database import Database
from keyfast.store.installations import InstallationRow
from keyfast.store.profiles import AccessProfileRow
from keyfast.trust.access_token import AccessTokens
from keyfast.trust.kek import Kek
from keyfast.trust.keyset import Keyset, KeyStatus, Role, SigningKey
from keyfast.trust.nonce import Nonces
from keyfast.wire.messages import Policy

REFRESH_SECONDS = 2.0


@dataclass(frozen=True, slots=True)
class Live:
    """One consistent reading.

    Attributes:
        keyset: all signing keys with their private halves, where this server holds them.
        profiles: access profile in force for each authentication mode.
        urls: base URLs that endpoints use, in order of preference.
        origins: scheme and authority of each of them.
        modes: authentication modes that are open.
        oauth_everywhere: OAuth is open for every ring, so that no check-in by it need look up a ring.
        accounts: client authentication accounts by key.
        window: recovery window that nobody closed; ``core.window.covers`` judges its deadline.
        highest_profile: highest number of any access profile there ever was here.
    """

    installation: InstallationRow
    keyset: Keyset
    tokens: AccessTokens
    nonces: Nonces
    policy: Policy
    profiles: Mapping[Mode, AccessProfileRow]
    urls: tuple[str, ...]
    origins: frozenset[str]
    modes: Modes
    oauth_everywhere: bool
    accounts: Mapping[str, KnownAccount]
    window: Window | None = None
    highest_profile: int = 0

    @property
    def issuer(self) -> str:
        """The OAuth issuer identifier (RFC 8414 section 2): the first URL endpoints use."""
        return self.urls[0]

    def profile(self, mode: Mode) -> AccessProfileRow:
        """The access profile in force for a mode; one that has none yet has number 0 and no statement."""
        return self.profiles.get(mode, AccessProfileRow(0, 0, "", mode))


def key_from_row(row: keys.SigningKeyRow, kek: Kek) -> SigningKey:
    """Open the sealed halves of a stored key."""

    def opened(sealed: str | None, part: str) -> Secret | None:
        return None if sealed is None else kek.open(sealed, bound_to=f"signing_key/{row.kid}/{part}")

    return SigningKey(
        kid=row.kid,
        role=Role(row.role),
        status=KeyStatus(row.status),
        public_jwk=row.public_jwk,
        private=opened(row.private_sealed, "private"),
        mac=opened(row.mac_sealed, "mac"),
        delegation=row.delegation,
        created_at=row.created_at,
    )


def row_from_key(key: SigningKey, kek: Kek) -> keys.SigningKeyRow:
    """Seal a key for storage, each half bound to its row."""

    def sealed(secret: Secret | None, part: str) -> str | None:
        return None if secret is None else kek.seal(secret, bound_to=f"signing_key/{key.kid}/{part}")

    return keys.SigningKeyRow(
        kid=key.kid,
        role=key.role.value,
        status=key.status.value,
        public_jwk=dict(key.public_jwk),
        private_sealed=sealed(key.private, "private"),
        mac_sealed=sealed(key.mac, "mac"),
        delegation=key.delegation,
        created_at=key.created_at,
    )


@dataclass(frozen=True, slots=True)
class _Keys:
    """The open keys and what is made of them."""

    keyset: Keyset
    tokens: AccessTokens
    nonces: Nonces
    kek: Kek


class LiveState:
    """Holds the current reading and renews it.

    Args:
        database: the store.
        open_kek: opens the KEK of an installation; asked again whenever keys changed, as a rewrap changes both.
        urls: base URLs that endpoints use, in order of preference.
    """

    def __init__(self, database: Database, open_kek: Callable[[str], Kek], urls: tuple[str, ...]) -> None:
        self._database = database
        self._open_kek = open_kek
        self._urls = urls
        self._rows: object = None
        self._keys: tuple[object, _Keys] | None = None
        self.current: Live

    async def refresh(self) -> None:
        """Read everything again; keys are only opened when a row changed.

        Raises:
            NotReadyError: the database is down; the previous reading stays in force.
            KeyFileError, TrustError: a key cannot be opened with this KEK.
        """
        async with self._database.read() as conn:
            installation = await installations.get(conn)
            key_rows = await keys.load(conn)
            policy = await policies.newest(conn)
            in_force = await profiles.in_force(conn)
            highest = await profiles.next_seq(conn) - 1
            open_modes = await modes.load(conn)
            known = await known_accounts(conn)
            opened = await windows.not_closed(conn)
        if installation is None or policy is None or not in_force:
            raise LookupError("the database holds no installation")
        window = None if opened is None else opened.window
        rows = (installation, tuple(key_rows), policy, in_force, open_modes, known, highest, window)
        if rows == self._rows:
            return
        keys_now = self._opened(installation.id, tuple(key_rows))
        open_now = Modes(frozenset((row.ring, row.mode) for row in open_modes))
        self.current = Live(
            installation=installation,
            keyset=keys_now.keyset,
            tokens=keys_now.tokens,
            nonces=keys_now.nonces,
            policy=policy,
            profiles=in_force,
            urls=self._urls,
            origins=frozenset(f"{url.scheme}://{url.netloc}" for url in map(urlsplit, self._urls)),
            modes=open_now,
            oauth_everywhere=open_now.everywhere(Mode.OAUTH),
            accounts=known,
            window=window,
            highest_profile=highest,
        )
        self._rows = rows

    def kek(self) -> Kek:
        """Return the KEK that sealed the keys of the current reading.

        Raises:
            LookupError: nothing was read yet.
        """
        if self._keys is None:
            raise LookupError("nothing was read yet")
        return self._keys[1].kek

    def _opened(self, installation: str, rows: tuple[keys.SigningKeyRow, ...]) -> "_Keys":
        """Open the keys, if they are not those that are open already."""
        if self._keys is None or self._keys[0] != (installation, rows):
            kek = self._open_kek(installation)
            keyset = Keyset(installation, tuple(key_from_row(row, kek) for row in rows))
            secrets, current = keyset.access_token_keys()
            tokens, nonces = AccessTokens(installation, secrets, current), Nonces(keyset.nonce_keys())
            opened = _Keys(keyset, tokens, nonces, kek)
            self._keys = ((installation, rows), opened)
        return self._keys[1]

    async def follow(self, failed: Callable[[Exception], None]) -> None:
        """Refresh for ever; a failure keeps the previous reading and is reported."""
        await follow(self.refresh, REFRESH_SECONDS, failed)
