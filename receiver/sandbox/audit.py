"""A run's details: the audit trail with every field that the service's interface documents.

What is shown of the transcript grows with the time that has passed. Nothing here says why a run failed but
the result, the logs, the last step or the runtime's state, since the service has no field for it.
"""

from __future__ import annotations

from collections.abc import Sequence

from receiver.sandbox import transcript, views, vocabulary, world


def details(run: world.Run, now: float, *, complete: bool = True) -> views.Json:
    """The full audit trail; result and usage are null while the run lives and where not yet `complete`."""
    shown: views.Json = {
        "id": run.id,
        "agentId": run.agent_id,
        "status": run.status,
        "prompt": run.prompt,
        "guidance": run.guidance,
        "model": run.model,
        "workflowId": run.workflow_id,
        "modalSandboxId": None,
        "provider": "daytona" if run.started_at is not None else None,
        "runtimeId": run.script.runtime_id if run.started_at is not None else None,
        "runtimeState": _runtime_state(run),
    }
    ended = run.ended and complete
    shown["result"] = _result(run) if ended else None
    shown["usage"] = _usage(run, now) if ended and run.started_at is not None else None
    shown["steps"] = [_step(run, step) for step in _visible_steps(run, now)]
    return {**shown, **views.run_times(run)}


def _span(run: world.Run) -> float:
    """Seconds over which the transcript is stretched: as planned, or as it was for a run that finished."""
    if run.status in ("completed", "failed") and run.started_at is not None and run.completed_at is not None:
        return run.completed_at - run.started_at
    return run.seconds


def _share(run: world.Run, now: float) -> float:
    """How much of its transcript a run has lived through, 0 to 1."""
    if run.started_at is None:
        return 0.0
    if run.status in ("completed", "failed"):
        return 1.0
    elapsed = (now if run.completed_at is None else run.completed_at) - run.started_at
    return min(1.0, elapsed / run.seconds) if run.seconds > 0 else 1.0


def _visible_steps(run: world.Run, now: float) -> Sequence[transcript.Step]:
    share = _share(run, now)
    steps = [step for step in run.script.steps if step.moment <= share]
    if run.status != "failed":
        return steps
    last = steps.pop()
    if run.script.failure_place != "steps":
        return steps
    # One kind of failure is told by the agent itself, in the place of its report.
    return [*steps, transcript.Step(last.id, "output", last.moment, last.lasts, content=run.script.failure)]


def _step(run: world.Run, step: transcript.Step) -> views.Json:
    lasts = None if step.lasts is None else max(1, round(step.lasts * _span(run) * 1000))
    return {
        "id": step.id,
        "type": step.type,
        "content": step.content,
        "toolName": step.tool,
        "toolInput": step.given,
        "toolOutput": step.found,
        "durationMs": lasts,
        "timestamp": _moment(run, step.moment),
    }


def _moment(run: world.Run, share: float) -> str:
    return views.instant((run.started_at or run.created_at) + share * _span(run))


def _runtime_state(run: world.Run) -> str | None:
    if run.started_at is None:
        return None
    if run.status == "running":
        return "running"
    return "error" if run.status == "failed" and run.script.failure_place == "state" else "stopped"


def _result(run: world.Run) -> views.Json | None:
    """A report, what is left of a failed run, or null: the service has no error field, so failures differ."""
    place = run.script.failure_place
    if run.status == "cancelled" or (run.status == "failed" and place in ("steps", "state")):
        return None
    failed = run.status == "failed"
    issues = [run.script.failure] if failed else []
    answer = {
        "summary": "" if failed else run.script.summary,
        "createdObjectIds": [] if failed else list(run.script.created),
        "issues": issues,
    }
    return {
        "output": "" if failed else run.script.output,
        "outputObjectIds": [] if failed else list(run.script.created),
        "finalResponse": None if failed and place == "logs" else answer,
        "logs": _logs(run),
    }


def _logs(run: world.Run) -> views.Json:
    failed = run.status == "failed" and run.script.failure_place == "logs"
    last = f"ERROR {run.script.failure}\nexit status 1\n" if failed else "finished\nexit status 0\n"
    return {
        "runtime": f"runtime {run.script.runtime_id} ready\nmodel {run.model}\n",
        "opencode": "",
        "runner": f"run {run.id} started\n{len(run.script.steps)} steps\n{last}",
    }


def _usage(run: world.Run, now: float) -> views.Json:
    entries = [entry for entry in run.script.entries if entry.moment <= _share(run, now)]
    given = sum(entry.prompt_tokens for entry in entries)
    made = sum(entry.completion_tokens for entry in entries)
    return {
        "model": run.model,
        "inputTokens": given,
        "outputTokens": made,
        "toolCalls": sum(step.type == "tool_call" for step in _visible_steps(run, now)),
        "durationMs": views.duration_ms(run, now) or 0,
        "summary": {
            "costMicros": sum(entry.cost_micros for entry in entries),
            "totalInputTokens": given,
            "totalOutputTokens": made,
            "totalTokens": given + made,
        },
        "entries": [_entry(run, entry) for entry in entries],
    }


def _entry(run: world.Run, entry: transcript.Entry) -> views.Json:
    shared: views.Json = {"id": entry.id, "costMicros": entry.cost_micros, "timestamp": _moment(run, entry.moment)}
    if entry.tool is None:
        tokens = entry.prompt_tokens + entry.completion_tokens
        return {
            **shared,
            "kind": "llm",
            "service": "llm",
            "endpoint": "/llm/v1/chat/completions",
            "method": "POST",
            "statusCode": 200,
            "promptTokens": entry.prompt_tokens,
            "completionTokens": entry.completion_tokens,
            "totalTokens": tokens,
            "model": run.model,
            "metadata": {"stepId": entry.step_id},
        }
    service, path = vocabulary.TOOLS[entry.tool]
    return {
        **shared,
        "kind": "api",
        "service": service,
        "endpoint": path,
        "method": "POST",
        "statusCode": 200,
        "promptTokens": None,
        "completionTokens": None,
        "totalTokens": None,
        "model": None,
        "metadata": None,
    }
