"""Active Directory (and Samba) as the directory of accounts: LDAP to every domain controller."""

import asyncio
import ssl
from collections.abc import Awaitable, Callable, Sequence
from functools import partial

from keyfast.core.account import GRACE
from keyfast.core.directory import AccountReading, Logon, Unreachable
from keyfast.core.person_groups import Member
from keyfast.core.secret import Secret
from keyfast.directory import address, kerberos, ldap_message, logon_codes
from keyfast.directory.account_reader import read_account, read_names, reset_password
from keyfast.directory.address import Address
from keyfast.directory.connection import Connection
from keyfast.directory.ldap_message import Code, Equals, Result
from keyfast.directory.member_reader import read_member
from keyfast.directory.pool import Pool
from keyfast.directory.settings import DirectorySettings, KeytabReader, SimpleReader
from keyfast.errors import ConflictError, NotFoundError, NotReadyError, UsageError

PROVE_MARGIN = 600
"""Seconds added to the grace, for clocks of domain controllers and for replication."""
_NOT_IN_NAMES = frozenset('"/\\[]:;|=,+*?<>@')
_MAX_NAME = 256
_MAX_PASSWORD = 1024


class ActiveDirectory:
    """A directory, see ``core.directory.Directory``.

    Args:
        settings: addresses, trust and the server's own identity.
        clock: unix time in seconds.
        grace_s: for how long the directory takes the previous password (``OldPasswordAllowedPeriod``).

    Raises:
        UsageError: an address or the file of certificates is no such thing.
        MissingToolError: the library for LDAP messages is not installed.
    """

    def __init__(self, settings: DirectorySettings, clock: Callable[[], float], *, grace_s: int = GRACE) -> None:
        if not settings.servers:
            raise UsageError("a directory needs the address of at least one domain controller")
        ldap_message.load()
        self._settings = settings
        self._clock = clock
        self._grace = grace_s
        self._tls = _context(settings)
        places = [address.parse(url) for url in settings.servers]
        self._readers = {place.name: self._pool(place, self._open_reader) for place in places}
        self._binders = {place.name: self._pool(place, self._open_binder) for place in places}
        self._preferred = places[0].name

    @property
    def domain(self) -> str:
        """Short (NetBIOS) name of the domain, upper case."""
        return self._settings.domain.upper()

    @property
    def grace_s(self) -> int:
        """See ``core.directory.Directory``."""
        return self._grace

    async def read(self, name: str) -> tuple[AccountReading | Unreachable, ...]:
        """Read an account from every domain controller at once; one that is down delays nobody beyond the timeout."""
        return tuple(await asyncio.gather(*(self._read_at(server, name) for server in self._readers)))

    async def names(self) -> tuple[str, ...]:
        """Return what the domain is called there, its short name first; asked of the first that answers.

        Raises:
            NotReadyError: no domain controller could be asked.
        """
        fault = NotReadyError("no domain controller answers")
        for pool in self._readers.values():
            try:
                return await pool.run(read_names)
            except NotReadyError as cause:
                fault = cause
        raise fault

    async def verify(self, name: str, password: Secret) -> Logon:
        """Try a name and a password with a simple bind inside TLS, at the first domain controller that answers.

        A name or password that cannot be one is wrong without asking: an empty password would be anonymous.

        Raises:
            NotReadyError: no domain controller could be asked, or too many calls wait already.
        """
        if not _can_be_name(name) or not 0 < len(password.reveal()) <= _MAX_PASSWORD:
            return Logon.WRONG_PASSWORD
        fault = NotReadyError("no domain controller answers")
        for server in sorted(self._binders, key=lambda server: server != self._preferred):
            try:
                result = await self._binders[server].run(
                    lambda connection: self._try(connection, f"{self.domain}\\{name}", password)
                )
            except NotReadyError as cause:
                fault = cause
                continue
            self._preferred = server
            return _logon(result)
        raise fault

    async def member(self, groups: Sequence[str], *, name: str = "", sid: str = "") -> Member:
        """See ``core.person_groups.GroupDirectory``; asked of the first domain controller that answers."""
        by = Equals("objectSid", sid) if sid else Equals("sAMAccountName", name)
        now = int(self._clock())
        fault = NotReadyError("no domain controller answers")
        for server in sorted(self._readers, key=lambda server: server != self._preferred):
            read = partial(read_member, base_dn=self._settings.base_dn, server=server, by=by, groups=groups, now=now)
            try:
                return await self._readers[server].run(read)
            except NotReadyError as cause:
                fault = cause
        raise fault

    async def prove(self, name: str, password: Secret) -> Logon:
        """Try a name and a password so that only the current password is granted.

        A bind also grants the previous password for a while after a change, the KDC does not: so within that
        time the KDC is asked too.

        Raises:
            NotReadyError: no domain controller could be asked; or the password was set lately and no KDC can
                be asked (no realm in the settings, no gssapi): it can be told once the grace is over, which
                is in ``retry_after``.
        """
        said = await self.verify(name, password)
        if said is not Logon.GRANTED:
            return said
        readings = [reading for reading in await self.read(name) if isinstance(reading, AccountReading)]
        if not readings:
            raise NotReadyError("no domain controller says when the password was set")
        left = max(reading.password_set_at for reading in readings) + self._grace + PROVE_MARGIN - int(self._clock())
        if left <= 0:
            return said
        try:
            return await self._ask_kdc(name, password)
        except NotReadyError as cause:
            raise NotReadyError(
                "the password was set lately, and without Kerberos the previous one cannot be told from it: "
                f"{cause.message}",
                retry_after=left,
                repair="set the Kerberos realm of the directory, or try again later",
            ) from cause

    @property
    def can_reset_password(self) -> bool:
        """Every connection is inside TLS or sealed, so it can be tried."""
        return True

    async def reset_password(self, name: str, password: Secret) -> None:
        """Set an account's password with the reader's rights, at the first domain controller that answers.

        Sources: MS-ADTS 3.1.1.3.1.5 (``unicodePwd``); it needs the right to reset the account's password.

        Raises:
            NotFoundError, ConflictError, NotReadyError: see ``core.directory.PasswordDirectory``.
        """
        if not _can_be_name(name) or not 0 < len(password.reveal()) <= _MAX_PASSWORD:
            raise UsageError("an account needs a name and a password")
        fault = NotReadyError("no domain controller answers")
        for server in sorted(self._readers, key=lambda server: server != self._preferred):
            try:
                result = await self._readers[server].run(
                    lambda connection: reset_password(connection, self._settings.base_dn, name, password)
                )
            except NotReadyError as cause:
                fault = cause
                continue
            self._preferred = server
            _demand_taken(result, name, server)
            return
        raise fault

    async def close(self) -> None:
        """Let go of every connection."""
        for pool in (*self._readers.values(), *self._binders.values()):
            await pool.close()

    @property
    def _timeout(self) -> float:
        return self._settings.timeout_s

    async def _ask_kdc(self, name: str, password: Secret) -> Logon:
        realm = self._settings.realm
        if not realm:
            raise NotReadyError("no Kerberos realm is set")
        try:
            async with asyncio.timeout(2 * self._timeout):
                return await kerberos.beside(kerberos.ask_for_ticket, name, realm, password)
        except TimeoutError:
            raise NotReadyError("the KDC did not answer") from None

    async def _read_at(self, server: str, name: str) -> AccountReading | Unreachable:
        now = int(self._clock())
        try:
            return await self._readers[server].run(
                lambda connection: read_account(connection, self._settings.base_dn, server, name, now)
            )
        except NotReadyError as cause:
            return Unreachable(server, now, cause.message)

    async def _try(self, connection: Connection, name: str, password: Secret) -> Result:
        result = await connection.bind(name, password)
        if result.code not in (Code.SUCCESS, Code.INVALID_CREDENTIALS):
            raise NotReadyError(f"the domain controller does not take logons now (LDAP result {result.code})")
        return result

    def _pool(self, place: Address, opening: Callable[[Address], Awaitable[Connection]]) -> Pool:
        limits = self._settings
        return Pool(
            place.name,
            partial(opening, place),
            size=limits.connections,
            waiting=limits.waiting,
            timeout_s=limits.timeout_s,
        )

    async def _open_binder(self, place: Address) -> Connection:
        return await Connection.open(place, self._tls)

    async def _open_reader(self, place: Address) -> Connection:
        reader = self._settings.reader
        sealed = isinstance(reader, KeytabReader) and not place.tls
        connection = await Connection.open(place, None if sealed else self._tls)
        try:
            await _identify(connection, place, reader)
        except BaseException:
            connection.close()
            raise
        return connection


async def _identify(connection: Connection, place: Address, reader: SimpleReader | KeytabReader) -> None:
    if isinstance(reader, KeytabReader):
        result = await connection.bind_keytab(reader)
    else:
        result = await connection.bind(reader.name, reader.password)
    if result.code != Code.SUCCESS:
        raise NotReadyError(
            f"{place.host} refused the reader account: {logon_codes.of_refused_bind(result.text)}",
            repair="check the name and the password or keytab of the reader account",
        )


def _demand_taken(result: Result | None, name: str, server: str) -> None:
    if result is None:
        raise NotFoundError(f"{server} has no account {name!r}")
    if result.code == Code.INSUFFICIENT_ACCESS:
        raise ConflictError(
            f"{server} does not let this server set the password of {name}",
            repair="grant the reader the right to reset it, or set it yourself and tell: keyfast account add",
        )
    if result.code != Code.SUCCESS:
        raise ConflictError(f"{server} does not take the new password of {name} (LDAP result {result.code})")


def _context(settings: DirectorySettings) -> ssl.SSLContext:
    try:
        return ssl.create_default_context(cafile=settings.ca)
    except OSError as cause:
        raise UsageError(f"{settings.ca} is not a file of certificates") from cause


def _can_be_name(name: str) -> bool:
    return 0 < len(name) <= _MAX_NAME and name.isprintable() and not _NOT_IN_NAMES.intersection(name)


def _logon(result: Result) -> Logon:
    return Logon.GRANTED if result.code == Code.SUCCESS else logon_codes.of_refused_bind(result.text)
