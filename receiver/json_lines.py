"""JSON that every line reader takes for one line. Pure."""

from __future__ import annotations


def one_line(text: str) -> str:
    r"""Return JSON text with U+2028, U+2029 and U+0085 escaped, which some readers take for line ends.

    They occur only inside JSON strings, so the value stays the same.

    >>> one_line('"a\u2028b"') == '"a' + '\\' + 'u2028b"'
    True
    """
    return text.replace("\u2028", "\\u2028").replace("\u2029", "\\u2029").replace("\x85", "\\u0085")


def one_line_each(lines: bytes) -> bytes:
    """Return lines of JSON with the same characters escaped in each."""
    for character in "\u2028\u2029\x85":
        lines = lines.replace(character.encode(), f"\\u{ord(character):04x}".encode())
    return lines
