"""The authorities that an answer cites, with the steps that contain them."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from receiver.pages.run_parts import head
from storage.engine.database import Snapshot
from storage.query import run_contents

#: The most citations that are looked up, the steps named beside each, and the steps of a run that are searched.
CITATIONS, STEPS, SEARCHED = 20, 4, 2_000
#: A citation of a reporter, as `140 N.E.3d 878` or `258 Cal. App. 5th 174`: its abbreviation has a point.
_CITATION = re.compile(r"\b\d{1,4}(?= [^\d\n]{0,24}\.)(?: [A-Z][\w.]{0,9}){1,3}(?: \d[a-z]{1,2})? \d{1,5}\b")
_NAME = re.compile(r"[A-Z][^\n;:(]{0,90} v\. [^\n;:(]{1,90}?, $")
_VERIFIED = re.compile(r'"verified":\s*(true|false)')


@dataclass(frozen=True, slots=True)
class Citation:
    """An authority that an answer cites. `verified` is what the last step that checked it returned."""

    name: str
    text: str
    steps: Sequence[int]
    verified: bool | None


def load(store: Snapshot, of: head.Head) -> list[Citation]:
    """Return the citations of the answer in their order; none where the run has too many steps to be searched."""
    cited = citations(of.run.output or "")
    if not cited or of.run.step_count > SEARCHED:
        return []
    own = {each.position for each in store.read(run_contents.outlines, of.run.seq) if each.type == "output"}
    found = {}
    for text in cited:
        found[text] = sorted(store.read(run_contents.containing, of.run.seq, text) - own)
    wanted = sorted({position for positions in found.values() for position in positions[-STEPS:]})
    heads = store.read(run_contents.heads, of.run.seq, wanted) if wanted else {}
    return [
        Citation(name, text, found[text][:STEPS], _verified(text, [heads[each] for each in found[text][-STEPS:]]))
        for text, name in cited.items()
    ]


def citations(answer: str) -> Mapping[str, str]:
    """Return the citations of a text, each with the names of its parties where these stand before it.

    >>> dict(citations("see Marlowe v. Coastal Title, 376 N.E.3d 904 (2d Cir. 2011). Clause 14 of 5"))
    {'376 N.E.3d 904': 'Marlowe v. Coastal Title'}
    """
    found: dict[str, str] = {}
    for match in _CITATION.finditer(answer[:60_000]):
        if match[0] not in found and len(found) < CITATIONS:
            before = answer[max(0, match.start() - 120) : match.start()]
            named = _NAME.search(re.split(r"\b(?:see|See|in) |(?<! v)[.] (?=[A-Z])|- ", before)[-1])
            found[match[0]] = named[0].rstrip(", ") if named else ""
    return found


def _verified(citation: str, heads: Sequence[run_contents.Head]) -> bool | None:
    """Return what the last step that checked this citation returned."""
    checks = [_VERIFIED.search(each.output or "") for each in heads if citation in (each.input or "")]
    answers = [check[1] == "true" for check in checks if check is not None]
    return answers[-1] if answers else None
