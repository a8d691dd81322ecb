"""The sentences of the business, one transaction each.

Each function is given to the door (`await database.write(transitions.submit, submission)`): it changes the
rows of a fact, appends the ledger entries that tell it, and wishes the jobs that follow from it, all or
nothing.
"""

from storage.transitions.adoption import (
    Acquaintance,
    Adopted,
    adopt,
    introduce,
    introduce_ended,
    watching,
)
from storage.transitions.backfilling import Turned, turn
from storage.transitions.beating import Outlook, beat, outlook
from storage.transitions.calling import called, calling, uncalled
from storage.transitions.capturing import captured, keep
from storage.transitions.clearing import Chosen, Cleared, Loose, clear, has_loose, loose, rejected_size, trim
from storage.transitions.importing import Imported, take
from storage.transitions.intake import Submitted, request_cancel, request_refresh, submit
from storage.transitions.keys import create_key, revoke_key
from storage.transitions.notifying import not_notified, notified, prepare, stop_notifying
from storage.transitions.pruning import Place, Pruned, Survey, prune, survey
from storage.transitions.receiving import accept_delivery, count_rejections, reject
from storage.transitions.restoring import Restored, demand_own, give_up, restored
from storage.transitions.retrying import retry, retry_all
from storage.transitions.settling import MISSING, Measures, Result, contradicted, missing, record, seen_alive
from storage.transitions.starting import (
    Created,
    Linked,
    ask_for_end,
    created,
    leave_to_cancel,
    orphan,
    orphan_cancelled,
    refuse,
    started,
)
from storage.transitions.sweeping import Seen, Swept, ask_alone, due_unknown, note_unknown, observe, swept
from storage.transitions.webhooks import (
    LEASE,
    Checked,
    Learned,
    check_endpoint,
    checked,
    learn_secret,
    move_endpoint,
    remove_endpoint,
    request_secret,
    withdraw_request,
)

__all__ = [
    "LEASE",
    "MISSING",
    "Acquaintance",
    "Adopted",
    "Checked",
    "Chosen",
    "Cleared",
    "Created",
    "Imported",
    "Learned",
    "Linked",
    "Loose",
    "Measures",
    "Outlook",
    "Place",
    "Pruned",
    "Restored",
    "Result",
    "Seen",
    "Submitted",
    "Survey",
    "Swept",
    "Turned",
    "accept_delivery",
    "adopt",
    "ask_alone",
    "ask_for_end",
    "beat",
    "called",
    "calling",
    "captured",
    "check_endpoint",
    "checked",
    "clear",
    "contradicted",
    "count_rejections",
    "create_key",
    "created",
    "demand_own",
    "due_unknown",
    "give_up",
    "has_loose",
    "introduce",
    "introduce_ended",
    "keep",
    "learn_secret",
    "leave_to_cancel",
    "loose",
    "missing",
    "move_endpoint",
    "not_notified",
    "note_unknown",
    "notified",
    "observe",
    "orphan",
    "orphan_cancelled",
    "outlook",
    "prepare",
    "prune",
    "record",
    "refuse",
    "reject",
    "rejected_size",
    "remove_endpoint",
    "request_cancel",
    "request_refresh",
    "request_secret",
    "restored",
    "retry",
    "retry_all",
    "revoke_key",
    "seen_alive",
    "started",
    "stop_notifying",
    "submit",
    "survey",
    "swept",
    "take",
    "trim",
    "turn",
    "uncalled",
    "watching",
    "withdraw_request",
]
