"""All pages."""

from __future__ import annotations

from receiver.pages.views import keyboard, overview, settings_page, sign_in, static_files

_ROUTERS = (
    keyboard.router,
    overview.router,
    settings_page.router,
    sign_in.router,
    static_files.router,
)

PAGES = [page for router in _ROUTERS for page in router.pages]
