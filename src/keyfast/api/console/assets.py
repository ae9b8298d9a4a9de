"""Style, scripts and icons of the console, from memory. Their URLs carry their digest, so they never go stale."""

import hashlib
from dataclasses import dataclass
from importlib import resources
from importlib.resources.abc import Traversable

from starlette.requests import Request
from starlette.responses import Response

PREFIX = "/static"
_FOREVER = "public, max-age=31536000, immutable"
_TYPES = {
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
}
_DIGEST_CHARS = 16


@dataclass(frozen=True, slots=True)
class Asset:
    """One file: its bytes, its media type, and the URL under which it is served."""

    content: bytes
    media_type: str
    url: str


class Assets:
    """All files of ``static`` that a browser asks for, by their names there."""

    def __init__(self) -> None:
        self._by_name = dict(_found(resources.files("keyfast.api.console").joinpath("static"), ""))
        self._by_url = {asset.url: asset for asset in self._by_name.values()}

    def url(self, name: str) -> str:
        """Return the URL of a file; raises KeyError for one that is not there."""
        return self._by_name[name].url

    async def serve(self, request: Request) -> Response:
        """``GET /static/{digest}/{name}``."""
        asset = self._by_url.get(request.url.path)
        if asset is None:
            return Response("there is nothing here", 404, media_type="text/plain")
        return Response(asset.content, headers={"cache-control": _FOREVER}, media_type=asset.media_type)


def _found(folder: Traversable, above: str) -> "list[tuple[str, Asset]]":
    found: list[tuple[str, Asset]] = []
    for entry in folder.iterdir():
        name = f"{above}{entry.name}"
        if entry.is_dir():
            found += _found(entry, f"{name}/")
        elif (media_type := _TYPES.get(f".{entry.name.rpartition('.')[2]}")) is not None:
            content = entry.read_bytes()
            digest = hashlib.sha256(content).hexdigest()[:_DIGEST_CHARS]
            found.append((name, Asset(content, media_type, f"{PREFIX}/{digest}/{name}")))
    return found
