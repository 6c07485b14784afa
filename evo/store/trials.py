"""Why an experiment's newest smoke run was refused: no attempt, and as telling as one that failed.

Invariant: one value for an experiment, replaced by its next trial and gone with the first that passes.
"""

from __future__ import annotations

import json
import sqlite3

from evo.store import meta
from evo.store.whole import Ended

PREFIX = "trial "
"""Of a key of `meta`, before the experiment that was tried."""
_BEYOND = "trial!"


def remember(db: sqlite3.Connection, experiment: str, refused: Ended | None) -> None:
    """None: it has passed."""
    if refused is not None:
        meta.set(db, f"{PREFIX}{experiment}", list(refused))
    else:
        db.execute("DELETE FROM meta WHERE key = ?", (f"{PREFIX}{experiment}",))


def refused(db: sqlite3.Connection) -> dict[str, Ended]:
    """By experiment."""
    rows = db.execute("SELECT key, value FROM meta WHERE key >= ? AND key < ?", (PREFIX, _BEYOND))
    return {key.removeprefix(PREFIX): Ended(*json.loads(value)) for key, value in rows}
