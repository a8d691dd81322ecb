"""Check a ZIP of evidence, and report each fault."""

from __future__ import annotations

import argparse
import hashlib
import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from receiver.verifier import ed25519, public_forms
from receiver.verifier.evidence import container, facts, runs, summary, texts, values
from receiver.verifier.public_forms import Refused

#: What values of another form than expected raise.
_MALFORMED = (KeyError, TypeError, AttributeError, ValueError, RecursionError)


@dataclass
class Report:
    """What was found. Without failures the evidence holds."""

    sha256: str = ""
    manifest: str = ""
    policy: str = ""
    checkpoint: dict[str, Any] = field(default_factory=dict)
    runs: list[dict[str, Any]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)

    @property
    def is_ok(self) -> bool:
        """Return whether all of it holds."""
        return not self.failures

    def lines(self) -> list[str]:
        """Return the report for people, a plain line each."""
        hashes = {"zip": self.sha256, "manifest": self.manifest}
        found = [f"{name:11} sha256 {each}" for name, each in hashes.items() if each]
        found.append(f"policy      {self.policy}")
        if self.checkpoint:
            names = ", ".join([*self.checkpoint["logs"], *self.checkpoint["witnesses"]])
            found.append(f"checkpoint  {self.checkpoint['size']} entries, signed by {names}")
        for run in self.runs:
            parts = [f"{state} {', '.join(run[state])}" for state in values.STATES if run[state]]
            shown = "; ".join([run["status"] or "not ended", f"{run['entries']} entries", *parts])
            found.append(f"run         {run['run']}: {shown}")
        found += [f"note        {_plain(each)}" for each in self.notes]
        found += [f"FAILED      {_plain(each)}" for each in self.failures]
        count = len(self.failures)
        return [*found, "OK" if self.is_ok else f"FAILED, {count} fault{'s' if count > 1 else ''}"]

    def as_json(self) -> dict[str, Any]:
        """Return the report for programs."""
        return {"ok": self.is_ok, **self.__dict__}


def _plain(text: str) -> str:
    """Return a text on one line without characters that a terminal obeys."""
    return "".join(each if each.isprintable() else "\ufffd" for each in text)


def check(path: Path, policy: bytes | None = None) -> Report:
    """Check a ZIP of evidence, under the auditor's own policy where there is one."""
    report = Report(policy="the one that was given" if policy is not None else _INSIDE)
    try:
        report.sha256 = _sha256(path)
        found = container.Container(path)
    except (OSError, Refused) as error:
        report.failures.append(str(error))
        return report
    try:
        _check(found, policy, report)
    except Refused as refused:
        report.failures.append(str(refused))
    except _MALFORMED as error:
        report.failures.append(f"it is not of the form of evidence: {type(error).__name__}")
    finally:
        found.close()
    return report


_INSIDE = "the one inside, trusted on first use: compare its keys with those that you got elsewhere"


def _sha256(path: Path) -> str:
    hashed = hashlib.sha256()
    with path.open("rb") as file:
        while piece := file.read(1 << 20):
            hashed.update(piece)
    return hashed.hexdigest()


def _check(found: container.Container, given: bytes | None, report: Report) -> None:
    manifest = found.read(container.MANIFEST)
    report.manifest = hashlib.sha256(manifest).hexdigest()
    files, run_ids, _ = container.read_manifest(manifest)
    _check_files(found, files, report)
    policy = public_forms.parse_policy(found.read(texts.POLICY) if given is None else given)
    keys = [public_forms.parse_key(line) for line in _lines(found.read(texts.KEYS))]
    if keys != list(public_forms.parse_policy(found.read(texts.POLICY)).logs):
        report.failures.append("keys.txt has not the keys of policy.txt")
    note = found.read(texts.CHECKPOINT)
    log = runs.Log(public_forms.parse_checkpoint(note), note)
    trust = public_forms.trust(log.checkpoint, policy, ed25519.verify)
    report.checkpoint = {"origin": log.checkpoint.origin, "size": log.checkpoint.size}
    report.checkpoint |= {"root": log.checkpoint.root.hex(), "logs": trust.logs, "witnesses": trust.witnesses}
    known = {container.MANIFEST, *texts.FIXED}
    page = hashlib.sha256(summary.head(log, run_ids).encode())
    for run_id in run_ids:
        run = _run(run_id, found, log, report)
        if run is not None:
            known.update(run.files)
            page.update(summary.section(run).encode())
    page.update(summary.foot().encode())
    if page.hexdigest() != files.get(texts.SUMMARY, (0, ""))[1]:
        report.failures.append(f"{texts.SUMMARY} is not made of the files beside it")
    if found.read(texts.README_FILE) != texts.README.encode():
        report.failures.append(f"{texts.README_FILE} is not that of this release")
    report.notes += [f"{name} in the ZIP is not that of this verifier" for name in _other_program(found)]
    if len(set(run_ids)) < len(run_ids) or not run_ids:
        report.failures.append("the manifest names no run, or one twice")
    report.failures += [f"{name} belongs to nothing" for name in sorted(set(found.names) - known)]


def _other_program(found: container.Container) -> list[str]:
    """Return the files of the verifier in the ZIP that differ from those of this one."""
    here = Path(__file__).resolve().parents[3]
    own = {name: here / name for name in texts.PROGRAM}
    # In the ZIP the script is beside the folder, in a release within it.
    for place in (here / texts.SCRIPT, here / "receiver" / "verifier" / texts.SCRIPT):
        if place.is_file():
            own[texts.SCRIPT] = place
    return [name for name, path in own.items() if path.read_bytes() != found.read(name)]


def _lines(data: bytes) -> list[str]:
    return public_forms.decoded(data, "keys.txt")[:-1].split("\n")


def _check_files(found: container.Container, files: container.Files, report: Report) -> None:
    """Compare all files with the manifest."""
    for name in sorted({*found.names, *files, *texts.FIXED} - {container.MANIFEST}):
        if name not in files or name not in found.names:
            report.failures.append(f"{name} is missing" if name in files else f"{name} is not in the manifest")
            continue
        try:
            data = found.read(name)
        except Refused as refused:
            report.failures.append(str(refused))
            continue
        if (len(data), hashlib.sha256(data).hexdigest()) != files[name]:
            report.failures.append(f"{name} was changed: its SHA-256 is not that of the manifest")


def _run(run_id: str, found: container.Container, log: runs.Log, report: Report) -> runs.Run | None:
    """Check one run; None where it cannot be read."""

    def fail(fault: str) -> None:
        report.failures.append(f"run {run_id}: {fault}")

    try:
        run = runs.load(run_id, found.read, log, fail)
    except Refused as refused:
        fail(str(refused))
        return None
    except _MALFORMED as error:
        fail(f"it is not of its form: {type(error).__name__}")
        return None
    unknown = sorted({entry["kind"] for _, entry in run.entries} - facts.KNOWN)
    report.notes += [f"run {run_id}: this release does not know entries of the kind {each}" for each in unknown]
    states = {state: run.names(state) for state in values.STATES}
    status = run.record.get("status")
    report.runs.append({"run": run_id, "status": status, "entries": len(run.entries), **states})
    return run


def main(arguments: Sequence[str] | None = None) -> int:
    """Check the ZIP that the arguments name; return the exit code."""
    parser = argparse.ArgumentParser(prog="verify_evidence.py", description="Check evidence that Runledger made.")
    parser.add_argument("zip", type=Path, metavar="EVIDENCE.zip")
    parser.add_argument("--policy", type=Path, help="your own policy (C2SP tlog-policy)")
    parser.add_argument("--json", action="store_true", help="one JSON object for programs")
    given = parser.parse_args(arguments)
    try:
        policy = None if given.policy is None else given.policy.read_bytes()
        given.zip.open("rb").close()
    except OSError as error:
        parser.error(f"{error.filename}: {error.strerror}")
    report = check(given.zip, policy)
    text = json.dumps(report.as_json()) if given.json else "\n".join(report.lines())
    sys.stdout.buffer.write(text.encode("utf-8", "replace") + b"\n")
    return 0 if report.is_ok else 1
