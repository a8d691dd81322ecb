"""The filter language: what is understood, and how mistakes are reported."""

from __future__ import annotations

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from storage import errors
from storage.query import grammar
from storage.query.grammar import And, Equals, Exists, Expression, InRange, Not, Or, Phrase, Value
from storage.query.value_ranges import Range
from storage.search import tokenizer
from tests import life


def parsed(text: str) -> Expression:
    return grammar.parse(text, life.NOW)


def refused(text: str) -> errors.BadQuery:
    with pytest.raises(errors.BadQuery) as refusal:
        parsed(text)
    return refusal.value


def says(*words: str, open_ended: bool = False) -> Phrase:
    return Phrase(tokenizer.Phrase(words, open_ended))


FAILED = Equals("status", (Value("failed"),))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", grammar.EVERYTHING),
        ("  \n ", grammar.EVERYTHING),
        ("status:failed", FAILED),
        ("status:failed,lost", Equals("status", (Value("failed"), Value("lost")))),
        ("model:anthropic/*", Equals("model", (Value("anthropic/", is_prefix=True),))),
        ('agent:"a,b (c)*"', Equals("agent", (Value("a,b (c)*"),))),
        (r'agent:"a\"b\\c"', Equals("agent", (Value('a"b\\c'),))),
        ("agent:*", Equals("agent", (Value("", is_prefix=True),))),
        ("tag.client:acme", Equals("tag.client", (Value("acme"),))),
        ("tool:webfetch", Equals("tool", (Value("webfetch"),))),
        ("cost:>0.50", InRange("cost", (Range(low=500_000, excludes_low=True),))),
        ("duration:>2m", InRange("duration", (Range(low=120_000, excludes_low=True),))),
        ("tokens:>=10k", InRange("tokens", (Range(low=10_000),))),
        ("cost:1,2", InRange("cost", (Range(1_000_000, 1_000_000), Range(2_000_000, 2_000_000)))),
        ("created:>-7d", InRange("created", (Range(low=life.NOW - timedelta(days=7), excludes_low=True),))),
        ("has:failure_reason", Exists("failure_reason")),
        ("has:output,tag.x", Or((Exists("output"), Exists("tag.x")))),
        ("lease", says("lease")),
        ("Ünïcode", says("unicode")),
        ("e-mail", says("e", "mail")),
        ('"force  MAJEURE"', says("force", "majeure")),
        ("leas*", says("leas", open_ended=True)),
        ('"force maj"*', says("force", "maj", open_ended=True)),
        ("-lease", Not(says("lease"))),
        ("--lease", Not(Not(says("lease")))),
        ("lease status:failed", And((says("lease"), FAILED))),
        ("lease OR rent", Or((says("lease"), says("rent")))),
        ("a b OR c", Or((And((says("a"), says("b"))), says("c")))),
        ("a (b OR c)", And((says("a"), Or((says("b"), says("c")))))),
        ("-(a b)", Not(And((says("a"), says("b"))))),
        ("(status:failed)OR(lease)", Or((FAILED, says("lease")))),
        ("or ORDER", And((says("or"), says("order")))),
    ],
)
def test_a_question_is_understood(text: str, expected: Expression) -> None:
    assert parsed(text) == expected


@pytest.mark.parametrize(
    ("text", "position", "said", "meant"),
    [
        ("lease stauts:x", 6, "did you mean status", "status"),
        ("foo:bar", 0, 'put it in "quotes"', None),
        ("http://example.com", 0, 'put it in "quotes"', None),
        ("tag.:x", 5, "is not a filter name", "tag."),
        ("status:faild", 7, "did you mean failed", "failed"),
        ("status:x", 7, "it is one of accepted", None),
        ("settled_by:watchr", 11, "did you mean watcher", "watcher"),
        ("has:outpt", 4, "did you mean output", "output"),
        ("x cost:much", 7, "write 0.50", None),
        ("duration:2x", 9, "write 90s", None),
        ("created:yesterday", 8, "write 2026-11-23", None),
        ("tokens:many", 7, "write 10000", None),
        ("status:", 7, "a value is missing", None),
        ("status:failed,", 14, "a value is missing", None),
        ('a "b c', 2, "never closed", None),
        ("a (b", 2, "never closed", None),
        ("a b)", 3, "no matching (", None),
        ("a ()", 2, "these parentheses are empty", None),
        ("a OR", 4, "OR needs a term", None),
        ("OR a", 4, "OR needs a term", None),
        ("a -", 2, "directly before", None),
        ("- a", 0, "directly before", None),
        ("-\u00a0a", 0, "directly before", None),
        ("a OR\u2028", 5, "OR needs a term", None),
        ("agent:" + "a," * 101, 206, "more than 100 terms", None),
        ("cost:..", 5, "has neither end", None),
        ("a !?", 2, "no word", None),
        ("a *", 2, "no word", None),
        ('"' + "w " * 17 + '"', 0, "16 words at most", None),
        ("(" * 30 + "a", 21, "more than 20 deep", None),
        ("-" * 30 + "a", 21, "more than 20 deep", None),
        ("a " * 101, 200, "more than 100 terms", None),
        ("a" * 4001, 4000, "longer than 4000", None),
    ],
)
def test_a_mistake_is_reported_with_its_position(text: str, position: int, said: str, meant: str | None) -> None:
    refusal = refused(text)
    assert (refusal.position, refusal.suggestion) == (position, meant)
    assert said in str(refusal)


WORDS = st.sampled_from(["status:failed", "cost:>1", "tag.a:b", "OR", "has:output", "x:", "lease", *'()-" :,*\\'])


@given(st.lists(WORDS, max_size=30).map("".join) | st.lists(WORDS, max_size=30).map(" ".join) | st.text())
def test_whatever_is_asked_is_understood_or_refused_at_a_place_in_it(text: str) -> None:
    assert 0 <= _refused_at(text) <= len(text)


def _refused_at(text: str) -> int:
    try:
        parsed(text)
    except errors.BadQuery as refusal:
        return refusal.position
    return 0


def test_parts_that_ask_for_nothing_are_left_out() -> None:
    assert grammar.all_of(None, grammar.EVERYTHING, FAILED) == FAILED
    assert grammar.all_of() == grammar.EVERYTHING
