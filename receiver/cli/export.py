"""Runs as a file, and back."""

from __future__ import annotations

import contextlib
import json
import os
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import IO, TYPE_CHECKING, Annotated, Any, BinaryIO

import typer

from receiver.cli import loop, options, sentences

if TYPE_CHECKING:
    from rich.progress import Progress

    from receiver import exporting
    from receiver.exporting import reading
    from storage import database, transitions

VERBS = typer.Typer()

#: What a file is called until it is whole, and its digest once it is.
PART, DIGEST = ".part", ".sha256"
#: Runs, and bytes, roughly, that are imported in one transaction.
GROUP, BYTES = 50, 1 << 20
#: Lines of a file that are named at most.
NAMED = 20


Form = Annotated[
    str,
    typer.Option(
        "--format",
        metavar="FORM",
        help="jsonl, csv or parquet.",
        autocompletion=options.words("jsonl", "csv", "parquet"),
    ),
]
Documents = Annotated[
    bool, typer.Option("--documents", help="With the upstream's answers byte for byte; jsonl alone.")
]
Bom = Annotated[
    bool, typer.Option("--bom", help="With a byte-order mark, so that Excel reads umlauts; csv alone.")
]
Output = Annotated[Path | None, typer.Option("--output", "-o", metavar="FILE", help="Where to; else to stdout.")]
Resume = Annotated[
    Path | None, typer.Option(metavar="FILE", help="Go on with a file that was cut off; the same question.")
]
Force = Annotated[bool, typer.Option("--force", help="Write over a file that is there.")]
Json = Annotated[bool, typer.Option("--json", help="For programs: what was written where, as one JSON object.")]


@VERBS.command()
def export(
    context: typer.Context,
    q: options.Question = None,
    status: options.Status = None,
    agent: options.Agent = None,
    model: options.Model = None,
    origin: options.Origin = None,
    settled_by: options.SettledBy = None,
    tag: options.Tag = None,
    accepted: options.Accepted = None,
    created: options.Created = None,
    settled: options.Settled = None,
    cost: options.Cost = None,
    duration: options.Duration = None,
    tokens: options.Tokens = None,
    tool: options.Tool = None,
    has: options.Has = None,
    form: Form = "jsonl",
    documents: Documents = False,
    bom: Bom = False,
    output: Output = None,
    resume: Resume = None,
    force: Force = False,
    as_json: Json = False,
) -> None:
    """Write runs into a file, oldest first, with steps, usage and tags.

    The newest run of now is the last one. A file is called FILE.part until it
    is whole. JSON Lines end with a trailer of count and SHA-256; beside CSV
    and Parquet there is FILE.sha256, for `sha256sum --check`. A text that a
    spreadsheet would take for a formula has an apostrophe in front in CSV.

    \b
    Examples:
      runledger export --documents --output runs.jsonl
      runledger export --resume runs.jsonl --documents
      runledger export 'tag.client:acme' --format csv --bom -o acme.csv
      runledger export --status failed | jq -r .id
    """
    path = _demand_place(form, output, resume, force, as_json)
    given = options.chosen(context) | {"format": form, "documents": documents, "bom": bom}
    given["trailer"] = "true" if form == "jsonl" or path is None else "false"
    loop.run(_export(given, path, resume is not None, as_json))


def _demand_place(form: str, output: Path | None, resume: Path | None, force: bool, as_json: bool) -> Path | None:
    """The file that is meant; None for stdout. Raises Complaint."""
    if output is not None and resume is not None:
        raise sentences.Complaint("--resume names the file already: leave out --output", sentences.USAGE)
    if resume is not None and form != "jsonl":
        raise sentences.Complaint("--resume goes on with JSON Lines alone", sentences.USAGE)
    if output is not None and output.exists() and not force:
        raise sentences.Complaint(f"{output} is there already: --force writes over it", sentences.USAGE)
    if as_json and not (output or resume):
        raise sentences.Complaint("--json tells of a file: name it with --output", sentences.USAGE)
    return output or resume


async def _export(given: Mapping[str, Any], path: Path | None, goes_on: bool, as_json: bool) -> None:
    from receiver import shapes
    from receiver.cli import asking, opening

    query = asking.parameters(shapes.ExportQuery, given)
    async with opening.existing() as store:
        if path is None:
            wish = _wished(store, query)
            with _file_trouble(Path("standard output")):
                await _write(wish, sys.stdout.buffer)
            _demand_all(wish.end)
            return
        part = path.with_name(path.name + PART)
        wish = await _into(store, query, part, _held(path, part) if goes_on else part, goes_on)
    end = _named(part, path, wish, query.format)
    if as_json:
        told = {"file": str(path), "runs": end.records, "sha256": end.sha256, "unindexed": end.unindexed}
        print(json.dumps(told))
    else:
        print(f"{end.records:,} runs are in {path}.")
        if end.unindexed:
            print(f"{end.unindexed:,} runs could not be found by their words yet.")
    _demand_all(end)


def _demand_all(end: exporting.End | None) -> None:
    """Raises Complaint where runs are missing, with their ids."""
    if end is not None and end.unwritten:
        named = ", ".join(end.unwritten_runs)
        raise sentences.Complaint(
            f"{end.unwritten:,} runs are missing, since what is stored of them cannot be read: {named}"
        )


def _wished(store: database.Database, query: Any, place: reading.Place | None = None) -> exporting.Export:
    """The export as the API would make it; behind `place` it goes on with what is there."""
    from receiver import clock
    from receiver.api import export as handlers

    after = None if place is None else place.last
    wish = handlers.made(store, query.model_copy(update={"after": after}), clock.now())
    if place is not None:
        wish.go_on(place.digest, place.records)
    return wish


async def _into(store: database.Database, query: Any, part: Path, held: Path, goes_on: bool) -> exporting.Export:
    """Writes the part file, behind the last whole line of what is `held` where it goes on."""
    from receiver.exporting import reading

    place = None
    with _file_trouble(held):
        if goes_on:
            with held.open("rb") as file:
                place = reading.place(file)
            held.rename(part)  # noqa: ASYNC240 - nobody else waits for this loop
        wish = _wished(store, query, place)
        with part.open("r+b" if goes_on else "wb") as file:
            file.truncate(0 if place is None else place.size)
            file.seek(0, 2)
            await _write(wish, file)
    return wish


async def _write(wish: exporting.Export, file: IO[bytes]) -> None:
    with _progress() as bar:
        task = bar.add_task("exporting", total=1.0)
        async with contextlib.aclosing(wish.pieces()) as pieces:
            async for piece in pieces:
                file.write(piece)
                bar.update(task, completed=wish.share)
    file.flush()
    with contextlib.suppress(OSError):  # a pipe or a terminal has nothing to be synced
        os.fsync(file.fileno())


def _held(path: Path, part: Path) -> Path:
    """Where it is that is gone on with."""
    return part if part.exists() else path


def _named(part: Path, path: Path, wish: exporting.Export, form: str) -> exporting.End:
    """A whole file gets its name, and beside it its digest where it has no trailer."""
    end = wish.end
    assert end is not None, "who has read all pieces knows the end"
    with _file_trouble(path):
        if form != "jsonl":
            told = f"# {end.records} runs\n{end.sha256}  {path.name}\n"
            path.with_name(path.name + DIGEST).write_bytes(os.fsencode(told))
        part.replace(path)
    return end


@VERBS.command("import")
def import_(
    path: Annotated[Path, typer.Argument(metavar="FILE", help="JSON Lines of `runledger export`.")],
    partial: Annotated[
        bool, typer.Option("--partial", help="Take what there is of a file that was cut off.")
    ] = False,
    as_json: options.Json = False,
) -> None:
    """Read runs back from JSON Lines, with tags, steps, usage and documents.

    The file is checked against its trailer first. Runs that are here already,
    by our id or the upstream's, stay as they are; runs that had not ended are
    left to the store that watches them. A line that cannot be taken is named
    with its run and the field, and the others are imported; the exit code is 1
    then. It may be stopped and begun again.

    \b
    Examples:
      runledger import runs.jsonl
      runledger import --partial --json runs.jsonl.part
    """
    loop.run(_import(path, partial, as_json))


async def _import(path: Path, partial: bool, as_json: bool) -> None:
    from receiver.cli import opening
    from receiver.exporting import reading

    report = reading.Report()
    with _file_trouble(path), path.open("rb") as file:
        size = None if partial else reading.whole(file).size
        async with opening.made() as store:
            counts = await _take(store, file, size, report)
    _tell(counts, as_json)
    _tell_lines("something was left out that cannot be", report.left_out)
    if counts.is_nothing:
        raise sentences.Complaint(f"{path}: no line holds a run that can be taken; {report.refused[0]}")
    _tell_lines("a run was refused", report.refused)
    if report.refused:
        raise sentences.Complaint(f"runs that were refused: {len(report.refused):,}; the others are here now")


async def _take(
    store: database.Database, file: BinaryIO, size: int | None, report: reading.Report
) -> transitions.Imported:
    """Group by group, each a transaction."""
    from receiver import clock
    from receiver.exporting import reading
    from storage import transitions

    total = transitions.Imported()
    with _progress() as bar:
        task = bar.add_task("importing", total=size or file.seek(0, 2))
        for group, at in _groups(reading.records(file, size, clock.now(), report)):
            total += await _take_group(store, group, report)
            bar.update(task, completed=at)
    return total + transitions.Imported(refused=len(report.refused))


async def _take_group(store: database.Database, group: list[Any], report: reading.Report) -> transitions.Imported:
    """A group at once; where the store cannot hold a run of it, one by one."""
    from receiver import clock
    from storage import errors, transitions

    try:
        return await store.write(transitions.take, group, "operator", clock.now())
    except errors.Unstorable as unfit:
        if len(group) == 1:
            report.refused.append(str(unfit))
            return transitions.Imported()
    total = transitions.Imported()
    for record in group:
        total += await _take_group(store, [record], report)
    return total


def _tell_lines(what: str, found: list[str]) -> None:
    """The first of some sentences, and how many more there are."""
    from receiver.cli import figures

    for each in found[:NAMED]:
        print(f"runledger: {what}: {figures.safe(each)}", file=sys.stderr)
    if len(found) > NAMED:
        print(f"runledger: {what}: {len(found) - NAMED:,} more", file=sys.stderr)


def _groups(records: Iterator[tuple[Any, int]]) -> Iterator[tuple[list[Any], int]]:
    group: list[Any] = []
    weight = at = 0
    for record, at in records:
        group.append(record)
        weight += record.weight
        if len(group) >= GROUP or weight >= BYTES:
            yield group, at
            group, weight = [], 0
    if group:
        yield group, at


def _tell(counts: transitions.Imported, as_json: bool) -> None:
    from dataclasses import asdict

    told: Mapping[str, int] = asdict(counts)
    if as_json:
        print(json.dumps(told))
        return
    print(f"{told['imported']:,} runs were imported.")
    for name, sentence in _LEFT.items():
        if told[name]:
            print(f"{told[name]:,} {sentence}")


_LEFT = {
    "same": "were here already, just so.",
    "different": "are here otherwise, and stay as they are.",
    "live": "had not ended where they were exported: the store that watches them settles them.",
    "clashing": "were left out: their idempotency key stands for another run here.",
    "refused": "were refused: see the messages.",
}


@contextlib.contextmanager
def _progress() -> Iterator[Progress]:
    from rich.progress import BarColumn, TaskProgressColumn, TextColumn, TimeRemainingColumn

    from receiver.cli import tables

    shown = (TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), TimeRemainingColumn())
    with tables.progress(*shown) as bar:
        yield bar


@contextlib.contextmanager
def _file_trouble(path: Path) -> Iterator[None]:
    try:
        yield
    except BrokenPipeError:
        raise  # who reads has enough
    except OSError as error:
        raise sentences.Complaint(f"{path}: {error.strerror or error}") from None
