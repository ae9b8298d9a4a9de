"""The console's whole story, in a browser, on a real server with a real Active Directory and two hundred real agents.

Whoever runs it can look at it afterwards: every page and every step is kept as a picture.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from pathlib import Path

import pytest
from tests.support import console_everyday as everyday
from tests.support import console_first as first
from tests.support import console_office as office
from tests.support import console_outage as outage
from tests.support import roll_call
from tests.support.console_pages import walks
from tests.support.console_site import ALWAYS, BRANCH, FLEET, WINDOW, ConsoleSite
from tests.support.pictures import empty_folder
from tests.support.receivers import Hook, serving
from tests.support.rounds import left
from tests.support.samba import Account, Domain
from tests.support.walker import walker

pytestmark = [pytest.mark.e2e, pytest.mark.slow, pytest.mark.timeout(1200)]

CHANGED, AGAIN = "Changed-By-Somebody-1", "Changed-Once-More-2"
EXCUSED = {
    "GET /packages/{id}/live": "an archive is ready before anybody can look",
    "GET /packages/{id}/live/stream": "an archive is ready before anybody can look",
    "GET /audit/verify/live": "so short a trail is verified before the page is there",
    "GET /audit/verify/live/stream": "so short a trail is verified before the page is there",
    "POST /rotations/{id}/retire": "nobody may have used the old access for a month; the page says so",
    "POST /recovery/resume": "drawn for a recovery that a dying server left half planned only",
    "POST /settings/end-recovery": "drawn on a server that was restored from a backup only",
    "POST /settings/nodes/forget": "drawn for a process that has been gone for minutes only",
}


@pytest.fixture
async def hook() -> AsyncIterator[Hook]:
    made = Hook()
    async with serving(made):
        yield made


@pytest.fixture
async def site(kerberos: Domain, tmp_path: Path, hook: Hook) -> AsyncIterator[ConsoleSite]:
    made = await asyncio.to_thread(ConsoleSite, tmp_path, kerberos, hook.port)
    yield made
    await asyncio.to_thread(made.close)


async def test_everything_is_done_in_the_browser(site: ConsoleSite, hook: Hook, make_account: Callable[[], Account]):
    account, partner = make_account(), make_account()
    pictures = empty_folder("console_story")
    async with AsyncExitStack() as stack:
        ada, bob = [
            await stack.enter_async_context(walker(site.home, pictures / name, certificate=site.certificate))
            for name in ("ada", "bob")
        ]
        # 1. The first administrator joins by an invitation, and gets the fleet in: two hundred computers.
        await first.joins(ada, site, "ada", await asyncio.to_thread(site.invitation, "ada"))
        await ada.look("overview-at-first")
        await first.opens_windows_mode(ada, site)
        await first.proves(ada, site, account)
        await first.proves(ada, site, partner)
        for ring, number in (("default", FLEET - BRANCH), ("branch", BRANCH)):
            order = {"ring": ring, "mode": "windows", "account": account.logon}
            await site.installed(await first.builds(ada, site.folder, **order), number)
        await roll_call.called(site)
        await ada.go("Overview")
        await ada.page.get_by_text(str(FLEET), exact=True).first.wait_for()
        # 2. Ordinary days: a colleague, a newcomer that is let in, a planned rotation.
        await first.joins(bob, site, "bob", await office.invites(ada, "bob", "administrator"))
        await everyday.lets_in(ada, site)
        await everyday.keeps_a_search(ada)
        await everyday.rotates(ada, bob, site, account, partner)
        await everyday.opens_a_window_by_hand(ada)
        # 3. Somebody changes the password in Active Directory, and all go silent. Meanwhile every page is looked at.
        await site.hurries()
        await site.password_changed(account, CHANGED)
        since = time.time()
        await walks(ada, site, account.logon)
        await site.silent_since(since)
        await ada.page.goto(f"{site.home}/")
        await outage.takes_the_way_of_device_keys(ada, site, CHANGED)
        await outage.sees_the_incident_end(ada, site)
        # 4. Once more, where endpoints recover at announced times only. Meanwhile: people, keys, what is told.
        await everyday.tidies_up(ada, partner)
        for browser in (ada, bob):  # a page that goes on asking would miss the server while it is off
            await browser.page.goto(f"{site.home}/me")
        await asyncio.to_thread(site.settle, ALWAYS, WINDOW)
        await site.all_check_in()
        await site.password_changed(account, AGAIN)
        since = time.time()
        await office.changes_people(ada)
        await office.hands_out_a_token(ada)
        await office.demands_codes(ada, bob)
        await office.uses_a_passkey(ada)
        await office.rotates_a_key(ada, bob)
        await office.sends_a_test(ada, hook)
        await site.silent_since(since)
        await outage.takes_the_way_of_the_article(ada, site, AGAIN)
        # 5. What was done is on the trail.
        await office.reads_the_trail(ada, site)
        await office.ends_a_session(ada, bob)
    assert ada.faults + bob.faults == []
    assert left([ada, bob], EXCUSED) == []
