"""The command that prints the proofs of a run's entries, or writes them into a folder for other people's tools."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated

from receiver.api.proof import receipts
from receiver.cli import api_calls, event_loop, options, target
from receiver.cli.errors import CommandError
from receiver.cli.parameters import option
from receiver.cli.render import format as render_format
from receiver.cli.render import json_lines
from receiver.cli.render.table import Column, Listing
from receiver.schemas import proof, query_parameters

app = event_loop.commands()

To = Annotated[Path | None, option("FOLDER", "Write leaves, proofs and policy into a new folder.")]
_README = """The entries of one run in the ledger of Runledger, each with the proof that it is there.

leaf-N.json    the bytes of entry N
N.tlog-proof   its proof, and the signed checkpoint (C2SP tlog-proof)
policy.txt     the keys whose signatures are needed (C2SP tlog-policy)

Compare the keys in policy.txt with those that you got from somewhere else. Any verifier of tlog-proof checks a
leaf against its proof; docs/guides/receipts.md of Runledger names some.
"""


@app.command()
async def receipt(run: options.Run, to: To = None, as_json: options.Json = False) -> None:
    """Print the proofs of a run's entries, or write them for other tools.

    An entry has a proof from about a second after it was made, while a server
    runs.

    \b
    Examples:
      runledger receipt run_01hx
      runledger receipt run_01hx --json
      runledger receipt run_01hx --to receipt
    """
    found = await _whole(run)
    if to is not None:
        _write(to, found)
    if as_json:
        json_lines.model(found)
    elif to is not None:
        print(f"{len(found.entries) - found.pending:,} proofs are in {to}.")
    else:
        _ENTRIES.show(found.entries)
    if found.note and not as_json:
        print(f"{found.pending:,} pending. {found.note}", file=sys.stderr)


async def _whole(run: str) -> proof.RunReceipt:
    """Return all pages of a receipt as one."""
    query, entries, pending = query_parameters.ReceiptQuery(), list[proof.ReceiptEntry](), 0
    async with target.opened() as store:
        changes = api_calls.ledger(store)
        while True:
            page = await api_calls.ask(
                store, receipts.get_receipt, proof.RunReceipt, path_id=run, query=query, changes=changes
            )
            entries, pending = entries + page.entries, pending + page.pending
            if page.next_cursor is None:
                note = receipts.PENDING if pending else None
                return page.model_copy(update={"entries": entries, "pending": pending, "note": note})
            query = query.model_copy(update={"cursor": page.next_cursor})


def _write(folder: Path, found: proof.RunReceipt) -> None:
    """Write the files of a receipt into a new folder. Raise CommandError."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if any(folder.iterdir()):
            raise CommandError(f"{folder} is not empty: name a new folder")
        (folder / "README.txt").write_text(_README)
        (folder / "policy.txt").write_bytes(found.policy.encode())
        for entry in found.entries:
            if entry.proof is not None:
                (folder / f"leaf-{entry.number}.json").write_bytes(entry.leaf.encode())
                (folder / f"{entry.number}.tlog-proof").write_bytes(entry.proof.encode())
    except FileExistsError:
        raise CommandError(f"{folder} is a file: name a new folder") from None
    except OSError as error:
        raise CommandError(f"{folder}: {error.strerror or error}") from None


_ENTRIES = Listing[proof.ReceiptEntry](
    "No entries.",
    Column("number", lambda entry: render_format.count(entry.number), right=True),
    Column("at", lambda entry: str(json.loads(entry.leaf)["at"])),
    Column("what", lambda entry: str(json.loads(entry.leaf)["kind"])),
    Column("proof", lambda entry: "pending" if entry.proof is None else "yes"),
)
