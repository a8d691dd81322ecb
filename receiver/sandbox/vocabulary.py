"""Words of legal research. All parties, citations and documents are made up."""

from __future__ import annotations

import random

TOPICS = (
    "force majeure", "indemnification", "limitation of liability", "employment discrimination",
    "breach of fiduciary duty", "spoliation of evidence", "implied warranty of merchantability",
    "tortious interference", "privilege log adequacy", "HIPAA business associate duties",
    "anticipatory repudiation", "non-compete enforceability", "data breach notification",
)  # fmt: skip
COURTS = ("9th Cir.", "2d Cir.", "5th Cir.", "Del. Ch.", "S.D.N.Y.", "N.D. Cal.", "Tex. App.", "Ill. App. Ct.")
REPORTERS = ("F.3d", "F. Supp. 3d", "A.3d", "N.E.3d", "S.W.3d", "Cal. App. 5th")
PARTIES = (
    "Marlowe", "Tidewater Freight Co.", "Hartwell Biologics", "Okonkwo", "Castellan Insurance Group",
    "Brightwater Hospital District", "Lindqvist", "Peregrine Logistics LLC", "Delacroix", "Summit Ridge Holdings",
    "Ferreira", "Northgate Energy Partners", "Abernathy", "Coastal Title & Trust", "Varga Systems, Inc.",
)  # fmt: skip
DOCUMENTS = (
    "Master Services Agreement", "Deposition of D. Lindqvist, vol. 2", "Lease, Suite 410", "Amended Complaint",
    "Expert report of Dr. A. Okonkwo", "Email thread re: shipment delay", "Board minutes, March", "Answer",
    "Employee handbook, 2024 edition", "Notice of default", "Insurance policy CX-2281", "Privilege log",
)  # fmt: skip
_OPENERS = (
    "The controlling question is whether", "The record supports the view that", "Counsel may well argue that",
    "On these facts it is doubtful that", "The better reading is that", "Two of the documents suggest that",
)  # fmt: skip
_CLAIMS = (
    "the notice was given within the contractual period", "the clause reaches third-party claims",
    "the carve-out for gross negligence applies", "performance was impracticable and not merely more costly",
    "the stated reason for the termination was a pretext", "the duty to preserve had already arisen",
    "the cap survives termination of the agreement", "the covenant is broader than the interest it protects",
    "the waiver was knowing and voluntary", "the parties meant the schedule to prevail over the body",
)  # fmt: skip
_REASONS = (
    "because the definition of covered events is closed", "since the amendment post-dates the correspondence",
    "as the witness conceded on cross-examination", "given the integration clause in section 14.2",
    "although the exhibit is unsigned", "because the burden lies with the party that invokes the exception",
    "since no contemporaneous document says otherwise", "even where the delay is attributable to a supplier",
)  # fmt: skip
FAILURES = (
    "The runtime ran out of memory while reading a scanned exhibit; no report was written.",
    "The vault search returned no documents for this scope, so the task could not be carried out.",
    "The case-law service did not answer after five attempts; the research is incomplete.",
    "The run exceeded the permitted number of model calls before a conclusion was reached.",
)
TOOLS = {
    "search_vault": ("vault", "/vault/v1/search"),
    "read_document": ("vault", "/vault/v1/objects/text"),
    "case_law_search": ("legal", "/legal/v1/find"),
    "verify_citation": ("legal", "/legal/v1/verify"),
    "web_search": ("search", "/search/v1/search"),
    "upload_object": ("vault", "/vault/v1/upload"),
}


def case(rng: random.Random) -> str:
    """A made-up case with a citation that looks right."""
    one, other = rng.sample(PARTIES, 2)
    volume, page, year = rng.randint(12, 990), rng.randint(1, 1400), rng.randint(1994, 2024)
    return f"{one} v. {other}, {volume} {rng.choice(REPORTERS)} {page} ({rng.choice(COURTS)} {year})"


def sentence(rng: random.Random) -> str:
    """A sentence of a memorandum, with a case cited now and then."""
    found = f"{rng.choice(_OPENERS)} {rng.choice(_CLAIMS)}, {rng.choice(_REASONS)}"
    return f"{found}; see {case(rng)}." if rng.random() < 0.35 else f"{found}."


def paragraph(rng: random.Random, low: int, high: int) -> str:
    """`low` to `high` sentences."""
    return " ".join(sentence(rng) for _ in range(rng.randint(low, high)))


def identifier(rng: random.Random, prefix: str, size: int = 9) -> str:
    """An id of `size` random bytes, in hex after `prefix`."""
    return prefix + rng.randbytes(size).hex()
