"""Writes that wait for the writer, and the order in which they are written."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from storage.engine import queues

MB = 1 << 20


@dataclass(frozen=True)
class Argument:
    """An argument of so many bytes."""

    weight: int = 0


@queues.with_documents
def store(_argument: Argument) -> None:
    """Store a document."""


class Line:
    """The queues of a single writer, with members by their names."""

    def __init__(self, *, batch: int = 64) -> None:
        self._loop = asyncio.new_event_loop()
        documents, others = queues.Queue(4, 64 * MB), queues.Queue(4, 64 * MB)
        self.waiting = queues.AlternatingQueues(documents, others, batch, 8 * MB)

    def add(self, name: str, weight: int = 0, *, is_document: bool = False) -> bool:
        function = store if is_document else print
        member = queues.Member(function, (Argument(weight),), {"name": name}, self._loop.create_future())
        return self.waiting.append(member)

    def take(self) -> list[str]:
        return [member.keywords["name"] for member in self.waiting.take()]

    def close(self) -> None:
        self._loop.close()


@pytest.fixture(name="line")
def made_line() -> Iterator[Line]:
    line = Line()
    yield line
    line.close()


def test_callbacks_are_accepted_however_many_documents_wait(line: Line) -> None:
    assert [line.add("document", 50 * MB, is_document=True) for _ in range(4)] == [True, True, False, False]
    assert line.add("callback")


def test_a_heavy_document_is_a_batch_of_its_own_in_every_second_turn(line: Line) -> None:
    for name in ("first", "second"):
        line.add(name, 20 * MB, is_document=True)
    line.add("callback")
    assert [line.take(), line.take()] == [["callback"], ["first"]]
    line.add("callback")
    assert [line.take(), line.take()] == [["callback"], ["second"]]
    assert len(line.waiting) == 0


def test_small_documents_share_the_transaction_of_others(line: Line) -> None:
    line.add("document", MB // 2, is_document=True)
    line.add("callback")
    assert sorted(line.take()) == ["callback", "document"]


def test_a_document_has_a_place_in_each_batch_however_many_others_wait() -> None:
    with contextlib.closing(Line(batch=2)) as line:
        for name in ("one", "two", "three"):
            line.add(name)
        line.add("document", MB // 2, is_document=True)
        assert [line.take(), line.take()] == [["document", "one"], ["two", "three"]]


def test_a_light_document_behind_a_heavy_one_keeps_its_place(line: Line) -> None:
    line.add("heavy", 20 * MB, is_document=True)
    line.add("light", 10, is_document=True)
    assert [line.take(), line.take()] == [["heavy"], ["light"]]


def test_marked_members_are_removed_and_no_others(line: Line) -> None:
    line.add("callback")
    line.add("document", 10, is_document=True)
    marked = line.waiting.marked()
    line.add("later")
    assert {member.keywords["name"] for member in line.waiting.pop_marked(marked)} == {"callback", "document"}
    assert line.take() == ["later"]
