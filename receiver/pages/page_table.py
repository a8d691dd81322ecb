"""All pages."""

from __future__ import annotations

from receiver.pages.views import keyboard, run, run_changes, run_live, sign_in, static_files, steps

_ROUTERS = (
    keyboard.router,
    run.router,
    run_changes.router,
    run_live.router,
    sign_in.router,
    static_files.router,
    steps.router,
)

PAGES = [page for router in _ROUTERS for page in router.pages]
