"""People who sign in by accounts of a real Active Directory: in this process, and in a browser on a real server."""

import html
import json
import re
import sqlite3
import time
from urllib.parse import urlencode

import httpx2
import pytest
from tests.support import processes
from tests.support.databases import new_database
from tests.support.office import WRONG, Office
from tests.support.samba import READER_PASSWORD
from tests.support.server import RunningServer

from keyfast.api.console.gate import COOKIE
from keyfast.core.directory import Logon
from keyfast.core.person import Session, SignInRefusal
from keyfast.core.person_groups import LOOK_EVERY, GroupRole
from keyfast.core.role import Role
from keyfast.core.secret import Secret
from keyfast.core.throttle import DIRECTORY_TRIES
from keyfast.directory.active_directory import ActiveDirectory
from keyfast.directory.settings import DirectorySettings, SimpleReader
from keyfast.errors import ForbiddenError, NotReadyError
from keyfast.store.database import Database

FORM = {"content-type": "application/x-www-form-urlencoded", "sec-fetch-site": "same-origin"}
ADMINS, BERLIN, PRIMARY = "Keyfast Admins", "Keyfast Berlin", "Keyfast Primary"


@pytest.fixture(scope="module")
def groups(ad):
    """Groups of the domain, one of them within another, and what they give here."""
    ad.add_group("Site Operators")
    names = {name: ad.add_group(name) for name in (ADMINS, BERLIN, PRIMARY)}
    ad.join(BERLIN, "Site Operators")
    return (
        GroupRole(names[ADMINS], Role.ADMINISTRATOR),
        GroupRole(BERLIN, Role.OPERATOR, ("berlin",)),
        GroupRole(PRIMARY, Role.AUDITOR),
    )


@pytest.fixture
def url(tmp_path):
    return new_database("sqlite", tmp_path)


@pytest.fixture
async def office(ad, groups, url):
    reader = SimpleReader("CORP\\svc-reader", Secret(READER_PASSWORD.encode()))
    directory = ActiveDirectory(DirectorySettings("CORP", (ad.ldaps_url,), reader, ad.ca), time.time)
    database = await Database.open(url)
    made = Office(database, groups, directory)
    made.real = directory
    made.now = int(time.time())
    yield made
    await directory.close()
    await database.close()


async def enter(office, account, password="", **how):
    return await office.enter(account.logon, Secret((password or account.password).encode()), **how)


async def token(office, account):
    session = await enter(office, account)
    assert isinstance(session, Session)
    return session.token.reveal().decode()


async def test_a_group_within_a_group_gives_its_role(ad, office, account):
    ad.join("Site Operators", account.name)
    session = await enter(office, account)
    assert (session.person.name, session.person.role) == (f"{account.name}@corp.example.test", Role.OPERATOR)
    assert session.person.rings == ("berlin",)
    again = await office.enter(account.upn, Secret(account.password.encode()))
    assert again.person.id == session.person.id


async def test_the_primary_group_gives_its_role(ad, office, account):
    ad.join(PRIMARY, account.name)
    ad.modify(account.name, primaryGroupID=ad.read(PRIMARY)["objectSid"][0].rpartition("-")[2])
    assert (await enter(office, account)).person.role is Role.AUDITOR


async def test_of_several_groups_the_one_that_gives_the_most_counts(ad, office, account):
    for group in (PRIMARY, BERLIN, ADMINS):
        ad.join(group, account.name)
    assert (await enter(office, account)).person.role is Role.ADMINISTRATOR


async def test_a_member_of_none_is_nobody(office, account):
    assert await enter(office, account, "Wr0ng-Passw0rd") == SignInRefusal()
    with pytest.raises(ForbiddenError):
        await enter(office, account)
    assert await office.people.list_("", 9) == []


@pytest.mark.parametrize(
    "state", ["disabled", "expired", "must-change", "account-expired", "locked", "hours-none", "workstations"]
)
async def test_an_account_that_may_not_be_used_is_refused_in_the_same_words(ad, office, account, state):
    account.state("ok")
    ad.join(ADMINS, account.name)
    account.state(state)
    assert await enter(office, account) == SignInRefusal()
    assert await office.people.list_("", 9) == []


async def test_who_is_put_out_of_the_group_is_out(ad, office, account):
    ad.join("Site Operators", account.name)
    cookie = await token(office, account)
    ad.leave("Site Operators", account.name)
    assert await office.sign_in.person_of(cookie) is not None
    office.now += LOOK_EVERY
    assert await office.sign_in.person_of(cookie) is None
    with pytest.raises(ForbiddenError):
        await enter(office, account)


@pytest.mark.parametrize(("state", "out"), [("disabled", True), ("deleted", True), ("locked", False)])
async def test_whose_account_is_off_is_out(ad, office, account, state, out):
    account.state("ok")
    ad.join(ADMINS, account.name)
    cookie = await token(office, account)
    account.state(state)
    office.now += LOOK_EVERY
    assert (await office.sign_in.person_of(cookie) is None) is out


async def test_a_renamed_account_is_the_same_person_and_a_new_one_of_its_name_is_not(ad, office, account):
    ad.join(ADMINS, account.name)
    first = await enter(office, account)
    renamed = f"{account.name}-r"
    ad.rename(account.name, renamed)
    password = Secret(account.password.encode())
    second = await office.enter(f"CORP\\{renamed}", password)
    assert (second.person.id, second.person.name) == (first.person.id, f"{renamed}@corp.example.test")
    ad.add_user(account.name, account.password, groups=[ADMINS])
    assert (await enter(office, account)).person.id != first.person.id
    ad.delete_user(renamed)


async def test_wrong_passwords_lock_nobody_out(ad, office, account):
    account.state("ok")
    ad.join(ADMINS, account.name)
    for number in range(20):
        spelled = account.logon.swapcase() if number % 2 else account.upn
        await office.enter(spelled, WRONG, address=f"198.51.100.{number}")
    assert account.read()["badPwdCount"] == [str(DIRECTORY_TRIES)]
    assert await office.real.verify(account.name, Secret(account.password.encode())) is Logon.GRANTED
    assert await enter(office, account, "") == SignInRefusal(3600)


async def test_without_a_password_nothing_is_asked(ad, office, account):
    ad.join(ADMINS, account.name)
    assert await office.enter(account.logon, Secret(b"")) == SignInRefusal()
    assert account.read().get("badPwdCount", ["0"]) == ["0"]


async def test_an_outage_is_told_as_one(ad, office, account):
    ad.join(ADMINS, account.name)
    cookie = await token(office, account)
    ad.stop()
    try:
        with pytest.raises(NotReadyError):
            await enter(office, account)
        office.now += LOOK_EVERY
        assert await office.sign_in.person_of(cookie) is not None
    finally:
        ad.start_again()
    assert isinstance(await enter(office, account), Session)
    assert "sign_in_failed" not in await office.kinds()


class Site:
    """A server with a console whose people come from the domain."""

    def __init__(self, folder, ad, groups):
        self.port = processes.free_port()
        self.url = f"https://localhost:{self.port}"
        (folder / "reader").touch(mode=0o600)
        (folder / "reader").write_text(READER_PASSWORD)
        mapped = "".join(
            f"[[directory.group]]\nname = {json.dumps(group.name)}\nrole = '{group.role}'\n"
            f"rings = {json.dumps(group.rings)}\n"
            for group in (*groups, GroupRole("Keyfast Gone", Role.HELPDESK))
        )
        tables = (
            f"[console]\nport = {self.port}\n[directory]\ndomain = 'CORP'\nrealm = '{ad.realm}'\n"
            f"servers = ['{ad.ldaps_url}']\nca = '{ad.ca}'\nreader = 'svc-reader'\n"
            f"reader_password_file = '{folder}/reader'\n{mapped}"
        )
        self.server = RunningServer(folder / "data", tables=tables)
        processes.until(lambda: self.get("/sign-in"), "the console")

    def get(self, path, cookie=""):
        try:
            with httpx2.Client(base_url=self.url, verify=self.server.tls(), trust_env=False, timeout=30) as http:
                return http.get(path, headers={"cookie": cookie} if cookie else {})
        except httpx2.ConnectError:
            return None

    def post(self, path, cookie="", **fields):
        with httpx2.Client(base_url=self.url, verify=self.server.tls(), trust_env=False, timeout=30) as http:
            headers = FORM | ({"cookie": cookie} if cookie else {})
            return http.post(path, content=urlencode(fields), headers=headers)

    def enter(self, account, password=""):
        """Sign in; return the answer, and what the browser sends from then on."""
        answer = self.post("/sign-in", name=account.logon, password=password or account.password)
        return answer, answer.headers.get("set-cookie", "").partition(";")[0]

    def here(self, *words):
        done = processes.run("keyfast.cli.main", *words, KEYFAST_DATA=str(self.server.data))
        assert done.returncode == 0, done.stderr
        return done.stdout

    def minutes_pass(self):
        """The directory was asked about everybody so long ago that it is asked again; and everybody proved it then."""
        with sqlite3.connect(self.server.data / "keyfast.db") as conn:
            conn.execute("UPDATE person_account SET read_at = read_at - ?", (LOOK_EVERY,))
            conn.execute("UPDATE person_session SET proved_at = proved_at - ?", (LOOK_EVERY,))


@pytest.fixture(scope="module")
def site(tmp_path_factory, ad, groups):
    made = Site(tmp_path_factory.mktemp("people"), ad, groups)
    yield made
    made.server.close()


def test_from_the_group_to_a_dangerous_act_in_the_browser(ad, site, account):
    account.state("ok")
    ad.join(ADMINS, account.name)
    wrong, nothing = site.enter(account, "Wr0ng-Passw0rd")
    assert (wrong.status_code, nothing) == (403, "")
    entered, cookie = site.enter(account)
    assert entered.status_code == 303, entered.text
    assert cookie.startswith(f"{COOKIE}=")
    name = f"{account.name}@corp.example.test"
    assert name in site.get("/people", cookie).text
    page = html.unescape(site.get(f"/people/{name}", cookie).text)
    assert f"group CN={ADMINS}" in page
    assert "/change" not in page
    assert site.post(f"/people/{name}/change", cookie, role="auditor", reason="x").status_code == 409
    site.minutes_pass()
    order = {"name": "bob", "role": "auditor", "reason": "he joins"}
    assert "Prove again" in site.post("/people", cookie, **order).text
    assert "is wrong" in site.post("/people", cookie, **order, proof_password="Wr0ng-Passw0rd").text
    made = site.post("/people", cookie, **order, proof_password=account.password)
    assert "kfi_" in made.text
    (person,) = [row for row in json.loads(site.here("person", "list", "--json")) if row["name"] == name]
    assert (person["source"], person["role"]) == ("directory", "administrator")
    assert person["group"].startswith(f"CN={ADMINS},")
    assert f"by CN={ADMINS}" in " ".join(site.here("person", "show", name).split())
    assert "CN=Keyfast" in site.here("person", "list")
    trail = site.here("audit", "list", "--json")
    assert {"person_added", "signed_in"} <= set(re.findall(r'"action": ?"(\w+)"', trail))
    assert account.password not in site.server.log.read_text() + trail + site.here("events", "--json")


def test_what_an_account_would_be_is_told_everywhere(ad, site, account):
    account.state("ok")
    name = f"{account.name}@corp.example.test"
    assert "in none of the groups" in site.here("person", "groups", account.logon)
    ad.join("Site Operators", account.name)
    said = " ".join(site.here("person", "groups", account.upn).split())
    assert f"{name}: operator of berlin by {BERLIN}" in said
    view = json.loads(site.here("person", "groups", account.name, "--json"))
    assert [line["name"] for line in view["groups"] if not line["known"]] == ["Keyfast Gone"]
    ad.join(ADMINS, account.name)
    _, cookie = site.enter(account)
    page = site.get(f"/groups?name={account.name}", cookie).text
    assert name in page
    assert "no such group" in page


def test_who_is_put_out_is_sent_to_the_door(ad, site, account):
    account.state("ok")
    ad.join(ADMINS, account.name)
    _, cookie = site.enter(account)
    assert site.get("/", cookie).status_code == 200
    ad.leave(ADMINS, account.name)
    site.minutes_pass()
    assert site.get("/", cookie).headers["location"] == "/sign-in"
    answer, _ = site.enter(account)
    assert (answer.status_code, "none of the groups" in answer.text) == (403, True)
    assert "person_dropped" in site.here("events")


def test_a_directory_that_is_down_is_told_as_such_and_comes_back(ad, site, account):
    account.state("ok")
    ad.join(ADMINS, account.name)
    _, cookie = site.enter(account)
    ad.stop()
    try:
        answer, _ = site.enter(account)
        assert (answer.status_code, answer.headers["retry-after"]) == (503, "30")
        assert "cannot be asked now" in answer.text
        assert "is wrong" not in answer.text
        site.minutes_pass()
        assert site.get("/", cookie).status_code == 200
        act = {"name": "eve", "role": "auditor", "reason": "x", "proof_password": account.password}
        denied = site.post("/people", cookie, **act)
        assert (denied.status_code, denied.headers["retry-after"]) == (503, "30")
    finally:
        ad.start_again()
    assert site.enter(account)[0].status_code == 303
