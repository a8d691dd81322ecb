"""Static files: the stylesheet, the scripts, the icon. Their addresses contain a hash, so browsers keep them."""

from __future__ import annotations

import functools
import gzip
import hashlib
from dataclasses import dataclass
from pathlib import Path

from starlette.responses import Response

from receiver import errors

_FOLDER = Path(__file__).parent / "static"
#: The files that are sent: each of one or more sources, in this order.
_STYLES = sorted((_FOLDER / "css").glob("*.css"))
_SCRIPTS = sorted((_FOLDER / "js").glob("*.js"))
_SOURCES = {
    "style.css": _STYLES,
    "pages.js": _SCRIPTS,
    **{f"{path.name}": [path] for path in (_FOLDER / "vendor").glob("*.js")},
    "icon.svg": [_FOLDER / "icon.svg"],
}
_TYPES = {"css": "text/css; charset=utf-8", "js": "text/javascript; charset=utf-8", "svg": "image/svg+xml"}
_HEADERS = {
    "cache-control": "public, max-age=31536000, immutable",
    "x-content-type-options": "nosniff",
    "content-security-policy": "default-src 'none'; style-src 'unsafe-inline'; sandbox",
}


@dataclass(frozen=True, slots=True)
class Asset:
    """A static file, plain and compressed. `name` contains a hash of the content."""

    name: str
    media_type: str
    body: bytes
    compressed: bytes


@functools.cache
def _all() -> dict[str, Asset]:
    return {name: _asset(name, sources) for name, sources in _SOURCES.items()}


def _asset(name: str, sources: list[Path]) -> Asset:
    body = b"\n".join(path.read_bytes() for path in sources)
    stem, _, ending = name.rpartition(".")
    digest = hashlib.sha256(body).hexdigest()[:12]
    return Asset(f"{stem}-{digest}.{ending}", _TYPES[ending], body, gzip.compress(body, 9, mtime=0))


def path(name: str) -> str:
    """Return the path of a static file below the mount point."""
    return f"/static/{_all()[name].name}"


def respond(name: str, accepted: str) -> Response:
    """Return the response with the file that has this hashed name. Raises NotFound."""
    asset = next((each for each in _all().values() if each.name == name), None)
    if asset is None:
        raise errors.NotFound("there is no such file")
    headers = {**_HEADERS, "vary": "accept-encoding"}
    if "gzip" not in accepted:
        return Response(asset.body, headers=headers, media_type=asset.media_type)
    headers["content-encoding"] = "gzip"
    return Response(asset.compressed, headers=headers, media_type=asset.media_type)
