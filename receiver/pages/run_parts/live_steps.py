"""The steps of a run that still runs, put together from the events of its stream. Pure.

The events name no times, so a step has the time at which its event arrived here, unless it is a replay.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from receiver.pages import formats
from receiver.pages.run_parts import trace
from receiver.schemas import json_rows
from storage.repositories import stream_events

#: The newest steps that are kept, and the characters of a step's text.
KEPT, TEXT = 200, 160


@dataclass(slots=True)
class LiveStep:
    """A step that has begun. `at` is None where it began before anybody listened."""

    kind: str
    name: str
    text: str
    at: datetime | None
    is_open: bool = True


class LiveSteps:
    """The newest steps of a run."""

    def __init__(self) -> None:
        self._steps: OrderedDict[str, LiveStep] = OrderedDict()
        self.count = 0

    def __iter__(self) -> Any:
        return iter(self._steps.values())

    def __bool__(self) -> bool:
        return bool(self._steps)

    def add(self, event: stream_events.Event, at: datetime | None) -> bool:
        """Take one event, whose data may be anything; return whether it changed a step."""
        try:
            data = json_rows.decode(event.data)
        except (ValueError, RecursionError):
            return False
        match event.type, data:
            case "tool.started", {"callId": str(key), "tool": str(name)}:
                text = trace.summary(json_rows.encode(data.get("input"))[:TEXT].decode("utf-8", "replace"))
                self._begin(key, LiveStep("tool", name[:TEXT], text if data.get("input") else "", at))
            case "tool.completed", {"tool": str(name)}:
                self._end_tool(name)
            case "message.part.updated", {"part": {"messageId": str(key), "text": str(text)}}:
                step = self._steps.get(key) or self._begin(key, LiveStep("think", "Thinking", "", at))
                step.text = formats.shortened(step.text + text, TEXT)
            case "message.updated", {"message": {"id": str(key), "role": "assistant"}} if key in self._steps:
                self._steps[key].is_open = False
            case _:
                return False
        return True

    def _begin(self, key: str, step: LiveStep) -> LiveStep:
        self._steps[key] = step
        self.count += 1
        if len(self._steps) > KEPT:
            self._steps.popitem(last=False)
        return step

    def _end_tool(self, name: str) -> None:
        """Close the oldest open call of a tool: results name no call."""
        for step in self._steps.values():
            if step.kind == "tool" and step.is_open and step.name == name[:TEXT]:
                step.is_open = False
                return
