"""Markdown as safe HTML."""

from __future__ import annotations

import re

import hypothesis
import pytest
from hypothesis import strategies

from receiver.pages.drawing import markdown


def test_a_memo_keeps_its_form_below_the_headings_of_the_page() -> None:
    made = markdown.render("# Memo\n\nThe **answer**:\n\n| a | b |\n|---|--:|\n| x | 1 |\n")
    assert "<h2>Memo</h2>" in made
    assert "<strong>answer</strong>" in made
    assert '<td class="num">1</td>' in made


@pytest.mark.parametrize(
    "text",
    [
        "<script>alert(1)</script>",
        "<img src=x onerror=alert(1)>",
        "[x](javascript:alert(1))",
        "[x](data:text/html,<script>)",
        "![p](https://evil.test/p.png)",
        "<style>*{display:none}</style>",
        '[x](https://a.test "onmouseover=alert(1)")',
        "[x]: javascript:alert(1)\n\n[x]",
    ],
)
def test_nothing_of_the_author_runs_or_is_loaded(text: str) -> None:
    made = markdown.render(text)
    assert not re.search(r"<(script|img|style|iframe|svg)|href=\"(javascript|data):|<[^>]* on\w+=", made)


def test_a_link_reveals_nothing_to_the_other_site() -> None:
    assert 'rel="noopener noreferrer nofollow"' in markdown.render("[x](https://a.test/)")


@hypothesis.given(strategies.text(alphabet="#*_`[]()<>!|-> \n\"'&;:ax", max_size=300))
def test_only_our_elements_come_out(text: str) -> None:
    allowed = "p|br|hr|h[2-6]|em|strong|s|code|pre|blockquote|ul|ol|li|a|table|thead|tbody|tr|th|td"
    for tag in re.findall(r"<[^>]*>", markdown.render(text)):
        assert re.fullmatch(rf"</?({allowed})(\s[^>]*)?>", tag)
