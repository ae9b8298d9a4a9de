"""A node says what it accepts once, again when that changes or was long ago, and takes its leave."""

from dataclasses import replace

import pytest
from tests.support.databases import NOW

from keyfast.core.generation import GenerationState
from keyfast.core.secret import Secret
from keyfast.errors import NotFoundError
from keyfast.services.node import AGAIN_SECONDS, NodeService, NodeVoice
from keyfast.store import accounts

KEY = "CORP\\svc-see"


@pytest.fixture
def voice(site):
    return NodeVoice(site.live, site.database, "east:8443", site.clock)


@pytest.fixture
def service(site):
    return NodeService(site.database, site.clock)


async def test_it_says_what_it_has_read(site, voice, service):
    await site.add()
    await voice.tell()
    (node,) = await service.list_()
    assert (node.name, node.started_at, node.seen_at) == ("east:8443", NOW, NOW)
    assert node.accepts.generations == ((KEY, 1),)
    assert node.accepts.profile_seq == site.live.current.highest_profile
    assert len(node.accepts.token_keys) >= 2, "the next one is published before it is used"


async def test_what_it_has_not_read_it_does_not_say(site, voice, service):
    site.directory.set_password("svc-see", "Some-Passw0rd")
    await site.accounts.add("svc-see", Secret(b"Some-Passw0rd"), (), "admin")
    await voice.tell()
    assert (await service.list_())[0].accepts.generations == ()
    await site.live.refresh()
    await voice.tell()
    assert (await service.list_())[0].accepts.generations == ((KEY, 1),)


async def test_a_generation_refused_by_decision_is_accepted_no_more(site, voice, service):
    await site.add()
    async with site.database.write() as conn:
        (row,) = await accounts.generations(conn)
        await accounts.set_generation(conn, row, replace(row, state=GenerationState.RETIRED))
    await site.live.refresh()
    await voice.tell()
    assert (await service.list_())[0].accepts.generations == ()


async def test_nothing_new_is_said_again_only_after_a_while(site, voice, service):
    for seconds, seen in ((0, 0), (AGAIN_SECONDS - 1, 0), (AGAIN_SECONDS, AGAIN_SECONDS)):
        site.clock.now = NOW + seconds
        await voice.tell()
        assert (await service.list_())[0].seen_at == NOW + seen


async def test_who_leaves_is_waited_for_no_more(voice, service):
    await voice.tell()
    await voice.leave()
    assert await service.list_() == []


async def test_a_node_is_forgotten_by_name(site, voice, service):
    await voice.tell()
    await service.forget("east:8443", "admin")
    assert await service.list_() == []
    assert [detail for _, detail in await site.events("node_forgotten")] == [{"node": "east:8443", "by": "admin"}]
    with pytest.raises(NotFoundError):
        await service.forget("east:8443", "admin")
