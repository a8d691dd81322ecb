"""All pages."""

from __future__ import annotations

from receiver.pages.views import (
    bulk,
    compare,
    deliveries,
    jobs,
    keyboard,
    keys,
    overview,
    run,
    run_actions,
    run_changes,
    run_facets,
    run_live,
    runs,
    runs_live,
    saved_views,
    settings_page,
    sign_in,
    sql,
    static_files,
    steps,
    submit,
)

_VIEWS = (
    bulk,
    compare,
    deliveries,
    jobs,
    keyboard,
    keys,
    overview,
    run,
    run_actions,
    run_changes,
    run_facets,
    run_live,
    runs,
    runs_live,
    saved_views,
    settings_page,
    sign_in,
    sql,
    static_files,
    steps,
    submit,
)

PAGES = [page for view in _VIEWS for page in view.router.pages]
