"""Markdown as safe HTML: no markup of the author's, no pictures, links without a referrer. Pure."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass, field

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


def plain(text: str) -> str:
    """Return the beginning of a text as it reads: its words in lines, without the marks of Markdown.

    >>> plain("# Opinion\\n\\nThe lease is **void**.\\n\\n- Notice was `late`.")
    'Opinion\\n\\nThe lease is void.\\n\\n• Notice was late.'
    """
    reading = _Reading()
    for token in _parser().parse(text[:MOST]):
        reading.take(token)
    return "\n".join(reading.lines).strip()


@dataclass(slots=True)
class _Reading:
    """The lines that were read. `lists` has the next number of each open list, 0 for one without numbers."""

    lines: list[str] = field(default_factory=list)
    lists: list[int] = field(default_factory=list)
    mark: str = ""
    cells: list[str] | None = None

    def take(self, token: Token) -> None:
        match token.type:
            case "bullet_list_open":
                self.lists.append(0)
            case "ordered_list_open":
                self.lists.append(int(token.attrs.get("start", 1)))
            case "list_item_open":
                number = self.lists[-1]
                self.mark = "  " * (len(self.lists) - 1) + (f"{number}. " if number else "• ")
                self.lists[-1] += bool(number)
            case "bullet_list_close" | "ordered_list_close":
                self.lists.pop()
                self._end_block()
            case "tr_open":
                self.cells = []
            case "tr_close":
                self.lines.append(" | ".join(self.cells or ()))
                self.cells = None
            case "inline" if self.cells is not None:
                self.cells.append(_words(token))
            case "inline":
                self.lines.append(self.mark + _words(token))
                self.mark = " " * len(self.mark)
            case "fence" | "code_block":
                self.lines += token.content.splitlines()
                self._end_block()
            case "hr":
                self.lines.append("———")
                self._end_block()
            case "paragraph_close" | "heading_close" | "table_close":
                self._end_block()

    def _end_block(self) -> None:
        """Add an empty line; lists have none between their elements."""
        if not self.lists:
            self.mark = ""
            self.lines.append("")


def _words(inline: Token) -> str:
    """Return the text of a line, with the address of a link behind its words."""
    said, address = [], ""
    for token in inline.children or ():
        match token.type:
            case "softbreak":
                said.append(" ")
            case "hardbreak":
                said.append("\n")
            case "link_open":
                address = str(token.attrs.get("href", ""))
            case "link_close":
                said.append(f" ({address})" if address != "".join(said[-1:]) else "")
            case _:
                said.append(token.content)
    return "".join(said)


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
