"""All pages."""

from __future__ import annotations

from receiver.pages.views import keyboard, run_actions, run_facets, run_live, runs, sign_in, static_files

_ROUTERS = (
    keyboard.router,
    run_actions.router,
    run_facets.router,
    run_live.router,
    runs.router,
    sign_in.router,
    static_files.router,
)

PAGES = [page for router in _ROUTERS for page in router.pages]
