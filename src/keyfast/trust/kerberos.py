"""Kerberos logons at an HTTP service, verified by the service's own key: no domain controller is asked.

A ticket held works until it ends, ten hours as a rule, whatever happens to the account meanwhile; whoever
needs to know sooner reads the account's attributes.
"""

from enum import StrEnum
from pathlib import Path

import msgspec

from keyfast.errors import MissingToolError, NotReadyError
from keyfast.trust.negotiate import kerberos_message

try:
    import gssapi
    from gssapi.exceptions import BadChannelBindingsError, BadMechanismError, InvalidTokenError
    from gssapi.raw import ChannelBindings, GSSError, set_neg_mechs
except ImportError:  # an optional extra
    gssapi = None  # type: ignore[assignment]


class Reason(StrEnum):
    """Why a ticket was refused."""

    BAD_TOKEN = "bad_token"  # noqa: S105 - a name
    BAD_BINDING = "bad_binding"
    CLOCK_SKEW = "clock_skew"
    EXPIRED_TICKET = "expired_ticket"
    OTHER = "other"


class Accepted(msgspec.Struct, frozen=True):
    """A logon that holds.

    Attributes:
        principal: ``name@REALM``; the case of the name is the client's, as the KDC does not mind it.
        answer: token that proves the server to the client; empty if it asked for none.
        bound: the client bound its logon to this TLS channel.
    """

    principal: str
    answer: bytes
    bound: bool


class Refused(msgspec.Struct, frozen=True):
    """A logon that does not hold.

    Attributes:
        reason: why.
        sentence: the same for people; nothing of the token is in it.
    """

    reason: Reason
    sentence: str


_BASE = 2**32 - 1765328384
"""Where MIT krb5 puts the errors of RFC 4120 section 7.5.9, as GSSAPI shows them (unsigned)."""
_REFUSED = {
    _BASE + 32: Refused(Reason.EXPIRED_TICKET, "the Kerberos ticket has expired"),
    _BASE + 33: Refused(Reason.CLOCK_SKEW, "the Kerberos ticket is not valid yet: a clock is wrong"),
    _BASE + 37: Refused(Reason.CLOCK_SKEW, "the clocks of endpoint and server are more than five minutes apart"),
}
_BAD_TOKEN = Refused(Reason.BAD_TOKEN, "the token is not a Kerberos logon at this service")
_OTHER = Refused(Reason.OTHER, "the Kerberos logon does not hold")
_BAD_BINDING = Refused(Reason.BAD_BINDING, "the logon was made for another TLS connection: something is in between")
_ENOENT, _EACCES = 2, 13
_KEYTAB = {
    _ENOENT: "is gone",
    _EACCES: "cannot be read",
    # Also what a damaged ticket looks like; inside TLS there are none, and wrong keys are common.
    _BASE + 31: "has a wrong key of the right version, or the ticket is damaged",
    _BASE + 35: "has no key for the service name the client used",
    _BASE + 44: "has no key of the ticket's version and encryption type: the account's password was changed",
    _BASE + 45: "has no key for the ticket",
}
_REPAIR = (
    "make a new keytab: on a domain controller"
    " 'ktpass /princ HTTP/<host>@<REALM> /mapuser <account> /crypto AES256-SHA1 /ptype KRB5_NT_PRINCIPAL"
    " /pass * /out http.keytab', or with Samba 'samba-tool domain exportkeytab http.keytab"
    " --principal=HTTP/<host>'; it must be readable by the server's user only"
)


class Acceptor:
    """Accepts Kerberos logons with the keys of a keytab file; a file that is replaced counts at once.

    Replays are not looked for: a token is only taken together with a proof of the endpoint's key over a
    nonce and a sequence number, inside TLS, and a replay cache is a file that every logon locks and syncs.

    Args:
        keytab: file with the keys of the service's account.
        service: first part of the service names; any host is accepted, clients name it in several ways.

    Raises:
        MissingToolError: the Python package ``gssapi`` is not installed.
    """

    def __init__(self, keytab: Path, service: str = "HTTP") -> None:
        if gssapi is None:
            raise MissingToolError(
                "Kerberos needs the Python package gssapi",
                repair="pip install 'keyfast[directory]' (needs gcc and libkrb5-dev)",
            )
        self._keytab = keytab
        self._service = service
        self._credentials: gssapi.Credentials | None = None

    def check(self) -> None:
        """See that the keytab has a key of the service.

        Raises:
            NotReadyError: it has none, or cannot be read.
        """
        self._credentials = None
        self._acquired()

    def accept(self, token: bytes, binding: bytes | None) -> Accepted | Refused:
        """Judge a client's token, in about 0.2 ms.

        Args:
            token: a Kerberos token, bare or as the first of a negotiation.
            binding: application data of this channel, see ``channel_binding``; None where it is not known,
                then whatever the client bound its logon to is not looked at.

        Raises:
            NotReadyError: the *server* lacks a usable key: the keytab is missing, unreadable or outdated.
        """
        try:
            return self._step(token, binding)
        except GSSError as fault:
            inner = kerberos_message(token)
            if inner is None or inner == token:
                return self._explain(fault)
        # A negotiation hides what was wrong in it; the Kerberos token that it carries does not.
        told = self.accept(inner, binding)
        return told if isinstance(told, Refused) else _BAD_TOKEN

    def _step(self, token: bytes, binding: bytes | None) -> Accepted | Refused:
        context = gssapi.SecurityContext(
            creds=self._acquired(),
            usage="accept",
            channel_bindings=None if binding is None else ChannelBindings(application_data=binding),
        )
        answer = context.step(token)
        if not context.complete:
            return _BAD_TOKEN  # Kerberos needs one leg; more of them is a negotiation for something else
        bound = gssapi.RequirementFlag.channel_bound in context.actual_flags
        return Accepted(str(context.initiator_name), answer or b"", bound=bound)

    def _explain(self, fault: "GSSError") -> Refused:
        code = int(fault.min_code)
        if code in _KEYTAB:
            self._credentials = None
            raise NotReadyError(f"the keytab {self._keytab} {_KEYTAB[code]}", repair=_REPAIR) from fault
        if isinstance(fault, BadChannelBindingsError):
            return _BAD_BINDING
        if isinstance(fault, InvalidTokenError | BadMechanismError):
            return _BAD_TOKEN
        return _REFUSED.get(code, _OTHER)

    def _acquired(self) -> "gssapi.Credentials":
        if self._credentials is None:
            try:
                self._credentials = _acquire(self._keytab, self._service)
            except GSSError as fault:
                raise NotReadyError(
                    f"the keytab {self._keytab} cannot be read or has no key for {self._service}", repair=_REPAIR
                ) from fault
        return self._credentials


def _acquire(keytab: Path, service: str) -> "gssapi.Credentials":
    kerberos = gssapi.OID.from_int_seq("1.2.840.113554.1.2.2")
    spnego = gssapi.OID.from_int_seq("1.3.6.1.5.5.2")
    credentials = gssapi.Credentials(
        usage="accept",
        name=gssapi.Name(service, gssapi.NameType.hostbased_service),
        mechs=[kerberos, spnego],
        store={"keytab": f"FILE:{keytab}", "rcache": "none:"},
    )
    # Whatever other mechanisms are installed on this machine are never reached by a stranger's token.
    set_neg_mechs(credentials, [kerberos])
    return credentials
