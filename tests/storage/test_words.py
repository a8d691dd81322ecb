"""Words: the same on every database, since none of them has a say in it."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from storage import words
from storage.words import Phrase


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("Force majeure, s. 12(b)!", ["force", "majeure", "s", "12", "b"]),
        ("e-mail_address", ["e", "mail", "address"]),
        ("Ärger NAÏVE ñandú", ["arger", "naive", "nandu"]),
        ("A\u0308rger", ["arger"]),
        ("straße STRASSE", ["strasse", "strasse"]),
        ("ﬁnal ½", ["final", "1", "2"]),
        ("Договор аренды", ["договор", "аренды"]),
        ("契約 書", ["契約", "書"]),
        ("a" * 100, ["a" * 64]),
        ("é" * 100, ["e" * 64]),
        ("… — 🙂 _", []),
        ("", []),
    ],
)
def test_words_are_letters_and_digits_without_case_and_diacritics(text: str, wanted: list[str]) -> None:
    assert words.words(text) == wanted


@given(st.text(st.characters(codec="utf-8")))
def test_words_stand_where_it_is_said_and_do_not_change_again(text: str) -> None:
    found = list(words.located(text))
    assert [word for word, _, _ in found] == words.words(text)
    for word, start, stop in found:
        assert word in words.words(text[start:stop])
        assert words.words(word) == [word]


@given(st.text(st.characters(max_codepoint=0x24F)))
def test_composed_or_not_the_words_are_the_same(text: str) -> None:
    assert words.words(unicodedata.normalize("NFC", text)) == words.words(unicodedata.normalize("NFD", text))


def test_a_phrase_is_found_where_its_words_stand_beside_each_other() -> None:
    text = "Force-Majeure; force of majeure; FORCE MAJEURES"
    assert [text[low:high] for low, high in Phrase(("force", "majeure")).spans(text)] == ["Force-Majeure"]
    told = [text[low:high] for low, high in Phrase(("force", "maj"), open_ended=True).spans(text)]
    assert told == ["Force-Majeure", "FORCE MAJEURES"]
