"""The audit trail in the console: find, look, verify, export; and what the console refuses is on the trail."""

import json
import re

import pytest
from sqlalchemy import text
from tests.support.console import ConsoleTown

from keyfast.api.console.pages import CHANGE_NOTHING, PAGES
from keyfast.core.audit import Actor, Via
from keyfast.core.audit_actions import ACTIONS
from keyfast.core.audit_keep import DAY
from keyfast.services.audit import STRETCH
from keyfast.settings_audit import AuditSettings

EVIL = "<script>alert(1)</script>\"'\u202e"
ID = "3d1219c7-c4c5-404a-aa1f-6d2a48adfda4"


@pytest.fixture
def ada(town):
    return town.browser("ada")


@pytest.fixture
def anna(town):
    return town.browser("anna")


def newest(town, **wanted):
    return town.run(town.site._admin.console.audit.list_page(before=None, limit=1, **wanted))[0].record


def count(town):
    return town.run(town.site._admin.console.audit.last())


def refuse(town, subject, times=1):
    """Put refused acts on the trail, with whatever somebody may have typed."""
    for _ in range(times):
        asked = {"account": subject, "despite": [EVIL]}
        actor = Actor(EVIL, Via.HTTPS, "operator", "r1")
        town.run(town.site._admin.console.audit.refused("account_added", asked, actor, f"no {EVIL}"))


# --- look


def test_records_are_found_by_who_did_what_to_whom(town, ada, anna):
    assert ada.post("/settings/modes/open", mode="oauth", ring="lab", reason="we try it").status_code == 303
    for query in ("actor=ada", "action=mode_opened", "subject=oauth", "actor=ada&action=mode_opened&subject=oauth"):
        assert "mode opened</a>" in anna.get(f"/audit?{query}").text, query
    for query in ("actor=nobody", "action=keys_imported", "subject=nothing"):
        assert "No record is like that" in anna.get(f"/audit?{query}").text, query
    assert anna.get("/audit?action=nonsense").status_code == 400
    found = newest(town, action="mode_opened")
    page = anna.get(f"/audit/{found.number}").text
    for said in ("ada", "administrator", "https", "we try it", "lab", found.request):
        assert said in page
    assert re.search(r"<dt>Hash</dt><dd><code>[0-9a-f]{64}<", page)
    assert anna.get("/audit/0").status_code == anna.get("/audit/x").status_code == 404
    assert anna.get(f"/audit/{count(town) + 1}").status_code == 404


def test_pages_of_records_follow_each_other_and_keep_the_filter(town, anna):
    refuse(town, "svc-many", 130)
    seen, path = [], "/audit?subject=svc-many"
    while path:
        said = anna.get(path).text
        seen += [int(number) for number in re.findall(r'scope="row"><a href="/audit/(\d+)"', said)]
        more = re.search(r'rel="next" href="([^"]+)"', said)
        path = more.group(1).replace("&amp;", "&") if more else ""
    assert len(seen) == 130
    assert seen == sorted(seen, reverse=True)


def test_whatever_somebody_typed_stays_text(town, anna):
    refuse(town, EVIL)
    number = newest(town, subject=EVIL).number
    for path in ("/audit", f"/audit/{number}"):
        said = anna.get(path)
        assert "<script>alert" not in said.text
        assert "\u202e" not in said.text
        assert "&lt;script&gt;" in said.text
        assert "refused" in said.text


def test_the_trail_is_drawn_only_for_whoever_may(town, ada, anna):
    assert 'href="/audit"' in anna.get("/").text
    assert 'action="/audit/export"' in anna.get("/audit").text
    olga = town.browser("olga")
    assert 'href="/audit"' not in olga.get("/").text
    for path in ("/audit", "/audit/1", "/audit/verify", "/audit/verify/live"):
        assert olga.get(path).status_code == 403
    assert olga.post("/audit/export", format="jsonl").status_code == 403


# --- verify


def answers(browser, path):
    """Every answer until the trail is verified, going on as the page does by itself."""
    told = []
    while path:
        told.append(browser.get(path).text)
        more = re.search(r'hx-get="([^"]+)"', told[-1])
        path = more.group(1).replace("&amp;", "&") if more else ""
    return told


def test_a_trail_is_verified_stretch_by_stretch_with_and_without_a_script(town, anna):
    town.lengthen_trail(2 * STRETCH)
    head = town.run(town.site._admin.console.audit.head())
    assert "Begin anew" not in anna.get("/audit/verify").text
    told = answers(anna, "/audit/verify?after=0")
    assert len(told) == 3
    assert all("Go on" in said and "Intact" not in said for said in told[:-1])
    assert f"Intact up to record {head.number}" in told[-1]
    assert head.hash in told[-1]
    start = town.run(town.site._admin.console.audit.verify(None)).upto
    said = anna.get(f"/audit/verify?after={start.number}&hash={start.hash}&sealed=7").text
    assert f"{2 * STRETCH:,} of {head.number:,} records fit so far" in said
    assert "<dt>Sealed up to</dt><dd>7</dd>" in said
    assert 'name="sealed" value="7"' in said
    assert anna.get("/audit/verify/live?after=3").status_code == 400
    for wrong in ("hash=nonsense", "after=3&hash=x"):
        assert anna.get(f"/audit/verify?{wrong}").status_code == 400
        assert anna.get(f"/audit/verify/live?{wrong}").status_code == 400


def test_the_first_record_that_does_not_fit_is_named(tmp_path):
    town = ConsoleTown(tmp_path / "data")
    try:
        refuse(town, "svc-a", 5)

        async def changed():
            async with town.site._parts.database.write() as conn:
                await conn.execute(text("UPDATE audit SET subject = 'svc-z' WHERE number = 3"))

        town.run(changed())
        (said,) = answers(town.browser("anna"), "/audit/verify?after=0")
    finally:
        town.close()
    assert "Record 3 was changed" in said
    assert 'href="/audit/3"' in said
    assert "Intact" not in said


def test_a_trail_whose_front_was_removed_says_so(tmp_path):
    town = ConsoleTown(tmp_path / "data")
    try:
        refuse(town, "svc-a", 3)
        town.run(town.site._admin.sealer.tick())
        town.time.now += 91 * DAY
        refuse(town, "svc-b")
        keeper = town.site._admin.keeper
        keeper._settings = AuditSettings(90)
        last = count(town)
        town.run(keeper.tick())
        anna = town.browser("anna")
        (said,) = answers(anna, "/audit/verify?after=0")
        assert "Intact up to" in said
        shown = re.search(
            r"<dt>Kept from</dt><dd>record (\d+); what was before was removed by keyfast .*(\d+)</a>", said
        )
        first = int(shown.group(1))
        assert last - 1 <= first <= last
        assert "The one before" not in anna.get(f"/audit/{first}").text
        assert anna.get(f"/audit/{first - 1}").status_code == 404
        assert "trail shortened" in anna.get("/audit?actor=keyfast&action=trail_shortened").text
    finally:
        town.close()


# --- export


@pytest.mark.parametrize(("form", "ending"), [("jsonl", "jsonl"), ("syslog", "log"), ("cef", "cef")])
def test_the_trail_is_exported_as_a_file(town, anna, form, ending):
    before = count(town)
    said = anna.post("/audit/export", format=form, after="2")
    assert said.status_code == 200
    assert said.headers["content-disposition"] == f'attachment; filename="keyfast-audit-{before}.{ending}"'
    assert said.headers["cache-control"] == "no-store"
    lines = said.content.splitlines()
    assert len(lines) == before - 2
    if form == "jsonl":
        assert json.loads(lines[0])["record"]["number"] == 3
    assert count(town) == before, "the admin API does not put reading on the trail either"
    assert anna.post("/audit/export", format="nonsense").status_code == 400


# --- refused acts


def test_every_form_is_an_act_of_the_trail_or_known_to_change_nothing():
    for row in PAGES:
        named = set(row.action.values()) if not isinstance(row.action, str) else {row.action} - {""}
        assert named <= set(ACTIONS), row
        assert bool(named) is (row.method == "POST" and row.path not in CHANGE_NOTHING), row
    assert {row.path for row in PAGES if row.method == "POST"} >= CHANGE_NOTHING


REFUSED = [
    ("/accounts/remove", {"account": "LOCAL\\svc-a"}, "account_removed", "LOCAL\\svc-a"),
    ("/accounts", {"account": "nobody", "password": "Very-Secret-1"}, "account_added", "nobody"),
    ("/packages", {"kind": "nonsense", "ring": "lab"}, "package_created", ""),
    ("/windows", {"minutes": "60", "ranges": "nonsense", "reason": "r"}, "window_opened", ""),
    ("/settings/modes/open", {"mode": "anonymous", "reason": "r"}, "mode_opened", "anonymous"),
    ("/settings/modes/open", {"mode": "oauth"}, "mode_opened", "oauth"),
    ("/rotations", {"kind": "password"}, "rotation_planned", ""),
    ("/people/ada/change", {"role": "nonsense", "reason": "r"}, "person_changed", "ada"),
]


@pytest.mark.parametrize(("path", "fields", "action", "subject"), REFUSED)
def test_what_is_refused_is_on_the_trail_once(town, ada, path, fields, action, subject):
    before = count(town)
    assert ada.post(path, **fields).is_client_error
    assert count(town) == before + 1
    record = newest(town)
    assert (record.action, record.outcome, record.subject) == (action, "refused", subject)
    assert (record.actor, record.role, record.via) == ("ada", "administrator", "https")
    assert record.detail["why"]
    assert "Very-Secret-1" not in str(record)


def test_what_somebodys_role_denies_is_on_the_trail(town):
    assert town.browser("hugo").post("/keys/rotate", role="token", reason="r").status_code == 403
    record = newest(town)
    assert (record.actor, record.action, record.outcome) == ("hugo", "keys_rotated", "refused")
    assert "helpdesk" in record.detail["why"]


def test_what_decides_nothing_is_not_on_the_trail(town, ada):
    before = count(town)
    assert ada.post(f"/packages/{ID}/revoke").status_code == 404
    assert ada.post("/rotations/preview", kind="password").status_code == 400
    assert ada.post("/accounts/check", account="LOCAL\\nobody").is_client_error
    assert ada.post(f"/endpoints/{ID}/nonsense").status_code == 404
    town.time.now += 3600
    assert ada.post("/keys/rotate", role="token", reason="r").status_code == 403
    assert count(town) == before


# --- notifications


def test_a_test_goes_to_every_receiver_and_is_listed(town):
    ada = town.browser("ada")
    assert "Send a test" not in town.browser("anna").get("/notifications").text
    assert ada.post("/notifications/test", reason="is it there").status_code == 303
    assert newest(town).action == "notification_tested"
    assert "pending" in ada.get("/notifications?told=tested").text
