"""Rules about what the web server answers: HTTP status, and what IIS adds to it.

Source of the codes: Microsoft's lists of IIS status and substatus codes.
"""

from keyfast.core.diagnosis import signs
from keyfast.core.diagnosis.finding import Confidence, Effort, Stage
from keyfast.core.diagnosis.rule import Options, Rule, do

_LOOK = "The lines of one silent machine in the web server's log, with sc-substatus and sc-win32-status."


def _answer(code: str, status: int, substatus: int | None, cause: str, about: str, options: Options) -> Rule:
    """The web server's own answer names the cause; it is certain where nothing succeeds any more."""
    return Rule(
        code,
        Stage.STATUS,
        cause,
        about,
        (signs.answered(status, substatus),),
        options,
        _LOOK,
        base=Confidence.POSSIBLE,
        proofs=(signs.answered_always(status, substatus),),
        supports=(signs.answered_mostly(status, substatus),),
    )


RULES = (
    _answer(
        "permission-denied",
        401,
        3,
        "The account logs on, and may not read the web service's files.",
        "401.3 comes after a good logon: permissions of the folder were changed, by hardening or by a restored backup.",
        do("give the account read permission on the web service's folder again", Effort.MINUTES),
    ),
    _answer(
        "filter-denies",
        401,
        4,
        "A filter of the web server refuses the requests.",
        "401.4: an ISAPI filter, mostly of another product on the same server.",
        do("look which filter was added, and remove it", Effort.HOURS),
    ),
    _answer(
        "application-denies",
        401,
        5,
        "The web application itself refuses the requests.",
        "401.5: an ISAPI or CGI application refuses after a good logon.",
        do("look into the application's own log and settings", Effort.HOURS),
    ),
    _answer(
        "url-rule-denies",
        401,
        7,
        "A rule for URLs refuses the requests.",
        "401.7: URL authorization or a policy for URLs, often added with hardening.",
        do("remove the rule for the web service's path", Effort.MINUTES),
    ),
    _answer(
        "https-demanded",
        403,
        4,
        "The server demands HTTPS, and the clients were built with HTTP.",
        "403.4 begins when 'require SSL' is switched on before the clients have an address that begins with https.",
        do(
            "switch 'require SSL' off for the service, tell the clients the https address (Change Web Access Server),"
            " then switch it on again",
            Effort.DAYS,
            "what clients send is in the clear meanwhile, as before",
            "%windir%\\system32\\inetsrv\\appcmd.exe set config SITE -section:system.webServer/security/access"
            " /sslFlags:None /commit:apphost",
        ),
    ),
    _answer(
        "address-refused",
        403,
        6,
        "The server refuses the clients' addresses.",
        "403.6: an address restriction. A new network, VPN or NAT is often not on its list.",
        do("allow the clients' address ranges", Effort.MINUTES),
    ),
    _answer(
        "client-certificate-demanded",
        403,
        7,
        "The site demands a client certificate, and the clients have none.",
        "403.7: somebody set client certificates to 'require'.",
        do("set client certificates to 'ignore' for the service", Effort.MINUTES),
    ),
    _answer(
        "client-certificate-revoked",
        403,
        13,
        "Client certificates are refused as revoked, or their revocation list cannot be fetched.",
        "403.13 is also the answer where the server cannot reach the list.",
        do("restore the way to the revocation list, or renew the certificates", Effort.HOURS),
    ),
    _answer(
        "client-certificate-untrusted",
        403,
        16,
        "Client certificates are signed by an authority that the server does not trust.",
        "403.16: the root is missing on the server, or a certificate that is no root lies among the roots.",
        do("install the authority's root on the server", Effort.MINUTES),
    ),
    _answer(
        "client-certificate-expired",
        403,
        17,
        "Client certificates have expired.",
        "403.17: the certificates of the clients themselves have ended.",
        do("renew the client certificates, or stop demanding them", Effort.DAYS),
    ),
    _answer(
        "service-missing",
        404,
        None,
        "The web service is not at the path that the clients ask for.",
        "404 for what clients ask for: the application was removed, moved, or the site's root changed. Some paths"
        " answer 404 for strangers' scans too, so look which paths.",
        do("put the web service back at its path", Effort.HOURS),
    ),
    _answer(
        "database-unreachable",
        500,
        None,
        "The management server fails inside: mostly it cannot reach its database.",
        "500 for every check-in: the database is down, was moved, its host renamed, or the server's account there"
        " changed its password.",
        do("correct the database settings on the management server, or start the database", Effort.HOURS),
    ),
    _answer(
        "server-overloaded",
        503,
        None,
        "The web server takes no more requests at the moment, or its application pool is stopped.",
        "503 in bursts is too many requests at once (503.2); 503 all the time is a stopped application pool, often"
        " because the pool's own account cannot log on.",
        do(
            "start the application pool; if it comes in bursts, lengthen the check-in interval",
            Effort.MINUTES,
            command="%windir%\\system32\\inetsrv\\appcmd.exe list apppool",
        ),
    ),
)
