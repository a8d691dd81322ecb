"""Passages: short parts of long texts, each made when it is asked for."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice

from storage import passages, states

PART = states.Part.OUTPUT


def test_passages_overlap_so_that_any_phrase_stands_in_one_of_them() -> None:
    told = [f"w{number}" for number in range(1000)]
    found = list(passages.of([(PART, None, " ".join(told))]))
    assert [list(each.words) for each in found] == [told[at : at + 255] for at in range(0, 1000, 240)]
    assert all(" ".join(told)[each.start : each.stop].split() == each.words for each in found)


def test_a_text_of_as_many_words_as_a_passage_has_is_one() -> None:
    text = "word " * passages.SPAN
    found = passages.of([(PART, None, text), (PART, None, text + "more")])
    assert [len(each.words) for each in found] == [255, 255, 16]


def test_of_a_text_no_more_is_read_than_is_asked_for() -> None:
    def said() -> Iterator[tuple[states.Part, int | None, str]]:
        yield PART, None, "word " * 500
        raise AssertionError("nobody asked for the next text")

    assert len(list(islice(passages.of(said()), 2))) == 2


def test_names_of_an_object_are_read_in_order_however_many_there_are() -> None:
    names = [f"{number * 7919 % 50_000:05}" for number in range(50_000)]
    told = passages.flat(dict.fromkeys(names, 1))
    assert told == "\n".join(f"{name}\n1" for name in sorted(names))
