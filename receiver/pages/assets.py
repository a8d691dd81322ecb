"""Static files: the stylesheet, the scripts, the icon. Their addresses contain a hash, so browsers keep them."""

from __future__ import annotations

import functools
import gzip
import hashlib
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import zstandard
from starlette.responses import Response

from receiver import errors

_FOLDER = Path(__file__).parent / "static"
SCRIPTS = sorted((_FOLDER / "js").glob("*.js"))


def _read(paths: Iterable[Path]) -> list[tuple[str, bytes]]:
    """Return the folder and the content of each file."""
    return [(path.parent.name, path.read_bytes()) for path in paths]


#: The files that are sent: each of one or more sources, in this order. Extensions of htmx come after it. They are
#: read when the server starts, as the templates are, and compressed when one is first sent.
_SOURCES = {
    "style.css": _read(sorted((_FOLDER / "css").glob("*.css"))),
    "pages.js": _read(
        [
            *(_FOLDER / "vendor" / name for name in ("htmx.min.js", "hx-csp.min.js", "hx-sse.min.js")),
            *SCRIPTS,
        ]
    ),
    "icon.svg": _read([_FOLDER / "icon.svg"]),
}
_TYPES = {"css": "text/css; charset=utf-8", "js": "text/javascript; charset=utf-8", "svg": "image/svg+xml"}
#: The separator of two sources: a script may end without a semicolon.
_BETWEEN = {"css": b"\n", "js": b";\n", "svg": b""}
_HEADERS = {
    "cache-control": "public, max-age=31536000, immutable",
    "x-content-type-options": "nosniff",
    "content-security-policy": "default-src 'none'; style-src 'unsafe-inline'; sandbox",
}
#: A text in quotes, a comment, a sign that needs no space around it, other space.
_IN_STYLES = re.compile(rb"""("[^"]*"|'[^']*')|/\*.*?\*/|\s*([{};,])\s*|(\s+)""", re.DOTALL)
#: Lines that only comment, and indentation. No text of our scripts goes over several lines.
_IN_SCRIPTS = re.compile(rb"^[ \t]*(//.*\n)?|^\n", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Asset:
    """A static file, plain and by content coding, the best first. `name` contains a hash of the content."""

    name: str
    media_type: str
    body: bytes
    encoded: Mapping[str, bytes]


@functools.cache
def _all() -> dict[str, Asset]:
    return {name: _asset(name, sources) for name, sources in _SOURCES.items()}


def _asset(name: str, sources: Sequence[tuple[str, bytes]]) -> Asset:
    stem, _, ending = name.rpartition(".")
    body = _BETWEEN[ending].join(_shortened(*each) for each in sources)
    encoded = {
        "zstd": zstandard.ZstdCompressor(level=19).compress(body),
        "gzip": gzip.compress(body, 9, mtime=0),
    }
    return Asset(f"{stem}-{hashlib.sha256(body).hexdigest()[:12]}.{ending}", _TYPES[ending], body, encoded)


def _shortened(folder: str, text: bytes) -> bytes:
    """Return a source of ours without comments and indentation, another one as it is."""
    shorten = _SHORTENING.get(folder)
    return shorten(text) if shorten else text


def shortened_styles(text: bytes) -> bytes:
    """Return a stylesheet without comments, and without space that means nothing."""
    return _IN_STYLES.sub(lambda found: found[1] or found[2] or (b" " if found[3] else b""), text)


def shortened_script(text: bytes) -> bytes:
    """Return a script without lines that only comment, and without indentation."""
    return _IN_SCRIPTS.sub(b"", text)


_SHORTENING = {"css": shortened_styles, "js": shortened_script}


def path(name: str) -> str:
    """Return the path of a static file below the mount point."""
    return f"/static/{_all()[name].name}"


def respond(name: str, accepted: str) -> Response:
    """Return the response with the file that has this hashed name. Raises NotFound."""
    asset = next((each for each in _all().values() if each.name == name), None)
    if asset is None:
        raise errors.NotFound("there is no such file")
    headers = {**_HEADERS, "vary": "accept-encoding"}
    coding = next((each for each in asset.encoded if each in accepted), None)
    if coding is None:
        return Response(asset.body, headers=headers, media_type=asset.media_type)
    headers["content-encoding"] = coding
    return Response(asset.encoded[coding], headers=headers, media_type=asset.media_type)
