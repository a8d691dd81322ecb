"""The columns of the list of runs: all of them, and those that a person chose. Pure."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from storage.query import grammar

#: The cookie that keeps the columns of a browser.
COOKIE = "run_columns"
#: The most columns that a person may choose.
MAX_COLUMNS = 16
_TAG = re.compile(r"tag\.[A-Za-z0-9_-]{1,64}", re.ASCII)


@dataclass(frozen=True, slots=True)
class Column:
    """A column: its name in addresses, heading, class, description, and the sort order of a click on its head."""

    name: str
    title: str
    style: str
    note: str
    sort: str = ""
    is_number: bool = False

    @property
    def tag_key(self) -> str:
        """Return the key of the tag whose values the column has; empty for any other column."""
        return self.name.removeprefix(grammar.TAG_PREFIX) if grammar.is_tag(self.name) else ""


#: State and prompt always come first; these follow them in this order.
COLUMNS = (
    Column("agent", "Agent", "c-agent", "the agent that was run"),
    Column("tags", "Tags", "c-tags", "your own names and values"),
    Column("model", "Model", "c-model", "its language model"),
    Column("duration", "Took", "c-took", "time of execution, or so far", "duration", True),
    Column("tokens", "Tokens", "c-tok", "input and output together", "tokens", True),
    Column("cost", "Cost", "c-cost", "what the upstream charged", "cost", True),
    Column("settled_by", "Settled by", "c-by", "what first reported its end"),
    Column("accepted", "Accepted", "c-when", "when it was accepted here", "accepted", True),
    Column("created", "Created", "c-when", "when the upstream created it", "created", True),
    Column("settled", "Settled", "c-when", "when its end was stored here", "settled", True),
    Column("submitted_by", "Submitted by", "c-from", "name of the key"),
    Column("origin", "Origin", "c-from", "submitted here, or adopted"),
    Column("steps", "Steps", "c-tok", "steps that are stored", "", True),
    Column("tool_calls", "Tool calls", "c-tok", "calls of tools", "", True),
    Column("upstream_id", "Upstream id", "c-upstream", "its id at Case.dev"),
)
_BY_NAME = {each.name: each for each in COLUMNS}
DEFAULT = tuple(each.name for each in COLUMNS[:8])


def named(text: str) -> tuple[str, ...]:
    """Return the names of columns in a text with commas; unknown ones are left out, `tag.<key>` is one."""
    names = dict.fromkeys(each.strip() for each in text[:2000].split(","))
    known = [each for each in names if each in _BY_NAME or _TAG.fullmatch(each)]
    return tuple(known[:MAX_COLUMNS])


def of(names: Sequence[str]) -> list[Column]:
    """Return the columns with these names; columns of single tags take the place of the column of all tags."""
    order = [*_BY_NAME]
    tags = sorted(each for each in names if grammar.is_tag(each))
    known = sorted((each for each in names if each in _BY_NAME), key=order.index)
    at = next((at for at, each in enumerate(known) if order.index(each) > 0), len(known))
    made = [Column(each, each, "c-client", "values of this tag") for each in tags]
    before, after = [_BY_NAME[each] for each in known[:at]], [_BY_NAME[each] for each in known[at:]]
    return [*before, *made, *after]
