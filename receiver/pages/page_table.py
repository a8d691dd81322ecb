"""The table of all pages."""

from __future__ import annotations

from receiver.pages.views import (
    deliveries,
    go,
    jobs,
    keyboard,
    keys,
    overview,
    settings_page,
    sign_in,
    sql,
    static_files,
)
from receiver.pages.views.proof import ledger, receipts, removal, reviews
from receiver.pages.views.runs import (
    bulk,
    compare,
    list_live,
    run,
    run_actions,
    run_changes,
    run_facets,
    run_listing,
    run_live,
    saved_views,
    steps,
    submit,
)

_VIEWS = (
    bulk,
    compare,
    deliveries,
    go,
    jobs,
    keyboard,
    keys,
    ledger,
    list_live,
    overview,
    receipts,
    removal,
    reviews,
    run,
    run_actions,
    run_changes,
    run_facets,
    run_listing,
    run_live,
    saved_views,
    settings_page,
    sign_in,
    sql,
    static_files,
    steps,
    submit,
)

PAGES = [page for view in _VIEWS for page in view.router.pages]
