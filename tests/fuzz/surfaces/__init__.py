"""What is tested, a module per surface: each draws cases from a generator, and knows what cases may name."""

from __future__ import annotations

import random
from collections.abc import Callable

from tests.fuzz.surfaces import callbacks, configuration, events, headers, operating, pages, questions, upstream
from tests.fuzz.trial import Case, Known

Draw = Callable[[random.Random, Known], Case]
#: The case of a surface, and how many run at once.
SURFACES: dict[str, tuple[Draw, int]] = {
    "upstream": (upstream.draw, 24),
    "callbacks": (callbacks.draw, 30),
    "events": (events.draw, 40),
    "questions": (questions.draw, 40),
    "pages": (pages.draw, 40),
    "headers": (headers.draw, 40),
    "settings": (configuration.draw, 150),
    "commands": (operating.draw, 2),
}

#: Slow surfaces, and how many rounds of the others come between two of theirs.
SELDOM = {"commands": 4, "settings": 2}
