"""Deliveries: the list of requests to the public endpoints, one of them with its bytes, and its processing."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import cast

from starlette.responses import Response

from receiver import errors
from receiver.inbound import signature_doctor
from receiver.pages import delivery_fixture, requests
from receiver.pages.drawing import bytes_view
from receiver.pages.run_list import question
from receiver.schemas import query_parameters
from receiver.web import request_parsing
from receiver.web.authentication import Scope
from storage import states
from storage.engine.database import Snapshot
from storage.query import delivery_list
from storage.repositories import deliveries, upstream_links

router = requests.Router()
#: Rows of a page, the newest deliveries that are counted, and the new ones.
ROWS, COUNTED, NEW = 50, 10_000, 100
_NO_RUN = "It names no run that is known here."
SOURCES = (states.Source.WATCHER, states.Source.PLATFORM)
_NAMES = ("verdict", "source", "run")
_OF_TIME = ("since", "from", "to")
_ADDRESS = 64


@dataclass(frozen=True, slots=True)
class _Filter:
    """The filter of a list, as its address spells it."""

    query: deliveries.Query
    given: Mapping[str, str]
    asked: question.Asked

    @property
    def is_set(self) -> bool:
        return bool(self.given)


@dataclass(frozen=True, slots=True)
class _Found:
    """A page of the list, with the counts of the newest deliveries."""

    rows: Sequence[deliveries.StoredDelivery]
    cursor: str | None
    counts: delivery_list.Counts


@dataclass(frozen=True, slots=True)
class _One:
    """A delivery with its context. `newer` and `older` are its neighbours in the list."""

    stored: deliveries.StoredDelivery
    run: upstream_links.NamedRun | None
    duplicates: Sequence[deliveries.StoredDelivery]
    newer: str | None
    older: str | None
    piece: bytes_view.Piece


@router.page("GET", "/deliveries", Scope.READ)
async def show_list(given: requests.PageRequest) -> Response:
    """Show a page of deliveries, newest first, with the one that the address opens beside them."""
    chosen, opened = _filter(given), given.parameter("open")

    def load(store: Snapshot) -> tuple[_Found, _One | None]:
        query = _resolved(store, chosen.query)
        rows, cursor = store.read(deliveries.page, query)
        found = _Found(rows, cursor, store.read(delivery_list.count_newest, query, COUNTED))
        return found, _load_one(given, store, query, opened) if opened else None

    found, one = await given.read(load)
    values = {"found": found, "verdicts": states.Verdict, "counted": COUNTED, "new": 0, "most": NEW}
    values |= {"sources": SOURCES, "presets": question.PRESETS, "local": question.local(given, chosen.asked)}
    return await asyncio.to_thread(given.page, "deliveries.html", **values, **await _described(given, chosen, one))


@router.page("GET", "/deliveries/new", Scope.READ)
async def count_new(given: requests.PageRequest) -> Response:
    """Show how many deliveries have come since the newest one of the list."""
    chosen, after = _filter(given), requests.number(given.parameter("after"))
    new = await given.read(
        lambda store: store.read(delivery_list.count_newer, _resolved(store, chosen.query), after, NEW)
    )
    return given.partial("deliveries_new.html", "new", chosen=chosen, new=new, most=NEW, after=after)


@router.page("GET", "/deliveries/{id}", Scope.READ)
async def show_one(given: requests.PageRequest) -> Response:
    """Show one delivery: as a page, beside the list, or one more piece of its body."""
    chosen, delivery_id = _filter(given), request_parsing.ids(given.ids)["id"]
    one = await given.read(lambda store: _load_one(given, store, _resolved(store, chosen.query), delivery_id))
    if one is None:
        raise errors.NotFound("there is no delivery with that id; rejected ones are removed after some days")
    if given.is_partial and given.parameter("piece"):
        return given.partial("deliveries_body.html", "piece", one=one, chosen=chosen)
    values = await _described(given, chosen, one)
    if given.is_partial:
        return await asyncio.to_thread(given.partial, "deliveries_one.html", "inspector", is_beside=True, **values)
    return await asyncio.to_thread(given.page, "deliveries_one.html", is_beside=False, **values)


@router.page("GET", "/deliveries/{id}/{file}", Scope.READ)
async def save(given: requests.PageRequest) -> Response:
    """Return a delivery as a file: `fixture.json`, or `replay.sh`, which sends it again."""
    made = _FILES.get(given.ids["file"])
    delivery_id = request_parsing.ids({"id": given.ids["id"]})["id"]
    stored = await given.read(lambda store: store.read(deliveries.find, delivery_id))
    if made is None or stored is None:
        raise errors.NotFound("there is no such file of a delivery")
    ending, media_type, content = made
    headers = {"content-disposition": f'attachment; filename="delivery-{stored.id}.{ending}"'}
    return Response(await asyncio.to_thread(content, stored), headers=headers, media_type=media_type)


_FILES = {
    "fixture.json": ("json", "application/json", delivery_fixture.as_json),
    "replay.sh": ("sh", "text/x-shellscript; charset=utf-8", delivery_fixture.as_script),
}


@router.page("POST", "/deliveries/{id}/process", Scope.ADMIN)
async def process(given: requests.PageRequest) -> Response:
    """Process a delivery again, and show the row that represents it now."""
    delivery_id = request_parsing.ids(given.ids)["id"]
    found = await given.context.api.process(delivery_id, given.caller.actor, given.now)
    if found.verdict is states.Verdict.REJECTED:
        raise errors.NotProcessable("it was not accepted")
    note = "The run is fetched again."
    if given.field("was") == states.Verdict.REJECTED:
        run = "It belongs to a run, which is fetched unless it has ended." if found.run_id else _NO_RUN
        note = f"The delivery is {found.verdict} now. {run}"
    return given.redirect(given.url(f"/deliveries/{found.id}"), note)


def _filter(given: requests.PageRequest) -> _Filter:
    """Return the filter of the address. Raises BadParameter."""
    named = {name: value for name in _NAMES if (value := given.parameter(name).strip())}
    pairs = [*named.items(), *(("cursor", value) for value in [given.parameter("cursor")] if value)]
    checked = cast(query_parameters.DeliveryQuery, request_parsing.query(query_parameters.DeliveryQuery, pairs))
    source = None if checked.source is None else states.Source(checked.source)
    address = given.parameter("address").strip()
    if len(address) > _ADDRESS or not address.isprintable():
        raise errors.BadParameter("address", "is no network address")
    asked = question.understand(
        question.read([each for each in given.parameters if each[0] in _OF_TIME], given.zone), given.now
    )
    times = {name: str(value) for name, value in asked.question.parameters().items() if name in _OF_TIME and value}
    query = deliveries.Query(
        checked.run, checked.verdict, source, ROWS, checked.cursor, address or None, asked.since, asked.until
    )
    return _Filter(query, named | ({"address": address} if address else {}) | times, asked)


def _resolved(store: Snapshot, query: deliveries.Query) -> deliveries.Query:
    """Return the query with our id of the run, which may be named by either id."""
    if query.run_id is None:
        return query
    known = store.read(upstream_links.find_named, [query.run_id]).get(query.run_id)
    return query if known is None else replace(query, run_id=known.id)


def _load_one(
    given: requests.PageRequest, store: Snapshot, query: deliveries.Query, delivery_id: str
) -> _One | None:
    stored = store.read(deliveries.find, delivery_id)
    if stored is None:
        return None
    runs = store.read(upstream_links.find_named, [stored.run_id]) if stored.run_id else {}
    start = requests.number(given.parameter("start", "0"))
    return _One(
        stored,
        runs.get(stored.run_id or ""),
        store.read(deliveries.duplicates, stored.id),
        *store.read(delivery_list.neighbours, query, stored.seq),
        bytes_view.show(stored.body or b"", given.parameter("view", "pretty"), start, given.parameter("at")),
    )


async def _described(given: requests.PageRequest, chosen: _Filter, one: _One | None) -> dict[str, object]:
    """Return the variables of the inspector: the delivery, and what the doctor finds at a rejected event."""
    diagnosis = None
    examine, is_event = given.context.examine, one is not None and one.stored.source is states.Source.PLATFORM
    if one is not None and is_event and one.stored.verdict is states.Verdict.REJECTED and examine is not None:
        diagnosis = await examine(one.stored, given.now)
    skew = None if one is None or not one.stored.headers else signature_doctor.skew_of(one.stored)
    cause = None if one is None else _CAUSES.get(one.stored.reason or "")
    values: dict[str, object] = {
        "one": one,
        "chosen": chosen,
        "diagnosis": diagnosis,
        "skew": skew,
        "cause": cause,
    }
    return values | {
        "views": bytes_view.VIEWS,
        "is_whole": one is not None and delivery_fixture.is_whole(one.stored),
    }


@dataclass(frozen=True, slots=True)
class _Cause:
    """What a cause of a rejection means, how it was answered, and what to do about it."""

    sentence: str
    answered: str
    remedy: str = ""


_AGAIN = "503; the sender tries again"
_CAUSES = {
    "bad signature": _Cause(
        "No signature in the request was made with one of our secrets.", "401; the sender does not try again"
    ),
    "unknown secret": _Cause("No secret was there that could verify the signature.", _AGAIN),
    "outside tolerance": _Cause("The signature holds, but its time is too far from the arrival.", _AGAIN),
    "unknown token": _Cause(
        "The address is no callback address of this server.",
        "404; the sender does not try again",
        "Callback addresses are signed with `RUNLEDGER_SECRET_KEYS`. Where these were replaced, keep the earlier "
        "ones behind the new one until their runs have ended. The sweep settles the runs in any case.",
    ),
    "too large": _Cause(
        "The body is larger than what is taken from an unknown sender.",
        "413; the sender does not try again",
        "Where the sender is genuine, raise `RUNLEDGER_BODY_LIMIT`.",
    ),
    "slow body": _Cause("The body took longer to arrive than the server waits.", _AGAIN),
}
