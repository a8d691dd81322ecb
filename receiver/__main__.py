"""`runledger`, and `python -m receiver`."""

from __future__ import annotations


def main() -> None:
    """The command line."""
    from receiver import cli

    cli.main()


if __name__ == "__main__":
    main()
