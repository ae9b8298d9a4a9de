"""Rules about the way to the server: names, ports, proxies, and machines that do not even try."""

from keyfast.core.diagnosis import signs
from keyfast.core.diagnosis.evidence import Connecting, Evidence
from keyfast.core.diagnosis.finding import Confidence, Effort, Stage
from keyfast.core.diagnosis.rule import Rule, Sign, Source, by_product, by_system, do, is_value, negated

_HERE = Source.MACHINE
_GATEWAY = frozenset({502, 503, 504})
"""What a proxy in front of a server says that it does not reach (RFC 9110 section 15.6)."""
_START = {
    "linux": "systemctl start keyfast-agent",
    "darwin": "launchctl kickstart system/org.keyfast.agent",
    "win32": "sc.exe start KeyfastAgent",
}
_ROOM = {"linux": "df -h /var/lib/keyfast-agent", "darwin": "df -h", "win32": "fsutil volume diskfree C:"}


def _connecting(how: Connecting, what: str) -> Sign:
    return Sign(what, lambda e: is_value(e.reach.connecting, how), _HERE)


def _proxied(evidence: Evidence) -> bool | None:
    status = evidence.reach.proxy_status
    return None if status is None else status > 0


def _gateway(evidence: Evidence) -> bool | None:
    status = evidence.reach.stranger_status
    return None if status is None else status in _GATEWAY


def _stranger(evidence: Evidence) -> bool | None:
    status = evidence.reach.stranger_status
    return None if status is None else status > 0 and status not in _GATEWAY


def _status(evidence: Evidence) -> str:
    return f"status {evidence.reach.stranger_status}"


CONNECTED = _connecting(Connecting.OPEN, "a connection to the server comes about")
_OLD_NAME = Sign("the machine asks for a name that the server no longer has", lambda e: e.reach.name_is_old, _HERE)
_UNRESOLVED = Sign("the server's name has no address there", lambda e: negated(e.reach.resolves), _HERE)
_STOPPED = Sign("the client's service does not run", lambda e: negated(e.reach.service_runs), _HERE)
_FULL = Sign("the machine's disk is full", lambda e: e.reach.disk_full, _HERE)
_SITE = Sign("all machines of the site are silent, and others are not", lambda e: e.reach.site_silent, Source.SERVER)

RULES = (
    Rule(
        "service-stopped",
        Stage.REACH,
        "The client's service does not run on the machine.",
        "It was stopped, removed by another product, or fails at start. Nothing else can be told of the machine's"
        " access before it runs.",
        (_STOPPED,),
        by_product(
            do("start the service, and look why it stopped", Effort.MINUTES, command="sc.exe query state= all"),
            by_system("start the service, and look why it stopped", Effort.MINUTES, _START),
        ),
        "The machine's list of services and its event log.",
        base=Confidence.CERTAIN,
    ),
    Rule(
        "disk-full",
        Stage.REACH,
        "The machine cannot write: its disk is full.",
        "A client that cannot store what it is about to do does not do it. It comes back by itself when there is room.",
        (_FULL,),
        by_product(
            do("make room on the disk", Effort.MINUTES),
            by_system("make room on the disk", Effort.MINUTES, _ROOM),
        ),
        "Free space of the system volume.",
        against=(signs.REQUESTS_COME,),
    ),
    Rule(
        "name-unresolved",
        Stage.REACH,
        "The server's name cannot be looked up from there.",
        "No name server answers there, or the name was removed from DNS, often when a server is replaced.",
        (_UNRESOLVED,),
        do("restore the name in DNS, or the way to the name server (VPN)", Effort.MINUTES),
        "nslookup of the name in the client database, on the machine.",
        base=Confidence.CERTAIN,
        never=(CONNECTED,),
    ),
    Rule(
        "server-moved",
        Stage.REACH,
        "The clients ask for a name or address that the server no longer has.",
        "The server was migrated or renamed, and packages built before point to the old name. An alias brings them"
        " back without touching one.",
        (_OLD_NAME,),
        do(
            "let the old name lead to the new server, with a certificate for both names, then tell clients the new one"
            " (Change Web Access Server)",
            Effort.HOURS,
            "the old name must be kept until the last client has the new one",
        ),
        "The web address in the client database against the server's name and certificate.",
        supports=(_UNRESOLVED, _connecting(Connecting.REFUSED, "nothing listens there")),
        against=(signs.REQUESTS_COME,),
    ),
    Rule(
        "connection-refused",
        Stage.REACH,
        "Nothing listens at the server's address and port.",
        "The web service is stopped, listens on another port, or the address belongs to another machine now. A"
        " firewall that rejects looks the same.",
        (_connecting(Connecting.REFUSED, "the connection is refused"),),
        by_product(
            do("start the web service, or correct its binding", Effort.MINUTES, command="iisreset /status"),
            do(
                "start the server, or correct the address and port it listens on",
                Effort.MINUTES,
                command="keyfast server run",
            ),
        ),
        "On the server: what listens on the port (netstat -ano).",
        base=Confidence.CERTAIN,
    ),
    Rule(
        "connection-timeout",
        Stage.REACH,
        "Nothing comes back from the server's address.",
        "A firewall drops packets, the server is off, or there is no route (VPN not connected).",
        (_connecting(Connecting.TIMEOUT, "the connection is not answered"),),
        do("open the way: VPN, firewall, route; or switch the server on", Effort.HOURS),
        "Test-NetConnection from a machine that is silent and from one that is not.",
        supports=(_SITE,),
    ),
    Rule(
        "proxy-refuses",
        Stage.REACH,
        "A proxy on the way refuses the client's requests.",
        "A proxy that wants a logon answers 407, some answer 401 in the server's place. The client's service has no"
        " person's logon to offer. In the server's own log there is nothing.",
        (Sign("a proxy answers in the server's place", _proxied, _HERE, lambda e: f"status {e.reach.proxy_status}"),),
        do("let the server's address pass the proxy, or bypass it for the system account", Effort.HOURS),
        "netsh winhttp show proxy, on the machine.",
        base=Confidence.CERTAIN,
        against=(signs.REQUESTS_COME,),
    ),
    Rule(
        "gateway-fails",
        Stage.REACH,
        "What stands in front of the server answers, and does not reach the server.",
        "A reverse proxy or load balancer says 502, 503 or 504 in its own words. The way to it is good: the server"
        " behind it is stopped, listens elsewhere, or is too slow.",
        (Sign("a gateway answers in the server's place", _gateway, _HERE, _status),),
        do("start the server behind it, or correct the address that leads to it", Effort.MINUTES),
        "The log of the proxy or load balancer, and what it has as its backend.",
        base=Confidence.CERTAIN,
        against=(signs.REQUESTS_COME,),
    ),
    Rule(
        "stranger-answers",
        Stage.REACH,
        "What answers at the server's address is not the server.",
        "Another web server, a page of a hotspot or of a security product, or a proxy that rewrites paths. Its"
        " certificate holds, so the name leads there on purpose.",
        (Sign("an answer is not the server's", _stranger, _HERE, _status),),
        do("look what is at the address, and what lies before the server", Effort.HOURS),
        "The address in a browser of the machine, and the server's own log at the same time.",
        base=Confidence.CERTAIN,
        against=(signs.REQUESTS_COME,),
    ),
    Rule(
        "machine-silent",
        Stage.REACH,
        "One machine sends nothing at all: ask the machine, not the server.",
        "Off, travelling, without VPN, service stopped, or a proxy in between. The server cannot tell which.",
        (signs.ONE_MACHINE, signs.NO_REQUESTS),
        do("look at the machine: power, network, VPN, service, proxy", Effort.MINUTES),
        "Whether the machine answers at all, and its own event log.",
        supports=(signs.OTHERS_COME,),
        never=(_STOPPED, _FULL, _UNRESOLVED),
    ),
    Rule(
        "site-silent",
        Stage.REACH,
        "One site is silent and the others are not: its network, its proxy or its domain controller.",
        "What machines of one place share is the way out of it, and the domain controller that they ask.",
        (_SITE,),
        do("look at the site: its link, its proxy, its domain controllers and their replication", Effort.HOURS),
        "One machine of the site: DNS, connection, and which domain controller it uses (nltest /dsgetdc:DOMAIN).",
    ),
    Rule(
        "nobody-arrives",
        Stage.REACH,
        "No request of anybody reaches the server.",
        "What everybody shares is the server: its address, its port, its certificate, its service.",
        (signs.MANY_MACHINES, signs.NO_REQUESTS, signs.NOBODY_COMES),
        do("look at the server: is it on, does the site run, what does its address lead to", Effort.MINUTES),
        "The web service's address from another machine.",
        base=Confidence.POSSIBLE,
        supports=(Sign("the log goes on until now", lambda e: e.reach.requests is not None, Source.LOG),),
    ),
)
