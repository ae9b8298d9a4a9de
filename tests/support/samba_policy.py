"""Password policies in the directory's own terms: periods are negative counts of 100 ns."""

from collections.abc import Mapping

SECOND = 10_000_000
DAY = 86_400
_DEFAULTS: dict[str, float] = {
    "max_age_days": 42,
    "min_age_days": 0,
    "min_length": 7,
    "history": 24,
    "lockout_threshold": 5,
    "lockout_minutes": 30,
    "precedence": 10,
}


def domain_policy(settings: Mapping[str, float]) -> dict[str, object]:
    """The attributes of the domain for some of: max_age_days, min_age_days, min_length, history, lockout_threshold
    and lockout_minutes (lock and counter alike). Samba takes a max_age_days of 1 or less as "never".
    """
    values: dict[str, object] = {}
    for name, value in settings.items():
        match name:
            case "max_age_days":
                values["maxPwdAge"] = _period(value * DAY)
            case "min_age_days":
                values["minPwdAge"] = _period(value * DAY)
            case "min_length":
                values["minPwdLength"] = int(value)
            case "history":
                values["pwdHistoryLength"] = int(value)
            case "lockout_threshold":
                values["lockoutThreshold"] = int(value)
            case "lockout_minutes":
                values["lockoutDuration"] = values["lockOutObservationWindow"] = _period(value * 60)
            case _:
                raise ValueError(f"unknown setting {name!r}")
    return values


def password_settings(settings: Mapping[str, float], applies_to: str) -> dict[str, list[str]]:
    """The attributes of a password settings object for one account: the names above, and ``precedence``."""
    if unknown := settings.keys() - _DEFAULTS.keys():
        raise ValueError(f"unknown settings {sorted(unknown)}")
    chosen = _DEFAULTS | dict(settings)
    values = {
        "objectClass": "msDS-PasswordSettings",
        "msDS-PasswordSettingsPrecedence": int(chosen["precedence"]),
        "msDS-PasswordReversibleEncryptionEnabled": "FALSE",
        "msDS-PasswordComplexityEnabled": "TRUE",
        "msDS-PasswordHistoryLength": int(chosen["history"]),
        "msDS-MinimumPasswordLength": int(chosen["min_length"]),
        "msDS-MinimumPasswordAge": _period(chosen["min_age_days"] * DAY),
        "msDS-MaximumPasswordAge": _period(chosen["max_age_days"] * DAY),
        "msDS-LockoutThreshold": int(chosen["lockout_threshold"]),
        "msDS-LockoutObservationWindow": _period(chosen["lockout_minutes"] * 60),
        "msDS-LockoutDuration": _period(chosen["lockout_minutes"] * 60),
        "msDS-PSOAppliesTo": applies_to,
    }
    return {name: [str(value)] for name, value in values.items()}


def _period(seconds: float) -> int:
    return -int(seconds * SECOND)
