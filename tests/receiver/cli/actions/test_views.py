"""Saved views by command."""

from __future__ import annotations

from tests.receiver.cli.terminal import Terminal


def test_a_view_is_saved_replaced_listed_and_deleted(terminal: Terminal) -> None:
    first = terminal.type("views", "save", "Costly", "cost:>1", "--sort", "-cost", "--json").object
    assert (first["owner"], first["isShared"], first["question"]) == ("cli", True, "q=cost%3A%3E1&sort=-cost")
    again = terminal.type("views", "save", "Costly", "cost:>5", "--column", "cost", "--private", "--json").object
    assert (again["id"], again["columns"], again["isShared"]) == (first["id"], ["cost"], False)
    assert terminal.type("views", "list", "--json").objects == [again]
    assert terminal.type("views", "delete", "Costly").out == "The view 'Costly' is deleted.\n"
    assert terminal.type("views", "list", "--json").objects == []


def test_a_view_that_cannot_be_is_refused(terminal: Terminal) -> None:
    assert terminal.type("views", "save", "x", "statuz:failed").code == 2
    assert terminal.type("views", "save", " x", "").code == 2
    assert "no view has the id or name" in terminal.type("views", "delete", "x").err
