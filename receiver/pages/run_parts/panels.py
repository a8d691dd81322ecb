"""The panels of a run besides its trace: what was asked, what came back, what happened, what people said."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from receiver import errors
from receiver.pages.drawing import json_tree, markdown
from receiver.pages.run_parts import head, sources, words
from receiver.schemas import notification as schemas_notification
from receiver.web import timeline
from storage import bounds, merkle
from storage.actions import reviews
from storage.engine.database import Snapshot
from storage.ledger import checkpoints
from storage.query import run_contents
from storage.repositories import deliveries, documents, ledger_changes

#: The characters of a raw text, and of a body, that a panel shows.
TEXT = 60_000
#: The largest document in bytes that is read to be shown.
DOCUMENT = json_tree.PARSED
#: The most entries of the ledger that the panel of proofs lists.
PROVED = 500
#: The length of an instant's text up to its milliseconds.
_MILLISECOND = len("2026-11-23T12:00:00.000")
Values = dict[str, Any]
#: What people call the values that evidence discloses.
DISCLOSED = {
    "prompt": "prompt",
    "guidance": "guidance",
    "instructions": "instructions",
    "objectIds": "object ids",
    "tags": "tags",
    "output": "answer",
    "summary": "summary",
    "failureReason": "failure reason",
    "steps": "steps",
    "usage": "usage",
    "document": "documents",
    "comment": "comments of reviews",
    "headers": "headers of deliveries",
    "body": "bodies of deliveries",
}


def answer(store: Snapshot, of: head.Head, parameter: Callable[[str], str]) -> Values:
    """Return the answer as Markdown, or raw."""
    output = of.run.output or ""
    is_raw = parameter("as") == "raw"
    most = TEXT if is_raw else markdown.MOST
    return {
        "is_raw": is_raw,
        "output": output[:most],
        "shown": min(len(output), most),
        "characters": len(output),
        "rendered": None if is_raw or not output else markdown.render(output),
        "citations": [] if is_raw else sources.load(store, of),
        "summary": of.run.summary if of.run.summary and not _contains(output, of.run.summary) else "",
    }


def _contains(answer: str, summary: str) -> bool:
    """Return whether an answer has its summary in it, whatever the marks and the space between the words."""
    words_of = [" ".join(markdown.plain(text).split()) for text in (answer, summary)]
    return words_of[1] in words_of[0]


def prompt(_: Snapshot, of: head.Head, __: Callable[[str], str]) -> Values:
    """Return what was requested."""
    run = of.run
    texts = (("Prompt", run.prompt), ("Guidance", run.guidance), ("Instructions", run.instructions))
    return {
        "texts": [(name, text[:TEXT], len(text)) for name, text in texts if text],
        "objects": run.object_ids or [],
    }


def usage(store: Snapshot, of: head.Head, _: Callable[[str], str]) -> Values:
    """Return the charged calls by service."""
    groups = store.read(run_contents.usage, of.run.seq)
    return {"groups": groups, "calls": sum(group.calls for group in groups)}


def received(store: Snapshot, of: head.Head, _: Callable[[str], str]) -> Values:
    """Return the deliveries of the run."""
    found, cursor = store.read(deliveries.page, deliveries.Query(run_id=of.run.id, limit=200))
    return {"deliveries": found, "has_more": cursor is not None, "words": words}


def history(store: Snapshot, of: head.Head, _: Callable[[str], str]) -> Values:
    """Return all that happened to the run, oldest first."""
    query = deliveries.Query(run_id=of.run.id, limit=timeline.DELIVERIES)
    found, _cursor = store.read(deliveries.page, query)
    entries = timeline.merge(
        store.read(ledger_changes.of_run, of.run.id), {each.id: (each, each) for each in found}, of.sent
    )
    # Of the same millisecond, which is all that is shown, the one with the lower number comes first.
    entries.sort(key=lambda entry: (entry.at[:_MILLISECOND], 1 << 62 if entry.number is None else entry.number))
    return {"entries": entries, "words": words}


def document(store: Snapshot, of: head.Head, parameter: Callable[[str], str]) -> Values:
    """Return the versions of the document, and one of them, or what is at a pointer in it, as a tree."""
    versions = store.read(run_contents.document_versions, of.run.id)
    asked = parameter("version")
    chosen = next((each for each in versions if str(each.version) == asked), versions[0] if versions else None)
    return {"versions": versions, "chosen": chosen, **_body(store, of, chosen, parameter("at"))}


def _body(store: Snapshot, of: head.Head, chosen: run_contents.DocumentVersion | None, pointer: str) -> Values:
    """Return a document as a tree; as text where it is no JSON, and nothing where it is damaged or large."""
    if chosen is None or chosen.size > DOCUMENT:
        return {"tree": None, "text": "", "is_damaged": False}
    stored = store.read(documents.find, of.run.id, chosen.version)
    assert stored is not None
    try:
        body = stored.read()
    except ValueError:
        return {"tree": None, "text": "", "is_damaged": True}
    try:
        value = json_tree.parse(body)
    except ValueError:
        return {"tree": None, "text": body[:TEXT].decode("utf-8", "replace"), "is_damaged": False}
    return {"tree": _tree(value, pointer), "text": "", "is_damaged": False}


def _tree(value: json_tree.Value, pointer: str) -> json_tree.Node:
    try:
        return json_tree.draw(json_tree.find(value, pointer), pointer)
    except KeyError:
        raise errors.NotFound("there is nothing at this place of the value") from None


def notified(_: Snapshot, of: head.Head, parameter: Callable[[str], str]) -> Values:
    """Return the notification with its body and the outcome of its last attempt."""
    if of.sent is None:
        return {"state": None, "tree": None}
    try:
        tree = _tree(json_tree.parse(of.sent.body), parameter("at"))
    except ValueError:
        tree = None
    return {"state": schemas_notification.state(of.sent), "tree": tree}


def reviewed(store: Snapshot, of: head.Head, _: Callable[[str], str]) -> Values:
    """Return what people said about the run, newest first, and an empty form."""
    form = {"longest": bounds.COMMENT, "written": "", "fault": ""}
    return {"reviews": store.read(reviews.of_run, of.run.id), "words": words, **form}


def proved(store: Snapshot, of: head.Head, _: Callable[[str], str]) -> Values:
    """Return the entries of the run, and how many entries of the ledger the newest checkpoint has."""
    found, newest = store.read(ledger_changes.of_run, of.run.id), store.read(checkpoints.newest)
    listed = [(each, merkle.leaf_hash(each.body.encode()).hex()) for each in found[:PROVED]]
    signed = newest.size if newest else 0
    return {"listed": listed, "count": len(found), "signed": signed, "words": words, "disclosed": DISCLOSED}


#: The panels by the names of their tabs.
PANELS: dict[str, tuple[str, Callable[[Snapshot, head.Head, Callable[[str], str]], Values]]] = {
    "answer": ("Answer", answer),
    "prompt": ("Prompt", prompt),
    "usage": ("Usage", usage),
    "deliveries": ("Deliveries", received),
    "timeline": ("Timeline", history),
    "document": ("Document", document),
    "notification": ("Notification", notified),
    "reviews": ("Reviews", reviewed),
    "proof": ("Proof", proved),
}
