"""Markdown as safe HTML: no markup of the author's, no pictures, links that tell the other site nothing. Pure."""

from __future__ import annotations

import functools
from collections.abc import Sequence

import markupsafe
import nh3
from markdown_it import MarkdownIt
from markdown_it.token import Token

#: The characters that are rendered; the rest of a longer text is to be read raw.
MOST = 60_000
_TAGS = {
    *("p", "br", "hr", "h2", "h3", "h4", "h5", "h6", "em", "strong", "s", "code", "pre", "blockquote"),
    *("ul", "ol", "li", "a", "table", "thead", "tbody", "tr", "th", "td"),
}
_ATTRIBUTES = {"a": {"href", "title"}, "ol": {"start"}, "th": {"class"}, "td": {"class"}}
_DEEPEST = 6


def render(text: str) -> markupsafe.Markup:
    """Return the beginning of a text as HTML. The parser escapes markup, the cleaner lets only ours pass."""
    parser = _parser()
    tokens = parser.parse(text[:MOST])
    _adapt(tokens)
    cleaned = nh3.clean(
        parser.renderer.render(tokens, parser.options, {}),
        tags=_TAGS,
        attributes=_ATTRIBUTES,
        url_schemes={"http", "https", "mailto"},
        link_rel="noopener noreferrer nofollow",
    )
    return markupsafe.Markup(cleaned)  # nh3 made it


@functools.cache
def _parser() -> MarkdownIt:
    """Return the parser. A picture stays a link, since a page loads nothing of another host."""
    made = MarkdownIt("commonmark", {"html": False, "linkify": False})
    return made.enable(["table", "strikethrough"]).disable("image")


def _adapt(tokens: Sequence[Token]) -> None:
    """Put headings below those of the page, and numbers of tables to the right by a class in place of a style."""
    for token in tokens:
        if token.type in {"heading_open", "heading_close"}:
            token.tag = f"h{min(int(token.tag[1]) + 1, _DEEPEST)}"
        elif token.type in {"th_open", "td_open"} and token.attrs.pop("style", "") == "text-align:right":
            token.attrs["class"] = "num"
