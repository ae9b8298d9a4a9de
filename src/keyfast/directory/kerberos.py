"""Kerberos as the directory room needs it: the server's own logon by keytab, and the proof of a password.

``gssapi`` is imported where it is used: a server that reads by password and never proves needs no Kerberos.
Everything here blocks on the network; ``beside`` calls it in threads of its own, so that a KDC that hangs
holds up nothing else.
"""

import asyncio
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any, TypeVar

from keyfast.core.directory import Logon
from keyfast.core.secret import Secret
from keyfast.errors import MissingToolError, NotReadyError

INTEGRITY_AND_SECRECY = 4
"""Security layers of RFC 4752 section 3.3: 1 none, 2 integrity, 4 secrecy."""
NO_LAYER = 1
_LARGEST = 0xFFFFFF
_LAYER_BYTES = 4
_THREADS = ThreadPoolExecutor(4, "kerberos")
_KDC_ERRORS = 0x96C73A00
"""Where MIT's numbers of KDC errors (RFC 4120 section 7.5.9) begin."""
_KDC_SAYS = {6: Logon.WRONG_PASSWORD, 18: Logon.DISABLED, 23: Logon.EXPIRED, 24: Logon.WRONG_PASSWORD}


T = TypeVar("T")


async def beside(function: Callable[..., T], *args: object) -> T:
    """Call something of this module beside the loop."""
    return await asyncio.get_running_loop().run_in_executor(_THREADS, function, *args)


def load() -> ModuleType:
    """Return the gssapi package.

    Raises:
        MissingToolError: it is not installed.
    """
    try:
        import gssapi  # noqa: PLC0415 - an optional extra
    except ImportError as cause:
        raise MissingToolError(
            "Kerberos needs the Python package gssapi",
            repair="pip install 'keyfast[directory]' (Debian: apt-get install gcc libkrb5-dev first)",
        ) from cause
    return gssapi  # type: ignore[no-any-return, unused-ignore]


class Session:
    """The client's half of a SASL GSSAPI bind (RFC 4752), and the messages under its security layer.

    Args:
        host: of the domain controller, as in its service principal name ``ldap/host``.
        principal: who logs on.
        keytab: with whose keys.
        binding: channel binding data of the TLS connection; None without TLS, then everything is sealed.
    """

    def __init__(self, host: str, principal: str, keytab: Path, binding: bytes | None) -> None:
        gssapi = load()
        flags = gssapi.RequirementFlag
        sealed = flags.mutual_authentication | flags.integrity | flags.confidentiality
        self._layer = INTEGRITY_AND_SECRECY if binding is None else NO_LAYER
        with _wrapped(gssapi, f"the Kerberos logon of {principal}"):
            store = {"client_keytab": f"FILE:{keytab}", "ccache": f"MEMORY:{uuid.uuid4()}"}
            name = gssapi.Name(principal, gssapi.NameType.kerberos_principal)
            self._context = gssapi.SecurityContext(
                name=gssapi.Name(f"ldap@{host}", gssapi.NameType.hostbased_service),
                creds=gssapi.Credentials(name=name, usage="initiate", store=store),
                flags=sealed if binding is None else flags.mutual_authentication,
                mech=gssapi.MechType.kerberos,
                channel_bindings=gssapi.raw.ChannelBindings(application_data=binding) if binding else None,
                usage="initiate",
            )
        self._gssapi = gssapi

    @property
    def sealing(self) -> bool:
        """Whether messages after the bind go through ``wrap`` and ``unwrap``."""
        return self._layer == INTEGRITY_AND_SECRECY

    def answer(self, challenge: bytes) -> bytes:
        """Return the next credentials to send; the first time ``challenge`` is empty.

        Raises:
            NotReadyError: the logon does not come about.
        """
        with _wrapped(self._gssapi, "the Kerberos logon to the directory"):
            if not self._context.complete:
                return bytes(self._context.step(challenge or None) or b"")
            offered = self._context.unwrap(challenge).message
            if len(offered) != _LAYER_BYTES or not offered[0] & self._layer:
                raise NotReadyError("the domain controller does not offer the protection that is demanded")
            chosen = bytes((self._layer,)) + (_LARGEST if self.sealing else 0).to_bytes(3, "big")
            return bytes(self._context.wrap(chosen, False).message)

    def wrap(self, data: bytes) -> bytes:
        """Seal a message, with its length in front."""
        with _wrapped(self._gssapi, "sealing"):
            token = bytes(self._context.wrap(data, True).message)
        return len(token).to_bytes(4, "big") + token

    def unwrap(self, token: bytes) -> bytes:
        """Open a sealed message (without the length).

        Raises:
            NotReadyError: it was altered or is not sealed.
        """
        with _wrapped(self._gssapi, "opening a sealed message"):
            opened = self._context.unwrap(token)
        if not opened.encrypted:
            raise NotReadyError("the domain controller sent a message that is not sealed")
        return bytes(opened.message)


def ask_for_ticket(name: str, realm: str, password: Secret) -> Logon:
    """Log on to the realm's KDC (RFC 4120 section 3.1), which knows the current password only.

    Raises:
        NotReadyError: no KDC could be asked.
        MissingToolError: gssapi is not installed.
    """
    gssapi = load()
    principal = gssapi.Name(f"{name}@{realm}", gssapi.NameType.kerberos_principal)
    try:
        # The ticket stays in a cache of its own in this process's memory and goes with the credential.
        got = gssapi.raw.acquire_cred_with_password(
            principal, password.reveal(), usage="initiate", mechs=[gssapi.MechType.kerberos]
        )
    except gssapi.exceptions.GSSError as cause:
        said = _KDC_SAYS.get(cause.min_code - _KDC_ERRORS)
        if said is None:
            raise NotReadyError(f"no KDC of {realm} answered: {_words(cause)}") from None
        return said
    return Logon.GRANTED if got.lifetime else Logon.OTHER


@contextmanager
def _wrapped(gssapi: Any, what: str) -> Iterator[None]:
    """Turn errors of gssapi into NotReadyError: they come from the network, the clock or the keytab."""
    try:
        yield
    except gssapi.exceptions.GSSError as cause:
        raise NotReadyError(f"{what} failed: {_words(cause)}") from None


def _words(cause: Exception) -> str:
    return str(cause).rpartition("): ")[2][:200]
