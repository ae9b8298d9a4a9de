"""The list of what was looked at, one line for each thing. Pure."""

import datetime as dt
from collections.abc import Iterator

from keyfast.agent.diagnosis.facts import Facts, Hello, How, Line, Past, Probed, Said, Way, Who, line
from keyfast.core.diagnosis.evidence import ClientDatabase, Connecting, TlsFault

_SKEW_SECONDS = 300
_MIB = 1024 * 1024


def looked(facts: Facts) -> tuple[Line, ...]:
    """Return every line, in the order in which a check-in goes."""
    return tuple(_lines(facts))


def _lines(facts: Facts) -> Iterator[Line]:
    unseen = dict(facts.unseen)
    for name, why in unseen.items():
        yield line(name, How.NOT_SEEN, why)
    if "client database" not in unseen:
        yield _database(facts)
        yield _vault(facts)
    if "disk" not in unseen:
        yield _disk(facts)
    if "service" not in unseen:
        yield line("service", _how(good=facts.service.runs), facts.service.detail)
    if "proxy" not in unseen:
        yield _proxy(facts)
    for number, way in enumerate(facts.ways):
        yield from way_lines(way)
        if number < len(facts.hellos):
            yield _hello(way, facts.hellos[number])
    yield _clock(facts)
    if facts.probed is not None:
        yield _probed(facts.probed)
    if facts.past is not None:
        yield _past(facts.past)


def _how(*, good: bool | None) -> How:
    return How.NOT_SEEN if good is None else How.OK if good else How.NOT_OK


def _database(facts: Facts) -> Line:
    memory, past = facts.memory, facts.past
    if memory.database is ClientDatabase.INTACT and past is not None:
        detail = f"intact; endpoint {past.endpoint or 'not enrolled yet'}, mode {past.mode}"
        return line("client database", How.OK, detail)
    if memory.database is ClientDatabase.ABSENT:
        return line("client database", How.NOT_OK, "no package was installed")
    good = None if memory.database is None else memory.database is ClientDatabase.INTACT
    return line("client database", _how(good=good), memory.fault)


def _vault(facts: Facts) -> Line:
    memory = facts.memory
    if memory.database is ClientDatabase.SEALED:
        return line("secret store", How.NOT_OK, memory.fault)
    if memory.database is not ClientDatabase.INTACT:
        return line("secret store", How.NOT_SEEN, "nothing that it sealed was read")
    return line("secret store", How.OK, f"{memory.vault} opens what it sealed" if memory.vault else "nothing is sealed")


def _disk(facts: Facts) -> Line:
    disk = facts.disk
    free = "" if disk.free is None else f"{disk.free // _MIB:,} MiB free"
    if disk.full is False:
        return line("disk", How.OK, f"written and removed; {free}")
    return line("disk", How.NOT_OK if disk.full else How.NOT_SEEN, "; ".join(filter(None, (disk.fault, free))))


def _proxy(facts: Facts) -> Line:
    if facts.proxy.fault:
        return line("proxy", How.NOT_SEEN, facts.proxy.fault)
    if not facts.proxy.names:
        return line("proxy", How.OK, "none is set; the agent goes directly in any case")
    names = ", ".join(facts.proxy.names)
    return line("proxy", How.OK, f"{names} is set on this system; the agent does not use it and goes directly")


def way_lines(way: Way) -> Iterator[Line]:
    """Return a line for each step of the way to a server, up to where it ends."""
    if not way.resolves:
        yield line("DNS", _how(good=way.resolves), way.detail or way.url)
        return
    yield line("DNS", How.OK, f"{way.url} is at {', '.join(way.addresses)}")
    if way.connecting is not Connecting.OPEN:
        yield line("TCP", _how(good=None if way.connecting is None else False), way.detail)
        return
    yield line("TCP", How.OK, f"{way.url} takes connections")
    ends = f"; its certificate ends {_utc(way.expires_at)}" if way.expires_at else ""
    if way.fault is TlsFault.NONE:
        yield line("TLS", How.OK, f"{way.version}{ends}")
    else:
        fault = way.fault.replace("_", " ") if way.fault else "no TLS"
        yield line("TLS", How.NOT_OK, f"{way.url}: {fault}: {way.detail}{ends}")


def _hello(way: Way, hello: Hello) -> Line:
    if hello.who is Who.OURS:
        return line("server", How.OK, f"{way.url} proves that it is of this installation")
    if hello.who is Who.NOBODY:
        return line("server", How.NOT_SEEN, f"{way.url}: {hello.detail}")
    return line("server", How.NOT_OK, f"{way.url}: {hello.detail}")


def _clock(facts: Facts) -> Line:
    asked = next((hello for hello in facts.hellos if hello.who is Who.OURS), None)
    if asked is None:
        return line("clock", How.NOT_SEEN, "no server of this installation told the time")
    off = asked.clock_off_s
    return line(
        "clock",
        _how(good=abs(off) <= _SKEW_SECONDS),
        f"{abs(off):,} s {'ahead of' if off > 0 else 'behind'} the server's" if off else "the server's",
    )


def _probed(probed: Probed) -> Line:
    kept = "; the password was not presented" if probed.password_kept else ""
    if probed.said is Said.ACCEPTED:
        return line("access", How.OK, f"{probed.url} lets this endpoint in")
    if probed.said is Said.REFUSED:
        said = f"{probed.url} refuses: {probed.kind}, status {probed.status}"
        parts = (said, probed.detail, probed.repair and f"it advises: {probed.repair}")
        return line("access", How.NOT_OK, "; ".join(filter(None, parts)) + kept)
    return line("access", How.NOT_SEEN, f"{probed.detail}{kept}")


def _past(past: Past) -> Line:
    seen = f"last accepted {_utc(past.last_success_at)}" if past.last_success_at else "none was ever accepted"
    if past.failures or past.trouble:
        why = f"{past.trouble} ({past.refusal_detail})" if past.refusal_detail else past.trouble
        return line("check-ins", How.NOT_OK, f"{seen}; {past.failures} tries failed since: {why}")
    good = bool(past.last_success_at)
    before = f"; the last refusal before was {past.refusal}" if past.refusal else ""
    return line("check-ins", _how(good=good), f"{seen}; next in {past.next_s} s{before}")


def _utc(seconds: int) -> str:
    if not 0 < seconds < dt.datetime.max.replace(tzinfo=dt.UTC).timestamp():
        return "at a time nobody knows"
    return dt.datetime.fromtimestamp(seconds, dt.UTC).strftime("%Y-%m-%d %H:%M UTC")
