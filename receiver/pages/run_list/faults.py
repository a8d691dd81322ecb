"""The fault of a filter: its position, and what may have been meant."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from receiver.pages import requests
from receiver.pages.run_list import question
from storage import errors
from storage.query import query_text


@dataclass(frozen=True, slots=True)
class Fault:
    """A mistake in a text: the parts around it, its character (0 where it is about the whole), what is wrong.

    `address` is that of the question with `suggestion` in its place.
    """

    text: str
    parts: tuple[str, str, str]
    position: int
    message: str
    suggestion: str
    address: str


def understood(
    given: requests.PageRequest, pairs: Sequence[tuple[str, str]] | None = None, path: str = "/runs"
) -> tuple[question.Asked, Fault | None]:
    """Return the question and its fault, if any. A question with a fault lacks what was typed last.

    The question is that of the address, or of the fields of a form where these are given as `pairs`. `path` is
    that of the page that asks it.
    """
    named = given.parameters if pairs is None else pairs
    asked = question.read(named, given.zone)
    try:
        return question.understand(asked, given.now, given.agents), None
    except errors.BadFilter as error:  # the time: the filter was read before
        before = question.understand(replace(asked, since="", start="", end=""), given.now, given.agents)
        return before, of(given.url, before, error, path)
    except errors.BadQuery as error:
        texts = [value for name, value in named if name == "q"]
        before, typed = _before(given, asked, texts)
        wrong = error if typed == asked.text else _own(typed, error, given)
        return before, of(given.url, before, wrong, path)


def _before(given: requests.PageRequest, asked: question.Question, texts: list[str]) -> tuple[question.Asked, str]:
    """Return the question before its last text was typed, and that text: all of it where nothing was before."""
    if len(texts) > 1:
        try:
            kept = replace(asked, text=texts[0].strip())
            typed = " ".join(each.strip() for each in texts[1:]).strip()
            return question.understand(kept, given.now, given.agents), typed
        except (errors.BadQuery, errors.BadFilter):
            pass
    bare = replace(asked, text="", since="", start="", end="", cursor="")
    return question.understand(bare, given.now, given.agents), asked.text


def _own(typed: str, error: errors.BadQuery, given: requests.PageRequest) -> errors.BadQuery:
    """Return the error of the text that was typed, which counts its characters from its own beginning."""
    try:
        query_text.read(typed, given.now)
    except errors.BadQuery as own:
        return own
    return error


def of(url: Callable[..., str], asked: question.Asked, error: errors.StorageError, path: str = "/runs") -> Fault:
    """Return the fault that an error names."""
    if not isinstance(error, errors.BadQuery):
        return Fault("", ("", "", ""), 0, sentence(str(error)), "", "")
    text, at = error.query, error.position
    wrong = next(iter(text[at:].split(maxsplit=1)), "") if not text[at : at + 1].isspace() else ""
    if error.suggestion:
        wrong = wrong.partition(":")[0].partition(",")[0]
    parts = (text[:at], wrong, text[at + len(wrong) :])
    if not error.suggestion:
        return Fault(text, parts, at + 1, sentence(str(error)), "", "")
    meant = query_text.joined(filter(None, (asked.text, f"{parts[0]}{error.suggestion}{parts[2]}")))
    address = url(path, asked.question.parameters(text=meant))
    return Fault(text, parts, at + 1, "", error.suggestion, address)


def sentence(text: str) -> str:
    """Return a message as a sentence."""
    return f"{text[:1].upper()}{text[1:]}{'' if text.endswith(('.', '?')) else '.'}"
