"""How pages say things: moments, sizes, states and their colours. Pure but for the calendar."""

from datetime import UTC, datetime

from keyfast.core.visible import visible

LONGEST = 4096
MINUTE, HOUR, DAY = 60, 3600, 86_400

GOOD = frozenset(
    {
        "active",
        "good",
        "resolved",
        "healthy",
        "open",
        "ready",
        "done",
        "proven",
        "verified",
        "applied",
        "protected",
        "on",
        "current",
    }
)
WARN = frozenset(
    {
        "building",
        "given_up",
        "later",
        "recovering",
        "canary",
        "checking",
        "clone_suspect",
        "draft",
        "draining",
        "expires_soon",
        "account_expires_soon",
        "lagging",
        "must_change",
        "outdated",
        "paused",
        "pending",
        "reached",
        "refused",
        "rolling",
        "rolling_back",
        "running",
        "silent",
        "unknown",
        "waiting",
        "warning",
    }
)
BAD = frozenset(
    {
        "bad",
        "cause",
        "disabled",
        "emergency",
        "expired",
        "exposed",
        "failed",
        "locked",
        "missing",
        "changed",
        "off",
        "outage",
        "reverted",
        "revoked",
        "unreached",
        "unreadable",
        "account_expired",
    }
)
TITLES = {
    "oauth": "Move to OAuth",
    "account": "Move to another account",
    "device-key": "By their device keys",
    "restore": "Restore the old password",
    "window": "Open a recovery window",
    "package": "Install a new package",
}
"""Ways out in words."""
INSTALL = {
    "bundle": "tar -xzf {} && sh keyfast-agent/install.sh",
    "deb": "apt-get install ./{}",
    "rpm": "dnf install ./{}",
    "msi": "msiexec /i {} /qn",
    "pkg": "installer -pkg {} -target /",
}
"""What installs each kind of package, with a place for its file."""


def colour(state: str) -> str:
    """Return the class of a badge: ``good``, ``warn``, ``bad`` or nothing."""
    return next((name for name, known in (("good", GOOD), ("warn", WARN), ("bad", BAD)) if state in known), "")


def plainly(state: str) -> str:
    """Return a name of the program as a person reads it."""
    return visible(state, LONGEST).replace("_", " ").replace("-", " ")


def sentence(text: str) -> str:
    """Return a sentence of the program with a capital letter."""
    return visible(text[:1].upper() + text[1:], LONGEST)


def titled(name: str) -> str:
    """Return a name of the program as a heading."""
    return TITLES.get(name, sentence(plainly(name)))


def moment(at: float) -> str:
    """Return a moment in UTC, to the minute."""
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%d %H:%M") + " UTC"


def iso(at: float) -> str:
    """Return a moment for machines."""
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def span(seconds: float) -> str:
    """Return a length of time in its two largest units."""
    whole = int(abs(seconds))
    units = ((DAY, "d"), (HOUR, "h"), (MINUTE, "min"), (1, "s"))
    for place, (size, name) in enumerate(units):
        if whole >= size:
            rest = whole % size
            lower = units[place + 1] if place + 1 < len(units) else None
            tail = f" {rest // lower[0]} {lower[1]}" if lower and rest // lower[0] and whole < 3 * size else ""
            return f"{whole // size} {name}{tail}"
    return "0 s"


def ago(at: float, now: float) -> str:
    """Return how long a moment has passed, or is ahead."""
    if abs(now - at) < 1:
        return "now"
    return f"{span(now - at)} ago" if at < now else f"in {span(at - now)}"


def size(octets: int) -> str:
    """Return a size in decimal units, as disks are sold."""
    amount = float(octets)
    for unit in ("B", "kB", "MB", "GB"):
        if amount < 1000:  # noqa: PLR2004 - what a unit is
            return f"{amount:.0f} {unit}" if unit == "B" or amount >= 10 else f"{amount:.1f} {unit}"  # noqa: PLR2004
        amount /= 1000
    return f"{amount:.1f} TB"
