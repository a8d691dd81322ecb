"""The columns of the tables of `storage/models/deliveries.py`, made from it by `make docs`."""

from storage.tables.declare import table

DELIVERIES = table(
    "deliveries",
    """integer: seq* text: id source run_id? upstream_id? event_id? event_type? instant: received_at text:
    verdict reason? duplicate_of? integer: repeats=0 instant: last_repeat_at? text: remote_addr? json:
    headers? bytes: body text: body_sha256 integer: size text: secret_used? dedupe_key?""",
)

REJECTIONS = table("rejections", "instant: hour* text: cause* integer: count=0 flag: counted")
