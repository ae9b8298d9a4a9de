"""Who gets into the console: sessions, other sites, permissions, proving again, headers."""

import pytest
from tests.support.console import ORIGIN
from tests.support.fake_sign_in import PEOPLE

from keyfast.api.console.app import Network
from keyfast.api.console.gate import COOKIE
from keyfast.api.console.headers import HEADERS
from keyfast.api.console.origin import comes_from_here, local_path
from keyfast.api.console.pages import PAGES
from keyfast.core.role import DANGEROUS

HERE = {"sec-fetch-site": "same-origin"}
ID = "3d1219c7-c4c5-404a-aa1f-6d2a48adfda4"
TARGETS = [row for row in PAGES if row.path != "/"]


def path_of(row):
    named = row.path.replace("{id}", ID).replace("{number}", "1")
    return named.replace("{event}", "nonsense").replace("{act}", "nonsense")


# --- sessions


def test_nobody_sees_anything_without_a_session(town):
    for row in PAGES:
        browser = town.browser()
        answer = browser.get(path_of(row)) if row.method == "GET" else browser.post(path_of(row))
        assert answer.status_code == 303, row
        assert answer.headers["location"].startswith("/sign-in")


def test_signing_in_leads_back_to_where_one_wanted_to_go(town):
    browser = town.browser()
    assert browser.get("/endpoints?q=pc").headers["location"] == "/sign-in?next=%2Fendpoints%3Fq%3Dpc"
    assert 'name="next" value="/endpoints?q=pc"' in browser.get("/sign-in?next=%2Fendpoints%3Fq%3Dpc").text
    answer = browser.post("/sign-in", name="ada", password="ada", next="/endpoints?q=pc")
    assert (answer.status_code, answer.headers["location"]) == (303, "/endpoints?q=pc")
    assert browser.get("/endpoints").status_code == 200


def test_the_cookie_is_for_this_host_only_and_no_script_reads_it(town):
    answer = town.browser().post("/sign-in", name="ada", password="ada")
    words = {word.strip().lower() for word in answer.headers["set-cookie"].split(";")[1:]}
    assert answer.headers["set-cookie"].startswith("__Host-")
    assert words == {"path=/", "secure", "httponly", "samesite=lax"}


def test_a_session_that_somebody_planted_is_worth_nothing_after_signing_in(town):
    planted = town.browser("hugo").cookie
    victim = town.browser()
    victim.cookie = planted
    victim.post("/sign-in", name="ada", password="ada")
    assert victim.cookie != planted
    thief = town.browser()
    thief.cookie = planted
    assert thief.get("/").status_code == 303


def test_signing_out_ends_the_session_on_the_server(town):
    browser = town.browser("ada")
    kept = browser.cookie
    assert browser.post("/sign-out").headers["location"] == "/sign-in"
    browser.cookie = kept
    assert browser.get("/").status_code == 303


def test_a_wrong_password_says_no_more_than_that(town):
    told = set()
    for name, password in (("ada", "wrong"), ("nobody", "wrong"), ("", "")):
        answer = town.browser().post("/sign-in", name=name, password=password)
        assert answer.status_code == 403
        assert "set-cookie" not in answer.headers
        told.add(answer.text.replace(f'value="{name}"', ""))
        assert "wrong" not in answer.text.replace("code is wrong", "").replace('"wrong"', "")
    assert len(told) == 1


def test_a_throttled_sign_in_says_when_to_come_again(town):
    town.sign_in.throttled = 30
    try:
        answer = town.browser().post("/sign-in", name="ada", password="ada")
    finally:
        town.sign_in.throttled = 0
    assert (answer.status_code, answer.headers["retry-after"]) == (429, "30")


def test_a_sign_in_that_could_not_be_looked_at_keeps_what_was_entered(town):
    town.sign_in.down = True
    try:
        answer = town.browser().post("/sign-in", name="ada", password="ada", next="/endpoints?q=pc")
    finally:
        town.sign_in.down = False
    assert answer.status_code == 503
    assert answer.headers["retry-after"]
    assert 'name="next" value="/endpoints?q=pc"' in answer.text
    assert 'name="name" value="ada"' in answer.text


def test_part_of_a_page_sends_the_whole_page_to_sign_in(town):
    answer = town.browser().get(f"/rotations/{ID}/live", **{"hx-request": "true"})
    assert (answer.status_code, answer.headers["hx-refresh"]) == (401, "true")


def test_an_api_token_opens_no_page_and_a_cookie_no_api(town):
    assert town.browser().get("/", authorization="Bearer kft_whatever").status_code == 303
    reached = []

    async def api(scope, receive, send):
        reached.append(scope["path"])

    network = Network(api, town.app)
    town.run(network({"type": "http", "path": "/admin/v1/endpoints"}, None, None))
    assert reached == ["/admin/v1/endpoints"]


# --- other sites

SITES = (
    ({"sec-fetch-site": "same-origin"}, True),
    ({"sec-fetch-site": "same-site"}, False),
    ({"sec-fetch-site": "cross-site"}, False),
    ({"sec-fetch-site": "none"}, False),
    ({"sec-fetch-site": "cross-site", "origin": ORIGIN, "host": "console.example"}, False),
    ({"origin": ORIGIN, "host": "console.example"}, True),
    ({"origin": "http://console.example", "host": "console.example"}, False),
    ({"origin": "https://evil.example", "host": "console.example"}, False),
    ({"origin": "null", "host": "console.example"}, False),
    ({"host": "console.example"}, False),
    ({"origin": "https://"}, False),
    ({}, False),
)


@pytest.mark.parametrize(("headers", "allowed"), SITES)
def test_only_forms_of_the_console_itself_change_something(headers, allowed):
    assert comes_from_here("POST", headers) is allowed
    assert comes_from_here("GET", headers)


def test_a_form_from_elsewhere_does_nothing(town):
    browser = town.browser("ada")
    for row in PAGES:
        if row.method == "POST":
            assert browser.post(path_of(row), headers={"sec-fetch-site": "cross-site"}).status_code == 403, row
    assert browser.post("/sign-out", headers={"sec-fetch-site": "cross-site"}).status_code == 403
    assert browser.get("/").status_code == 200
    for headers in ({"sec-fetch-site": "cross-site"}, {}):
        assert town.browser().post("/sign-in", headers=headers, name="ada", password="ada").status_code == 403


@pytest.mark.parametrize(
    "text",
    [
        "https://evil.example",
        "//evil.example",
        "/\\evil.example",
        "\\\\evil.example",
        "///evil.example",
        "/ /evil.example",
        "javascript:alert(1)",
        "evil.example",
        "",
        "/x\r\nset-cookie: a=b",
        "/\t/evil.example",
        "/é",
    ],
)
def test_no_sign_in_leads_to_another_site(text, town):
    assert local_path(text) == "/"
    answer = town.browser().post("/sign-in", name="ada", password="ada", next=text)
    assert answer.headers["location"] == "/"
    assert len(answer.headers.get_list("set-cookie")) == 1


def test_paths_of_the_console_are_kept():
    assert local_path("/accounts/show?account=A%5Cb&x=//y") == "/accounts/show?account=A%5Cb&x=//y"


# --- permissions


@pytest.mark.parametrize("person", PEOPLE, ids=lambda person: f"{person.role}{'-ring' if person.rings else ''}")
def test_what_the_table_does_not_allow_is_denied(town, person):
    browser = town.browser(person.name)
    for row in PAGES:
        if person.may(row.permission):
            continue
        answer = browser.get(path_of(row)) if row.method == "GET" else browser.post(path_of(row), reason="because")
        assert answer.status_code == 403, row
        assert "not for you" in answer.text


@pytest.mark.parametrize("person", PEOPLE, ids=lambda person: f"{person.role}{'-ring' if person.rings else ''}")
def test_nothing_that_is_allowed_is_denied_and_nothing_fails(town, person):
    browser = town.browser(person.name)
    for row in PAGES:
        if person.may(row.permission) and row.method == "GET":
            assert browser.get(path_of(row)).status_code in {200, 404, 400, 303}, row


@pytest.mark.parametrize("person", PEOPLE, ids=lambda person: f"{person.role}{'-ring' if person.rings else ''}")
def test_no_page_draws_a_control_that_is_denied(town, person):
    browser, acts = town.browser(person.name), {row.path.split("{")[0]: row for row in PAGES if row.method == "POST"}
    for row in PAGES:
        if not (row.method == "GET" and person.may(row.permission) and "{" not in row.path):
            continue
        text = browser.get(row.path).text
        for path, act in acts.items():
            drawn = f'method="post" action="{path}"' in text
            assert not drawn or person.may(act.permission), (row.path, path)


def test_what_is_in_no_ring_of_mine_does_not_exist_for_me(town):
    other = town.endpoints[0].record.endpoint_id
    browser = town.browser("rita")
    assert browser.get(f"/endpoints/{other}").status_code == 404
    assert browser.post(f"/endpoints/{other}/check-in-now").status_code == 404
    assert browser.post(f"/endpoints/{other}/revoke", name="x", typed="x").status_code == 404
    assert other not in browser.get("/endpoints").text
    assert browser.post("/packages", kind="bundle", ring="default").status_code == 400
    assert town.browser("ada").get(f"/endpoints/{other}").status_code == 200


# --- dangerous acts


def test_a_dangerous_act_wants_a_proof_and_a_reason(town):
    browser = town.browser("ada")
    town.time.now += 3600
    order = {"minutes": "60", "ranges": "192.0.2.0/24", "account": "LOCAL\\svc-a"}
    answer = browser.post("/windows", **order, reason="they are silent")
    assert answer.status_code == 403
    assert 'name="ranges" value="192.0.2.0/24"' in answer.text
    assert 'value="they are silent"' in answer.text
    answer = browser.post("/windows", **order, reason="they are silent", proof_password="not-it")
    assert answer.status_code == 403
    assert "is wrong" in answer.text
    assert "not-it" not in answer.text
    answer = browser.post("/windows", **order, proof_password="ada")
    assert answer.status_code == 400
    answer = browser.post("/windows", **order, reason="they are silent")
    assert answer.status_code == 303
    window = answer.headers["location"].partition("?")[0]
    assert browser.post(f"{window}/close", despite_unproven="1").status_code == 303


def test_a_secret_is_not_sent_back_to_be_sent_again(town):
    browser = town.browser("ada")
    town.time.now += 3600
    answer = browser.post("/recovery/begin", account="A\\b", way="account", password="Very-Secret-1", reason="x")
    assert answer.status_code == 403
    assert "Very-Secret-1" not in answer.text
    assert 'name="password" type="password"' in answer.text


def test_every_dangerous_act_is_stopped_without_a_fresh_proof(town):
    browser = town.browser("ada")
    town.time.now += 3600
    for row in PAGES:
        if row.method == "POST" and row.permission in DANGEROUS:
            answer = browser.post(path_of(row), reason="because")
            assert answer.status_code == 403, row
            assert "Prove again" in answer.text


# --- headers


def test_every_answer_carries_the_headers(town):
    browser = town.browser("ada")
    for path in (
        "/",
        "/endpoints",
        "/nothing/here",
        "/sign-in",
        f"/endpoints/{ID}",
        "/accounts/history.json?account=x",
    ):
        answer = browser.get(path)
        for name, value in HEADERS.items():
            assert answer.headers[name] == value, (path, name)
    assert town.browser().get("/").headers["content-security-policy"] == HEADERS["content-security-policy"]


def test_assets_are_kept_for_ever_and_only_under_their_digest(town):
    browser = town.browser()
    url = browser.get("/sign-in").text.partition('rel="stylesheet" href="')[2].partition('"')[0]
    answer = browser.get(url)
    assert answer.status_code == 200
    assert "immutable" in answer.headers["cache-control"]
    assert answer.headers["content-type"].startswith("text/css")
    assert answer.headers["x-content-type-options"] == "nosniff"
    for wrong in ("/static/0000000000000000/console.css", "/static/../app.py", "/static/", "/static/%2e%2e/app.py"):
        assert browser.get(wrong).status_code == 404


def test_a_failure_tells_nothing_and_is_a_page(town):
    browser = town.browser("ada")
    town.strict = False
    try:
        broken, town.sign_in.sessions = town.sign_in.sessions, None
        answer = browser.get("/")
    finally:
        town.sign_in.sessions, town.strict = broken, True
    assert answer.status_code == 500
    assert "That went wrong" in answer.text
    assert "Traceback" not in answer.text


def test_forms_are_bounded(town):
    browser = town.browser("ada")
    assert browser.post("/accounts/check", account="x" * 300_000).status_code == 400
    assert browser.post("/accounts/check", **{f"f{n}": "x" for n in range(2100)}).status_code == 400
    assert browser.post("/sign-in", name="x" * 10_000).status_code == 400
    answer = browser.post("/accounts/check", headers={**HERE, "content-type": "multipart/form-data; boundary=x"})
    assert answer.status_code == 400


def test_the_cookie_has_the_name_that_is_read(town):
    assert COOKIE in town.browser().post("/sign-in", name="ada", password="ada").headers["set-cookie"]
