"""Words: the same on every database, since no database splits them."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from storage.search import tokenizer
from storage.search.tokenizer import Phrase


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Force majeure, s. 12(b)!", ["force", "majeure", "s", "12", "b"]),
        ("e-mail_address", ["e", "mail", "address"]),
        ("Ärger NAÏVE ñandú", ["arger", "naive", "nandu"]),
        ("A\u0308rger", ["arger"]),
        ("straße STRASSE", ["strasse", "strasse"]),
        ("ﬁnal ½", ["final", "1", "2"]),
        ("Договор аренды", ["договор", "аренды"]),
        ("契約 書", ["契約", "約", "書"]),
        ("重跑gen-itgc后", ["重跑", "跑", "gen", "itgc", "后"]),
        ("계약을", ["계약", "약을", "을"]),
        ("สัญญา", ["สัญ", "ญญ", "ญา", "า"]),
        ("ｶﾞﾗｽ がく か\u3099く", ["ガラ", "ラス", "ス", "がく", "く", "がく", "く"]),
        ("हिन्दी", ["हिन्दी"]),
        ("Gesamt\u00adkon\u200bzept \ufefffor\u2060ce", ["gesamtkonzept", "force"]),
        ("Łódź ırmak IRMAK İzmir", ["lodz", "irmak", "irmak", "izmir"]),
        ("don't don’t don\u02bct", ["don", "t"] * 3),
        ("٣٤٥ ２７", ["345", "27"]),
        ("👩\u200d👧 1\ufe0f\u20e3 \U0001f1e9\U0001f1ea \ud800", ["1"]),
        ("a" * 100, ["a" * 64]),
        ("é" * 100, ["e" * 64]),
        ("… — 🙂 _", []),
        ("", []),
    ],
)
def test_words_are_letters_and_digits_without_case_and_diacritics(text: str, expected: list[str]) -> None:
    assert tokenizer.words(text) == expected


@given(st.text(st.characters(codec="utf-8")))
def test_words_have_the_stated_positions_and_folding_is_stable(text: str) -> None:
    found = list(tokenizer.located_words(text))
    assert [word for word, _, _ in found] == tokenizer.words(text)
    for word, start, stop in found:
        assert word in tokenizer.words(text[start:stop])
        assert tokenizer.words(word)[0] == word


@given(
    st.text(st.characters(max_codepoint=0x24F))
    | st.text("가각\u1100\u1161\u11a8がか\u3099é\u0301\u0323ก\u0e48\u0e38 a")
)
def test_composed_or_not_the_words_are_the_same(text: str) -> None:
    assert tokenizer.words(unicodedata.normalize("NFC", text)) == tokenizer.words(
        unicodedata.normalize("NFD", text)
    )


@given(st.text("重跑契約書 a1", min_size=1, max_size=30), st.data())
def test_any_substring_of_a_script_without_spaces_is_found(text: str, data: st.DataObject) -> None:
    low = data.draw(st.integers(0, len(text) - 1))
    asked = tokenizer.phrase(part := text[low : data.draw(st.integers(low + 1, len(text)))], open_ended=True)
    begins_within_a_word = part[0] in "a1" and low > 0 and text[low - 1] in "a1"
    assert not asked.words or begins_within_a_word or next(asked.spans(text), None) is not None


MARKS = "\u0301\u0323" * 250_000


@pytest.mark.parametrize("marks", [MARKS, "\u0e38\u0e48" * 250_000, "\u00ad\u200d" * 250_000])
@pytest.mark.parametrize("letter", ["e", "ก", "か"])
def test_half_a_million_marks_on_one_letter_are_read_like_a_few(letter: str, marks: str) -> None:
    text = f"{letter}{marks} b"
    few = tokenizer.words(f"{letter}{marks[:100]} b")
    assert tokenizer.words(text) == few
    found = list(tokenizer.located_words(text))
    assert [word for word, _, _ in found] == few
    assert [text[low:high] for _, low, high in found][1:] == ["b"]


def test_a_word_that_fills_a_text_and_a_text_without_an_end_of_words_are_cut() -> None:
    assert len(tokenizer.words("a" * 1_000_000)) == -(-1_000_000 // tokenizer.PIECE)
    assert len(tokenizer.words("書" * 200_000)) == 200_000
    assert max(map(len, tokenizer.words("ก" + "\u0e38" * 200_000))) == tokenizer.MARKS + 1


def test_a_long_text_has_the_words_of_its_parts() -> None:
    part = "Die Prüfung — force majeure, 契約書 — is void. "
    expected = tokenizer.words(part)
    assert tokenizer.words(part * 10_000) == expected * 10_000
    found = list(tokenizer.located_words(part * 10_000))
    assert [word for word, _, _ in found] == expected * 10_000
    assert found[-1][1:] == (len(part) * 10_000 - 6, len(part) * 10_000 - 2)


def test_a_phrase_is_in_parts_that_overlap_by_a_word() -> None:
    asked = tokenizer.phrase("abcdefgh".replace("", " "), open_ended=True)
    found = [(" ".join(each.words), each.open_ended) for each in asked.parts(4)]
    assert found == [("a b c d", False), ("d e f g", False), ("g h", True)]
    assert list(tokenizer.phrase("a").parts(4)) == [tokenizer.phrase("a")]


@pytest.mark.parametrize(("text", "many"), [("a b 契約書", 3), ("契約書", 1), ("契 約 書", 3), ("a契約b書", 4)])
def test_a_run_without_spaces_counts_as_one_word_of_a_phrase(text: str, many: int) -> None:
    assert tokenizer.count(tokenizer.phrase(text).words) == many


def test_a_phrase_is_found_where_its_words_stand_beside_each_other() -> None:
    text = "Force-Majeure; force of majeure; FORCE MAJEURES"
    assert [text[low:high] for low, high in Phrase(("force", "majeure")).spans(text)] == ["Force-Majeure"]
    found = [text[low:high] for low, high in Phrase(("force", "maj"), open_ended=True).spans(text)]
    assert found == ["Force-Majeure", "FORCE MAJEURES"]


@given(
    st.lists(st.sampled_from(["a", "ab", "B", "b" * 63, "b" * 64, "b" * 70, "a1"]), min_size=1, max_size=3),
    st.booleans(),
    st.lists(
        st.sampled_from(["a", "AB", "b", "b" * 63, "b" * 64, "b" * 70, "a1", " ", ", ", "\n", "_", "Á", "’"])
    ),
)
def test_a_phrase_is_found_at_the_same_places_in_plain_text_and_beside_other_letters(
    given: list[str], open_ended: bool, parts: list[str]
) -> None:
    wanted, text = tokenizer.phrase(" ".join(given), open_ended), "".join(parts)
    assert list(wanted.spans(text)) == list(wanted.spans(f"{text} e\u0301"))
