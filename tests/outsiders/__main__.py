"""Real receipts, tiles and the corpus in the hands of programs that nobody here wrote.

It exits with 1 where one of them says something else than expected.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import pymerkle
import rfc8785

from receiver.verifier import public_forms
from tests.deploy.check.tools import Failed
from tests.outsiders import differences, verifiers
from tests.outsiders.store import Store
from tests.outsiders.verifiers import BIN, Verifier
from tests.vectors.ledger import corpus
from tests.vectors.ledger.cases import Case


def main() -> int:
    """Run all of it, a line each."""
    started = time.monotonic()
    try:
        verifiers.demand_go()
        with tempfile.TemporaryDirectory() as folder:
            _all(Path(folder))
    except Failed as failed:
        print(f"FAILED: {failed}")
        return 1
    print(f"all hold, in {time.monotonic() - started:.0f} s")
    return 0


def _all(folder: Path) -> None:
    (folder / "go").mkdir()
    found: list[Verifier] = [verifiers.Go(folder / "go"), verifiers.Dnsid()]
    store = Store(folder)
    with store.served():
        receipts = [case for run in ("run_0", "run_58") for case in store.receipt(run)]
        _said("tlog-scales: proofs made of the served tiles", _scales(store, receipts, found))
        tiles = folder / "tiles"
        store.download(tiles)
    for each in found:
        _said(f"{each.name}: receipts", _receipts(each, receipts))
        _said(f"{each.name}: receipts with one changed byte", _changed(each, receipts))
        _said(f"{each.name}: corpus", _corpus(each))
    _said("tlog-scales: tiles with one changed byte", _changed_tiles(tiles, folder / "changed", receipts))
    _said("pymerkle and rfc8785: root and entries", _oracles(tiles, store.size))


def _said(what: str, count: int) -> None:
    print(f"{what}: {count}")


def _demand(verifier: Verifier, cases: Sequence[Case], verdict: Callable[[Case], str]) -> int:
    """Compare what a verifier says of cases with what is expected. Raise Failed."""
    for case, said in zip(cases, verifier.verdicts(cases), strict=True):
        if said != verdict(case):
            raise Failed(f"{verifier.name} {said} what should be {verdict(case)}: {case.name}")
    return len(cases)


def _receipts(verifier: Verifier, receipts: Sequence[Case]) -> int:
    return _demand(verifier, receipts, lambda _: "accepted")


def _changed(verifier: Verifier, receipts: Sequence[Case]) -> int:
    return _demand(verifier, [case for each in receipts for case in _with_changes(each)], lambda _: "refused")


def _with_changes(case: Case) -> Iterator[Case]:
    """Yield a receipt with one byte changed at places of the leaf, of the proof and of the checkpoint."""
    begins = case.proof.index(b"\n\n") + 2
    size = case.proof.index(b"\n", begins) + 1
    for at in (0, len(case.leaf) // 2, len(case.leaf) - 1):
        yield replace(case, name=f"{case.name}, leaf changed at {at}", leaf=_flipped(case.leaf, at))
    # Of the first part the number and a hash, of the checkpoint origin, size, root and signature.
    places = (case.proof.index(b"index ") + 6, begins - 10, begins, size, size + 9, len(case.proof) - 12)
    for at in places:
        yield replace(case, name=f"{case.name}, proof changed at {at}", proof=_flipped(case.proof, at))


def _flipped(data: bytes, at: int) -> bytes:
    return data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :]


def _corpus(verifier: Verifier) -> int:
    expected = differences.DIFFERENCES[verifier.name]
    return _demand(verifier, corpus.read(), lambda case: expected.get(case.name, case.verdict))


def _scales(store: Store, receipts: Sequence[Case], found: Sequence[Verifier]) -> int:
    """Have `tlog-scales` make the proofs of receipts from the served tiles; each verifier accepts them."""
    made = []
    for case in receipts:
        index = str(public_forms.parse_proof(case.proof).index)
        proof = _tlog_tiles("gen-proof", store.url, index)
        leaf = _tlog_tiles("get-leaf", "--check", store.url, index)
        if proof is None or leaf != case.leaf:
            raise Failed(f"tlog-scales finds no proof of {case.name}")
        made.append(replace(case, proof=proof))
    for verifier in found:
        _receipts(verifier, made)
    return len(made)


def _changed_tiles(tiles: Path, folder: Path, receipts: Sequence[Case]) -> int:
    """Change one byte of a leaf, of a hash or of the root: `tlog-scales` refuses the leaf."""
    indexes = [public_forms.parse_proof(case.proof).index for case in receipts]
    index = max(indexes)
    part = next((tiles / "tile" / "0").rglob("*.p")).name.removesuffix(".p")
    (hashes,) = (tiles / "tile" / "0" / f"{part}.p").iterdir()
    (bundle,) = (tiles / "tile" / "entries" / f"{part}.p").iterdir()
    at_leaf = bundle.read_bytes().index(next(case.leaf for case in receipts if f"entry {index}" in case.name))
    checkpoint = (tiles / "checkpoint").read_bytes()
    places = [(bundle, at_leaf + 5), (hashes, (index % 256 - 1) * 32)]
    places += [(tiles / "tile" / "1" / "000.p" / "1", 3), (tiles / "checkpoint", checkpoint.index(b"\n") + 10)]
    if _tlog_tiles("get-leaf", "--check", str(tiles), str(index)) is None:
        raise Failed("tlog-scales refuses good tiles")
    for file, at in places:
        shutil.rmtree(folder, ignore_errors=True)
        shutil.copytree(tiles, folder)
        changed = folder / file.relative_to(tiles)
        changed.write_bytes(_flipped(file.read_bytes(), at))
        if _tlog_tiles("get-leaf", "--check", str(folder), str(index)) is not None:
            raise Failed(f"tlog-scales accepts a changed byte in {file.relative_to(tiles)}")
    return len(places)


def _tlog_tiles(*words: str) -> bytes | None:
    """Return what `tlog-tiles` prints; None where it fails."""
    done = subprocess.run([BIN / "tlog-tiles", *words], capture_output=True, check=False, timeout=60)
    return done.stdout if done.returncode == 0 else None


def _oracles(tiles: Path, size: int) -> int:
    """Compute the root with pymerkle, and each entry's bytes with rfc8785."""
    leaves = []
    for path in sorted((tiles / "tile" / "entries").rglob("*")):
        data = path.read_bytes() if path.is_file() else b""
        while data:
            length = int.from_bytes(data[:2], "big")
            leaves.append(data[2 : 2 + length])
            data = data[2 + length :]
    root = pymerkle.InmemoryTree.init_from_entries(leaves, algorithm="sha256").get_root()
    if len(leaves) != size or public_forms.parse_checkpoint((tiles / "checkpoint").read_bytes()).root != root:
        raise Failed("pymerkle computes another root")
    if any(rfc8785.dumps(json.loads(leaf)) != leaf for leaf in leaves):
        raise Failed("rfc8785 writes an entry with other bytes")
    return len(leaves)


if __name__ == "__main__":
    sys.exit(main())
