"""Files in base64, recognised by their content."""

from __future__ import annotations

import base64
import hashlib

import pytest

from receiver.pages.drawing import contents

PNG = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR" + (1240).to_bytes(4) + (1754).to_bytes(4)
GIF = b"GIF89a" + (10).to_bytes(2, "little") + (20).to_bytes(2, "little")
JPEG = b"\xff\xd8\xff\xe0\0\x10JFIF" + bytes(10) + b"\xff\xc0\0\x11\x08" + (30).to_bytes(2) + (40).to_bytes(2)


def encoded(content: bytes) -> str:
    """Return content in base64, long enough to be looked at."""
    return base64.b64encode(content + bytes(300)).decode()


@pytest.mark.parametrize(
    ("content", "media_type", "size"),
    [
        (PNG, "image/png", (1240, 1754)),
        (GIF, "image/gif", (10, 20)),
        (JPEG, "image/jpeg", (40, 30)),
        (b"%PDF-1.7", "application/pdf", (None, None)),
    ],
)
def test_a_file_is_known_by_its_first_bytes(content: bytes, media_type: str, size: tuple[int, int]) -> None:
    found = contents.recognise(encoded(content))
    assert found is not None
    assert (found.media_type, (found.width, found.height)) == (media_type, size)
    assert found.size == len(content) + 300
    assert contents.decode(encoded(content)) == content + bytes(300)


def test_the_type_that_a_data_url_claims_counts_for_nothing() -> None:
    found = contents.recognise(f"data:image/png;base64,{encoded(b'<svg onload=alert(1)>')}")
    assert found is not None
    assert found.media_type == "application/octet-stream"
    assert not found.is_picture


@pytest.mark.parametrize(
    "text",
    [
        "The clause excuses delay caused by listed events. " * 40,
        hashlib.sha512(b"x").hexdigest() * 8,
        "obj_41aa0c77be",
        "lorem-ipsum/dolor_sit4" * 40,
        "",
        "A" * 63,
    ],
)
def test_a_text_stays_a_text(text: str) -> None:
    assert contents.recognise(text) is None


def test_a_picture_that_claims_too_many_points_is_not_shown() -> None:
    bomb = PNG[:16] + (2**31 - 1).to_bytes(4) * 2
    found = contents.recognise(encoded(bomb))
    assert found is not None
    assert not found.is_picture


def test_a_text_is_read_without_the_base64_in_it() -> None:
    text = f'{{"page": 1, "data": "{encoded(PNG)}", "word": "{"x" * 40}"}}'
    said = contents.without_files(text.replace(encoded(PNG), base64.b64encode(PNG + bytes(600)).decode()))
    assert said == '{"page": 1, "data": "⟨image/png, 624 bytes as base64⟩", "word": "' + "x" * 40 + '"}'


def test_a_long_text_of_line_breaks_is_looked_at_once() -> None:
    assert contents.recognise("\n" * 65_000 + "!") is None
    assert contents.without_files(("A" * 511 + " ") * 2_000).count("A") == 511 * 2_000
