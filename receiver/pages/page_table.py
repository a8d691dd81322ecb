"""All pages."""

from __future__ import annotations

from receiver.pages.views import (
    keyboard,
    keys,
    overview,
    sign_in,
    static_files,
    submit,
)

_VIEWS = (
    keyboard,
    keys,
    overview,
    sign_in,
    static_files,
    submit,
)

PAGES = [page for view in _VIEWS for page in view.router.pages]
