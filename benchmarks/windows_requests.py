"""Write check-in requests of endpoints in Windows mode: real proofs by keys on record, real tickets."""

import os
import uuid
from base64 import b64encode
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from benchmarks import fill, fleet
from benchmarks.make_requests import PATH, Maker, check_in_body, request_text
from keyfast.core.mode import Mechanism
from keyfast.core.secret import Secret
from keyfast.trust.device import DeviceKey
from keyfast.trust.dpop import make_proof
from keyfast.trust.nonce import Nonces

GENERATION = 1
"""Of the account's credential: the account is added once."""
HOST = "localhost"


@dataclass(frozen=True, slots=True)
class LogonMaker:
    r"""What it takes to check in as some endpoints of a fleet with one account.

    Attributes:
        base: the installation's keys.
        mechanism: how. Kerberos: a fresh AP-REQ for each request, good for five minutes. NTLM: the request
            without ``Authorization``; whoever sends it adds the messages, which depend on the answers.
        first: number of the first of these endpoints; ``endpoints``: how many there are.
        user: logon name, ``DOMAIN\name`` or, for Kerberos, ``name@REALM``.
        krb5_config: settings of the Kerberos library.
    """

    base: Maker
    mechanism: Mechanism
    first: int
    endpoints: int
    user: str
    password: str = field(repr=False)
    krb5_config: str = ""

    def requests(self, first: int, end: int) -> Iterator[bytes]:
        """Make the requests with the numbers from ``first`` to before ``end``."""
        base = self.base
        nonce = Nonces([Secret(key) for key in base.nonce_keys]).issue(base.now)
        authorization, host = self._authorization(), base.origin.partition("://")[2]
        keys: dict[int, DeviceKey] = {}
        for index in range(first, end):
            number, seq = self.first + index % self.endpoints, fill.FIRST_SEQ + 1 + index // self.endpoints
            key = keys.get(number) or keys.setdefault(number, fleet.device_key(number))
            body = check_in_body(number, seq, base.now, GENERATION)
            proof = make_proof(
                key,
                method="POST",
                url=base.origin + PATH,
                jti=str(uuid.UUID(int=index)),
                issued_at=base.now,
                nonce=nonce,
                body=body,
            )
            yield request_text(host, authorization(), proof, body)

    def _authorization(self) -> Callable[[], str]:
        match self.mechanism:
            case Mechanism.KERBEROS:
                return self._tickets()
            case Mechanism.BASIC:
                line = header("Basic", f"{self.user}:{self.password}".encode())
                return lambda: line
        return lambda: ""

    def _tickets(self) -> Callable[[], str]:
        """Ask the KDC once, as an agent does, and make a token of its ticket for each request."""
        os.environ["KRB5_CONFIG"] = self.krb5_config  # this is a process of our own, see make_requests.make
        import spnego  # noqa: PLC0415 - loads the Kerberos library, which reads its settings once

        context = spnego.client(self.user, self.password, hostname=HOST, service="HTTP", protocol="kerberos")
        return lambda: header("Negotiate", context.new_context().step() or b"")


def header(scheme: str, token: bytes) -> str:
    """A line of an HTTP request."""
    return f"authorization: {scheme} {b64encode(token).decode('ascii')}\r\n"
