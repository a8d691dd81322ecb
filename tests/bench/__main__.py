"""`make bench`: how fast the product takes in, stores and shows, beside peers in the same run.

All servers are processes of their own on loopback, under the same load in turn. ARGS may say `--only PART,PART`
(intake, submit, settle, queryable), `--database postgresql`, `--json`, `--report FILE`, and counts.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from dataclasses import fields

from tests.bench import intake, product, queryable, report, settling, submissions
from tests.bench.options import Options

PARTS: dict[str, Callable[[product.NewSite, Options], list[report.Part]]] = {
    "intake": intake.run,
    "submit": submissions.run,
    "settle": settling.run,
    "queryable": queryable.run,
}


def main() -> int:
    """Measure and report; return 1 where a request that was answered 2xx is not in the database."""
    args = _parser().parse_args()
    options = Options(**{each.name: getattr(args, each.name) for each in fields(Options)})
    made = report.Report("make bench", options.database)
    with product.sites(options.database) as new_site:
        for name in args.only:
            for part in PARTS[name](new_site, options):
                made.parts.append(part)
                print(part.text(), file=sys.stderr if args.json else sys.stdout, flush=True)
    made.write(args)
    return 0 if all(part.is_whole for part in made.parts) else 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="make bench")
    parser.add_argument("--only", type=_parts, default=list(PARTS), metavar="PART,PART")
    parser.add_argument("--database", choices=("sqlite", "postgresql"), default="sqlite")
    for each in fields(Options):
        if each.name != "database":
            parser.add_argument(f"--{each.name}", type=int, default=each.default)
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    report.add_argument(parser)
    return parser


def _parts(given: str) -> list[str]:
    names = given.split(",")
    if unknown := set(names) - set(PARTS):
        raise argparse.ArgumentTypeError(f"{', '.join(sorted(unknown))}: the parts are {', '.join(PARTS)}")
    return names


if __name__ == "__main__":
    sys.exit(main())
