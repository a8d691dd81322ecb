"""Actions on several runs at once: on selected ones, or on all that a filter finds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from receiver import errors
from receiver.pages import requests
from receiver.pages.run_list import faults, question
from receiver.web.authentication import Scope
from storage.query import grammar, run_pages

#: The most runs that are selected one by one.
MAX_SELECTED = 500


@dataclass(frozen=True, slots=True)
class Act:
    """An act on several runs: its name in addresses, its verb on buttons, its icon, and its scope."""

    name: str
    title: str
    icon: str
    scope: Scope


#: The acts that the list offers. All but the export are carried out by a job.
ACTS = (
    Act("export", "Export", "save", Scope.READ),
    Act("tag", "Tag", "pencil", Scope.SUBMIT),
    Act("refresh", "Fetch again", "again", Scope.SUBMIT),
    Act("retry_notification", "Notify again", "bell", Scope.SUBMIT),
    Act("again", "Run again", "play", Scope.SUBMIT),
    Act("cancel", "Cancel", "stop", Scope.SUBMIT),
)
BY_NAME = {each.name: each for each in ACTS}


def permitted(given: requests.PageRequest) -> list[Act]:
    """Return the acts that the key of the session allows."""
    return [each for each in ACTS if given.may(each.scope)]


@dataclass(frozen=True, slots=True)
class Selection:
    """The runs that were selected: by `ids`, or all that the question finds where there are none."""

    asked: question.Asked
    ids: Sequence[str]

    @property
    def expression(self) -> grammar.Expression:
        """Return the expression that the selected runs match."""
        if not self.ids:
            return self.asked.expression
        return grammar.Equals("id", tuple(grammar.Value(each) for each in self.ids))

    @property
    def text(self) -> str:
        """Return the question in the filter language, with the time that it is about."""
        asked = self.asked
        low, high = ("" if each is None else f"{each:%FT%T.%fZ}" for each in (asked.since, asked.until))
        span = f"accepted:{low}..{high}" if low and high else f"accepted:>={low}" if low else ""
        return " ".join(filter(None, (asked.text, span or (high and f"accepted:<={high}"))))

    def fields(self) -> list[tuple[str, str]]:
        """Return the fields of a form that names these runs."""
        if self.ids:
            return [("id", each) for each in self.ids]
        kept = self.asked.question.parameters(cursor="", columns=None, sort=question.NEWEST)
        return [("all", "1"), *((name, str(value)) for name, value in kept.items() if value)]

    async def count(self, given: requests.PageRequest) -> run_pages.Count:
        """Return how many runs there are, a lower bound where they are many."""
        return await given.read(lambda store: store.read(run_pages.count, self.expression))


def selection(given: requests.PageRequest, pairs: Sequence[tuple[str, str]]) -> Selection | None:
    """Return the runs that a form selects; None where it selects none, or its filter has a mistake.

    Raises BadParameter where it names too many: it never acts on a part of what was selected.
    """
    asked, fault = faults.understood(given, pairs)
    if fault is not None:
        return None
    if any(name == "all" for name, _ in pairs):
        return Selection(asked, ())
    ids = tuple(dict.fromkeys(value for name, value in pairs if name == "id" and len(value) <= 64))
    if len(ids) > MAX_SELECTED:
        problem = f"{len(ids):,} runs are selected one by one, and at most {MAX_SELECTED} can be"
        raise errors.BadParameter("id", f"{problem}: find them by a filter, then choose All that are found")
    return Selection(asked, ids) if ids else None
