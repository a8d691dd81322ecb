"""The agents and runs that exist, the states of runs, and pages of both."""

from __future__ import annotations

import asyncio
import collections
import dataclasses
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
        """Return what the rules may match a call or a message by."""
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
        """Return the next id with that prefix."""
        return f"{prefix}_{self.new_bytes(prefix, 12).hex()}"

    def new_bytes(self, kind: str, size: int) -> bytes:
        """Return the next random bytes of that kind."""
        self.made[kind] += 1
        return random.Random(f"{self.seed}:{kind}:{self.made[kind]}").randbytes(size)

    def add_agent(self, fields: Mapping[str, object], *, ephemeral: bool = False) -> Agent:
        now, fields = self.clock(), {"model": DEFAULT_MODEL, **fields}
        agent = Agent(self.new_id("agent"), fields, now, now, ephemeral=ephemeral)
        self.agents[agent.id] = agent
        return agent

    def agent(self, agent_id: str) -> Agent:
        """Return the active agent of that id; raises ApiError with status 404."""
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

    def add_past(self, agent: Agent, prompt: str, status: str, ago: float) -> Run:
        """Add a run that ended a number of seconds ago; nothing is sent."""
        run = self.add_run(agent, prompt)
        run.created_at -= ago + run.seconds
        run.started_at, run.completed_at, run.status = run.created_at, run.created_at + run.seconds, status
        run.exec_count = 1
        return run

    def run(self, run_id: str) -> Run:
        """Return the run of that id; raises ApiError with status 404."""
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
