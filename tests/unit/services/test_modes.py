"""Modes: opened and closed at run time, never so that everybody is shut out by accident."""

import pytest

from keyfast.core.mode import Mechanism, Mode
from keyfast.errors import ConflictError, UsageError
from keyfast.services.authenticate import mode_refusal
from keyfast.services.modes import ModeService
from keyfast.trust.roles import PROFILE_TYP
from keyfast.wire.messages import AccessProfile

ALL = (Mechanism.KERBEROS, Mechanism.NTLM, Mechanism.BASIC)


@pytest.fixture
def modes(site):
    return ModeService(site.live, site.database, ALL, lambda: "the authority", site.clock)


def open_for(site, ring=""):
    return set(site.live.current.modes.open_for(ring))


async def test_a_new_installation_has_oauth_and_nothing_else(site, modes):
    assert open_for(site) == {Mode.OAUTH}
    assert [(line.ring, line.mode) for line in await modes.list_()] == [("", "oauth")]


async def test_opening_is_an_event_and_makes_a_signed_profile(site, modes):
    for _ in range(2):
        await modes.open_(Mode.WINDOWS, "", "admin")
    assert open_for(site) == {Mode.WINDOWS, Mode.OAUTH}
    assert await site.events("mode_opened") == [("mode_opened", {"mode": "windows", "ring": "", "by": "admin"})]
    live = site.live.current
    profile = live.keyset.verify(live.profile(Mode.WINDOWS).statement, PROFILE_TYP, AccessProfile)
    assert (profile.mode, profile.mechanisms, profile.ca, profile.seq) == (
        "windows",
        ("kerberos", "ntlm", "basic"),
        "the authority",
        2,
    )
    assert live.profile(Mode.OAUTH).seq == 1
    assert live.profile(Mode.ANONYMOUS).statement == ""


async def test_a_ring_that_gets_its_first_mode_keeps_what_it_had(site, modes):
    await modes.open_(Mode.WINDOWS, "labs", "admin")
    assert open_for(site, "labs") == {Mode.WINDOWS, Mode.OAUTH}
    assert open_for(site, "offices") == {Mode.OAUTH}
    await modes.close(Mode.OAUTH, "labs", "admin", despite_endpoints=False)
    assert open_for(site, "labs") == {Mode.WINDOWS}
    assert open_for(site) == {Mode.OAUTH}
    assert mode_refusal(site.live.current, "offices", Mode.OAUTH) is None
    refusal = mode_refusal(site.live.current, "labs", Mode.OAUTH)
    assert refusal is not None
    assert (refusal.expected, refusal.repair) == ("windows", "keyfast mode open oauth --ring labs")


@pytest.mark.parametrize("ring", ["", "labs"])
async def test_the_last_mode_of_a_ring_stays_open(site, modes, ring):
    await modes.open_(Mode.OAUTH, ring, "admin")
    with pytest.raises(UsageError, match="last mode"):
        await modes.close(Mode.OAUTH, ring, "admin", despite_endpoints=True)
    assert open_for(site, ring) == {Mode.OAUTH}


@pytest.mark.parametrize(("mode", "ring"), [(Mode.WINDOWS, ""), (Mode.OAUTH, "labs"), (Mode.ANONYMOUS, "")])
async def test_what_is_not_open_cannot_be_closed(modes, mode, ring):
    with pytest.raises(UsageError, match="is not open"):
        await modes.close(mode, ring, "admin", despite_endpoints=True)


async def test_a_mode_that_endpoints_use_is_only_closed_despite_them(site, modes):
    await modes.open_(Mode.WINDOWS, "", "admin")
    await site.package(ring="labs")
    with pytest.raises(ConflictError, match="3 endpoints"):
        await modes.close(Mode.WINDOWS, "", "admin", despite_endpoints=False)
    assert Mode.WINDOWS in open_for(site)
    await modes.close(Mode.WINDOWS, "", "admin", despite_endpoints=True)
    assert open_for(site) == {Mode.OAUTH}
    told = {"mode": "windows", "ring": "", "by": "admin", "endpoints": 3}
    assert await site.events("mode_closed") == [("mode_closed", told)]


async def test_endpoints_of_another_ring_do_not_keep_a_ring_s_mode_open(site, modes):
    await modes.open_(Mode.WINDOWS, "labs", "admin")
    await site.package(ring="offices")
    await modes.close(Mode.WINDOWS, "labs", "admin", despite_endpoints=False)
    assert open_for(site, "labs") == {Mode.OAUTH}


async def test_anonymous_is_not_opened_by_hand(modes):
    with pytest.raises(ConflictError, match="recovery window"):
        await modes.open_(Mode.ANONYMOUS, "", "admin")


async def test_a_server_without_mechanisms_opens_no_windows_mode(site):
    modes = ModeService(site.live, site.database, (), lambda: "", site.clock)
    with pytest.raises(ConflictError, match="authenticate no Windows logon"):
        await modes.open_(Mode.WINDOWS, "", "admin")
    assert open_for(site) == {Mode.OAUTH}
