"""Whatever an endpoint or a colleague writes into any field: it is text on every page, and all of it can be seen."""

from dataclasses import replace
from html.parser import HTMLParser

import msgspec
import pytest
from tests.support.databases import endpoint_row, some_id

from keyfast.core.command import CommandState
from keyfast.core.endpoint import EndpointState
from keyfast.core.person import Person
from keyfast.core.role import Role
from keyfast.store import commands, endpoints, events
from keyfast.store.commands import CommandRow
from keyfast.store.tables import fork, inventory, inventory_change, presence
from keyfast.wire.messages import Encryption, Inventory, Protection, Volume, inventory_bytes

RIGHT_TO_LEFT = "\u202e"
ATTACKS = {
    "markup": "<img src=x onerror=alert(1)>",
    "attribute": '" onfocus=alert(1) autofocus x="',
    "quote": "' onfocus=alert(1) x='",
    "end": "</textarea></title></script><script>alert(1)</script>",
    "template": "{{ 7*7 }}{% raw %}",
    "address": "javascript:alert(1)",
    "hidden": f"a{RIGHT_TO_LEFT}b\u200b\x1b[31m\x00\r\nset-cookie: a=b",
    "lone": "a&lt;b&#x3c;script&gt;",
}


class _Reader(HTMLParser):
    """Collects elements and attributes that no template has."""

    def __init__(self) -> None:
        super().__init__()
        self.faults: list[str] = []

    def handle_starttag(self, tag, attrs):
        names = dict(attrs)
        if tag in {"img", "iframe"} or (tag == "script" and not (names.get("src") or "").startswith("/static/")):
            self.faults.append(tag)
        self.faults += [f"{tag} {name}" for name in names if name.startswith("on") or (name == "x" and tag != "rect")]
        for name in ("href", "src", "action"):
            if name in names and not (names[name] or "").startswith(("/", "#")):
                self.faults.append(f"{tag} {name}={names[name]}")


def judge(text):
    reader = _Reader()
    reader.feed(text)
    assert reader.faults == []
    assert RIGHT_TO_LEFT not in text
    assert "\u200b" not in text
    assert "\x1b" not in text
    assert "\0" not in text
    assert "49" not in text.partition("7*7")[0][-4:]


async def _record(town, evil):
    """An endpoint whose every field that it can send is ``evil``."""
    row = replace(endpoint_row(name=evil), user_name=evil.replace("\0", ""), user_key="evil")
    told = dict.fromkeys(("serial", "smbios_uuid", "machine_id"), evil)
    volume = Volume(
        evil[:64],
        Encryption.ENCRYPTED,
        Protection.ON,
        mount=evil[:64],
        technology="luks2",
        method=evil[:32],
        protectors=(evil[:32],),
        detail=evil,
    )
    document = inventory_bytes(Inventory(evil[:64], evil[:64], evil[:32], "x86", (volume,)))
    database, now = town.site._parts.database, int(town.time.now)
    async with database.write() as conn:
        await endpoints.insert(conn, replace(row, hardware=told), EndpointState.CLONE_SUSPECT)
        said = {"address": evil, "agent_version": evil, "last_refusal": evil, "seen_at": now, "next_due": now + 60}
        clean = {name: text.replace("\0", "") if isinstance(text, str) else text for name, text in said.items()}
        there = presence.c.endpoint_id == row.id
        await conn.execute(presence.update().where(there).values(clean | {"inventory_digest": b"x" * 32}))
        kept = {"endpoint_id": row.id, "digest": b"x" * 32, "document": document, "recorded_at": now * 1000}
        await conn.execute(inventory.insert().values(kept))
        await conn.execute(inventory_change.insert().values(kept))
        branch = {"address": evil, evil: evil, "list": [evil]}
        await conn.execute(
            fork.insert().values(
                endpoint_id=row.id,
                kind=evil.replace("\0", ""),
                first_at=now,
                last_at=now,
                count=2,
                displaced=branch,
                arrived=branch,
            )
        )
        await commands.queue(
            conn,
            CommandRow(row.id, 1, some_id(), evil.replace("\0", ""), "x", CommandState.FAILED, now, now, now, evil),
        )
        detail = {"name": evil, evil: [evil, {evil: evil}]}
        await events.add(conn, at=now, kind=evil.replace("\0", ""), endpoint_id=row.id, detail=detail)
    return row.id


@pytest.mark.parametrize("attack", ATTACKS)
def test_what_an_endpoint_sends_is_text_everywhere(town, attack):
    evil = ATTACKS[attack]
    number = town.run(_record(town, evil))
    browser = town.browser("ada")
    for path in ("/", "/endpoints", "/endpoints?state=clone_suspect", f"/endpoints/{number}", "/events"):
        answer = browser.get(path)
        assert answer.status_code == 200, path
        judge(answer.text)


@pytest.mark.parametrize("attack", ATTACKS)
def test_what_a_colleague_types_is_text_everywhere(town, attack):
    evil = ATTACKS[attack]
    browser = town.browser("ada")
    forms = (
        ("/windows", {"reason": evil, "ranges": evil, "ring": evil, "endpoints": evil, "minutes": evil}),
        ("/windows", {"reason": "r", "ranges": evil, "ring": evil, "endpoints": evil}),
        ("/rotations", {"kind": evil, "ring": evil, "source": evil, "target": evil, "urls": evil, "ca": evil}),
        ("/packages", {"kind": "bundle", "ring": evil * 9, "serials": evil, "days": evil}),
        ("/accounts", {"account": evil, "password": "x", "despite": evil}),
        ("/recovery/begin", {"account": evil, "way": evil, "to": evil, "reason": "r"}),
        ("/sign-in", {"name": evil, "password": "x", "next": evil}),
        ("/settings/modes/open", {"mode": evil, "ring": evil, "reason": "r"}),
        ("/settings/nodes/forget", {"name": evil, "reason": "r"}),
        ("/settings/policy", {"minutes": evil, "reason": "r"}),
    )
    for path, fields in forms:
        answer = browser.post(path, **fields)
        assert 400 <= answer.status_code < 500, path
        judge(answer.text)
    for path in ("/endpoints", "/accounts/show", "/recovery/way", "/sign-in", "/events", "/packages"):
        for name in ("q", "account", "after", "next", "told", "before", "way"):
            answer = town.run(browser._asked("GET", path, {"cookie": f"__Host-keyfast={browser.cookie}"}, None))
            judge(answer.text)
            judge(browser.get(f"{path}?{name}={_quoted(evil)}").text)


@pytest.mark.parametrize("attack", ATTACKS)
def test_what_is_put_on_record_by_a_colleague_is_text_everywhere(town, attack):
    evil = ATTACKS[attack].replace("\0", "")
    town.sign_in.people["eve"] = Person("9", evil, Role.ADMINISTRATOR)
    town.sign_in.people[evil] = town.sign_in.people["eve"]
    browser = town.browser()
    browser.post("/sign-in", name=evil.strip(), password=evil)
    if browser.cookie == "":  # a name with blanks around it is stripped as it is typed
        pytest.skip("nobody can have this name: it cannot be typed")
    page = browser.post("/packages", kind="bundle", ring=evil[:60].strip() or "x").headers["location"]
    plan = browser.post("/rotations", kind="device_key", ring=evil).headers.get("location", "/rotations")
    for path in ("/", page, plan, "/packages", "/rotations", "/events", "/settings"):
        answer = browser.get(path)
        assert answer.status_code == 200, path
        judge(answer.text)


def _quoted(text):
    return "".join(f"%{octet:02x}" for octet in text.encode())


def test_a_file_name_of_a_package_brings_no_header(town):
    browser = town.browser("ada")
    page = browser.post("/packages", kind="bundle", ring='x"\r\nset-cookie: a=b').headers["location"].partition("?")[0]
    answer = browser.post(f"{page}/file")
    assert answer.status_code == 200
    assert "set-cookie" not in answer.headers
    assert msgspec.json.encode(answer.headers["content-disposition"])
