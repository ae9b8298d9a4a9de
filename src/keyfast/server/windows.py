"""Build what authenticates Windows logons from the settings."""

import secrets
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TypeVar

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from keyfast.core.directory import Directory, PasswordDirectory
from keyfast.core.secret import Secret
from keyfast.directory.active_directory import ActiveDirectory
from keyfast.directory.local import LocalDirectory
from keyfast.directory.settings import DirectorySettings, KeytabReader, SimpleReader
from keyfast.errors import MissingToolError, UsageError
from keyfast.server import log
from keyfast.services.local_accounts import StoredAccounts
from keyfast.services.windows_logon import Doors
from keyfast.settings import Settings
from keyfast.settings_directory import ActiveDirectorySettings
from keyfast.store.database import Database
from keyfast.trust import channel_binding
from keyfast.trust.kerberos import Acceptor
from keyfast.trust.ntlm import NtlmHelpers

Door = TypeVar("Door")

LOCAL_DOMAIN = "LOCAL"
MAX_PASSWORD = 1024
EXCHANGE_SECONDS = 4.0
"""Between the legs of an NTLM logon: a logon begun and not finished holds a helper that long."""


def open_directory(settings: Settings, database: Database, clock: Callable[[], float]) -> PasswordDirectory:
    """The directory of accounts.

    Raises:
        UsageError, KeyFileError: the reader's password cannot be read.
        MissingToolError: a library for Active Directory is not installed.
    """
    found = settings.directory
    if found is None:
        return LocalDirectory(LOCAL_DOMAIN, StoredAccounts(database, clock), clock)
    return ActiveDirectory(
        DirectorySettings(
            domain=found.domain,
            servers=found.servers,
            reader=_reader(found),
            ca=found.ca,
            realm=found.realm,
        ),
        clock,
    )


def _reader(found: ActiveDirectorySettings) -> SimpleReader | KeytabReader:
    if found.reader_keytab is not None:
        return KeytabReader(found.reader, found.reader_keytab)
    file = found.reader_password_file
    if file is None:
        raise UsageError("the directory's reader has neither a password nor a keytab")
    # Active Directory lets nobody bind by a bare logon name.
    whole = any(mark in found.reader for mark in "\\@=")
    return SimpleReader(
        found.reader if whole else f"{found.domain}\\{found.reader}",
        read_password(file, "the directory reader's password"),
    )


def read_password(file: Path, what: str) -> Secret:
    """Read a secret that an administrator put into a file.

    Raises:
        UsageError: it cannot be read, or others can.
    """
    try:
        exposed = file.stat().st_mode & 0o077
        content = file.read_bytes()[:MAX_PASSWORD].rstrip(b"\r\n")
    except OSError as cause:
        raise UsageError(f"cannot read {what}: {cause.strerror}: {file}") from cause
    if exposed:
        raise UsageError(f"{file} can be read by others", repair=f"chmod 600 {file}")
    return Secret(content)


def open_doors(settings: Settings, directory: Directory) -> Doors:
    """What this server is configured to authenticate with, as far as it is installed."""
    windows = settings.windows
    return Doors(
        kerberos=_or_none(partial(Acceptor, windows.keytab)) if windows.keytab else None,
        ntlm=_or_none(partial(NtlmHelpers, [str(windows.ntlm_auth)], exchange_s=EXCHANGE_SECONDS))
        if windows.ntlm_auth
        else None,
        directory=directory,
        binding=None if windows.extended_protection == "off" else _binding(settings.tls / "server.pem"),
        binding_required=windows.extended_protection == "require",
        realm=settings.directory.realm if settings.directory else "",
        domain=directory.domain,
        basic=windows.basic,
    )


def _or_none(door: Callable[[], Door]) -> Door | None:
    """A mechanism that is not installed is said to be missing and does not keep the others from working."""
    try:
        return door()
    except MissingToolError as fault:
        log.get().error("mechanism_missing", reason=f"{fault.message}; {fault.repair}")
        return None


def _binding(certificate: Path) -> bytes:
    der = x509.load_pem_x509_certificate(certificate.read_bytes()).public_bytes(Encoding.DER)
    return channel_binding.server_end_point(der)


def cache_key() -> Secret:
    """A key for this process alone."""
    return Secret(secrets.token_bytes(32))
