"""The agents and runs that exist, the states of runs, pages of both, and the details of a run.

The details have every field that the service's interface documents, and grow with time. The service has no field
for the reason of a failure: the result, the logs, the last step or the runtime's state shows it.
"""

from __future__ import annotations

import asyncio
import collections
import dataclasses
import functools
import json
import random
from collections.abc import Callable, Mapping, Sequence
from typing import TypeVar

from receiver.sandbox import faults, messages, rules, transcript

DEFAULT_MODEL = "anthropic/claude-sonnet-4.6"
STATES = ("queued", "running", *faults.ENDED)

#: Seconds since 1970.
Clock = Callable[[], float]


@dataclasses.dataclass
class Agent:
    """An agent as it was created and updated; `fields` are those of the request, in its spelling."""

    id: str
    fields: messages.Object
    created_at: float
    updated_at: float
    active: bool = True
    ephemeral: bool = False


@dataclasses.dataclass
class Run:
    """A run; instants are seconds since 1970, `seconds` is how long it takes if it is not ended before."""

    id: str
    agent_id: str
    prompt: str
    guidance: str | None
    model: str
    object_ids: list[str] | None
    created_at: float
    seconds: float
    transcript: transcript.Transcript
    status: str = "queued"
    started_at: float | None = None
    completed_at: float | None = None
    workflow_id: str | None = None
    exec_count: int = 0
    fetches_after_end: int = 0
    watchers: list[str] = dataclasses.field(default_factory=list)
    #: Set and replaced when the run starts and when it ends.
    changed: asyncio.Event = dataclasses.field(default_factory=asyncio.Event)

    @property
    def ended(self) -> bool:
        return self.status in faults.ENDED

    def share(self, now: float) -> float:
        """Return how much of its transcript the run has passed, 0 to 1; 1 if it finished, however early."""
        if self.started_at is None:
            return 0.0
        if self.status in ("completed", "failed") or self.seconds <= 0:
            return 1.0
        return min(1.0, ((self.completed_at or now) - self.started_at) / self.seconds)

    def subject(self, route: str) -> rules.Subject:
        return rules.Subject(route, self.id, self.agent_id, self.prompt)

    def notify_change(self) -> None:
        """Wake those that wait for `changed`."""
        self.changed.set()
        self.changed = asyncio.Event()


Record = TypeVar("Record", Agent, Run)


@dataclasses.dataclass
class World:
    """All agents and runs, and the switches. The same seed and the same calls give the same ids and contents."""

    seed: int
    run_seconds: float
    clock: Clock
    injector: faults.Injector
    agents: dict[str, Agent] = dataclasses.field(default_factory=dict)
    runs: dict[str, Run] = dataclasses.field(default_factory=dict)
    #: How many values of each kind were made.
    made: collections.Counter[str] = dataclasses.field(default_factory=collections.Counter)

    def new_id(self, prefix: str) -> str:
        return f"{prefix}_{self.new_bytes(prefix, 12).hex()}"

    def new_bytes(self, kind: str, size: int) -> bytes:
        self.made[kind] += 1
        return random.Random(f"{self.seed}:{kind}:{self.made[kind]}").randbytes(size)

    def add_agent(self, fields: Mapping[str, object], *, ephemeral: bool = False) -> Agent:
        now, fields = self.clock(), {"model": DEFAULT_MODEL, **fields}
        agent = Agent(self.new_id("agent"), fields, now, now, ephemeral=ephemeral)
        self.agents[agent.id] = agent
        return agent

    def agent(self, agent_id: str) -> Agent:
        """Return the active agent with that id; raises ApiError with status 404."""
        agent = self.agents.get(agent_id)
        if agent is None or not agent.active:
            raise messages.ApiError(404, "Agent not found")
        return agent

    def add_run(
        self,
        agent: Agent,
        prompt: str,
        guidance: str | None = None,
        model: str | None = None,
        object_ids: list[str] | None = None,
    ) -> Run:
        model = model or str(agent.fields["model"])
        script = transcript.written(f"{self.seed}:run:{len(self.runs) + 1}", prompt, model, object_ids or [])
        about = (agent.id, prompt, guidance, model, object_ids)
        run = Run(self.new_id("run"), *about, self.clock(), self.run_seconds * script.pace, script)
        self.runs[run.id] = run
        return run

    def add_past(self, agent: Agent, prompt: str, status: str, ago: float, seconds: float | None = None) -> Run:
        """Add a run that ended `ago` seconds ago; nothing is sent."""
        run = self.add_run(agent, prompt)
        run.seconds = seconds or run.seconds
        run.created_at -= ago + run.seconds
        run.started_at, run.completed_at, run.status = run.created_at, run.created_at + run.seconds, status
        run.exec_count = 1
        return run

    def run(self, run_id: str) -> Run:
        """Return the run with that id; raises ApiError with status 404."""
        if run_id not in self.runs:
            raise messages.ApiError(404, "Run not found")
        return self.runs[run_id]

    def subject(self, route: str, run_id: str | None, body: object) -> rules.Subject:
        """Return what the rules may match a call by: the run it names, or the one that it would create."""
        run = self.runs.get(run_id) if run_id else None
        if run is not None:
            return run.subject(route)
        fields = body if isinstance(body, dict) else {}
        agent, prompt = fields.get("agentId"), fields.get("prompt")
        agent = agent if isinstance(agent, str) else None
        return rules.Subject(route, run_id, agent, prompt if isinstance(prompt, str) else "")

    def begin(self, run: Run) -> None:
        """Start a queued run; raises ApiError with status 404 or 409 where that cannot be."""
        self.agent(run.agent_id)
        if run.status != "queued":
            raise messages.ApiError(409, f"Run is no longer queued (status: {run.status})")
        run.status = "running"
        run.started_at = self.clock()
        run.workflow_id = self.new_id("wrun")
        run.exec_count += 1
        run.notify_change()

    def end(self, run: Run, status: str) -> None:
        """End a live run, a queued one as though it had started; its ephemeral agent ends with it."""
        run.status = status
        run.completed_at = self.clock()
        if run.started_at is None and status != "cancelled":
            run.started_at = run.completed_at
        agent = self.agents[run.agent_id]
        agent.active = agent.active and not agent.ephemeral
        run.notify_change()


def page(
    records: Sequence[Record], limit: int, cursor: str | None, matches: Callable[[Record], bool]
) -> tuple[list[Record], str | None]:
    """Return a page of the records that match, newest first, and the cursor of the next page.

    `records` are in order of creation. The cursor is the id of a page's last record, even if it matches no longer.
    """
    newest_first = list(reversed(records))
    if cursor is not None:
        ids = [record.id for record in newest_first]
        if cursor not in ids:
            raise messages.ApiError(400, "Invalid cursor")
        newest_first = newest_first[ids.index(cursor) + 1 :]
    found = [record for record in newest_first if matches(record)]
    return found[:limit], found[limit - 1].id if len(found) > limit else None


TIMES = ("created_at", "started_at", "completed_at")
#: Bytes of one padding step at most.
_PADDING_STEP = 4 << 20
_FLOATS = ",".join(f"{number / 7:.12f}" for number in range(1, 4000))
_WORDS = "the clause on liability, the annex and the term of notice of the lease; " * 800


def details(run: Run, now: float, *, complete: bool = True) -> messages.Object:
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


def duration_ms(run: Run, now: float) -> int | None:
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


def _moment(run: Run, share: float) -> str:
    return messages.instant((run.started_at or run.created_at) + share * _span(run))


def _span(run: Run) -> float:
    """Return the seconds of the whole transcript: as planned, or as they were for a run that finished."""
    if run.status in ("completed", "failed") and run.started_at is not None and run.completed_at is not None:
        return run.completed_at - run.started_at
    return run.seconds


def _visible_steps(run: Run, now: float) -> Sequence[transcript.Step]:
    share = run.share(now)
    steps = [step for step in run.transcript.steps if step.moment <= share]
    if run.status != "failed":
        return steps
    last = steps.pop()
    if run.transcript.failure_place != "steps":
        return steps
    # This kind of failure is reported by the agent itself, in place of its output.
    return [*steps, dataclasses.replace(last, fields={**last.fields, "content": run.transcript.failure})]


def _step(run: Run, step: transcript.Step) -> messages.Object:
    lasts = None if step.lasts is None else max(1, round(step.lasts * _span(run) * 1000))
    return {**step.fields, "durationMs": lasts, "timestamp": _moment(run, step.moment)}


def _runtime_state(run: Run) -> str:
    if run.status == "running":
        return "running"
    return "error" if run.status == "failed" and run.transcript.failure_place == "state" else "stopped"


def _result(run: Run) -> messages.Object | None:
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


def _usage(run: Run, now: float) -> messages.Object:
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
