"""The vendored scripts are those of htmx 4.0.1, and templates have nothing that the policy of pages forbids."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path

import pytest

PAGES = Path(__file__).parents[2] / "receiver" / "pages"
#: The SHA-256 of files of the npm package htmx.org 4.0.1, from dist/, without their comment about a source map.
VENDORED = {
    "LICENSE-htmx": "d3d2456f76414f2456104660ebd65aff1c04cd7966b942bdabd63f3cdb316a38",
    "htmx.min.js": "a0abb04f2f45a1f89d1d4844023245537e5e6014c87b144553e0607b4cc32130",
    "hx-csp.min.js": "a7e1e6711ae6c3e50ad300fba7936cbe8d07599cdae313414a179ddd6b26e143",
    "hx-sse.min.js": "18ef2761356ec1fe0bb6d92612315b37517a7c1e9856b661c5ae81fef239d103",
}
FORBIDDEN = {
    "an inline style": r"\sstyle\s*=|<style\b",
    "an inline handler": r"\son[a-z]+\s*=",
    "a script without a nonce": r"<script(?! nonce=\"\{\{ nonce \}\}\")",
    "a value that is not escaped": r"\|\s*safe\b|autoescape false",
    "an element of htmx without a nonce": r"<(?![^<>]*hx-nonce)[a-z-]+\s[^<>]*\shx-(get|post|trigger|sse)",
}
TEMPLATES = sorted(path.relative_to(PAGES / "templates") for path in (PAGES / "templates").rglob("*.html"))


def test_each_vendored_file_has_its_recorded_hash() -> None:
    folder = PAGES / "static" / "vendor"
    assert {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in folder.iterdir()} == VENDORED


@pytest.mark.parametrize("what", FORBIDDEN)
def test_no_template_contains(what: str) -> None:
    found = [name for name in TEMPLATES if re.search(FORBIDDEN[what], (PAGES / "templates" / name).read_text())]
    assert not found
