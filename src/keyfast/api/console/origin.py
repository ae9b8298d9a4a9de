"""Whether a request comes from a page of the console itself. Pure: it reads headers, nothing else."""

from collections.abc import Mapping
from urllib.parse import urlsplit

SAFE_METHODS = frozenset({"GET", "HEAD"})


def comes_from_here(method: str, headers: Mapping[str, str]) -> bool:
    """Tell whether a request may change something.

    Browsers say where a request comes from, and pages cannot forge it: in ``Sec-Fetch-Site``, those before 2023
    in ``Origin`` only. Who says neither is no browser, and has no business with a cookie.
    """
    if method in SAFE_METHODS:
        return True
    site = headers.get("sec-fetch-site")
    if site is not None:
        return site == "same-origin"
    origin, host = headers.get("origin"), headers.get("host")
    return bool(host) and origin == f"https://{host}"


def local_path(text: str) -> str:
    """Return a path of the console to go on to; for everything else, other sites above all, the overview."""
    plain = text.startswith("/") and text.isascii() and text.isprintable() and " " not in text and "\\" not in text
    parts = urlsplit(text) if plain else None
    if parts is None or parts.scheme or parts.netloc or text.startswith("//"):
        return "/"
    return text
