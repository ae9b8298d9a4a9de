"""What the collectors of an endpoint have seen: plain values, each of which may be unknown. No secrets.

A collector never raises. What it could not see it says, as a ``Line`` that is ``NOT_SEEN``.
"""

from enum import StrEnum

import msgspec

from keyfast.core.diagnosis.evidence import ClientDatabase, Connecting, TlsFault
from keyfast.core.visible import visible

_LONGEST = 300


class How(StrEnum):
    """What became of one look."""

    OK = "ok"
    NOT_OK = "not ok"
    NOT_SEEN = "not seen"


class Line(msgspec.Struct, frozen=True):
    """One thing that was looked at.

    Attributes:
        what: what it is.
        how: whether it is as it should be, or could not be seen.
        detail: what was found, safe to show.
    """

    what: str
    how: How
    detail: str


class Memory(msgspec.Struct, frozen=True):
    """The client database and the vault that seals it.

    Attributes:
        database: how it is, None if it could not be looked at.
        vault: name of the vault that opened it, empty if none did.
        fault: what is wrong, or why it could not be looked at; empty if all is well.
        repair: what helps, empty if nothing is known.
    """

    database: ClientDatabase | None = None
    vault: str = ""
    fault: str = ""
    repair: str = ""


class Disk(msgspec.Struct, frozen=True):
    """A real write in the folder of the client database.

    Attributes:
        full: there is no room; None if that could not be tried.
        free: bytes that are free, None if not known.
        fault: why the write failed, empty if it did not.
    """

    full: bool | None = None
    free: int | None = None
    fault: str = ""


class Service(msgspec.Struct, frozen=True):
    """The agent's service.

    Attributes:
        runs: whether it does; None if that cannot be known here.
        detail: how that is known, or why not.
    """

    runs: bool | None = None
    detail: str = ""


class Proxy(msgspec.Struct, frozen=True):
    """Proxies that this system is set up with. The agent uses none of them.

    Attributes:
        names: host and port of each, without what a person would log on with.
        fault: why that could not be looked at, empty if it could.
    """

    names: tuple[str, ...] = ()
    fault: str = ""


class Way(msgspec.Struct, frozen=True):
    """The way to one server: name, connection, TLS. What comes after the step where it ends is unknown.

    Attributes:
        url: of the server.
        slot: which access profile names it.
        resolves: its name has an address.
        addresses: those.
        connecting: how a TCP connection ends.
        fault: why TLS does not come about.
        expires_at: when the server's certificate ends, unix seconds; 0 if not known.
        begins_at: when it begins, 0 if not known.
        version: of TLS, empty if it did not come about.
        detail: what was said where the way ends.
    """

    url: str
    slot: str = ""
    resolves: bool | None = None
    addresses: tuple[str, ...] = ()
    connecting: Connecting | None = None
    fault: TlsFault | None = None
    expires_at: int = 0
    begins_at: int = 0
    version: str = ""
    detail: str = ""


class Who(StrEnum):
    """Who answers at a server's address."""

    OURS = "ours"
    FOREIGN = "foreign"
    UNPROVEN = "unproven"
    STRANGER = "stranger"
    NOBODY = "nobody"


class Hello(msgspec.Struct, frozen=True):
    """The answer to the question for the time, which anybody may ask and which is signed.

    Attributes:
        who: answers.
        server_time: unix seconds, as signed; 0 if nobody of this installation answers.
        clock_off_s: this machine's clock minus the server's.
        status: HTTP status of a stranger's answer, 0 if there was none.
        detail: what was said otherwise.
    """

    who: Who
    server_time: int = 0
    clock_off_s: int = 0
    status: int = 0
    detail: str = ""


class Said(StrEnum):
    """How the server answers a request that is authenticated with the access in use."""

    ACCEPTED = "accepted"
    REFUSED = "refused"
    UNREACHED = "unreached"
    NOT_ASKED = "not asked"


class Probed(msgspec.Struct, frozen=True):
    """What the server says to the access in use; the request changes nothing.

    Attributes:
        said: how it answers.
        url: over which way.
        kind: class of the refusal, may be one that this version does not know.
        detail: the server's sentence, or why it was not asked.
        repair: the server's advice.
        status: HTTP status of the answer; of one that no server was reached by, that of whoever else answered, or 0.
        server_seq: number of the last check-in that the server has of this identity, -1 if it did not say.
        password_kept: no password was presented, since it was refused a short while ago.
    """

    said: Said
    url: str = ""
    kind: str = ""
    detail: str = ""
    repair: str = ""
    status: int = 0
    server_seq: int = -1
    password_kept: bool = False


class Past(msgspec.Struct, frozen=True):
    """What the client database remembers of its check-ins.

    Attributes:
        endpoint: its id, empty before it was enrolled.
        admission: how far enrolment has come.
        mode: of authentication.
        account: logon name with its domain, empty outside Windows mode.
        seq: number of its last check-in.
        last_success_at: server time of the last accepted one, 0 for never.
        failures: failed tries since.
        trouble: why the last try failed, empty if it did not.
        refusal: class of the last refusal, empty if there was none.
        refusal_detail: the server's sentence.
        next_s: seconds until the next try.
    """

    endpoint: str = ""
    admission: str = ""
    mode: str = ""
    account: str = ""
    seq: int = 0
    last_success_at: int = 0
    failures: int = 0
    trouble: str = ""
    refusal: str = ""
    refusal_detail: str = ""
    next_s: int = 0


class Facts(msgspec.Struct, frozen=True):
    """Everything that was seen.

    Attributes:
        wall: this machine's clock, unix seconds.
        system: ``linux``, ``darwin`` or ``win32``.
        ways: to every server of the access in use, the first that is tried at the top.
        hellos: who answers at each, in the same order.
        probed: None if nothing could be asked.
        past: None if the client database could not be read.
        unseen: collectors that did not end in time or failed, and why.
        folder: of the client database, where it is not the usual one.
    """

    wall: int
    system: str = ""
    memory: Memory = Memory()
    disk: Disk = Disk()
    service: Service = Service()
    proxy: Proxy = Proxy()
    ways: tuple[Way, ...] = ()
    hellos: tuple[Hello, ...] = ()
    probed: Probed | None = None
    past: Past | None = None
    unseen: tuple[tuple[str, str], ...] = ()
    folder: str = ""


def line(what: str, how: How, detail: str) -> Line:
    """Make a line whose text is safe to show."""
    return Line(what, how, visible(detail, _LONGEST))
