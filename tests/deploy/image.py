"""The Dockerfile, read: stages and their instructions, as far as ours needs it."""

from __future__ import annotations

import json
import re
import shlex
from dataclasses import dataclass, field

from tests.deploy import files


@dataclass(frozen=True)
class Stage:
    """One stage: where it comes from, what it is called, and its instructions in order."""

    base: str
    name: str
    steps: list[tuple[str, str]] = field(default_factory=list)

    def all(self, word: str) -> list[str]:
        """What stands behind each instruction of that word."""
        return [rest for each, rest in self.steps if each == word]

    def listed(self, word: str) -> list[str]:
        """The last instruction of that word, which is a JSON list."""
        found: list[str] = json.loads(self.all(word)[-1])
        return found

    @property
    def environment(self) -> dict[str, str]:
        """What ENV sets."""
        pairs = (each.partition("=") for rest in self.all("ENV") for each in shlex.split(rest))
        return {name: value for name, _, value in pairs}

    @property
    def health(self) -> list[str]:
        """The command of HEALTHCHECK."""
        found: list[str] = json.loads(self.all("HEALTHCHECK")[-1].partition("CMD ")[2])
        return found


def stages() -> list[Stage]:
    """The stages in order."""
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
