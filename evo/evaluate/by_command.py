"""The evaluation of a workspace whose own program grades, with all that it takes imported: a supervisor does that while
there is nothing else to do, and then calls `main` in a fork of itself.

Invariant: nothing beyond the standard library is imported.
"""

from __future__ import annotations

from evo.evaluate import process
from evo.evaluate.backends import command
from evo.evaluate.readers import results

main = process.main
BROUGHT = (command, results)
"""What `main` loads by name."""
