"""What storage alone costs: the check-in writer at a given rate, without HTTP, TLS and proofs.

``python -m benchmarks.storage URL RATE SECONDS ENDPOINTS FIRST_SEQ [--nothing]``; with ``--nothing`` the same
loop hands its check-ins to nobody, so that the difference of two runs is the writer. Prints START, END and
a line of JSON, like the load generator.
"""

import argparse
import asyncio
import hashlib
import json
import random
import time
from collections.abc import Awaitable, Callable

import uvloop

from benchmarks import fleet
from keyfast.core.check_in import Accepted, Report
from keyfast.store.writer import CheckIn, open_writer

WARM_S = 1.0
Submit = Callable[[CheckIn], Awaitable[object]]


async def _nothing(_check_in: CheckIn) -> object:
    return Accepted


def _check_in(index: int, endpoints: int, seq: int, now: int) -> CheckIn:
    number = index * fleet.STRIDE % endpoints
    digest = hashlib.sha256(b"%d" % index).digest()
    return CheckIn(
        endpoint_id=fleet.endpoint_text(number),
        report=Report(
            seq=seq + index // endpoints,
            digest=digest,
            acked=digest[::-1],
            inventory_digest=hashlib.sha256(fleet.inventory(number)).digest(),
            inventory_enclosed=False,
            token_issued_at=now,
        ),
        seen_at=now,
        next_due=now + 900,
        verified_at=now,
        boot_id=fleet.BOOT_ID,
        instance=fleet.INSTANCE,
        address="192.0.2.17",
        agent_version="0.1.0",
        profile_seq=1,
        credential_generation=0,
        policy_version=1,
        clock_offset=0,
        failures=0,
        last_refusal="",
        inventory=None,
        hostname="",
    )


async def _run(submit: Submit, check_ins: list[CheckIn], rate: float) -> tuple[int, int]:
    """Submit at Poisson times; return how many were accepted in the window, and how many were not."""
    chance = random.Random(1)  # noqa: S311 - arrival times
    loop = asyncio.get_running_loop()
    begin = due = loop.time()
    tasks, counted, warm = [], 0, True
    for check_in in check_ins:
        due += chance.expovariate(rate)
        if warm and due - begin > WARM_S:
            warm = False
            print("START", flush=True)
        if due > loop.time():
            await asyncio.sleep(due - loop.time())
        tasks.append(asyncio.ensure_future(submit(check_in)))
        counted += not warm
    outcomes = await asyncio.gather(*tasks)
    print("END", flush=True)
    bad = sum(not (outcome is Accepted or isinstance(outcome, Accepted)) for outcome in outcomes)
    return counted, bad


async def main() -> None:
    """Run once and report."""
    parser = argparse.ArgumentParser()
    parser.add_argument("url")
    parser.add_argument("rate", type=float)
    parser.add_argument("seconds", type=float)
    parser.add_argument("endpoints", type=int)
    parser.add_argument("first_seq", type=int)
    parser.add_argument("--nothing", action="store_true")
    asked = parser.parse_args()
    count, now = int(asked.rate * (asked.seconds + WARM_S)), int(time.time())
    check_ins = [_check_in(index, asked.endpoints, asked.first_seq, now) for index in range(count)]
    writer = await open_writer(asked.url)
    counted, bad = await _run(_nothing if asked.nothing else writer.submit, check_ins, asked.rate)
    await writer.close()
    print(json.dumps({"answered": counted, "bad": bad}), flush=True)


if __name__ == "__main__":
    uvloop.run(main())
