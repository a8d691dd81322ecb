"""An application with routes and nothing to start."""

from __future__ import annotations

import contextlib

from starlette.applications import Starlette


class Application(Starlette):
    def lifespan(self) -> contextlib.AbstractAsyncContextManager[None]:
        return contextlib.nullcontext()

    def stop(self) -> None:
        """Do nothing."""
