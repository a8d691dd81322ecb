"""One run of the evidence: its entries, its record and its values, each checked against the others."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from receiver.verifier import public_forms
from receiver.verifier.evidence import container, facts, values
from receiver.verifier.public_forms import Refused

_ID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.ASCII)
_FIELDS = {"deliveries", "entries", "record", "run", "values"}

#: Returns the bytes of a file of the ZIP. Raises Refused.
Read = Callable[[str], bytes]


@dataclass
class Run:
    """A run as the evidence shows it. `texts` has the last disclosed value of each name, by that name."""

    id: str
    record: dict[str, Any] = field(default_factory=dict)
    deliveries: dict[str, dict[str, Any]] = field(default_factory=dict)
    entries: list[tuple[int, dict[str, Any]]] = field(default_factory=list)
    states: list[tuple[int, str, str]] = field(default_factory=list)
    texts: dict[str, bytes] = field(default_factory=dict)
    comments: dict[str, bytes] = field(default_factory=dict)
    files: list[str] = field(default_factory=list)

    def names(self, state: str) -> list[str]:
        """Return the names of the values in a state, each once."""
        return sorted({name for _, name, of in self.states if of == state})


@dataclass
class Log:
    """The signed checkpoint that all proofs lead to, and its note."""

    checkpoint: public_forms.Checkpoint
    note: bytes


def path(run: str) -> str:
    """Return the file with the record of a run."""
    return f"runs/{run}/run.json"


def log_paths(number: int) -> tuple[str, str]:
    """Return the files of an entry: its leaf, its proof."""
    return f"log/leaf-{number}.json", f"log/{number}.tlog-proof"


def load(run_id: str, read: Read, log: Log, fail: Callable[[str], None]) -> Run:
    """Return a run whose parts were checked; `fail` is called with each fault. Raises Refused."""
    if _ID.fullmatch(run_id) is None:
        raise Refused(f"the manifest names a run with the id {run_id[:50]!r}")
    found = container.strict_json(read(path(run_id)), path(run_id))
    if not isinstance(found, dict) or set(found) != _FIELDS or found["run"] != run_id:
        raise Refused(f"{path(run_id)} is not of its form")
    run = Run(run_id, found["record"], found["deliveries"], files=[path(run_id)])
    for number in found["entries"]:
        run.files += log_paths(number)
        run.entries.append((number, _entry(number, read, log)))
    numbers = [number for number, _ in run.entries]
    if not numbers or numbers != sorted(set(numbers)):
        raise Refused("its entries are not in their order")
    for fault in (*_of_others(run), *_record(run), *_values(run, found["values"], read)):
        fail(fault)
    return run


def _entry(number: object, read: Read, log: Log) -> dict[str, Any]:
    """Return an entry that stands in the log. Raises Refused."""
    if type(number) is not int:
        raise Refused("the number of an entry is no number")
    leaf_path, proof_path = log_paths(number)
    leaf, whole = read(leaf_path), read(proof_path)
    proof = public_forms.parse_proof(whole)
    if proof.index != number or proof.extra is not None or whole.partition(b"\n\n")[2] != log.note:
        raise Refused(f"{proof_path} is about another entry or another checkpoint")
    public_forms.demand_included(leaf, proof)
    entry = container.strict_json(leaf, leaf_path)
    plain = json.dumps(entry, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()
    if not isinstance(entry, dict) or plain != leaf or set(entry) != _OF_ENTRY or entry["v"] != 1:
        raise Refused(f"{leaf_path} is not an entry as Runledger writes it")
    return entry


_OF_ENTRY = {"actor", "at", "digests", "facts", "kind", "run", "v"}


def _of_others(run: Run) -> Iterator[str]:
    """Yield the entries that are not of this run; one of an early delivery names no run."""
    for number, entry in run.entries:
        is_early = entry["run"] is None and entry["kind"] in facts.DELIVERIES
        if entry["run"] != run.id and not (is_early and entry["facts"].get("deliveryId") in run.deliveries):
            yield f"entry {number} is of another run"
    # A run that was adopted and refused has nothing before its end.
    if not any(entry["kind"] in ("run.accepted", "run.imported", "run.refused") for _, entry in run.entries):
        yield "no entry says that it was accepted"


def _record(run: Run) -> Iterator[str]:
    """Yield the values of the record that are not those of the entries."""
    entries = [entry for _, entry in run.entries]
    received = facts.deliveries(entries)
    of_deliveries = [(run.deliveries.get(each), of, f"the delivery {each}") for each, of in received.items()]
    for shown, recorded, what in ((run.record, facts.record(entries), "the record"), *of_deliveries):
        if shown is None:
            yield f"{what} is missing"
            continue
        for name in sorted({*shown, *recorded}):
            one, other = shown.get(name, _ABSENT), recorded.get(name, _ABSENT)
            if one != other or type(one) is not type(other):
                yield f"{what} has {name} {_shown(shown, name)}, and the entries say {_shown(recorded, name)}"
    for unknown in sorted(set(run.deliveries) - set(received)):
        yield f"no entry is about the delivery {unknown}"


_ABSENT = object()


def _shown(found: dict[str, Any], name: str) -> str:
    return repr(found[name])[:100] if name in found else "nothing"


def _values(run: Run, listed: list[dict[str, Any]], read: Read) -> Iterator[str]:
    """Yield what is wrong with the values: each digest of each entry is listed once, with what became of it."""
    entries = [entry for _, entry in run.entries]
    places = {number: place for place, (number, _) in enumerate(run.entries)}
    wanted = {(number, name) for number, entry in run.entries for name in entry["digests"]}
    given = [(each["entry"], each["name"]) for each in listed]
    later = facts.Later(entries)
    forms = {values.DISCLOSED: {"entry", "name", "state", "salts"}}
    if len(given) != len(set(given)) or set(given) != wanted:
        yield "the list of its values is not that of the digests in its entries"
        return
    for each in listed:
        if set(each) != forms.get(each["state"], {"entry", "name", "state"}):
            yield f"the value {each['name']} of entry {each['entry']} has parts that nothing proves"
        number, name, state = each["entry"], each["name"], each["state"]
        run.states.append((number, name, state))
        entry = entries[places[number]]
        if state == values.DISCLOSED:
            fault = _disclosed(run, entry, each, read)
        else:
            fault = _undisclosed(later, places[number], name, state)
        if fault:
            yield f"entry {number}: {fault}"
    for name in sorted({name for _, name, _ in run.states}.difference(values.SEVERAL)):
        in_order = [state for _, of, state in sorted(run.states) if of == name]
        if values.DISCLOSED in in_order[:-1] and in_order[-1] != values.DISCLOSED:
            yield f"{name} is disclosed as it was before a later entry, and not as that has it"


def _disclosed(run: Run, entry: dict[str, Any], listed: dict[str, Any], read: Read) -> str | None:
    name = listed["name"]
    file = values.path(run.id, name, entry["facts"])
    if file is None:
        return f"{name} has no file"
    data = read(file)
    if file not in run.files:
        run.files.append(file)
    try:
        values.demand(name, entry["digests"][name], listed["salts"], data)
    except Refused as refused:
        return str(refused)
    if name not in values.SEVERAL:
        run.texts[name] = data
    if name == "comment":
        run.comments[entry["facts"]["reviewId"]] = data
    return None


def _undisclosed(later: facts.Later, place: int, name: str, state: str) -> str | None:
    if state == values.ERASED and not later.erases(name, place):
        return f"{name} is missing, and no entry says that it was erased"
    if state == values.REPLACED and not later.replaces(name, place):
        return f"{name} is missing, and no later entry has another one"
    if state == values.MISSING:
        return f"{name} is missing where Runledger keeps it, and no entry says why"
    if state not in values.STATES:
        return f"{name} is in a state that is not known"
    return None
