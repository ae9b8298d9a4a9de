"""From what the collectors saw to the evidence of the rules. Pure; nothing is assumed."""

from keyfast.agent.diagnosis.facts import Facts, Hello, Past, Probed, Said, Way, Who
from keyfast.core.diagnosis.evidence import (
    Account,
    Connecting,
    Evidence,
    Machine,
    Product,
    Reach,
    Record,
    Tls,
    TlsFault,
    Token,
)
from keyfast.core.diagnosis.finding import Affected, Scope
from keyfast.core.refusal import RefusalClass
from keyfast.core.visible import visible
from keyfast.wire.problems import known_class

_REFUSING = frozenset({401, 403, 407})
"""Statuses with which a proxy refuses (RFC 9110 section 15.5)."""
_DATES = frozenset({TlsFault.EXPIRED, TlsFault.NOT_YET})
_LONGEST = 300
_PENDING = "pending"


def evidence_of(facts: Facts) -> Evidence:
    """Return the evidence; of several ways to a server, the one that was answered counts, else the first."""
    way, hello = _deciding(facts)
    refusals, said = _refusals(facts)
    past = facts.past or Past()
    time = _server_time(facts)
    return Evidence(
        product=Product.KEYFAST,
        now=time or facts.wall,
        affected=Affected(Scope.MACHINE, visible(past.endpoint) or "this machine", 1),
        reach=_reach(facts, way, hello),
        tls=_tls(way, time),
        account=Account(visible(past.account)),
        token=Token(foreign=None if hello is None or hello.who is Who.NOBODY else hello.who is Who.FOREIGN),
        record=Record(went_on=_went_on(facts.probed, past)),
        refusals=refusals,
        refusal_said=visible(said, _LONGEST),
        machine=Machine(
            facts.memory.database,
            visible(facts.memory.fault, _LONGEST),
            visible(facts.memory.repair, _LONGEST),
            facts.system,
            facts.folder,
        ),
    )


def _deciding(facts: Facts) -> tuple[Way | None, Hello | None]:
    """The way over which the server answered the access in use; without one, the first that is tried."""
    answered = facts.probed.url if facts.probed and facts.probed.said in (Said.ACCEPTED, Said.REFUSED) else ""
    number = next((number for number, way in enumerate(facts.ways) if way.url == answered), 0)
    way = facts.ways[number] if number < len(facts.ways) else None
    return way, facts.hellos[number] if number < len(facts.hellos) else None


def _server_time(facts: Facts) -> int:
    return next((hello.server_time for hello in facts.hellos if hello.who is Who.OURS), 0)


def _clock_off(facts: Facts) -> int | None:
    return next((hello.clock_off_s for hello in facts.hellos if hello.who is Who.OURS), None)


def _reach(facts: Facts, way: Way | None, hello: Hello | None) -> Reach:
    proxy, stranger = _strangers(way, hello, facts.probed)
    return Reach(
        resolves=way.resolves if way else None,
        connecting=way.connecting if way else None,
        proxy_status=proxy,
        stranger_status=stranger,
        service_runs=facts.service.runs,
        disk_full=facts.disk.full,
        clock_off_s=_clock_off(facts),
    )


def _strangers(way: Way | None, hello: Hello | None, probed: Probed | None) -> tuple[int | None, int | None]:
    """Status with which a proxy refuses, and any other that is not Keyfast's; only over TLS that holds."""
    if hello is None or hello.who is Who.NOBODY or way is None or way.fault is not TlsFault.NONE:
        return None, None
    status = hello.status if hello.who is Who.STRANGER else 0
    if not status and probed is not None and probed.said is Said.UNREACHED and probed.url == way.url:
        status = probed.status  # what anybody may ask passes, and what counts is answered by somebody else
    return (status, 0) if status in _REFUSING else (0, status)


def _tls(way: Way | None, server_time: int) -> Tls:
    """Judge dates by the server's signed time: a machine's own clock is a suspect like any other."""
    if way is None or way.connecting is not Connecting.OPEN:
        return Tls()
    ends = way.expires_at or None
    if way.fault not in _DATES:
        return Tls(way.fault, ends, by_clock_alone=False)
    if not server_time or ends is None:
        return Tls(way.fault)
    if way.begins_at <= server_time < ends:
        return Tls(TlsFault.NONE, ends, by_clock_alone=True)
    return Tls(way.fault, ends, way.begins_at, by_clock_alone=False)


def _refusals(facts: Facts) -> tuple[dict[RefusalClass, int] | None, str]:
    """What the server says now; where it was not asked, what it said last."""
    probed, past = facts.probed, facts.past
    if probed is not None and probed.said is Said.ACCEPTED:
        return {}, ""
    if probed is not None and probed.said is Said.REFUSED:
        return _of(probed.kind), probed.detail
    if past is None:
        return None, ""
    if past.admission == _PENDING:
        return {RefusalClass.PENDING: 1}, past.refusal_detail if past.refusal == RefusalClass.PENDING else ""
    if probed is not None and probed.said is Said.NOT_ASKED and past.failures and past.refusal in past.trouble:
        return _of(past.refusal), past.refusal_detail
    return None, ""


def _of(kind: str) -> dict[RefusalClass, int] | None:
    known = known_class(kind)
    return {known: 1} if known else None


def _went_on(probed: Probed | None, past: Past) -> bool | None:
    """The server has check-ins of this identity that this machine has not made: somebody else made them."""
    if probed is None or probed.server_seq < 0:
        return None
    return probed.server_seq > past.seq
