"""Every rule, family by family, in the order in which a check-in passes them."""

from keyfast.core.diagnosis import account, forecast, machine, mode, policy, reach, record, refusals, status, tls, token
from keyfast.core.diagnosis.rule import Rule

FAMILIES: dict[str, tuple[Rule, ...]] = {
    "machine": machine.RULES,
    "reach": reach.RULES,
    "tls": tls.RULES,
    "status": status.RULES,
    "mode": mode.RULES,
    "account": account.RULES,
    "forecast": forecast.RULES,
    "token": token.RULES,
    "record": record.RULES,
    "policy": policy.RULES,
    "refusals": refusals.RULES,
}
RULES: tuple[Rule, ...] = tuple(rule for rules in FAMILIES.values() for rule in rules)
