"""Rules about TLS between the client and the server."""

from keyfast.core.account import DAY
from keyfast.core.diagnosis.evidence import Evidence, TlsFault
from keyfast.core.diagnosis.finding import Confidence, Effort, Option, Stage, Weight
from keyfast.core.diagnosis.rule import Rule, Sign, Source, by_system, do, is_value

SOON_DAYS = 30
_CLOCK_FAULT = 3600
SET_CLOCK = {
    "linux": "timedatectl set-ntp true",
    "darwin": "sntp -sS time.apple.com",
    "win32": "w32tm /resync",
}
"""What sets the clock, by operating system."""


def _fault(fault: TlsFault, what: str) -> Sign:
    return Sign(what, lambda e: is_value(e.tls.fault, fault), Source.MACHINE)


def _over(evidence: Evidence) -> bool | None:
    return None if evidence.tls.expires_at is None else evidence.tls.expires_at <= evidence.now


def _soon(evidence: Evidence) -> bool | None:
    end = evidence.tls.expires_at
    return None if end is None else evidence.now < end <= evidence.now + SOON_DAYS * DAY


def _ahead(evidence: Evidence) -> bool | None:
    return None if evidence.tls.begins_at is None else evidence.tls.begins_at > evidence.now


def _days(evidence: Evidence) -> str:
    return f"{((evidence.tls.expires_at or 0) - evidence.now) // DAY} days from now"


_CHANGED = Sign("the certificate was changed shortly before", lambda e: e.tls.changed, Source.SERVER)
_OVER = Sign("the server's certificate has ended", _over, Source.SERVER)
_NOT_BEGUN = Sign("the server's certificate has not begun by the server's time either", _ahead, Source.SERVER)
_CLOCK = Sign(
    "the machine's clock is off by more than an hour",
    lambda e: None if e.reach.clock_off_s is None else abs(e.reach.clock_off_s) > _CLOCK_FAULT,
    Source.MACHINE,
)
BY_CLOCK = Sign(
    "the machine's own clock refuses a certificate that is good by the server's",
    lambda e: e.tls.by_clock_alone,
    Source.MACHINE,
)


def _issuer(evidence: Evidence) -> tuple[Option, ...]:
    back = evidence.affected.count
    return (
        Option(
            "install the intermediate certificate on the server, if there is one",
            Effort.MINUTES,
            "none known",
            "",
            back,
        ),
        Option(
            "bind the former certificate again, or one of the authority that the clients trust",
            Effort.MINUTES,
            "none known",
            "",
            back,
        ),
    )


RULES = (
    Rule(
        "certificate-expired",
        Stage.TLS,
        "The server's certificate has expired.",
        "Every client fails from the same second on, whatever its credentials. Renewed for the same name by the same"
        " authority, it brings all back without touching one.",
        (_fault(TlsFault.EXPIRED, "the certificate is refused as expired"),),
        do("renew the certificate for the same name, from the same authority, and bind it", Effort.HOURS),
        "The certificate that the server really presents, and the machine's clock.",
        proofs=(_OVER,),
        against=(_CLOCK,),
        never=(BY_CLOCK,),
    ),
    Rule(
        "certificate-from-future",
        Stage.TLS,
        "The server's certificate is not valid yet by the machine's clock.",
        "Nearly always the clock: a machine with an empty battery starts in the past.",
        (_fault(TlsFault.NOT_YET, "the certificate is refused as not valid yet"),),
        by_system("set the machine's clock", Effort.MINUTES, SET_CLOCK),
        "The machine's clock against the server's.",
        supports=(_CLOCK,),
        never=(BY_CLOCK, _NOT_BEGUN),
    ),
    Rule(
        "certificate-not-begun",
        Stage.TLS,
        "The server's certificate begins only later.",
        "It was made ahead of time and bound too soon, or by an authority whose clock is ahead. Every client is refused"
        " until it begins, whatever its credentials.",
        (_fault(TlsFault.NOT_YET, "the certificate is refused as not valid yet"), _NOT_BEGUN),
        do("bind the former certificate again until the new one begins", Effort.MINUTES),
        "Both dates of the certificate that the server presents, and the clocks of server and machine.",
        base=Confidence.CERTAIN,
    ),
    Rule(
        "certificate-untrusted",
        Stage.TLS,
        "The clients do not trust the authority that signed the server's certificate.",
        "After a change to another authority the new root must reach the machines before the certificate does.",
        (_fault(TlsFault.UNTRUSTED, "the certificate is signed by an authority that is not trusted there"),),
        do(
            "bind the former certificate again if it is still valid, send out the new root, then change",
            Effort.HOURS,
        ),
        "Which authority signed what the server presents, and the machine's list of trusted roots.",
        supports=(_CHANGED,),
    ),
    Rule(
        "certificate-incomplete",
        Stage.TLS,
        "The server does not send the intermediate certificate.",
        "Browsers fetch a missing intermediate, services often do not: so it works for a person and for no client.",
        (_fault(TlsFault.INCOMPLETE, "the chain ends before a trusted root"),),
        do("install the intermediate certificate on the server", Effort.MINUTES),
        "The chain as the server sends it (openssl s_client -showcerts).",
        base=Confidence.CERTAIN,
    ),
    Rule(
        "certificate-issuer-unknown",
        Stage.TLS,
        "The server's certificate is signed by an authority that is neither trusted on the machine nor sent along.",
        "Two mistakes look the same from the machine: the server does not send its intermediate certificate, or it was"
        " given a certificate of another authority. Who bound the certificate knows which.",
        (_fault(TlsFault.ISSUER_UNKNOWN, "the authority that signed it is not known there"),),
        _issuer,
        "The chain as the server sends it (openssl s_client -showcerts), and the authority that the clients trust.",
        base=Confidence.CERTAIN,
    ),
    Rule(
        "certificate-wrong-name",
        Stage.TLS,
        "The server's certificate is for another name than the clients ask for.",
        "A custom address without a certificate for it, an alias, or the wrong certificate bound.",
        (_fault(TlsFault.WRONG_NAME, "the certificate is for another name"),),
        do("bind a certificate that has every name that clients use", Effort.HOURS),
        "The names in the certificate against the address in the client database.",
        base=Confidence.CERTAIN,
    ),
    Rule(
        "port-without-tls",
        Stage.TLS,
        "What answers at the port is no TLS server.",
        "The wrong port, a binding without HTTPS, or a proxy's page.",
        (_fault(TlsFault.NOT_TLS, "the answer is no TLS"),),
        do("bind HTTPS to the port that clients use", Effort.MINUTES),
        "The bindings of the web site.",
        base=Confidence.CERTAIN,
    ),
    Rule(
        "tls-too-old",
        Stage.TLS,
        "What answers at the port speaks no version of TLS that the clients take.",
        "A proxy or load balancer in front of the server ends TLS, and is older than the clients demand (1.3).",
        (_fault(TlsFault.TOO_OLD, "no version of TLS is common to both"),),
        do("switch TLS 1.3 on where TLS ends", Effort.MINUTES),
        "openssl s_client -tls1_3 -connect SERVER:PORT",
        base=Confidence.CERTAIN,
    ),
    Rule(
        "tls-unanswered",
        Stage.TLS,
        "A connection to the server opens, and nothing ever comes back over it.",
        "The system takes the connection and the program behind it does not: it hangs, has too much to do, or a device"
        " on the way opens connections in the server's name and loses what follows.",
        (_fault(TlsFault.UNANSWERED, "TLS is begun and not answered"),),
        do("look at the server: does it hang; start it again, and look at what lies on the way", Effort.MINUTES),
        "The same from the server's own machine: an answer there and none here is the way's fault.",
        base=Confidence.CERTAIN,
    ),
    Rule(
        "tls-cut",
        Stage.TLS,
        "A connection to the server opens, and is cut as soon as TLS begins.",
        "A firewall that looks for names it does not like, a proxy whose server is gone, or a program that speaks"
        " something else.",
        (_fault(TlsFault.CUT, "the connection is closed while TLS is begun"),),
        do("look what closes the connection: firewall, proxy, load balancer, or the server", Effort.HOURS),
        "The server's log at the same second; nothing there means that something on the way did it.",
    ),
    Rule(
        "certificate-ends-soon",
        Stage.TLS,
        "The server's certificate ends within a month.",
        "From that second on every client fails.",
        (Sign("the certificate ends soon", _soon, Source.SERVER, _days),),
        do("renew it for the same name, from the same authority, before that", Effort.HOURS, brings=False),
        "The certificate that the server presents.",
        weight=Weight.LATER,
        base=Confidence.CERTAIN,
        never=(_OVER,),
    ),
)
