"""Commands about the ledger: its keys, checkpoints and proofs, each printed alone in the form that others read."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from receiver import settings, signing_keys
from receiver.api.proof import ledger as handlers
from receiver.cli import api_calls, event_loop, open_database, options, target
from receiver.cli.errors import CommandError
from receiver.cli.parameters import option
from receiver.cli.proof import verify
from receiver.cli.remote import profiles
from receiver.cli.render import json_lines
from receiver.crypto import log_keys
from receiver.verifier import public_forms
from storage.ledger import proofs

app = event_loop.commands(no_args_is_help=True, help="Keys, checkpoints and proofs of the ledger.")

From = Annotated[str, option("AGE|DATE", "Created in the last 30d, or since 2026-01-01 (UTC).", "--from")]
To = Annotated[str | None, option("AGE|DATE", "Created before that; without it before now.", "--to")]
Index = Annotated[int, typer.Argument(min=0, help="The number of the entry, from 0.")]


@app.command()
async def key(
    new: Annotated[bool, typer.Option("--new", help="Print a new private key for RUNLEDGER_LEDGER_KEYS.")] = False,
    name: Annotated[str, typer.Option(help="Name of the new key; without it that of the settings.")] = "",
    as_json: options.Json = False,
) -> None:
    """Print the public keys of the ledger, newest first, as verifiers take them.

    Those that sign no longer are among them.

    \b
    Examples:
      runledger ledger key
      runledger ledger key --new --name runledger.example.com/ledger
    """
    if new:
        try:
            made = log_keys.new(name or signing_keys.origin(settings.load()))
        except log_keys.BadLogKey as refused:
            raise CommandError(str(refused)) from None
        _show(as_json, made.private_text + "\n", key=made.private_text)
        return
    served = await _served(handlers.get_ledger_key)
    keys = [each.text for each in signing_keys.policy(settings.load()).keys] if served is None else served.split()
    for text in keys:
        _show(as_json, text + "\n", key=text)


@app.command()
async def policy(as_json: options.Json = False) -> None:
    """Print the policy that trusts this ledger's keys, for tools that check proofs (C2SP tlog-policy).

    With witnesses it demands as many of them as RUNLEDGER_LEDGER_QUORUM says.

    \b
    Example:
      runledger ledger policy > policy.txt
    """
    served = await _served(handlers.get_ledger_policy)
    text = signing_keys.policy(settings.load()).text if served is None else served
    _show(as_json, text, policy=text)


async def _served(handler: api_calls.Handler) -> str | None:
    """Return what the server that is chosen answers; None where the settings of this machine say it."""
    if profiles.chosen() is None:
        return None
    async with target.opened() as store:
        answer = await api_calls.call(store, handler)
    assert isinstance(answer.body, bytes)
    return answer.body.decode()


@app.command()
async def checkpoint(as_json: options.Json = False) -> None:
    """Print the newest signed checkpoint: origin, number of entries, root, signatures (C2SP tlog-checkpoint).

    \b
    Example:
      runledger ledger checkpoint > checkpoint.txt
    """
    async with target.opened() as store:
        answer = await api_calls.call(store, handlers.get_checkpoint)
    assert isinstance(answer.body, bytes)
    note, found = answer.body.decode(), public_forms.parse_checkpoint(answer.body)
    signed_at = answer.headers.get(handlers.SIGNED_AT)
    _show(as_json, note, size=found.size, root=found.root.hex(), signedAt=signed_at, note=note)


@app.command()
async def leaf(index: Index, as_json: options.Json = False) -> None:
    """Print the bytes of an entry, which are the leaf of the tree.

    \b
    Example:
      runledger ledger leaf 0 > leaf.json
    """
    async with open_database.existing() as store:
        found = await store.read(proofs.leaf, index)
    if found is None:
        raise CommandError(f"the ledger has no entry with the number {index}")
    _show(as_json, found.decode(), index=index, leaf=found.decode())


@app.command()
async def prove(index: Index, as_json: options.Json = False) -> None:
    """Print the proof that an entry is in the ledger (C2SP tlog-proof).

    \b
    Example:
      runledger ledger prove 0 > 0.tlog-proof
    """
    async with open_database.existing() as store:
        found = await store.read(proofs.prove, index)
    if found is None:
        raise CommandError(f"the newest checkpoint has no entry with the number {index}")
    _show(as_json, found.proof, index=index, leaf=found.leaf.decode(), proof=found.proof)


@app.command()
async def completeness(begin: From, end: To = None, as_json: options.Json = False) -> None:
    """Compare the upstream's list with the store, for runs created in a range.

    It names what the upstream lists and the store lacks, what the store has and
    the list lacks, and states that differ, each with its reason. The report is
    kept (table completeness_reports), and an entry of the ledger has its digest.

    \b
    Examples:
      runledger ledger completeness --from 2026-11-01 --to 2026-12-01
      runledger ledger completeness --from 30d --json > november.json
    """
    # The client of the upstream is slow to import, and no other command of this group needs it.
    from receiver.cli.proof import completeness as comparison

    await comparison.check(begin, end, as_json)


app.command()(verify.verify)


def _show(as_json: bool, text: str, **fields: Any) -> None:
    """Print a text alone, byte for byte, or an object of fields."""
    if as_json:
        json_lines.mapping(fields)
    else:
        print(text, end="")
