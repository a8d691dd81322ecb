"""Passages: short parts of long texts, each made when it is asked for."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from itertools import islice

import pytest

from storage import states
from storage.search import passages, tokenizer

PART = states.Part.OUTPUT


def test_passages_overlap_so_that_any_phrase_is_in_one_of_them() -> None:
    words = [f"w{number}" for number in range(1000)]
    found = list(passages.of([(PART, None, " ".join(words))]))
    assert [list(each.words) for each in found] == [words[at : at + 255] for at in range(0, 1000, 240)]
    assert all(" ".join(words)[each.start : each.stop].split() == each.words for each in found)


def test_a_text_of_as_many_words_as_a_passage_has_is_one() -> None:
    text = "word " * passages.SPAN
    found = passages.of([(PART, None, text), (PART, None, text + "more")])
    assert [len(each.words) for each in found] == [255, 255, 16]


def test_only_the_requested_part_of_a_text_is_read() -> None:
    def said() -> Iterator[tuple[states.Part, int | None, str]]:
        yield PART, None, "word " * 500
        raise AssertionError("the next text was read")

    assert len(list(islice(passages.of(said()), 2))) == 2


def test_names_of_an_object_are_read_in_order_however_many_there_are() -> None:
    names = [f"{number * 7919 % 50_000:05}" for number in range(50_000)]
    flat = passages.flatten(dict.fromkeys(names, 1))
    assert flat == "\n".join(f"{name}\n1" for name in sorted(names))


@pytest.mark.parametrize(
    "text",
    [
        "the term of notice " * 500,
        "一二三四五" * 400,
        "\N{ARABIC LIGATURE SALLALLAHOU ALAYHE WASALLAM}" * 400,  # four words in each character
        "x" * (tokenizer.PIECE + 100) + " the end" * 300,
        "Maß um Maß, 重跑gen-itgc后 " * 300,
    ],
)
def test_a_text_that_is_continued_has_the_same_passages_as_one_that_is_read_again(text: str) -> None:
    whole = list(passages.of([(PART, None, text), (PART, 1, "behind")]))
    assert len(whole) > 2
    for at, each in enumerate(whole[:-1]):
        said = iter([(PART, None, text), (PART, 1, "behind")])
        assert list(passages.after(said, each.start)) == whole[at + 1 :]


@pytest.mark.parametrize("count", [1, 240, 254, 255, 256, 495, 496, 1000])
@pytest.mark.parametrize(("between", "word"), [(" ", "W"), (", (", "É"), ("\n", "w")])
def test_a_text_that_is_split_at_once_has_the_passages_of_any_other(count: int, between: str, word: str) -> None:
    text = between + between.join(f"{word}{at}" * (1 + at % 40) for at in range(count)) + between
    long, one_by_one = text + "." * passages.SHORT, text + "." * passages.SHORT + "\N{COMBINING ACUTE ACCENT}"
    assert (tokenizer.fold(long) is None, tokenizer.fold(one_by_one) is None) == (False, True)
    whole = list(passages.of([(PART, None, long)]))
    assert whole == list(passages.of([(PART, None, one_by_one)]))
    for start in (start for each in whole[:-1] for start in (each.start, each.start + 1)):
        rest = [list(passages.after(iter([(PART, None, each)]), start)) for each in (long, one_by_one)]
        assert rest[0] == rest[1]


def test_what_is_indexed_at_once_is_bounded_and_nothing_is_left_out() -> None:
    def waiting(seq: int, count: int) -> passages.QueuedRun:
        made = [passages.Passage(PART, None, at, at + 1, ["word"]) for at in range(count)]
        return passages.QueuedRun(seq, 1, datetime(2026, 11, 1, tzinfo=UTC), made)

    batch = [waiting(seq, count) for seq, count in ((1, 3), (2, 0), (3, 25), (4, 1))]
    found = list(passages.slices(batch, 10))
    assert [[(each.run_seq, each.first, each.are_last) for each in piece] for piece in found] == [
        [(1, 0, True), (2, 0, True)],
        [(3, 0, False)],
        [(3, 10, False)],
        [(3, 20, True), (4, 0, True)],
    ]
    assert [
        passage.start for piece in found for each in piece if each.run_seq == 3 for passage in each.passages
    ] == [*range(25)]


@pytest.mark.parametrize("value", [{"b": [1, 2.5, None, True], "a": "Maß"}, "text", [[]] * 50])
def test_a_long_json_value_says_the_same_as_a_short_one(value: object) -> None:
    short = json.dumps(value)
    assert passages.parse_json(short + " " * passages.PARSED) == passages.parse_json(short) == value


def test_a_long_value_that_nests_deeper_than_python_goes_is_read_all_the_same() -> None:
    deep = "[" * 900 + "]" * 900
    assert passages.parse_json(deep + " " * passages.PARSED) == json.loads(deep)
    assert passages.parse_json("[" * passages.PARSED * 2) == "[" * passages.PARSED * 2
