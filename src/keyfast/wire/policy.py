"""Messages of the admin API about the policy that endpoints follow."""

from typing import Annotated

import msgspec
from msgspec import Meta

from keyfast.wire import limits
from keyfast.wire.admin import View


class PolicyView(View, frozen=True):
    """The policy in force. Times are unix seconds.

    Attributes:
        version: rises with every change.
        check_in_interval_s: mean time between the check-ins of an endpoint.
        since: when it came into force.
        endpoints: that follow it, as the last roll call counted them.
        check_ins_per_second: what they come to together, evenly spread.
    """

    version: int
    check_in_interval_s: int
    since: int
    endpoints: int
    check_ins_per_second: float


class PolicyOrder(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What is to be in force.

    Attributes:
        check_in_interval_s: mean time between the check-ins of an endpoint, in seconds.
    """

    check_in_interval_s: Annotated[int, Meta(ge=limits.MIN_INTERVAL, le=limits.MAX_INTERVAL)]
