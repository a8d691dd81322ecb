"""Tags as people write them in a form: one a line, as `client=tidewater`."""

from __future__ import annotations

from collections.abc import Mapping


def tags(text: str) -> dict[str, str]:
    """Return the tags of a text; the last of several values counts.

    >>> tags("client = tidewater\\n\\nmatter=7")
    {'client': 'tidewater', 'matter': '7'}
    """
    return {key: value or "" for key, value in changes(text).items()}


def changes(text: str) -> dict[str, str | None]:
    """Return the tags to set and, with None, those to remove: a line without `=` names one.

    >>> changes("client=tidewater\\nenv")
    {'client': 'tidewater', 'env': None}
    """
    pairs = [line.partition("=") for line in text.splitlines() if line.strip()]
    return {key.strip(): value.strip() if is_set else None for key, is_set, value in pairs}


def text(tags: Mapping[str, str]) -> str:
    """Return tags as the text of a form."""
    return "\n".join(f"{key}={value}" for key, value in sorted(tags.items()))
