"""The service that diagnoses a site: which directory is asked for which account, and what of a log is of now."""

import pytest
from tests.support.diagnosis_cases import NOW, reading
from tests.support.see_site import FIELDS, check_in, refused

from keyfast.core.diagnosis.engine import CANNOT_TELL
from keyfast.core.directory import AccountReading, Unreachable
from keyfast.see.client import Client
from keyfast.see.iis_log import IisLog
from keyfast.see.tally import Tally
from keyfast.services.diagnose_see import Domain, Known, diagnose_site

HOUR = 3600


class FakeDirectory:
    """Answers with what it was given, and remembers what it was asked."""

    def __init__(self, *outcomes):
        self.outcomes = outcomes
        self.asked = []

    async def read(self, name):
        self.asked.append(name)
        return self.outcomes


def groups(*clients):
    tally = Tally()
    for client in clients:
        tally.add(client)
    return tally.groups


def of_corp(*outcomes):
    directory = FakeDirectory(*outcomes)
    return directory, Domain(frozenset({"corp", "corp.example"}), directory)


def log_of(begin, end, kind):
    log = IisLog(frozenset({"svc-see"}))
    lines = [line for at in range(begin, end, 600) for line in kind(at)]
    assert not list(log.read([f"#Fields: {FIELDS}", *lines]))
    return log


def granted(at):
    return check_in(at, "CORP\\svc-see", 1)


async def first(groups_, domains, known=None):
    report = await diagnose_site(groups_, domains, known or Known(), (), NOW)
    return report.groups[0].findings[0], report


@pytest.mark.parametrize("domain", ["CORP", "corp.example", ""])
async def test_an_account_is_read_in_its_own_domain_by_either_name(domain):
    directory, corp = of_corp(reading(disabled=True))
    finding, _ = await first(groups(Client("PC1", "svc-see", domain)), [corp])
    assert (finding.code, directory.asked) == ("account-disabled", ["svc-see"])


async def test_an_account_of_another_domain_is_not_looked_up_and_not_called_deleted():
    directory, corp = of_corp(AccountReading("dc1", NOW, exists=False, name="svc-see"))
    finding, report = await first(groups(Client("PC1", "svc-see", "OTHER")), [corp])
    assert (finding.code, directory.asked) == (CANNOT_TELL, [])
    assert "OTHER" in report.groups[0].notes[0]


async def test_without_a_domain_and_with_two_directories_nobody_guesses():
    one, two = of_corp(reading(disabled=True)), of_corp(reading())
    finding, _ = await first(groups(Client("PC1", "svc-see")), [one[1], two[1]])
    assert (finding.code, one[0].asked, two[0].asked) == (CANNOT_TELL, [], [])


async def test_a_directory_that_is_down_is_no_verdict():
    finding, _ = await first(groups(Client("PC1", "svc-see", "CORP")), [of_corp(Unreachable("dc1", NOW, "down"))[1]])
    assert finding.code == CANNOT_TELL
    assert "was not read" in finding.cause


async def test_clients_with_tokens_are_not_blamed_on_the_account():
    members = [Client(f"PC{n}", "svc-see", "CORP", "12.0.1") for n in range(3)]
    finding, _ = await first(groups(*members), [of_corp(reading(disabled=True))[1]])
    assert finding.code == CANNOT_TELL


async def test_machines_with_tokens_are_not_counted_among_those_that_come_back():
    members = [Client(f"PC{n}", "svc-see", "CORP", "12.0.1" if n == 0 else "11.2") for n in range(3)]
    finding, _ = await first(groups(*members), [of_corp(reading(disabled=True))[1]])
    assert finding.options[0].endpoints == 2


async def test_success_now_rules_the_account_out_and_success_of_before_does_not():
    corp = of_corp(reading(disabled=True))[1]
    group = groups(Client("PC1", "svc-see", "CORP"))
    now, _ = await first(group, [corp], Known(log=log_of(NOW - 20 * HOUR, NOW, granted)))
    before, report = await first(group, [corp], Known(log=log_of(NOW - 20 * HOUR, NOW - 5 * HOUR, granted)))
    assert (now.code, before.code) == (CANNOT_TELL, "account-disabled")
    assert "ends 4 hours ago" in report.notes[0] or "ends 5 hours ago" in report.notes[0]


@pytest.mark.parametrize("key", ["corp\\svc-see", "svc-see", ""])
async def test_a_build_date_is_found_by_either_name_or_for_all(key):
    changed = reading(set_at=NOW - 30 * HOUR)
    known = Known({key: NOW - 900 * HOUR})
    finding, _ = await first(groups(Client("PC1", "svc-see", "CORP")), [of_corp(changed)[1]], known)
    assert finding.code == "password-changed"


async def test_the_timeline_is_in_order_and_the_history_short():
    def kind(at):
        return granted(at) if at < NOW - 10 * HOUR else refused(at, 1326, 1)

    changed = reading(set_at=NOW - 10 * HOUR)
    known = Known({"": NOW - 900 * HOUR}, log_of(NOW - 100 * HOUR, NOW, kind))
    finding, report = await first(groups(Client("PC1", "svc-see", "CORP")), [of_corp(changed)[1]], known)
    moments = [point.at for point in report.groups[0].timeline]
    assert (finding.code, finding.confidence) == ("password-changed", "certain")
    assert moments == sorted(moments)
    assert 0 < len(report.history) <= 400
    assert abs(finding.since - (NOW - 10 * HOUR)) <= HOUR


async def test_of_no_clients_there_is_nothing_to_say():
    report = await diagnose_site((), [], Known(), (), NOW)
    assert (report.machines, report.groups) == (0, ())


async def test_machines_that_will_be_locked_are_counted_by_day_and_found():
    clients = [Client(f"PC{day}", "svc-see", "CORP", seen_at=NOW - day * 24 * HOUR) for day in (3, 20, 25, 31)]
    report = await diagnose_site(groups(*clients), [], Known(lock_after=30), (), NOW)
    group = report.groups[0]
    assert (group.lockouts.locked, [day.machines for day in group.lockouts.days]) == (1, [1, 1, 1])
    assert abs(group.lockouts.next_at - (NOW + 5 * 24 * HOUR)) <= HOUR
    near = next(finding for finding in group.findings if finding.code == "lockout-near")
    assert near.weight == "later"
    assert any("locked for lack of contact" in point.what for point in group.timeline)


async def test_nothing_is_said_of_locks_where_no_policy_locks():
    report = await diagnose_site(groups(Client("PC1", "svc-see", "CORP", seen_at=NOW)), [], Known(), (), NOW)
    assert report.groups[0].lockouts is None
