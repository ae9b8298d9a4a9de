"""How the server reaches Active Directory: addresses, trust, and its own identity there."""

from pathlib import Path

import msgspec

from keyfast.core.secret import Secret


class SimpleReader(msgspec.Struct, frozen=True):
    r"""Read as an account with a password, by a simple bind inside TLS.

    Attributes:
        name: ``DOMAIN\name``, ``name@domain`` or a distinguished name.
        password: its password.
    """

    name: str
    password: Secret


class KeytabReader(msgspec.Struct, frozen=True):
    """Read as an account whose Kerberos keys are in a keytab (also that of a group managed account).

    Attributes:
        principal: ``name@REALM``.
        keytab: the file.
    """

    principal: str
    keytab: Path


class DirectorySettings(msgspec.Struct, frozen=True):
    """Everything ``ActiveDirectory`` must be told.

    Attributes:
        domain: short (NetBIOS) name of the domain.
        servers: URLs ``ldaps://host[:port]`` or ``ldap://host[:port]``. On ``ldap`` a SimpleReader and every
            password go inside StartTLS, a KeytabReader inside Kerberos sealing; nothing is sent in the clear.
        reader: the server's own identity.
        ca: certificates (PEM) that vouch for the domain controllers; None for those of the system.
        base_dn: where accounts are searched; empty for the whole domain (``defaultNamingContext``).
        timeout_s: seconds a domain controller has to answer, and a call may wait for a connection to it.
        connections: connections kept to each domain controller for reading, and as many for trying passwords.
        waiting: calls that may wait for a connection; more are told to come again.
        realm: Kerberos realm; empty where Kerberos cannot be used, see ``ActiveDirectory.prove``.
    """

    domain: str
    servers: tuple[str, ...]
    reader: SimpleReader | KeytabReader
    ca: Path | None = None
    base_dn: str = ""
    timeout_s: float = 5.0
    connections: int = 4
    waiting: int = 512
    realm: str = ""
