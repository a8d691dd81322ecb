"""A run's details: the audit trail with every field that the service's interface documents.

The visible part of the transcript grows with time. The service has no field for the reason of a failure: the
result, the logs, the last step or the runtime's state shows it.
"""

from __future__ import annotations

import dataclasses
import functools
import json
from collections.abc import Sequence

from receiver.sandbox import messages, state, transcript

TIMES = ("created_at", "started_at", "completed_at")
#: Bytes of one padding step at most.
_PADDING_STEP = 4 << 20
_FLOATS = ",".join(f"{number / 7:.12f}" for number in range(1, 4000))
_WORDS = "the clause on liability, the annex and the term of notice of the lease; " * 800


def details(run: state.Run, now: float, *, complete: bool = True) -> messages.Object:
    """Return the full audit trail; result and usage are null while the run lives or until `complete`."""
    started, ended = run.started_at is not None, run.ended and complete
    names = ("id", "agent_id", "status", "prompt", "guidance", "model", "workflow_id")
    return {
        **messages.shown(run, *names, *TIMES),
        "modalSandboxId": None,
        "provider": "daytona" if started else None,
        "runtimeId": run.transcript.runtime_id if started else None,
        "runtimeState": _runtime_state(run) if started else None,
        "result": _result(run) if ended else None,
        "usage": _usage(run, now) if ended and started else None,
        "steps": [_step(run, step) for step in _visible_steps(run, now)],
    }


def duration_ms(run: state.Run, now: float) -> int | None:
    """Return how long a run has run, in milliseconds; None before its start."""
    if run.started_at is None:
        return None
    end = now if run.completed_at is None else run.completed_at
    return max(0, round((end - run.started_at) * 1000))


def padded(encoded: bytes, size: int) -> bytes:
    """Return encoded details with `size` bytes of further steps, whose outputs are half floats, half words."""
    if not size:
        return encoded
    head, mark, tail = encoded.partition(b'"steps":[')
    return b"".join((head, mark, _padding(size), b"" if tail.startswith(b"]") else b",", tail))


@functools.lru_cache(maxsize=2)
def _padding(size: int) -> bytes:
    sizes = [_PADDING_STEP] * (size // _PADDING_STEP) + [size % _PADDING_STEP]
    return b",".join(_padding_step(number, each) for number, each in enumerate(sizes) if each)


def _padding_step(number: int, size: int) -> bytes:
    half = size // 2
    floats = (_FLOATS + ",") * (half // len(_FLOATS)) + _FLOATS
    words = json.dumps((_WORDS * (half // len(_WORDS) + 1))[:half])
    head = f'{{"id":"step_padding_{number}","type":"tool_result","toolName":"vault_read"'
    return f'{head},"toolOutput":{{"scores":[{floats}],"text":{words}}}}}'.encode("ascii")


def _moment(run: state.Run, share: float) -> str:
    return messages.instant((run.started_at or run.created_at) + share * _span(run))


def _span(run: state.Run) -> float:
    """Return the seconds of the whole transcript: as planned, or as they were for a run that finished."""
    if run.status in ("completed", "failed") and run.started_at is not None and run.completed_at is not None:
        return run.completed_at - run.started_at
    return run.seconds


def _visible_steps(run: state.Run, now: float) -> Sequence[transcript.Step]:
    share = run.share(now)
    steps = [step for step in run.transcript.steps if step.moment <= share]
    if run.status != "failed":
        return steps
    last = steps.pop()
    if run.transcript.failure_place != "steps":
        return steps
    # This kind of failure is reported by the agent itself, in place of its output.
    return [*steps, dataclasses.replace(last, fields={**last.fields, "content": run.transcript.failure})]


def _step(run: state.Run, step: transcript.Step) -> messages.Object:
    lasts = None if step.lasts is None else max(1, round(step.lasts * _span(run) * 1000))
    return {**step.fields, "durationMs": lasts, "timestamp": _moment(run, step.moment)}


def _runtime_state(run: state.Run) -> str:
    if run.status == "running":
        return "running"
    return "error" if run.status == "failed" and run.transcript.failure_place == "state" else "stopped"


def _result(run: state.Run) -> messages.Object | None:
    """Return a report, what is left of a failed run, or None."""
    script, failed = run.transcript, run.status == "failed"
    if run.status == "cancelled" or (failed and script.failure_place in ("steps", "state")):
        return None
    in_logs = failed and script.failure_place == "logs"
    created = [] if failed else list(script.created)
    issues = [script.failure] if failed else []
    answer = {"summary": "" if failed else script.summary, "createdObjectIds": created, "issues": issues}
    last = f"ERROR {script.failure}\nexit status 1\n" if in_logs else "finished\nexit status 0\n"
    logs = {
        "runtime": f"runtime {script.runtime_id} ready\nmodel {run.model}\n",
        "opencode": "",
        "runner": f"run {run.id} started\n{len(script.steps)} steps\n{last}",
    }
    return {
        "output": "" if failed else script.output,
        "outputObjectIds": created,
        "finalResponse": None if in_logs else answer,
        "logs": logs,
    }


def _usage(run: state.Run, now: float) -> messages.Object:
    entries = [entry for entry in run.transcript.entries if entry.moment <= run.share(now)]
    inputs = sum(entry.fields["promptTokens"] or 0 for entry in entries)
    outputs = sum(entry.fields["completionTokens"] or 0 for entry in entries)
    return {
        "model": run.model,
        "inputTokens": inputs,
        "outputTokens": outputs,
        "toolCalls": sum(step.fields["type"] == "tool_call" for step in _visible_steps(run, now)),
        "durationMs": duration_ms(run, now) or 0,
        "summary": {
            "costMicros": sum(entry.fields["costMicros"] for entry in entries),
            "totalInputTokens": inputs,
            "totalOutputTokens": outputs,
            "totalTokens": inputs + outputs,
        },
        "entries": [{**entry.fields, "timestamp": _moment(run, entry.moment)} for entry in entries],
    }
