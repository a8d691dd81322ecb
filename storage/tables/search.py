"""The columns of the tables of `storage/models/search.py`, made from it by `make docs`."""

from storage.tables.declare import table

SEARCH_QUEUE = table("search_queue", "integer: run_seq* version instant: enqueued_at", derived=True)

PASSAGES = table("passages", "integer: id* text: part integer: step? start stop", derived=True)
