"""What decides in the model: functions of keyfast.core and keyfast.agent, each of which a variant may swap.

The flags stand for what is not one function: order of writes, what is kept. True is as designed.
"""

from collections.abc import Callable
from dataclasses import dataclass

from keyfast.agent import recovery as agent_recovery
from keyfast.core import access, change, check_in, logon, recovery


@dataclass(frozen=True)
class Rules:
    """The rules in force."""

    takes: Callable = change.takes
    keeps_order: Callable = change.keeps_order
    after_probe: Callable = change.after_probe
    after_check_in: Callable = change.after_check_in
    after_failed_visit: Callable = change.after_failed_visit
    has_worked: Callable = change.has_worked
    may_erase: Callable = change.may_erase
    heard_epoch: Callable = change.heard_epoch
    access_for: Callable = access.access_for
    change_for: Callable = access.change_for
    offer: Callable = logon.offer
    check_in: Callable = check_in.judge
    recover: Callable = recovery.judge
    vouches: Callable = recovery.vouches
    asks_after: frozenset = agent_recovery.REFUSED
    without_guards: frozenset = frozenset()
    probes: bool = True
    receipts: bool = True
    idempotent_registration: bool = True
    server_keeps_older_keys: bool = True
    endpoint_keeps_older_keys: bool = True
    keeps_what_is_refused: bool = True
    keeps_keys_when_unknown: bool = True
    flushes_before_flip: bool = True
    stops_destroying: bool = True
    server_notices: bool = True
    resyncs: bool = True
    targets_newest: bool = True
    statements_expire: bool = True
