"""A parser for the Dockerfile: stages and their instructions, as far as ours needs it."""

from __future__ import annotations

import json
import re
import shlex
from dataclasses import dataclass, field

from tests.deploy import files


@dataclass(frozen=True)
class Stage:
    """One stage: its base image, its name, and its instructions in order."""

    base: str
    name: str
    steps: list[tuple[str, str]] = field(default_factory=list)

    def all(self, word: str) -> list[str]:
        """Return the arguments of each instruction with that word."""
        return [rest for each, rest in self.steps if each == word]

    def listed(self, word: str) -> list[str]:
        """Return the last instruction with that word, which is a JSON list."""
        found: list[str] = json.loads(self.all(word)[-1])
        return found

    @property
    def environment(self) -> dict[str, str]:
        """Return the variables of ENV."""
        pairs = (each.partition("=") for rest in self.all("ENV") for each in shlex.split(rest))
        return {name: value for name, _, value in pairs}

    @property
    def health(self) -> list[str]:
        """Return the command of HEALTHCHECK."""
        found: list[str] = json.loads(self.all("HEALTHCHECK")[-1].partition("CMD ")[2])
        return found


def stages() -> list[Stage]:
    """Return the stages in order."""
    lines = [line for line in files.text("Dockerfile").splitlines() if not line.lstrip().startswith("#")]
    found: list[Stage] = []
    for line in re.sub(r"\\\n\s*", "", "\n".join(lines)).splitlines():
        word, _, rest = line.strip().partition(" ")
        if word == "FROM":
            base, _, name = rest.partition(" AS ")
            found.append(Stage(base, name))
        elif word and found:
            found[-1].steps.append((word, rest))
    return found
