"""The parts of one sandbox, as the handlers are given them."""

from __future__ import annotations

import asyncio
import dataclasses
from typing import TextIO

from receiver.sandbox import (
    callbacks,
    chaos,
    couriers,
    events,
    faults,
    holds,
    journal,
    life,
    recording,
    rules,
    subscriptions,
    world,
)


@dataclasses.dataclass(frozen=True)
class House:
    """One sandbox. `public_only` refuses callback URLs on loopback, as the real service does."""

    world: world.World
    chaos: chaos.Chaos
    journal: journal.Journal
    recorder: recording.Recorder
    couriers: couriers.Couriers
    register: subscriptions.Register
    events: events.Events
    life: life.Life
    holds: holds.Holds
    public_only: bool
    #: Set when the sandbox stops: streams end then.
    stopped: asyncio.Event = dataclasses.field(default_factory=asyncio.Event)

    def subject(self, route: str, run_id: str | None, body: object) -> rules.Subject:
        """What the rules may match a call by: the run it names, or the one it is about to create."""
        run = self.world.runs.get(run_id) if run_id else None
        if run is not None:
            return rules.Subject(route, run.id, run.agent_id, run.prompt)
        given = body if isinstance(body, dict) else {}
        agent, prompt = given.get("agentId"), given.get("prompt")
        known_agent = agent if isinstance(agent, str) else None
        return rules.Subject(route, run_id, known_agent, prompt if isinstance(prompt, str) else "")


def build(
    seed: int,
    run_seconds: float,
    switches: faults.Faults,
    public_only: bool,
    record: TextIO | None,
    clock: world.Clock,
) -> House:
    """An empty sandbox."""
    mischief = chaos.Chaos(switches, seed)
    told, recorder = journal.Journal(clock), recording.Recorder(record, clock)
    place = world.World(seed, run_seconds, clock)
    waiting = holds.Holds(clock)
    post = couriers.Couriers(mischief, told, recorder, waiting)
    register = subscriptions.Register(seed, clock)
    news = events.Events(place, mischief, post, register, seed)
    course = life.Life(place, callbacks.Callbacks(place, mischief, post, seed), news, mischief)
    return House(place, mischief, told, recorder, post, register, news, course, waiting, public_only)
