"""`runledger ledger verify`: check the ledger and the rows under it, and name each break."""

from __future__ import annotations

import gc
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn

from receiver import clock, settings, signing_keys
from receiver.cli import open_database, options
from receiver.cli.errors import FAILED, USAGE, CommandError
from receiver.cli.proof import verify_served
from receiver.cli.render import format as render_format
from receiver.cli.render import json_lines, progress
from receiver.verifier import public_forms
from receiver.verifier.store import breaks, signatures, verification
from storage.ledger import publication
from storage.maintenance import snapshot

_plural, _ENTRIES = render_format.plural, ("entry", "entries")
_BAR = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())


Since = Annotated[int, typer.Option(min=0, metavar="NUMBER", help="Only the entries from this number on.")]
Kept = Annotated[
    list[Path] | None, typer.Option(metavar="FILE", help="A checkpoint that was kept elsewhere. Repeat it.")
]
Folder = Annotated[
    Path | None, typer.Option(metavar="FOLDER", help="A folder with checkpoints; the newest is compared.")
]
PolicyFile = Annotated[
    Path | None, typer.Option(metavar="FILE", help="Keys to trust; without it those of the settings.")
]
Url = Annotated[
    str | None, typer.Option(metavar="URL", help="Compare what the server at this address serves, too.")
]
KeyFile = Annotated[
    Path | None, typer.Option(metavar="FILE", help="A file with an API key for --url; scope read.")
]


async def verify(
    since: Since = 0,
    checkpoint: Kept = None,
    checkpoint_dir: Folder = None,
    policy: PolicyFile = None,
    url: Url = None,
    key: KeyFile = None,
    as_json: options.Json = False,
) -> None:
    """Check every entry, the tree, checkpoints and signatures, and the rows that the entries are about.

    Prints each break with its code, and ends with the exit code 1 where there is one. It reads the database
    in one snapshot and changes nothing, so a server may be running. The outcome of a whole check with the
    keys of the settings is stored: the page of the ledger, readiness and metrics show it.

    With --url the served checkpoint and tiles are compared with the store. Where there is no store, they are
    compared with each other and with kept checkpoints, and --policy names the keys to trust.

    \b
    Examples:
      runledger ledger verify
      runledger ledger verify --checkpoint kept/checkpoint.txt
      runledger ledger verify --since 100000 --json
      runledger ledger verify --url https://runs.example.com --key key.txt
    """
    given, report = settings.load(), breaks.Report()
    is_outside = url is not None and verify_served.is_without_store(given)
    if is_outside:
        verify_served.demand_policy(policy)
    trusted = signatures.Trusted(_policy(given, policy), is_signed)
    kept = [_trusted(each, trusted) for each in checkpoint or ()]
    kept += _newest(checkpoint_dir, trusted, report)
    served = None if url is None else verify_served.asked(url, key, trusted, report)
    if is_outside and served is not None:
        with _progress("comparing") as advance:
            served.compare(None, kept, advance)
    else:
        async with open_database.existing(given) as store:
            _verify_store(given.url, trusted, kept, since, served, report)
            # A part tells nothing about the whole, and a policy of another ledger nothing about this store.
            if policy is None and (not since or not report.is_ok):
                await store.write(_record, trusted.policy.logs[0].name, report, clock.now())
    if report.is_ok and since > report.size:
        raise CommandError(f"--since {since}: the ledger has {_plural(report.size, *_ENTRIES)}", USAGE)
    _show(report, as_json)
    if not report.is_ok:
        raise typer.Exit(FAILED)


def _verify_store(
    address: str,
    trusted: signatures.Trusted,
    kept: list[public_forms.Checkpoint],
    since: int,
    served: verify_served.Served | None,
    report: breaks.Report,
) -> None:
    """Verify the store, and then what is served, in one snapshot."""
    # What is read makes no cycles: looking for them takes a tenth of the time.
    gc.freeze()
    gc.set_threshold(100_000, 100, 100)
    with snapshot.opened(address) as connection:
        with _progress("verifying") as advance:
            verification.verify(connection, trusted, kept, since=since, progress=advance, report=report)
        if served is not None:
            with _progress("comparing") as advance:
                served.compare(connection, progress=advance)


def _record(connection: Any, origin: str, report: breaks.Report, now: datetime) -> None:
    """Store the outcome, for readiness, metrics and pages."""
    if report.is_ok:
        publication.reached(connection, publication.VERIFICATION, origin, report.size, now)
    else:
        publication.failed(connection, publication.VERIFICATION, origin, _summary(report), now)


def _summary(report: breaks.Report) -> str:
    by_code = ", ".join(f"{code} {count}" for code, count in report.breaks_by_code.items())
    return f"{_plural(report.counts.total(), 'break').replace(',', '')}: {by_code}"


def _policy(given: settings.Settings, file: Path | None) -> public_forms.Policy:
    try:
        text = signing_keys.policy(given).text.encode() if file is None else _read(file)
        return public_forms.parse_policy(text)
    except public_forms.Refused as refused:
        raise CommandError(f"the policy cannot be used: {refused}") from None


def _read(file: Path) -> bytes:
    """Return the bytes of a file, and no more of it than a reader of such forms takes."""
    with file.open("rb") as opened:
        return opened.read(public_forms.MOST_BYTES + 1)


def _trusted(file: Path, trusted: signatures.Trusted) -> public_forms.Checkpoint:
    """Return the checkpoint of a file. Raises CommandError where no key of the policy has signed it."""
    try:
        found = public_forms.parse_checkpoint(_read(file))
    except public_forms.Refused as refused:
        raise CommandError(f"{file} has no checkpoint: {refused}") from None
    for _, fault in signatures.faults(found, trusted):
        raise CommandError(f"the checkpoint in {file} is not trusted: {fault}")
    return found


def _newest(
    folder: Path | None, trusted: signatures.Trusted, report: breaks.Report
) -> list[public_forms.Checkpoint]:
    """Return the trusted checkpoint of the largest tree in a folder; other files are counted as unchecked."""
    if folder is None:
        return []
    found, others = list[public_forms.Checkpoint](), 0
    for file in sorted(each for each in folder.iterdir() if stat.S_ISREG(each.stat().st_mode)):
        try:
            found.append(_trusted(file, trusted))
        except CommandError:
            others += 1
    if others:
        report.unchecked.append(
            f"{_plural(others, 'file')} of {folder} without a checkpoint that the policy trusts"
        )
    if not found:
        raise CommandError(f"{folder} has no checkpoint that the policy trusts")
    return [max(found, key=lambda each: each.size)]


def is_signed(public: bytes, message: bytes, signature: bytes) -> bool:
    """Return whether an Ed25519 signature is right: a hundred times faster than in Python alone."""
    # Slow to import: the other commands about the ledger are in one module with this one.
    from cryptography.exceptions import InvalidSignature

    # With it comes the error of a wrong signature.
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

    try:
        Ed25519PublicKey.from_public_bytes(public).verify(signature, message)
    except (InvalidSignature, ValueError):
        return False
    return True


@contextmanager
def _progress(title: str) -> Iterator[Callable[[int, int], None]]:
    with progress.bar(title, None, *_BAR) as update:
        yield lambda done, total: update(completed=done, total=total)


def _fields(report: breaks.Report) -> dict[str, Any]:
    return {
        "ok": report.is_ok,
        "size": report.size,
        "signedSize": report.signed_size,
        "checked": dict(sorted(report.checked.items())),
        "breaks": report.counts.total(),
        "breaksByCode": report.breaks_by_code,
        "listed": [each.fields for each in report.breaks],
        "unchecked": report.unchecked,
    }


def _show(report: breaks.Report, as_json: bool) -> None:
    if as_json:
        json_lines.mapping(_fields(report))
        return
    for each in report.breaks:
        print(f"{each.code.value:18} {render_format.safe(each.sentence)}")
    nouns = _NOUNS | ({"servedTiles": ("served tile",)} if report.checked["servedTiles"] else {})
    checked = ", ".join(_plural(report.checked[name], *each) for name, each in nouns.items())
    erased = report.checked["erased"]
    print(f"Checked {checked}; {_plural(erased, 'value was', 'values were')} erased.")
    for sentence in report.unchecked:
        print(f"Not checked: {render_format.safe(sentence)}.")
    if report.size > report.signed_size:
        unsigned = _plural(report.size - report.signed_size, "entry is", "entries are")
        print(f"{unsigned} under no checkpoint yet.")
    total = report.counts.total()
    if not total:
        print("Nothing is broken.")
        return
    more = f"; the first {len(report.breaks)} are listed" if total > len(report.breaks) else ""
    print(f"{_summary(report)}{more}.")


#: What is counted, as it is printed.
_NOUNS = {
    "entries": _ENTRIES,
    "runs": ("run",),
    "deliveries": ("delivery", "deliveries"),
    "digests": ("digest",),
    "checkpoints": ("checkpoint",),
    "cosignatures": ("signature of witnesses", "signatures of witnesses"),
}
