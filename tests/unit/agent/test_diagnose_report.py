"""From what was seen to evidence, verdict and words: pure, so each by a table."""

import pytest
from msgspec.structs import replace

from keyfast.agent.diagnosis.facts import (
    Disk,
    Facts,
    Hello,
    How,
    Memory,
    Past,
    Probed,
    Proxy,
    Said,
    Service,
    Way,
    Who,
)
from keyfast.agent.diagnosis.looked import looked
from keyfast.agent.diagnosis.mapping import evidence_of
from keyfast.agent.diagnosis.report import Verdict, report_of
from keyfast.agent.diagnosis.text import told
from keyfast.core.diagnosis.engine import CANNOT_TELL
from keyfast.core.diagnosis.evidence import ClientDatabase, Connecting, TlsFault
from keyfast.core.diagnosis.finding import Scope
from keyfast.core.refusal import RefusalClass as R

NOW, DAY = 1_800_000_000, 86_400
URL = "https://kf.example.com"
ID = "35c52bde-b9df-4b84-b219-93ef369d09ec"
WAY = Way(URL, "current", True, ("192.0.2.7",), Connecting.OPEN, TlsFault.NONE, NOW + 300 * DAY, NOW - DAY, "TLSv1.3")
OURS = Hello(Who.OURS, NOW, 0)
PAST = Past(ID, "registered", "oauth", "", 7, NOW - 60, 0, "", "", "", 900)
WELL = Facts(
    NOW,
    "linux",
    Memory(ClientDatabase.INTACT, "file"),
    Disk(full=False, free=10**9),
    Service(True, "the agent's service is running"),
    Proxy(),
    (WAY,),
    (OURS,),
    Probed(Said.ACCEPTED, URL, status=200, server_seq=7),
    PAST,
)
UNREACHED = Probed(Said.UNREACHED, URL, detail="it does not answer")


def seen(**changes):
    return replace(WELL, **changes)


def way(**changes):
    return seen(ways=(replace(WAY, **changes),), hellos=(Hello(Who.NOBODY),), probed=UNREACHED)


def refused(kind, detail="because", **more):
    return seen(probed=Probed(Said.REFUSED, URL, kind, detail, status=403, **more))


def test_what_is_well_is_evidence_of_nothing_wrong():
    found = evidence_of(WELL)
    assert (found.now, found.affected.scope, found.affected.count) == (NOW, Scope.MACHINE, 1)
    assert (found.reach.resolves, found.reach.connecting) == (True, Connecting.OPEN)
    assert (found.reach.proxy_status, found.reach.stranger_status, found.reach.clock_off_s) == (0, 0, 0)
    assert (found.tls.fault, found.tls.by_clock_alone) == (TlsFault.NONE, False)
    assert (found.refusals, found.record.went_on, found.token.foreign) == ({}, False, False)
    assert found.reach.requests is None, "what is asked here is no check-in"


def test_nothing_seen_is_nothing_known():
    found = evidence_of(Facts(NOW))
    assert (found.reach.resolves, found.reach.service_runs, found.reach.disk_full) == (None, None, None)
    assert (found.tls.fault, found.refusals, found.token.foreign, found.record.went_on) == (None, None, None, None)
    assert (found.now, found.affected.name) == (NOW, "this machine")


@pytest.mark.parametrize(
    ("facts", "code"),
    [
        (
            seen(memory=Memory(ClientDatabase.ABSENT), past=None, probed=None, ways=(), hellos=()),
            "client-not-installed",
        ),
        (seen(memory=Memory(ClientDatabase.DAMAGED, fault="x"), past=None, probed=None), "client-database-damaged"),
        (seen(memory=Memory(ClientDatabase.SEALED, fault="x"), past=None, probed=None), "client-vault-closed"),
        (seen(service=Service(False, "stopped")), "service-stopped"),
        (seen(disk=Disk(full=True, free=0, fault="no space")), "disk-full"),
        (way(resolves=False, connecting=None, fault=None), "name-unresolved"),
        (way(connecting=Connecting.REFUSED, fault=None), "connection-refused"),
        (way(connecting=Connecting.TIMEOUT, fault=None), "connection-timeout"),
        (way(fault=TlsFault.WRONG_NAME), "certificate-wrong-name"),
        (way(fault=TlsFault.UNANSWERED), "tls-unanswered"),
        (seen(hellos=(Hello(Who.STRANGER, status=407),), probed=UNREACHED), "proxy-refuses"),
        (seen(hellos=(Hello(Who.STRANGER, status=401),), probed=UNREACHED), "proxy-refuses"),
        (seen(hellos=(Hello(Who.STRANGER, status=502),), probed=UNREACHED), "gateway-fails"),
        (seen(hellos=(Hello(Who.STRANGER, status=200),), probed=UNREACHED), "stranger-answers"),
        (seen(probed=replace(UNREACHED, status=403)), "proxy-refuses"),
        (seen(hellos=(Hello(Who.FOREIGN),), probed=UNREACHED), "token-foreign"),
        (refused("revoked"), "refused-revoked"),
        (refused("mode_closed"), "refused-mode-closed"),
        (seen(hellos=(Hello(Who.OURS, NOW, -7200),)), "clock-skew"),
        (seen(probed=replace(WELL.probed, server_seq=9)), "identity-went-on"),
    ],
)
def test_a_cause_is_found(facts, code):
    report = report_of(facts)
    assert report.findings[0].code == code
    assert report.verdict is Verdict.FOUND


def test_dates_are_judged_by_the_servers_time():
    ended = replace(WAY, fault=TlsFault.EXPIRED, expires_at=NOW - DAY)
    begins = replace(WAY, fault=TlsFault.NOT_YET, begins_at=NOW + DAY)
    holds = replace(WAY, fault=TlsFault.EXPIRED)
    for one, fault, alone in (
        (ended, TlsFault.EXPIRED, False),
        (begins, TlsFault.NOT_YET, False),
        (holds, TlsFault.NONE, True),
    ):
        found = evidence_of(seen(ways=(one,))).tls
        assert (found.fault, found.by_clock_alone) == (fault, alone)
    for unknown in (seen(ways=(ended,), hellos=(Hello(Who.NOBODY),)), seen(ways=(replace(ended, expires_at=0),))):
        found = evidence_of(unknown).tls
        assert (found.fault, found.expires_at, found.by_clock_alone) == (TlsFault.EXPIRED, None, None)


def test_a_clock_that_refuses_a_good_certificate_is_the_cause():
    far = seen(ways=(replace(WAY, fault=TlsFault.EXPIRED),), hellos=(Hello(Who.OURS, NOW, 10**8),))
    first = report_of(far).findings[0]
    assert (first.code, first.confidence) == ("clock-skew", "certain")


def test_the_way_that_was_answered_counts():
    dead = replace(WAY, url="https://old.example.com", connecting=Connecting.REFUSED, fault=None)
    facts = seen(ways=(dead, WAY), hellos=(Hello(Who.NOBODY), OURS))
    assert evidence_of(facts).reach.connecting is Connecting.OPEN
    report = report_of(facts)
    assert report.verdict is Verdict.WELL
    assert any(line.what == "TCP" and line.how is How.NOT_OK for line in report.looked)
    assert evidence_of(replace(facts, probed=UNREACHED)).reach.connecting is Connecting.REFUSED


@pytest.mark.parametrize(
    ("probed", "past", "refusals"),
    [
        (None, None, None),
        (Probed(Said.NOT_ASKED), PAST, None),
        (Probed(Said.NOT_ASKED), replace(PAST, admission="pending"), {R.PENDING: 1}),
        (
            Probed(Said.NOT_ASKED),
            replace(PAST, failures=3, refusal="revoked", trouble="refused: revoked"),
            {R.REVOKED: 1},
        ),
        (Probed(Said.NOT_ASKED), replace(PAST, failures=0, refusal="revoked", trouble="revoked"), None),
        (Probed(Said.NOT_ASKED), replace(PAST, failures=3, refusal="revoked", trouble="no route"), None),
        (UNREACHED, replace(PAST, failures=3, refusal="revoked", trouble="revoked"), None),
        (Probed(Said.REFUSED, URL, "of_next_year"), PAST, None),
        (Probed(Said.REFUSED, URL, "quarantined"), PAST, {R.QUARANTINED: 1}),
        (Probed(Said.ACCEPTED, URL), replace(PAST, failures=3, refusal="revoked", trouble="revoked"), {}),
    ],
)
def test_the_refusal_of_now_counts_and_the_last_one_only_where_nobody_was_asked(probed, past, refusals):
    assert evidence_of(seen(probed=probed, past=past)).refusals == refusals


def test_a_refusal_of_a_newer_server_cannot_be_judged_and_is_told():
    report = report_of(refused("of_next_year", "a reason that this version does not know"))
    assert report.verdict is Verdict.CANNOT_TELL
    assert "of_next_year" in report.told
    assert [option.command for option in report.findings[0].options] == [
        "keyfast-agent check-in",
        f"keyfast endpoint show {ID}",
    ]


@pytest.mark.parametrize(
    ("facts", "words"),
    [
        (
            seen(probed=Probed(Said.NOT_ASKED, detail="it is not enrolled yet"), past=replace(PAST, endpoint="")),
            "enrolled",
        ),
        (Facts(NOW, unseen=(("client database", "it took longer than 8 s"),)), "it took longer than 8 s"),
        (seen(probed=None), "nothing that was looked at explains it"),
    ],
)
def test_what_cannot_be_told_says_why(facts, words):
    report = report_of(facts)
    assert (report.verdict, report.findings[0].code) == (Verdict.CANNOT_TELL, CANNOT_TELL)
    assert report.told.startswith("Cannot tell, because ")
    assert words in report.told


def test_the_servers_own_words_are_told_where_they_say_more():
    assert "It says: the account is disabled." in report_of(refused("account_refused", "the account is disabled")).told
    title = "This authentication mode is switched off"
    assert "It says" not in report_of(refused("mode_closed", title)).told


def test_commands_name_this_endpoint():
    commands = [option.command for option in report_of(refused("revoked")).findings[0].options]
    assert commands == [f"keyfast endpoint reinstate {ID}"]
    elsewhere = seen(folder="/tmp/a b", probed=replace(WELL.probed, server_seq=9))
    assert report_of(elsewhere).findings[0].options[0].command == "keyfast-agent check-in --state-dir '/tmp/a b'"
    unknown = replace(refused("revoked"), past=None)
    assert "ID" in report_of(unknown).findings[0].options[0].command


@pytest.mark.parametrize(
    ("system", "command"),
    [("linux", "timedatectl"), ("win32", "w32tm"), ("darwin", "sntp"), ("plan9", ""), ("", "timedatectl")],
)
def test_a_command_is_that_of_the_system(system, command):
    found = report_of(seen(system=system, hellos=(Hello(Who.OURS, NOW, 7200),))).findings[0]
    assert found.options[0].command.startswith(command)
    assert bool(found.options[0].command) == bool(command)


@pytest.mark.parametrize(
    ("system", "folder", "command"),
    [
        (
            "linux",
            "",
            (
                "systemctl stop keyfast-agent; mv /var/lib/keyfast-agent/client-database"
                " /var/lib/keyfast-agent/client-database.kept && keyfast-agent install --bundle FOLDER;"
                " systemctl start keyfast-agent"
            ),
        ),
        (
            "linux",
            "/tmp/a b",
            (
                "mv '/tmp/a b/client-database' '/tmp/a b/client-database.kept' &&"
                " keyfast-agent install --bundle FOLDER --state-dir '/tmp/a b'"
            ),
        ),
        (
            "darwin",
            "",
            (
                "mv '/Library/Application Support/Keyfast/Agent/client-database'"
                " '/Library/Application Support/Keyfast/Agent/client-database.kept' &&"
                " keyfast-agent install --bundle FOLDER"
            ),
        ),
        ("win32", "", ""),
    ],
)
def test_what_cannot_be_read_is_kept_aside_by_the_command_that_is_given(system, folder, command):
    for how in (ClientDatabase.DAMAGED, ClientDatabase.SEALED):
        facts = Facts(NOW, system, Memory(how, fault="x", repair="bring it back"), folder=folder)
        options = report_of(facts).findings[0].options
        assert [(option.sentence, option.command) for option in options] == [
            ("bring it back", ""),
            ("keep aside what cannot be read, and install a package again", command),
        ]


def test_every_look_has_its_line():
    what = [line.what for line in looked(WELL)]
    assert what == [
        *("client database", "secret store", "disk", "service", "proxy"),
        *("DNS", "TCP", "TLS", "server", "clock", "access", "check-ins"),
    ]
    assert {line.how for line in looked(WELL)} == {How.OK}


@pytest.mark.parametrize(
    ("facts", "what", "how", "words"),
    [
        (seen(memory=Memory(fault="no right")), "client database", How.NOT_SEEN, "no right"),
        (seen(memory=Memory(ClientDatabase.ABSENT)), "client database", How.NOT_OK, "no package"),
        (seen(memory=Memory(ClientDatabase.INTACT)), "secret store", How.OK, "nothing is sealed"),
        (seen(memory=Memory(ClientDatabase.SEALED, fault="closed")), "secret store", How.NOT_OK, "closed"),
        (seen(memory=Memory(ClientDatabase.DAMAGED, fault="bad")), "secret store", How.NOT_SEEN, "nothing"),
        (seen(disk=Disk(full=True, free=0, fault="no space")), "disk", How.NOT_OK, "no space; 0 MiB free"),
        (seen(disk=Disk(fault="read-only")), "disk", How.NOT_SEEN, "read-only"),
        (seen(proxy=Proxy(("proxy:3128",))), "proxy", How.OK, "proxy:3128"),
        (seen(proxy=Proxy(fault="no registry")), "proxy", How.NOT_SEEN, "no registry"),
        (way(resolves=False, detail="has no address"), "DNS", How.NOT_OK, "has no address"),
        (way(resolves=None), "DNS", How.NOT_SEEN, URL),
        (way(connecting=None, detail="not tried"), "TCP", How.NOT_SEEN, "not tried"),
        (way(fault=TlsFault.WRONG_NAME, detail="mismatch"), "TLS", How.NOT_OK, "wrong name: mismatch"),
        (way(fault=None, expires_at=0), "TLS", How.NOT_OK, "no TLS"),
        (way(expires_at=10**15), "TLS", How.OK, "nobody knows"),
        (seen(hellos=(Hello(Who.STRANGER, detail="odd"),)), "server", How.NOT_OK, "odd"),
        (seen(hellos=(Hello(Who.NOBODY, detail="gone"),)), "server", How.NOT_SEEN, "gone"),
        (seen(hellos=()), "clock", How.NOT_SEEN, "no server"),
        (seen(hellos=(Hello(Who.OURS, NOW, -400),)), "clock", How.NOT_OK, "400 s behind"),
        (refused("revoked", password_kept=True), "access", How.NOT_OK, "the password was not presented"),
        (seen(probed=UNREACHED), "access", How.NOT_SEEN, "does not answer"),
        (seen(past=replace(PAST, failures=2, trouble="no route")), "check-ins", How.NOT_OK, "no route"),
        (seen(past=replace(PAST, last_success_at=0)), "check-ins", How.NOT_OK, "none was ever"),
        (seen(past=replace(PAST, failures=1, trouble="x", refusal_detail="y")), "check-ins", How.NOT_OK, "x (y)"),
        (seen(unseen=(("disk", "it hung"),)), "disk", How.NOT_SEEN, "it hung"),
    ],
)
def test_a_line_says_what_was_found(facts, what, how, words):
    lines = [line for line in looked(facts) if line.what == what]
    assert [line.how for line in lines] == [how]
    assert words in lines[0].detail


def test_a_person_reads_the_cause_first():
    text = told(report_of(refused("revoked", "by an administrator")))
    first, second, *rest = text.splitlines()
    assert first.startswith("The server refuses: the endpoint was revoked")
    assert second == "  [refused-revoked] certain"
    assert f"       keyfast endpoint reinstate {ID}" in rest
    assert "Looked at:" in rest


def test_several_causes_are_told_whole_and_what_is_only_possible_in_a_line():
    facts = replace(refused("revoked"), service=Service(False, "stopped"), hellos=(Hello(Who.OURS, NOW, 400),))
    text = told(report_of(facts))
    assert text.startswith("The client's service does not run")
    assert "\nThe server refuses: the endpoint was revoked by an administrator.\n" in text
    assert "  also possible: The machine's clock is wrong" in text


def test_what_is_well_is_told_in_one_line_and_warnings_after_it():
    soon = seen(ways=(replace(WAY, expires_at=NOW + 3 * DAY),))
    first, second, *_ = told(report_of(soon)).splitlines()
    assert first.startswith("Nothing is wrong here")
    assert second.startswith("  also certain: The server's certificate ends within a month.")


def test_texts_of_strangers_do_nothing():
    hostile = "\x1b[2J\u202e\n<b>"
    facts = replace(
        refused(hostile, hostile),
        memory=Memory(ClientDatabase.DAMAGED, fault=hostile, repair=hostile),
        past=replace(PAST, endpoint=hostile, trouble=hostile, failures=1, account=hostile),
        unseen=(("x", hostile),),
    )
    report = report_of(facts)
    for text in (told(report), *(line.detail for line in report.looked), report.endpoint, report.told):
        assert "\x1b" not in text
        assert "\u202e" not in text
    assert "\n" not in report.told
