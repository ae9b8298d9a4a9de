"""What pages show and what their forms do, over real services and real endpoints."""

import re

import pytest
from tests.support.town import ACCOUNT

KEY = "LOCAL\\svc-a"


@pytest.fixture(scope="module")
def ada(town):
    return town.browser("ada")


def place(answer):
    assert answer.status_code == 303, answer.text
    return answer.headers["location"].partition("?")[0]


def test_a_name_is_found_by_how_it_begins_and_an_id_at_once(town, ada):
    endpoint = town.endpoints[0]
    found = ada.get("/endpoints?q=pc-")
    assert f"/endpoints/{endpoint.record.endpoint_id}" in found.text
    assert "No endpoint is like that" in ada.get("/endpoints?q=nobody").text
    assert place(ada.get(f"/endpoints?q={endpoint.record.endpoint_id.upper()}")).endswith(endpoint.record.endpoint_id)
    assert ada.get("/endpoints?state=nonsense").status_code == 400
    assert "No endpoint is like that" in ada.get("/endpoints?state=pending").text


def test_an_endpoint_is_found_by_its_computer_and_by_its_account(town, ada):
    number = town.endpoints[0].record.endpoint_id
    told = town.run(town.site._admin.console.reports.show(number)).hardware["smbios_uuid"]
    assert f"/endpoints/{number}" in ada.get(f"/endpoints?q={told.lower().replace(' ', '+')}").text
    assert f"/endpoints/{number}" not in town.browser("rita").get(f"/endpoints?q={told.replace(' ', '+')}").text
    assert f"/endpoints/{number}" in ada.get("/endpoints?account=LOCAL%5Csvc-a").text
    assert f"/endpoints/{number}" not in ada.get("/endpoints?account=LOCAL%5Cnobody").text
    assert "Its endpoints" in ada.get("/accounts/show?account=LOCAL%5Csvc-a").text


def test_pages_follow_each_other_by_key(make_town):
    town = make_town("oauth")
    for _ in range(3):
        town.join()
    browser = town.browser("ada")
    seen, path = [], "/endpoints?limit=2"
    while path:
        text = browser.get(path).text
        seen += re.findall(r'scope="row"><a href="/endpoints/([0-9a-f-]{36})"', text)
        more = re.search(r'rel="next" href="([^"]+)"', text)
        path = more.group(1).replace("&amp;", "&") + "&limit=2" if more else ""
    assert len(seen) == len(set(seen)) == 3


def test_an_endpoint_is_found_by_its_user_its_disks_its_package_and_its_ring(town, ada):
    endpoint = town.endpoints[0]
    number = endpoint.record.endpoint_id
    detail = town.run(town.site._admin.console.reports.show(number))
    assert detail.line.user
    bare = detail.line.user.rpartition("\\")[2]
    hit = f'href="/endpoints/{number}"'
    found = [
        f"q={bare.upper()}",
        f"q={bare}&disks={detail.line.disks}",
        f"package={detail.package}",
        f"ring={detail.ring}",
    ]
    for query in found:
        assert hit in ada.get(f"/endpoints?{query}").text, query
    other = "exposed" if detail.line.disks != "exposed" else "protected"
    for query in (f"q={bare}&disks={other}", f"disks={other}", f"package={number}", "package=x", "ring=nowhere"):
        assert hit not in ada.get(f"/endpoints?{query}").text, query
    rita = town.browser("rita")
    for query in found:
        assert hit not in rita.get(f"/endpoints?{query}").text, query
    assert ada.get("/endpoints?disks=maybe").status_code == 400


def test_a_search_is_kept_used_and_forgotten(town, ada):
    page = ada.get("/endpoints?q=pc-&state=active").text
    assert 'name="kept"' in page
    assert place(ada.post("/searches", kept="My <b>PCs", q="pc-", state="active")) == "/endpoints"
    text = ada.get("/endpoints").text
    assert 'href="/endpoints?q=pc-&amp;state=active"' in text
    assert "My &lt;b&gt;PCs" in text
    assert "My &lt;b&gt;PCs" not in town.browser("olga").get("/endpoints").text
    assert ada.post("/searches", kept="nothing").status_code == 400
    assert place(ada.post("/searches/remove", kept="My <b>PCs")) == "/endpoints"
    assert ada.post("/searches/remove", kept="My <b>PCs").status_code == 404


def test_an_endpoint_shows_when_it_checked_in(make_town):
    town = make_town("oauth")
    ada, endpoint = town.browser("ada"), town.join()
    page = f"/endpoints/{endpoint.record.endpoint_id}"
    assert "Heard in 1 of 1 day<" in ada.get(page).text
    town.let_pass(3 * 86_400)
    town.visit(endpoint)
    text = ada.get(page).text
    assert "Heard in 2 of 4 days<" in text
    assert text.count("<rect") == 126


def test_an_endpoint_shows_its_lineage_and_does_what_it_is_asked(town, ada):
    page = f"/endpoints/{town.endpoints[0].record.endpoint_id}"
    text = ada.get(page).text
    assert "generation 1" in text
    assert "svc-a" in text
    assert "it still uses what the package brought" in text
    for act in ("check-in-now", "renew-key"):
        assert place(ada.post(f"{page}/{act}")) == page
    assert "queued" in ada.get(page).text
    assert ada.post(f"{page}/nonsense").status_code == 404
    assert ada.post(f"{page}/approve").status_code == 409


def test_revoking_takes_the_name_typed(town, ada):
    victim = town.join()
    page = f"/endpoints/{victim.record.endpoint_id}"
    name = re.search(r'name="name" value="([^"]+)"', ada.get(page).text).group(1)
    assert ada.post(f"{page}/revoke", name=name, typed="other").status_code == 400
    assert place(ada.post(f"{page}/revoke", name=name, typed=name)) == page
    assert "revoked" in ada.get(f"{page}?told=changed").text
    assert place(ada.post(f"{page}/reinstate")) == page


def test_what_a_page_says_after_an_act_comes_from_a_table(ada):
    assert "Done." in ada.get("/?told=changed").text
    assert "nonsense" not in ada.get("/?told=nonsense").text


def test_a_rotation_from_plan_to_roll_back(town, ada):
    order = {"kind": "oauth", "source": KEY, "approvals": "1", "ring": "default"}
    ahead = ada.post("/rotations/preview", **order)
    assert ahead.status_code == 200
    assert "What it would touch" in ahead.text
    wrong = ada.post("/rotations", kind="password", source=KEY)
    assert wrong.status_code == 400
    assert "Name the account" in wrong.text
    assert ada.post("/rotations", **(order | {"approvals": "3"})).status_code == 400
    page = place(ada.post("/rotations", **order))
    assert place(ada.post(f"{page}/start")) == page
    town.let_pass(5)
    assert "canary" in ada.get(page).text
    for act, told in (("pause", "is paused"), ("resume", "is under way")):
        assert "A rotation" in ada.get("/").text  # and what was told then is not told after the act
        assert place(ada.post(f"{page}/{act}")) == page
        assert told in ada.get(page).text
    assert ada.post(f"{page}/retire", reason="because").status_code == 409
    assert ada.post(f"{page}/act").status_code == 404
    assert ada.post(f"{page}/waive", reason="x").status_code == 400
    endpoint = town.endpoints[0].record.endpoint_id
    assert place(ada.post(f"{page}/waive", reason="in a cupboard", endpoint=endpoint)) == page
    assert "is under way" in ada.get("/").text
    live = ada.get(f"{page}/live?state=canary")
    assert "hx-refresh" not in live.headers
    assert ada.get(f"{page}/live?state=draft").headers["hx-refresh"] == "true"
    assert place(ada.post(f"{page}/roll-back", reason="enough")) == page
    town.let_pass(5)
    town.let_pass(5)
    assert "abandoned" in ada.get("/rotations").text


def test_two_persons_approve_under_their_own_names(town, ada):
    page = place(ada.post("/rotations", kind="token_key", approvals="2"))
    assert ada.post(f"{page}/start").status_code == 409
    assert "Approve as ada" not in ada.get(page).text
    assert "Approve as olga" in (olga := town.browser("olga")).get(page).text
    assert place(olga.post(f"{page}/approve")) == page
    assert "ada, olga" in olga.get(page).text
    assert place(ada.post(f"{page}/abandon")) == page


def test_a_window_is_opened_watched_and_closed(town, ada):
    assert ada.post("/windows", reason="r", minutes="60", ranges="nonsense", account=KEY).status_code == 400
    assert "is no number" in ada.post("/windows", reason="r", minutes="x", ranges="any").text
    page = place(ada.post("/windows", reason="silent", minutes="60", ranges="192.0.2.0/24, 10.0.0.0/8", account=KEY))
    text = ada.get(page).text
    assert "192.0.2.0/24, 10.0.0.0/8" in text
    assert "never heard of" in ada.get(f"{page}/live").text
    assert "A recovery window is open" in ada.get("/").text
    refused = ada.post(f"{page}/close")
    assert refused.status_code == 409
    assert f'<a href="{page}">Back</a>' in refused.text
    missing = re.findall(r'name="waive" value="([^"]+)"', text)
    assert place(ada.post(f"{page}/close", waive=missing)) == page
    assert ada.get(f"{page}/live").headers["hx-refresh"] == "true"


def test_a_package_is_built_downloaded_and_revoked(ada):
    assert ada.post("/packages", kind="nonsense").status_code == 400
    assert ada.post("/packages", kind="bundle", days="9999").status_code == 400
    page = place(ada.post("/packages", kind="bundle", ring="berlin", serials="ABC\r\nDEF"))
    text = ada.get(page).text
    assert "2 computers" in text
    assert f"tar -xzf keyfast-agent-{page.rpartition('/')[2]}.tar.gz" in text
    file = ada.post(f"{page}/file")
    assert file.status_code == 200
    assert file.headers["content-disposition"].startswith("attachment")
    assert file.headers["cache-control"] == "no-store"
    assert file.content[:2] == b"\x1f\x8b"
    assert ada.get(f"{page}/live").headers["hx-refresh"] == "true"
    assert place(ada.post(f"{page}/revoke")) == page
    assert ada.post(f"{page}/file").status_code == 409
    assert "enrols no more endpoints" in ada.get(page).text


def test_an_account_is_proven_checked_and_not_removed_while_it_is_used(ada):
    assert ada.post("/accounts", account="nobody", password="x").status_code in {400, 409}
    page = "/accounts/show?account=LOCAL%5Csvc-a"
    assert "healthy" in ada.get(page).text
    assert ada.post("/accounts/check", account=KEY).headers["location"].startswith(page)
    assert ada.post("/accounts/remove", account=KEY).status_code == 409
    series = ada.get("/accounts/history.json?account=LOCAL%5Csvc-a").json()
    assert len(series["at"]) == len(series["series"][0]["values"]) >= 1
    assert series["at"] == sorted(set(series["at"]))
    assert ada.get("/accounts/show?account=LOCAL%5Cnobody").status_code == 404


def test_keys_and_modes_are_changed_with_a_reason(ada):
    before = ada.get("/keys").text.count("<tr>")
    assert ada.post("/keys/rotate", role="token").status_code == 400
    assert place(ada.post("/keys/rotate", role="token", reason="because")) == "/keys"
    assert ada.get("/keys").text.count("<tr>") >= before
    assert ada.post("/keys/rotate", role="nonsense", reason="x").status_code == 400
    assert ada.post("/settings/modes/open", mode="anonymous", reason="x").status_code == 409
    assert place(ada.post("/settings/modes/open", mode="oauth", ring="lab", reason="x")) == "/settings"
    assert "ring lab" in ada.get("/settings").text
    assert ada.post("/settings/modes/close", mode="windows", reason="x").status_code == 409
    assert ada.post("/settings/modes/close", mode="x", reason="x").status_code == 400
    assert ada.post("/settings/nodes/forget", name="nobody", reason="x").status_code == 404
    assert ada.post("/settings/end-recovery", reason="x").status_code in {303, 400, 409}


def test_how_often_endpoints_check_in_is_changed_with_a_reason(ada):
    assert ada.post("/settings/policy", minutes="60").status_code == 400
    assert place(ada.post("/settings/policy", minutes="60", reason="fewer")) == "/settings"
    assert "every 1 h" in ada.get("/settings").text
    for wrong in ("", "0", "1441", "often"):
        assert ada.post("/settings/policy", minutes=wrong, reason="x").status_code == 400
    assert place(ada.post("/settings/policy", minutes="15", reason="as before")) == "/settings"


def test_events_go_back_page_by_page(ada):
    text = ada.get("/events").text
    assert "package created" in text
    assert ada.get("/events?before=3").text.count("<tr>") == 3


def test_the_recovery_of_a_changed_password_in_three_steps(make_town):
    town = make_town("windows")
    town.join()
    ada = town.browser("ada")
    assert "all hold what is accepted" in ada.get("/recovery").text
    for password in ("Changed-Once-1", "Changed-Twice-2"):
        town.run(town.site.set_password(ACCOUNT, password))
        town.let_pass(4000)
    town.visit(town.endpoints[0])
    # 1. What broke, and the way to take first.
    text = ada.get("/recovery").text
    assert "1 of 1 endpoints" in text
    assert "No recovery is under way" in ada.get("/recovery/progress").text
    way = re.search(r'class="button primary" href="([^"]+)"', text.partition("Ways out, the")[2]).group(1)
    # 2. What it asks for.
    assert "present password" in ada.get(way.replace("&amp;", "&")).text
    order = {"account": KEY, "way": "device-key", "reason": "changed by hand"}
    wrong = ada.post("/recovery/begin", **order, password="not-the-password", proof_password="ada")
    assert wrong.status_code == 409
    assert "not-the-password" not in wrong.text
    assert place(ada.post("/recovery/begin", **order, password="Changed-Twice-2")) == "/recovery/progress"
    # 3. To the last name.
    town.let_pass(1)
    assert "pc-00000" in ada.get("/recovery/progress").text
    town.live(town.endpoints[0], lambda: "all are back" in ada.get("/recovery/progress").text.lower())
    assert "hx-get" not in ada.get("/recovery/progress/live?stage=done").text
    assert place(ada.post("/recovery/finish", account=KEY, reason="all are back", proof_password="ada")) == "/recovery"
    assert "all hold what is accepted" in ada.get("/recovery").text
    assert ada.post("/recovery/resume", reason="x").status_code == 409
    assert ada.get("/recovery/way?account=x&way=y").status_code == 404


def test_an_incident_from_the_banner_to_the_last_word(make_town):
    town = make_town("windows")
    for _ in range(12):
        town.join()
    ada = town.browser("ada")
    assert "There was none yet" in ada.get("/incidents").text
    assert "not yet" in ada.get("/").text
    for _ in range(6):
        town.time.now += 43_200
        for endpoint in town.endpoints:
            town.visit(endpoint)
        town.let_pass(10)
        town.run(town.site.roll_call())
    assert sum(ada.get("/traffic.json").json()["series"][0]["values"]) > 0
    for password in ("Changed-Once-1", "Changed-Twice-2"):
        town.run(town.site.set_password(ACCOUNT, password))
        town.let_pass(4000)
    page = town.falls_silent()
    assert page in ada.get("/").text
    text = ada.get(page).text
    assert "12 endpoints went silent" in text
    assert "/recovery/way?account=LOCAL%5Csvc-a&amp;way=device-key" in text
    assert "not accepted" in text
    assert "pc-000" in ada.get(f"{page}/live?state=open").text
    assert ada.get(f"{page}/live?state=recovering").headers["hx-refresh"] == "true"
    course = ada.get(f"{page}/course.json").json()
    assert course["at"] == sorted(set(course["at"]))
    assert "What was looked at" in ada.get("/diagnosis").text
    assert "certificate" in ada.get("/forecast").text
    assert town.browser("anna").post(f"{page}/close").status_code == 403
    assert place(ada.post(f"{page}/close")) == page
    assert "given up" in ada.get("/incidents").text
    assert ada.post(f"{page}/close").status_code == 409
