"""The agents and runs that exist, and the rules by which they change."""

from __future__ import annotations

import asyncio
import dataclasses
import random
from collections.abc import Callable, Mapping, Sequence
from typing import TypeVar

from receiver.sandbox import answers, transcript

DEFAULT_MODEL = "anthropic/claude-sonnet-4.6"
STATES = ("queued", "running", "completed", "failed", "cancelled")
ENDED = STATES[2:]

#: Seconds since 1970.
Clock = Callable[[], float]


@dataclasses.dataclass
class Agent:
    """An agent as it was created and updated; `fields` are those of the request, in its spelling."""

    id: str
    fields: dict[str, object]
    created_at: float
    updated_at: float
    active: bool = True
    ephemeral: bool = False


@dataclasses.dataclass
class Run:
    """A run; instants are seconds since 1970, `seconds` is how long it takes when nobody intervenes."""

    id: str
    ordinal: int
    agent_id: str
    prompt: str
    guidance: str | None
    model: str
    object_ids: list[str] | None
    created_at: float
    seconds: float
    script: transcript.Transcript
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
        return self.status in ENDED

    def tell_change(self) -> None:
        """Wakes who waits for `changed`."""
        self.changed.set()
        self.changed = asyncio.Event()


Record = TypeVar("Record", Agent, Run)


class World:
    """Everything there is. The same seed and the same calls give the same ids and the same contents."""

    def __init__(self, seed: int, run_seconds: float, clock: Clock) -> None:
        self._seed = seed
        self._run_seconds = run_seconds
        self.clock = clock
        self.agents: dict[str, Agent] = {}
        self.runs: dict[str, Run] = {}

    def add_agent(self, fields: Mapping[str, object], *, ephemeral: bool = False) -> Agent:
        agent_id = "agent_" + self._token("agent", len(self.agents))
        now = self.clock()
        agent = Agent(agent_id, {"model": DEFAULT_MODEL, **fields}, now, now, ephemeral=ephemeral)
        self.agents[agent.id] = agent
        return agent

    def agent(self, agent_id: str) -> Agent:
        """The live agent of that id; a Refusal with status 404 where there is none or it was deleted."""
        agent = self.agents.get(agent_id)
        if agent is None or not agent.active:
            raise answers.Refusal(404, "Agent not found")
        return agent

    def update_agent(self, agent_id: str, fields: Mapping[str, object]) -> Agent:
        agent = self.agent(agent_id)
        agent.fields.update(fields)
        agent.updated_at = self.clock()
        return agent

    def add_run(
        self, agent: Agent, prompt: str, guidance: str | None, model: str | None, object_ids: list[str] | None
    ) -> Run:
        ordinal = len(self.runs) + 1
        seed = f"{self._seed}:run:{ordinal}"
        chosen = model or str(agent.fields["model"])
        script = transcript.written(seed, prompt, chosen, object_ids or [])
        run = Run(
            id="run_" + self._token("run", ordinal),
            ordinal=ordinal,
            agent_id=agent.id,
            prompt=prompt,
            guidance=guidance,
            model=chosen,
            object_ids=object_ids,
            created_at=self.clock(),
            seconds=self._run_seconds * script.pace,
            script=script,
        )
        self.runs[run.id] = run
        return run

    def add_past(self, agent: Agent, prompt: str, status: str, ago: float) -> Run:
        """A run that has ended so many seconds ago; nobody is told."""
        run = self.add_run(agent, prompt, None, None, None)
        run.created_at -= ago + run.seconds
        run.started_at, run.completed_at, run.status = run.created_at, run.created_at + run.seconds, status
        run.exec_count = 1
        return run

    def run(self, run_id: str) -> Run:
        """The run of that id, or a Refusal with status 404."""
        if run_id not in self.runs:
            raise answers.Refusal(404, "Run not found")
        return self.runs[run_id]

    def begin(self, run: Run) -> None:
        """queued to running; a Refusal with status 404 or 409 where that cannot be."""
        self.agent(run.agent_id)
        if run.status != "queued":
            raise answers.Refusal(409, f"Run is no longer queued (status: {run.status})")
        run.status = "running"
        run.started_at = self.clock()
        run.workflow_id = "wrun_" + self._token("workflow", run.ordinal)
        run.exec_count += 1
        run.tell_change()

    def end(self, run: Run, status: str) -> None:
        """Any live state to a terminal one, a queued run as though it had been started.

        The ephemeral agent of the run goes with it.
        """
        run.status = status
        run.completed_at = self.clock()
        if run.started_at is None and status != "cancelled":
            run.started_at = run.completed_at
        agent = self.agents[run.agent_id]
        agent.active = agent.active and not agent.ephemeral
        run.tell_change()

    def _token(self, kind: str, ordinal: int) -> str:
        return random.Random(f"{self._seed}:{kind}:{ordinal}").randbytes(12).hex()


def page(
    records: Sequence[Record], limit: int, cursor: str | None, wanted: Callable[[Record], bool] = lambda _: True
) -> tuple[list[Record], str | None]:
    """A page of the `wanted` ones, newest first, of records in order of creation; and the next page's cursor.

    The cursor is the id of the last record of a page; it stays good when that record is no longer wanted.
    """
    newest_first = list(reversed(records))
    if cursor is not None:
        places = [place for place, record in enumerate(newest_first) if record.id == cursor]
        if not places:
            raise answers.Refusal(400, "Invalid cursor")
        newest_first = newest_first[places[0] + 1 :]
    found = [record for record in newest_first if wanted(record)]
    shown = found[:limit]
    return shown, shown[-1].id if len(found) > limit else None
