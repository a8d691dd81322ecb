"""Recognise texts that are a picture or another file in base64, by their content. Pure."""

from __future__ import annotations

import base64
import binascii
import re
from dataclasses import dataclass

#: The least characters of base64 without a known beginning, and of one with it.
_LEAST_UNKNOWN, _LEAST_KNOWN = 512, 64
#: The least different characters of base64: more than hexadecimal digits, or lower-case words with digits and two
#: punctuation marks, have.
_VARIED = 38
#: The characters that are read: enough for the dimensions of a picture.
_HEAD = 1 << 16
#: The largest pictures that are shown, in bytes and in pixels: a small file may declare millions.
SHOWN_BYTES, SHOWN_PIXELS = 8 << 20, 40_000_000
_DATA_URL = re.compile(r"data:([\w.+-]{1,40}/[\w.+-]{1,60})?(?:;[\w=.+-]{1,40}){0,3};base64,", re.ASCII)
# Possessive quantifiers (`++`) never go back: on 64 KiB of line breaks that would take half a minute.
_BASE64 = re.compile(r"[A-Za-z0-9+/_\-\r\n]++={0,2}[\r\n]*+", re.ASCII)
_RUN = re.compile(r"(?<![A-Za-z0-9+/])[A-Za-z0-9+/]{512,}+={0,2}", re.ASCII)
_SIGNATURES: tuple[tuple[bytes, str], ...] = (
    (b"\x89PNG\r\n\x1a\n", "image/png"),
    (b"\xff\xd8\xff", "image/jpeg"),
    (b"GIF87a", "image/gif"),
    (b"GIF89a", "image/gif"),
    (b"%PDF-", "application/pdf"),
    (b"PK\x03\x04", "application/zip"),
    (b"\x1f\x8b\x08", "application/gzip"),
    (b"II*\x00", "image/tiff"),
    (b"MM\x00*", "image/tiff"),
    (b"OggS", "audio/ogg"),
    (b"ID3", "audio/mpeg"),
)
#: The types of pictures that a browser may show: none of them can run a script.
PICTURES = frozenset({"image/png", "image/jpeg", "image/gif", "image/webp"})

#: The types whose second word is the ending of a file's name.
NAMED = PICTURES | {"application/pdf", "application/zip", "image/tiff", "audio/ogg"}


@dataclass(frozen=True, slots=True)
class Blob:
    """A file in base64: its type as its first bytes say, its size, and the dimensions of a picture."""

    media_type: str
    size: int
    width: int | None = None
    height: int | None = None

    @property
    def is_picture(self) -> bool:
        """Return whether a browser may show it: a known kind of picture of a bearable size."""
        is_known = self.media_type in PICTURES and self.width is not None and self.height is not None
        return is_known and self.size <= SHOWN_BYTES and (self.width or 0) * (self.height or 0) <= SHOWN_PIXELS


def recognise(text: str) -> Blob | None:
    """Return the file that a text contains in base64; None for any other text. Only its beginning is read."""
    if len(text) < _LEAST_KNOWN:
        return None
    claimed = _DATA_URL.match(text[:200])
    start = claimed.end() if claimed else 0
    sample = text[start : start + _HEAD]
    if not _BASE64.fullmatch(sample):
        return None
    head = _decoded(sample)
    found = _media_type(head)
    if found is None and not claimed and (len(text) < _LEAST_UNKNOWN or len(set(sample)) <= _VARIED):
        return None
    padding = text[-2:].count("=")
    size = (len(text) - start) * 3 // 4 - padding
    width, height = _dimensions(head, found)
    return Blob(found or "application/octet-stream", size, width, height)


def without_files(text: str) -> str:
    """Return a text with the size of each file in place of its base64."""
    return _RUN.sub(_size, text)


def _size(run: re.Match[str]) -> str:
    blob = recognise(run[0])
    return run[0] if blob is None else f"⟨{blob.media_type}, {blob.size:,} bytes as base64⟩"


def decode(text: str) -> bytes:
    """Return the bytes of a text that `recognise` found to be a file. Raise ValueError for any other."""
    claimed = _DATA_URL.match(text[:200])
    plain = text[claimed.end() if claimed else 0 :].translate(_STANDARD)
    return base64.b64decode(plain + "=" * (-len(plain) % 4), validate=True)


def _decoded(sample: str) -> bytes:
    plain = sample.translate(_STANDARD).rstrip("=")
    try:
        return base64.b64decode(plain[: len(plain) // 4 * 4])
    except binascii.Error:
        return b""


_STANDARD = str.maketrans("-_", "+/", "\r\n")


def _media_type(head: bytes) -> str | None:
    if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        return "image/webp"
    return next((name for signature, name in _SIGNATURES if head.startswith(signature)), None)


def _dimensions(head: bytes, media_type: str | None) -> tuple[int | None, int | None]:
    """Return width and height of a picture, as its header says."""
    match media_type:
        case "image/png" if len(head) >= 24:
            return int.from_bytes(head[16:20]), int.from_bytes(head[20:24])
        case "image/gif" if len(head) >= 10:
            return int.from_bytes(head[6:8], "little"), int.from_bytes(head[8:10], "little")
        case "image/jpeg":
            return _jpeg(head)
        case "image/webp" if head[12:16] == b"VP8X" and len(head) >= 30:
            return int.from_bytes(head[24:27], "little") + 1, int.from_bytes(head[27:30], "little") + 1
        case "image/webp" if head[12:16] == b"VP8 " and len(head) >= 30:
            return int.from_bytes(head[26:28], "little") & 0x3FFF, int.from_bytes(head[28:30], "little") & 0x3FFF
        case "image/webp" if head[12:16] == b"VP8L" and len(head) >= 25:
            packed = int.from_bytes(head[21:25], "little")
            return (packed & 0x3FFF) + 1, ((packed >> 14) & 0x3FFF) + 1
    return None, None


def _jpeg(head: bytes) -> tuple[int | None, int | None]:
    """Return the dimensions in the first frame header."""
    at = 2
    while at + 9 <= len(head) and head[at] == 0xFF:
        marker, length = head[at + 1], int.from_bytes(head[at + 2 : at + 4])
        if 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC):
            return int.from_bytes(head[at + 7 : at + 9]), int.from_bytes(head[at + 5 : at + 7])
        at += 2 + length
    return None, None
