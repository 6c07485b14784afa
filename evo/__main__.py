"""`python -m evo` is `evo`."""

from __future__ import annotations

from evo.cli.app import main

if __name__ == "__main__":
    main()
