"""The bodies of answers that prove what is stored."""

from __future__ import annotations

from pydantic import Field

from receiver.schemas.responses import Answer, Page


class ReceiptEntry(Answer):
    """An entry of the ledger, and the proof that it is there."""

    number: int | None = Field(description="Its place in the ledger; null until it is numbered.")
    leaf: str = Field(description="The entry. Its bytes in UTF-8 are the leaf that the proof is about.")
    proof: str | None = Field(description="The proof (C2SP `tlog-proof`); null until a checkpoint has the entry.")


class RunReceipt(Page):
    """The entries of a run with their proofs, in their order."""

    run: str = Field(description="Our id of the run.")
    keys: list[str] = Field(description="The verifier keys of the ledger, newest first.")
    policy: str = Field(description="Whose signatures are needed (C2SP `tlog-policy`).")
    pending: int = Field(description="Entries of this page without a proof so far.")
    note: str | None = Field(description="Says, where entries are pending, when to ask again.")
    entries: list[ReceiptEntry]
