"""What readiness says of the ledger."""

from receiver.web import readiness
from storage.ledger import publication

ORIGIN = "runledger.test/ledger"
OLDER = "has a checkpoint of 9 entries, and this store has signed 4: it is an older copy"


def test_what_stops_the_signing_is_said_once() -> None:
    witness = publication.Report("witness one+1a2b3c4d", ORIGIN, problem=OLDER, halts=True)
    signing = publication.Report(
        publication.SIGNING, ORIGIN, problem=f"the witness one+1a2b3c4d {OLDER}", halts=True
    )
    folder = publication.Report(publication.FOLDER, ORIGIN, problem="it is full")
    said = readiness.ledger_problems([folder, signing, witness])
    assert [sum(words in each for each in said) for words in (OLDER, "is full")] == [1, 1]
