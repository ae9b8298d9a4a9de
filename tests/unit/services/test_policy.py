"""The policy: changed for all endpoints at once, with the load it makes, and an event for each change."""

import asyncio

import pytest

from keyfast.errors import ConflictError, UsageError
from keyfast.services.policy import PolicyService
from keyfast.store import policies
from keyfast.wire.messages import Policy
from keyfast.wire.policy import PolicyOrder

HOUR = 3600


@pytest.fixture
def policy(site):
    return PolicyService(site.live, site.database, site.clock)


async def test_a_new_installation_checks_in_every_quarter_of_an_hour(policy):
    found = await policy.show()
    assert (found.version, found.check_in_interval_s) == (1, 900)


async def test_another_interval_is_another_version_and_an_event(site, policy):
    site.clock.now += 60
    found = await policy.change(PolicyOrder(HOUR), "admin")
    assert (found.version, found.check_in_interval_s, found.since) == (2, HOUR, int(site.clock.now))
    assert found == await policy.show()
    assert site.live.current.policy == Policy(version=2, check_in_interval_s=HOUR)
    detail = {"version": 2, "interval_s": HOUR, "before_s": 900, "by": "admin"}
    assert await site.events("policy_changed") == [("policy_changed", detail)]


async def test_what_is_in_force_already_is_no_change(site, policy):
    for _ in range(2):
        assert (await policy.change(PolicyOrder(HOUR), "admin")).version == 2
    assert len(await site.events("policy_changed")) == 1


@pytest.mark.parametrize("seconds", [0, 59, 86_401])
async def test_an_interval_out_of_bounds_is_refused_and_nothing_is_written(site, policy, seconds):
    with pytest.raises(UsageError, match="between 60 and 86400 seconds"):
        await policy.change(PolicyOrder(seconds), "admin")
    assert (await policy.show()).version == 1
    assert await site.events("policy_changed") == []


async def test_of_two_at_once_each_is_a_version_or_refused(site, policy):
    orders = [PolicyOrder(seconds) for seconds in (120, 180, 240)]
    done = await asyncio.gather(*(policy.change(order, "admin") for order in orders), return_exceptions=True)
    taken = [found for found in done if not isinstance(found, BaseException)]
    assert all(isinstance(found, ConflictError) for found in done if isinstance(found, BaseException))
    assert sorted(found.version for found in taken) == list(range(2, 2 + len(taken)))
    assert (await policy.show()).version == 1 + len(taken)
    assert len(await site.events("policy_changed")) == len(taken)


async def test_a_version_is_written_once(site, policy):
    await policy.change(PolicyOrder(HOUR), "admin")
    with pytest.raises(ConflictError):
        async with site.database.write() as conn:
            await policies.add(conn, Policy(version=2, check_in_interval_s=120), created_at=1)
    assert (await policy.show()).check_in_interval_s == HOUR
