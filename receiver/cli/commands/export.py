"""Commands that export runs to a file and import them."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import IO, Annotated, Any, BinaryIO

import typer

from receiver import clock
from receiver.api import export as handlers
from receiver.cli import api_calls, event_loop, open_database, options
from receiver.cli.errors import USAGE, CommandError
from receiver.cli.parameters import flag, option
from receiver.cli.render import format as render_format
from receiver.cli.render import json_lines, progress
from receiver.export import flow, formats, import_reader
from receiver.schemas import query_parameters
from storage import errors
from storage.engine import database
from storage.transitions import importing

app = event_loop.commands()

#: Suffixes of a file that is not complete yet, and of the file that holds its digest.
PART, DIGEST = ".part", ".sha256"
#: Runs, and bytes, roughly, that are imported in one transaction.
GROUP, BYTES = 50, 1 << 20
#: Messages about lines of a file that are shown at most.
SHOWN = 20


Documents = Annotated[bool, flag("--documents", "Include the upstream's answers, byte for byte; jsonl only.")]
Output = Annotated[Path | None, option("FILE", "The file; default: standard output.", "--output", "-o")]
Resume = Annotated[Path | None, option("FILE", "Continue a file that was cut off; give the same options.")]
Json = Annotated[bool, flag("--json", "For programs: a summary of the file as one JSON object.")]


@app.command()
@options.filtered
async def export(
    chosen: Mapping[str, Any],
    form: Annotated[str, options.choice(formats.Format, "FORM", "{words}.", "--format")] = "jsonl",
    documents: Documents = False,
    bom: Annotated[bool, flag("--bom", "Begin with a byte-order mark, which Excel needs; csv only.")] = False,
    output: Output = None,
    resume: Resume = None,
    force: Annotated[bool, flag("--force", "Replace an existing file.")] = False,
    as_json: Json = False,
) -> None:
    """Write runs into a file, oldest first.

    Each run has its steps, usage and tags, but for steps and usage in CSV and
    Parquet. The last run is the newest one at the start. The file is called
    FILE.part until it is complete. JSON Lines end with a count and SHA-256;
    CSV and Parquet get FILE.sha256, for `sha256sum --check`. In CSV a text that
    looks like a formula gets an apostrophe in front.

    \b
    Examples:
      runledger export --documents --output runs.jsonl
      runledger export --resume runs.jsonl --documents
      runledger export 'tag.client:acme' --format csv --bom -o acme.csv
      runledger export --status failed | jq -r .id
    """
    path = _path(form, output, resume, force, as_json)
    trailer = "true" if form == formats.Format.JSONL or path is None else "false"
    given = {**chosen, "format": form, "documents": documents, "bom": bom, "trailer": trailer}
    query = api_calls.parameters(query_parameters.ExportQuery, given)
    async with open_database.existing() as store:
        if path is None:
            exported = _export(store, query)
            with _file_errors(Path("standard output")):
                await _write(exported, sys.stdout.buffer)
            _demand_all(exported.summary)
            return
        exported = await _write_part(store, query, path, is_resumed=resume is not None)
    end = _finish(path, exported, query.format)
    if as_json:
        counts = {"runs": end.records, "sha256": end.sha256, "unindexed": end.unindexed}
        json_lines.mapping({"file": str(path)} | counts)
    else:
        print(f"{end.records:,} runs are in {path}.")
        if end.unindexed:
            print(f"{end.unindexed:,} runs could not be found by their words yet.")
    _demand_all(end)


def _path(form: str, output: Path | None, resume: Path | None, force: bool, as_json: bool) -> Path | None:
    """Return the file to write; None for standard output. Raise CommandError."""
    if output is not None and resume is not None:
        raise CommandError("--resume names the file already: leave out --output", USAGE)
    if resume is not None and form != formats.Format.JSONL:
        raise CommandError("--resume continues JSON Lines only", USAGE)
    if output is not None and output.exists() and not force:
        raise CommandError(f"{output} is there already: --force writes over it", USAGE)
    if as_json and not (output or resume):
        raise CommandError("--json describes a file: name it with --output", USAGE)
    return output or resume


def _demand_all(end: formats.Summary | None) -> None:
    """Raise CommandError where runs are missing, with their ids."""
    if end is not None and end.unwritten:
        ids = ", ".join(end.unwritten_runs)
        raise CommandError(
            f"{end.unwritten:,} runs are missing, since what is stored of them cannot be read: {ids}"
        )


def _export(
    store: database.Database, query: query_parameters.ExportQuery, place: import_reader.ResumePoint | None = None
) -> flow.Export:
    """Return the export as the API makes it; with `place` it continues from there."""
    after = None if place is None else place.last
    exported = handlers.prepare(store, query.model_copy(update={"after": after}), clock.now())
    if place is not None:
        exported.resume(place.digest, place.records)
    return exported


async def _write_part(
    store: database.Database, query: query_parameters.ExportQuery, path: Path, *, is_resumed: bool
) -> flow.Export:
    """Write the part file, after the last whole line of an earlier one where that is resumed."""
    part, place = _part(path), None
    earlier = part if part.exists() or not is_resumed else path
    with _file_errors(earlier):
        if is_resumed:
            with earlier.open("rb") as file:
                place = import_reader.resume_point(file)
            earlier.rename(part)
        exported = _export(store, query, place)
        with part.open("r+b" if is_resumed else "wb") as file:
            file.truncate(0 if place is None else place.size)
            file.seek(0, 2)
            await _write(exported, file)
    return exported


def _part(path: Path) -> Path:
    return path.with_name(path.name + PART)


async def _write(exported: flow.Export, file: IO[bytes]) -> None:
    with progress.bar("exporting", 1.0) as update:
        async with contextlib.aclosing(exported.pieces()) as pieces:
            async for piece in pieces:
                file.write(piece)
                update(completed=exported.share)
    file.flush()
    with contextlib.suppress(OSError):  # a pipe or a terminal cannot be synced
        os.fsync(file.fileno())


def _finish(path: Path, exported: flow.Export, form: str) -> formats.Summary:
    """Rename a complete file to its name, and write its digest beside it where it has no trailer."""
    end = exported.summary
    assert end is not None, "all pieces were read"
    with _file_errors(path):
        if form != formats.Format.JSONL:
            digest = f"# {end.records} runs\n{end.sha256}  {path.name}\n"
            path.with_name(path.name + DIGEST).write_bytes(os.fsencode(digest))
        _part(path).replace(path)
    return end


@app.command("import")
async def import_(
    path: Annotated[Path, typer.Argument(metavar="FILE", help="JSON Lines of `runledger export`.")],
    partial: Annotated[bool, flag("--partial", "Import the complete lines of a file that was cut off.")] = False,
    as_json: options.Json = False,
) -> None:
    """Read runs back from JSON Lines.

    The file is checked against its trailer first. Tags, steps, usage and
    documents are imported too. A run that is stored already, by either id,
    stays unchanged. Open runs are left out: the store that exported them
    settles them. A line that cannot be read is named with its run and field;
    the others are imported, and the exit code is 1. The command may be stopped
    and repeated.

    \b
    Examples:
      runledger import runs.jsonl
      runledger import --partial --json runs.jsonl.part
    """
    report = import_reader.Report()
    with _file_errors(path), path.open("rb") as file:
        size = None if partial else import_reader.verify(file)
        async with open_database.created() as store:
            counts = await _import_file(store, file, size, report)
    if as_json:
        json_lines.mapping(asdict(counts))
    else:
        print(f"{counts.imported:,} runs were imported.")
        for name, sentence in _NOT_IMPORTED.items():
            if count := getattr(counts, name):
                print(f"{count:,} {sentence}")
    _show_messages("an impossible value was left out", report.left_out)
    if counts.is_all_refused:
        raise CommandError(f"{path}: no line has a run that can be imported; {report.refused[0]}")
    _show_messages("a run was refused", report.refused)
    if report.refused:
        raise CommandError(f"runs that were refused: {len(report.refused):,}; the others are imported")


async def _import_file(
    store: database.Database, file: BinaryIO, size: int | None, report: import_reader.Report
) -> importing.Imported:
    """Import group by group, each in a transaction."""
    total = importing.Imported()
    with progress.bar("importing", size or file.seek(0, 2)) as update:
        for group, at in _groups(import_reader.records(file, size, clock.now(), report)):
            total += await _import_group(store, group, report)
            update(completed=at)
    return total + importing.Imported(refused=len(report.refused))


async def _import_group(
    store: database.Database, group: list[Any], report: import_reader.Report
) -> importing.Imported:
    """Import a group at once; where the store cannot hold a run of it, one by one."""
    try:
        return await store.write(importing.import_runs, group, "operator", clock.now())
    except errors.UnstorableValue as unfit:
        if len(group) == 1:
            report.refused.append(str(unfit))
            return importing.Imported()
    total = importing.Imported()
    for record in group:
        total += await _import_group(store, [record], report)
    return total


def _groups(records: Iterator[tuple[Any, int]]) -> Iterator[tuple[list[Any], int]]:
    """Yield records in groups of at most GROUP and about BYTES, each with the place in the file behind it."""
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


def _show_messages(what: str, messages: list[str]) -> None:
    for each in messages[:SHOWN]:
        print(f"runledger: {what}: {render_format.safe(each)}", file=sys.stderr)
    if len(messages) > SHOWN:
        print(f"runledger: {what}: {len(messages) - SHOWN:,} more", file=sys.stderr)


_NOT_IMPORTED = {
    "same": "were here already, with the same content.",
    "different": "are here with other content, and stay as they are.",
    "live": "had not ended where they were exported: the store that watches them settles them.",
    "clashing": "were left out: their idempotency key is that of another run here.",
    "refused": "were refused: see the messages.",
}


@contextlib.contextmanager
def _file_errors(path: Path) -> Iterator[None]:
    """Turn errors of the file into CommandError."""
    try:
        yield
    except BrokenPipeError:
        raise  # the reader of the pipe has closed it
    except OSError as error:
        raise CommandError(f"{path}: {error.strerror or error}") from None
