"""All pages."""

from __future__ import annotations

from receiver.pages.views import compare, keyboard, keys, sign_in, static_files, submit

_ROUTERS = (
    compare.router,
    keyboard.router,
    keys.router,
    sign_in.router,
    static_files.router,
    submit.router,
)

PAGES = [page for router in _ROUTERS for page in router.pages]
