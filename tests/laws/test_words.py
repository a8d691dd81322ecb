"""Words that the product, its tests and its documents do not use, because plain ones exist."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.laws import pages, test_code

PRIVATE = re.compile(
    r"(?<![a-z])(houses?|roads?|wish(?:ed|es)?|told|strangers?|strays?|desks?|scenes?|acquaintances?|whoever"
    r"|the door)(?![a-z])"
)
#: The files for operators, whose comments people read.
OPERATION = sorted(path for path in (test_code.ROOT / "deploy").iterdir() if path.suffix not in {".md", ".txt"})
#: Names in older schemas, and the words of this test itself.
NEEDED = {
    "storage/maintenance/backup.py",
    "tests/laws/test_words.py",
    "tests/storage/repositories/test_system_state.py",
    "tests/storage/test_schema_0011.py",
    "tests/storage/test_states.py",
}


def _private(text: str) -> list[str]:
    """Return the private words of a text; the parts of an identifier are words too."""
    return PRIVATE.findall(re.sub(r"(?<=[a-z0-9])(?=[A-Z])", " ", text).lower())


@pytest.mark.parametrize("text", ["is_told", "StrayRun", "# a wish", "Houses", "the_road", "ROAD"])
def test_a_private_word_is_found_in_identifiers_too(text: str) -> None:
    assert len(_private(text)) == 1


def test_neither_the_product_nor_its_tests_have_private_words() -> None:
    files = [*test_code.SOURCES, *test_code.TESTS]
    found = {test_code.name_of(path): words for path in files if (words := _private(path.read_text()))}
    assert set(found) == NEEDED, {name: words for name, words in found.items() if name not in NEEDED}


@pytest.mark.parametrize("path", [*pages.documents(), *OPERATION], ids=test_code.name_of)
def test_a_document_has_no_private_words(path: Path) -> None:
    assert _private(path.read_text()) == []
