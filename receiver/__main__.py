"""Entry point of `python -m receiver`."""

from __future__ import annotations

from receiver.cli.main import main

if __name__ == "__main__":
    main()
