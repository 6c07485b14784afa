"""Requests by an idempotency key: what was asked for once under a key is done once.

Invariant: the key is remembered in the transaction of the change that it names, so a crash leaves both or neither; the
same key with other words is refused.
"""

from __future__ import annotations

import sqlite3

from evo import clock
from evo.errors import Refused


def was_made(db: sqlite3.Connection, key: str | None, words: str) -> bool:
    """In the caller's transaction: True where this was asked for before under this key; else it is remembered now.

    Refused: the key stands for something else. Without a key nothing is remembered.
    """
    if key is None:
        return False
    known = db.execute("SELECT words, created_at FROM request WHERE key = ?", (key,)).fetchone()
    if known is None:
        db.execute("INSERT INTO request (key, words, created_at) VALUES (?, ?, ?)", (key, words, clock.now()))
        return False
    if known["words"] != words:
        raise Refused(
            f"the key {key!r} stands for another request, made at {known['created_at']}: {known['words'][:80]}",
            hint="take another --key",
        )
    return True
