"""The README of evidence, and its list of files. The verifier compares both with these."""

from __future__ import annotations

README = """EVIDENCE OF AGENT RUNS, MADE BY RUNLEDGER

summary.html shows what happened: read it, print it. It is made of the files beside it alone, and the verifier
makes it again and compares.

TO VERIFY, with Python 3.9 or newer and nothing else:

    python3 -m zipfile -e evidence.zip check
    python3 -I -S check/verify_evidence.py evidence.zip --policy policy.txt

Take verify_evidence.py and the folder receiver from the release of Runledger that manifest.json names, where you
can: the sender of the ZIP may have changed those in it. policy.txt names the keys that you trust; get it from the
operator by another way than this ZIP. Without --policy the policy in the ZIP is taken: that shows that the
evidence was not changed since it was signed with its keys, and not whose keys these are.

WITH THE PROGRAMS OF OTHERS

    log/leaf-N.json     the bytes of entry N of the ledger
    log/N.tlog-proof    its proof and the signed checkpoint (C2SP tlog-proof)
    policy.txt          the keys and witnesses whose signatures are needed (C2SP tlog-policy)

Any verifier of tlog-proof checks a leaf: golang.org/x/mod/sumdb, PyPI dnsid and others.

WHAT ELSE THERE IS

    runs/ID/run.json    the record of the run; its deliveries; the numbers of its entries; of each digest in them
                        whether the value is disclosed (with its salt), withheld, erased, or replaced by a later
                        one
    runs/ID/...         the values: texts, the upstream's documents byte for byte, steps and usage with a row on
                        each line, the headers and bodies of deliveries
    checkpoint.txt      the signed checkpoint, under which all entries are
    keys.txt            the public keys of the ledger
    manifest.json       SHA-256 and size of each file

A digest in an entry is SHA-256(salt, name, 0x00, value). Of steps and usage it is the root of a tree over their
rows.

WHAT IT DOES NOT SHOW

That no other entries of these runs exist: only a reader of the whole ledger can find entries that were left out.
Times are those of the operator's clock. The signature of a witness has the time at which the checkpoint existed at
the latest.
"""

#: The files that all evidence has, beside those of its runs. The verifier's own are copied as they are.
PROGRAM = (
    "receiver/__init__.py",
    "receiver/verifier/__init__.py",
    "receiver/verifier/ed25519.py",
    "receiver/verifier/public_forms.py",
    "receiver/verifier/evidence/__init__.py",
    "receiver/verifier/evidence/check.py",
    "receiver/verifier/evidence/container.py",
    "receiver/verifier/evidence/facts.py",
    "receiver/verifier/evidence/runs.py",
    "receiver/verifier/evidence/summary.py",
    "receiver/verifier/evidence/texts.py",
    "receiver/verifier/evidence/values.py",
)
SCRIPT = "verify_evidence.py"
README_FILE, SUMMARY, POLICY, KEYS, CHECKPOINT = (
    *("README.txt", "summary.html", "policy.txt", "keys.txt", "checkpoint.txt"),
)
FIXED = (README_FILE, SUMMARY, POLICY, KEYS, CHECKPOINT, SCRIPT, *PROGRAM)
