"""All pages."""

from __future__ import annotations

from receiver.pages.views import deliveries, jobs, keyboard, sign_in, sql, static_files

_ROUTERS = (
    deliveries.router,
    jobs.router,
    keyboard.router,
    sign_in.router,
    sql.router,
    static_files.router,
)

PAGES = [page for router in _ROUTERS for page in router.pages]
