"""The events of a run's stream: what of its transcript has happened by now, in numbered pieces. Pure.

Ids grow with gaps, and follow from the run alone: who reads a stream live and who replays it later see the same
ids with the same contents. How a run ends is told in events that only come once it has ended.
"""

from __future__ import annotations

import dataclasses
import itertools
import random
from collections.abc import Iterator

from receiver.sandbox import transcript, views, world

_PIECES = 3


@dataclasses.dataclass(frozen=True)
class Event:
    """An event of a stream; `data` repeats the `type`."""

    id: int
    type: str
    data: views.Json


@dataclasses.dataclass(frozen=True)
class _Planned:
    """What will happen at a share of the run's duration."""

    moment: float
    type: str
    about: views.Json


def happened(run: world.Run, now: float) -> list[Event]:
    """All events of a run until now, oldest first; none before it is started."""
    if run.started_at is None and not run.ended:
        return []
    share = _share(run, now)
    seen = [each for each in _planned(run) if each.moment <= share and run.started_at is not None]
    seen += _ending(run) if run.ended else []
    return [Event(id, each.type, _data(run, each)) for id, each in zip(_ids(run), seen, strict=False)]


def until_next(run: world.Run, now: float) -> float | None:
    """Seconds until the next event that comes by itself; None where only the run's end is still to come."""
    if run.started_at is None or run.ended:
        return None
    share = _share(run, now)
    moments = [each.moment for each in _planned(run) if each.moment > share]
    return max(0.0, run.started_at + moments[0] * run.seconds - now) if moments else None


def _share(run: world.Run, now: float) -> float:
    """How much of its transcript a run has lived through, 0 to 1; all of it where it finished, however early."""
    if run.started_at is None:
        return 0.0
    if run.status in ("completed", "failed") or run.seconds <= 0:
        return 1.0
    return min(1.0, ((run.completed_at or now) - run.started_at) / run.seconds)


def _ids(run: world.Run) -> Iterator[int]:
    """Numbers that grow by 1 to 9."""
    rng = random.Random(f"{run.id}:events")
    return itertools.accumulate(rng.randint(1, 9) for _ in itertools.count())


def _data(run: world.Run, planned: _Planned) -> views.Json:
    return {"type": planned.type, "runId": run.id, **planned.about}


def _planned(run: world.Run) -> list[_Planned]:
    """Everything but the end. The report is part of the end: a run that fails never writes it."""
    session: views.Json = {"sessionId": run.script.runtime_id}
    events = [
        _Planned(0.0, "session.created", session),
        _Planned(0.0, "session.updated", {**session, "status": "busy"}),
        _Planned(0.0, "message.updated", {"message": {"role": "user", "text": run.prompt[:200]}}),
    ]
    for step in run.script.steps:
        if step.type != "output":
            events += _told(step)
    return events


def _told(step: transcript.Step) -> Iterator[_Planned]:
    if step.type == "tool_call":
        yield _Planned(step.moment, "tool.started", {"callId": step.id, "tool": step.tool, "input": step.given})
    elif step.type == "tool_result":
        yield _Planned(step.moment, "tool.completed", {"callId": step.id, "tool": step.tool, "output": step.found})
    else:
        yield from _said(step.id, step.moment, step.content or "")


def _said(message: str, moment: float, text: str) -> Iterator[_Planned]:
    """A text in pieces, as it is written, and then as a whole message."""
    size = len(text) // _PIECES + 1
    for start in range(0, len(text), size):
        part: views.Json = {"messageId": message, "type": "text", "text": text[start : start + size]}
        yield _Planned(moment, "message.part.updated", {"part": part})
    yield _Planned(moment, "message.updated", {"message": {"id": message, "role": "assistant"}})


def _ending(run: world.Run) -> list[_Planned]:
    """How it ended; the last of them is the synthetic event of the service itself."""
    events: list[_Planned] = []
    if run.status == "completed":
        events += _said(run.script.steps[-1].id, 1.0, run.script.output)
    if run.status == "failed":
        events.append(_Planned(1.0, "session.error", {"error": {"message": run.script.failure}}))
    if run.started_at is not None:
        events.append(_Planned(1.0, "session.idle", {"sessionId": run.script.runtime_id}))
    completed_at = None if run.completed_at is None else views.instant(run.completed_at)
    return [*events, _Planned(1.0, f"run.{run.status}", {"status": run.status, "completedAt": completed_at})]
