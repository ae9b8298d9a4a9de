"""People on a real server: made on the local socket, let in over HTTPS by an API token, through the command line."""

import json
import re
import ssl
import time
from pathlib import Path

import httpx2
import pytest
from tests.support import processes
from tests.support.authenticator import code_of
from tests.support.server import RunningServer

from keyfast.wire.people import REASON_HEADER

PASSWORD = "correct horse battery"


class Site:
    """A server with a console listener."""

    def __init__(self, folder: Path) -> None:
        self.port = processes.free_port()
        self.server = RunningServer(
            folder / "data", tables=f'second_person = ["mode.change"]\n[console]\nport = {self.port}\n'
        )
        self.url = f"https://localhost:{self.port}"
        self.folder = folder
        processes.until(self._listens, "the console")

    def _listens(self) -> bool:
        try:
            return self.ask("/admin/v1/self").status_code == 401
        except httpx2.HTTPError:
            return False

    def ask(self, path: str, method: str = "GET", **headers: str) -> httpx2.Response:
        with httpx2.Client(base_url=self.url, verify=self.server.tls(), trust_env=False) as http:
            return http.request(method, path, headers=headers)

    def here(self, *words: str, stdin: str = ""):
        """A command on the server's machine."""
        return processes.run("keyfast.cli.main", *words, stdin=stdin, KEYFAST_DATA=str(self.server.data))

    def there(self, token: Path, *words: str, options: tuple[str, ...] = ()):
        """A command elsewhere: it has the server's authority and a token, and no data directory."""
        ca = str(self.server.settings.tls / "ca.pem")
        far = ("--server", self.url, "--token-file", str(token), "--ca", ca, *options)
        return processes.run("keyfast.cli.main", *far, *words, KEYFAST_DATA=str(self.folder / "nowhere"))

    def token(self, person: str, *scopes: str) -> Path:
        """A new API token in a file of its own."""
        path = self.folder / f"{person}-{len(list(self.folder.iterdir()))}.token"
        words = [word for scope in scopes for word in ("--scope", scope)]
        made = self.here("token", "create", person, "--name", "tests", *words, "--days", "7", "--out", str(path))
        assert made.returncode == 0, made.stderr
        return path


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    made = Site(tmp_path_factory.mktemp("people"))
    yield made
    made.server.close()


@pytest.fixture(scope="module")
def alice(site):
    added = site.here("person", "add", "Alice", "--role", "administrator", "--password-file", "-", stdin=PASSWORD)
    assert added.returncode == 0, added.stderr
    return "alice"


def test_the_first_administrator_is_made_on_the_socket(site, alice):
    (row,) = [row for row in json.loads(site.here("person", "list", "--json").stdout) if row["name"] == alice]
    assert (row["role"], row["state"], row["created_by"]) == ("administrator", "active", "local administrator")
    assert PASSWORD not in site.here("person", "show", alice).stdout


def test_a_command_elsewhere_does_what_its_token_allows(site, alice):
    token = site.token(alice, "endpoint.read")
    assert token.stat().st_mode & 0o777 == 0o600
    listed = site.there(token, "endpoint", "list", "--json")
    assert (listed.returncode, json.loads(listed.stdout)) == (0, [])
    refused = site.there(token, "keys", "list")
    assert refused.returncode == 1
    assert "this API token does not include 'read'" in " ".join(refused.stderr.split())


def test_an_invitation_is_taken_up_from_elsewhere(site):
    code = json.loads(site.here("person", "add", "bob", "--role", "operator", "--json").stdout)["code"]
    ca = str(site.server.settings.tls / "ca.pem")
    words = ("--server", site.url, "--ca", ca, "person", "join", "--json")
    joined = processes.run("keyfast.cli.main", *words, stdin=f"{code}\n{PASSWORD}\n")
    assert json.loads(joined.stdout)["state"] == "active", joined.stderr
    again = processes.run("keyfast.cli.main", *words, stdin=f"{code}\n{PASSWORD}\n")
    assert (again.returncode, "wrong, used or too old" in again.stderr) == (1, True)


def test_a_dangerous_act_elsewhere_needs_a_reason(site, alice):
    token = site.token(alice, "people.change")
    add = ("person", "add", "carol", "--role", "auditor", "--json")
    bare = site.there(token, *add)
    assert bare.returncode == 1
    assert "needs a reason" in bare.stderr
    made = json.loads(site.there(token, *add, options=("--reason", "she joins \u2713")).stdout)
    assert made["person"]["created_by"] == alice
    assert made["code"].startswith("kfi_")


def test_a_second_person_agrees(site, alice):
    token = site.token(alice, "mode.change", "read")
    act = ("mode", "open", "windows", "--ring", "r")
    asked = site.there(token, *act, options=("--reason", "the domain is ready"))
    assert (asked.returncode, "a second person has to agree" in asked.stderr) == (1, True)
    (line,) = json.loads(site.here("approval", "list", "--json").stdout)
    assert (line["asked_by"], line["what"], line["state"]) == (alice, "POST /admin/v1/modes/open", "asked")
    with_it = ("--reason", "the domain is ready", "--approval", line["id"])
    assert site.there(token, *act, options=with_it).returncode == 1
    assert "given" in site.here("approval", "approve", line["id"]).stdout
    assert site.there(token, *act, options=with_it).returncode == 0
    assert "used" in site.here("approval", "list").stdout
    assert site.here("approval", "deny", line["id"]).returncode == 1


def test_a_second_factor_is_shown_once_and_confirmed(site, alice):
    shown = site.here("person", "second-factor", alice)
    assert shown.returncode == 2, "no code was typed"
    secret = re.search(r"secret=([A-Z2-7]+)", shown.stdout).group(1)
    code = code_of(secret, time.time())
    confirm = ("person", "second-factor", alice, "--confirm", "--code-file", "-")
    assert site.here(*confirm, stdin="1").returncode == 1
    confirmed = site.here(*confirm, stdin=code)
    assert confirmed.returncode == 0, confirmed.stderr
    assert site.here("person", "second-factor", alice).returncode == 1
    assert json.loads(site.here("person", "show", alice, "--json").stdout)["second_factor"]
    assert site.here("session", "list").stdout.strip() == "Nobody is signed in."


def test_a_revoked_token_opens_nothing_from_then_on(site, alice):
    made = site.here("token", "create", alice, "--name", "to revoke", "--scope", "read", "--days", "1", "--json")
    token = json.loads(made.stdout)
    headers = {"authorization": f"Bearer {token['token']}"}
    assert site.ask("/admin/v1/self", **headers).json()["permissions"] == ["read", "self"]
    assert token["token"] not in site.here("token", "list", "--json").stdout
    assert site.here("token", "revoke", token["line"]["id"]).returncode == 0
    assert site.ask("/admin/v1/self", **headers).status_code == 401


def test_a_cookie_opens_no_api_route(site, alice):
    token = site.token(alice, "endpoint.read").read_text().strip()
    assert site.ask("/admin/v1/endpoints", cookie=f"__Host-keyfast={token}").status_code == 401
    answer = site.ask("/admin/v1/endpoints", authorization=f"Bearer {token}", cookie="a=b")
    assert (answer.status_code, answer.headers["cache-control"]) == (200, "no-store")


def test_the_endpoint_listener_has_no_admin_route(site):
    with site.server.client() as http:
        assert http.get("/admin/v1/self").status_code == 404


def test_the_console_speaks_tls_1_3_only(site):
    context = site.server.tls()
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    with httpx2.Client(verify=context, trust_env=False) as http, pytest.raises(httpx2.ConnectError):
        http.get(site.url)


def test_a_server_that_is_not_the_one_is_not_spoken_to(site, alice):
    token = site.token(alice, "endpoint.read")
    said = processes.run("keyfast.cli.main", "--server", site.url, "--token-file", str(token), "endpoint", "list")
    assert said.returncode == 3
    assert "certificate" in said.stderr.lower()
    plain = processes.run(
        "keyfast.cli.main", "--server", "http://localhost:1", "--token-file", str(token), "endpoint", "list"
    )
    assert (plain.returncode, "never travels without TLS" in plain.stderr) == (2, True)


def test_no_secret_of_people_is_in_the_log_or_among_events(site, alice):
    token = site.token(alice, "endpoint.read").read_text().strip()
    code = json.loads(site.here("person", "add", "dave", "--role", "helpdesk", "--ring", "r", "--json").stdout)["code"]
    site.ask("/admin/v1/self", authorization=f"Bearer {token}", **{REASON_HEADER: "x"})
    said = site.server.log.read_text() + site.here("events", "--json", "--limit", "1000").stdout
    stored = b"".join(path.read_bytes() for path in site.server.data.glob("keyfast.db*"))
    for secret in (token, code, PASSWORD):
        assert secret not in said
        assert secret.encode() not in stored
