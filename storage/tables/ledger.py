"""The columns of the tables of `storage/models/ledger.py`, made from it by `make docs`."""

from storage.tables.declare import table

LEDGER_ENTRIES = table(
    "ledger_entries",
    """integer: seq* text: id run_id? kind actor instant: at text: body integer: leaf_index? bytes:
    leaf_hash json: salts?""",
)
