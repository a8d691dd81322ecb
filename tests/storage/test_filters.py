"""The filter language: what is understood, and how it is told what is not."""

from __future__ import annotations

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from storage import errors, filters
from storage.filters import All, Either, Expression, Has, Is, Not, Says, Value, Within
from storage.spans import Range
from storage.words import Phrase
from tests import life


def parsed(text: str) -> Expression:
    return filters.parse(text, life.NOW)


def refused(text: str) -> errors.BadQuestion:
    with pytest.raises(errors.BadQuestion) as refusal:
        parsed(text)
    return refusal.value


def says(*words: str, open_ended: bool = False) -> Says:
    return Says(Phrase(words, open_ended))


FAILED = Is("status", (Value("failed"),))


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("", filters.EVERYTHING),
        ("  \n ", filters.EVERYTHING),
        ("status:failed", FAILED),
        ("status:failed,lost", Is("status", (Value("failed"), Value("lost")))),
        ("model:anthropic/*", Is("model", (Value("anthropic/", open_ended=True),))),
        ('agent:"a,b (c)*"', Is("agent", (Value("a,b (c)*"),))),
        (r'agent:"a\"b\\c"', Is("agent", (Value('a"b\\c'),))),
        ("agent:*", Is("agent", (Value("", open_ended=True),))),
        ("tag.client:acme", Is("tag.client", (Value("acme"),))),
        ("tool:webfetch", Is("tool", (Value("webfetch"),))),
        ("cost:>0.50", Within("cost", (Range(low=500_000, above=True),))),
        ("duration:>2m", Within("duration", (Range(low=120_000, above=True),))),
        ("tokens:>=10k", Within("tokens", (Range(low=10_000),))),
        ("cost:1,2", Within("cost", (Range(1_000_000, 1_000_000), Range(2_000_000, 2_000_000)))),
        ("created:>-7d", Within("created", (Range(low=life.NOW - timedelta(days=7), above=True),))),
        ("has:failure_reason", Has("failure_reason")),
        ("has:output,tag.x", Either((Has("output"), Has("tag.x")))),
        ("lease", says("lease")),
        ("Ünïcode", says("unicode")),
        ("e-mail", says("e", "mail")),
        ('"force  MAJEURE"', says("force", "majeure")),
        ("leas*", says("leas", open_ended=True)),
        ('"force maj"*', says("force", "maj", open_ended=True)),
        ("-lease", Not(says("lease"))),
        ("--lease", Not(Not(says("lease")))),
        ("lease status:failed", All((says("lease"), FAILED))),
        ("lease OR rent", Either((says("lease"), says("rent")))),
        ("a b OR c", Either((All((says("a"), says("b"))), says("c")))),
        ("a (b OR c)", All((says("a"), Either((says("b"), says("c")))))),
        ("-(a b)", Not(All((says("a"), says("b"))))),
        ("(status:failed)OR(lease)", Either((FAILED, says("lease")))),
        ("or ORDER", All((says("or"), says("order")))),
    ],
)
def test_a_question_is_understood(text: str, wanted: Expression) -> None:
    assert parsed(text) == wanted


@pytest.mark.parametrize(
    ("text", "position", "said", "meant"),
    [
        ("lease stauts:x", 6, "did you mean status", "status"),
        ("foo:bar", 0, 'put it in "quotes"', None),
        ("http://example.com", 0, 'put it in "quotes"', None),
        ("tag.:x", 5, "is no name", "tag."),
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
        ("a b)", 3, "no ( that it would close", None),
        ("a ()", 2, "nothing stands in", None),
        ("a OR", 4, "OR stands between", None),
        ("OR a", 4, "OR stands between", None),
        ("a -", 2, "right before", None),
        ("- a", 0, "right before", None),
        ("-\u00a0a", 0, "right before", None),
        ("a OR\u2028", 5, "OR stands between", None),
        ("agent:" + "a," * 101, 206, "more than 100 things", None),
        ("cost:..", 5, "has neither end", None),
        ("a !?", 2, "no word", None),
        ("a *", 2, "no word", None),
        ('"' + "w " * 17 + '"', 0, "16 words at most", None),
        ("(" * 30 + "a", 21, "more than 20 deep", None),
        ("-" * 30 + "a", 21, "more than 20 deep", None),
        ("a " * 101, 200, "more than 100 things", None),
        ("a" * 4001, 4000, "longer than 4000", None),
    ],
)
def test_what_is_wrong_is_told_by_its_place(text: str, position: int, said: str, meant: str | None) -> None:
    refusal = refused(text)
    assert (refusal.position, refusal.meant) == (position, meant)
    assert said in str(refusal)


WORDS = st.sampled_from(["status:failed", "cost:>1", "tag.a:b", "OR", "has:output", "x:", "lease", *'()-" :,*\\'])


@given(st.lists(WORDS, max_size=30).map("".join) | st.lists(WORDS, max_size=30).map(" ".join) | st.text())
def test_whatever_is_asked_is_understood_or_refused_at_a_place_in_it(text: str) -> None:
    assert 0 <= _refused_at(text) <= len(text)


def _refused_at(text: str) -> int:
    try:
        parsed(text)
    except errors.BadQuestion as refusal:
        return refusal.position
    return 0


def test_parts_that_ask_for_nothing_are_left_out() -> None:
    assert filters.every(None, filters.EVERYTHING, FAILED) == FAILED
    assert filters.every() == filters.EVERYTHING
