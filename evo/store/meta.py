"""Facts about the workspace as a whole, one JSON value for each key."""

from __future__ import annotations

import json
import sqlite3
from typing import Any


def get(db: sqlite3.Connection, key: str, *, default: Any = None) -> Any:
    row = db.execute("SELECT value FROM meta WHERE key = ?", (key,)).fetchone()
    return default if row is None else json.loads(row["value"])


def set(db: sqlite3.Connection, key: str, value: Any) -> None:
    """Replace the value of `key`. Alone it is a transaction of its own."""
    db.execute(
        "INSERT INTO meta (key, value) VALUES (?, ?) ON CONFLICT (key) DO UPDATE SET value = excluded.value",
        (key, json.dumps(value, ensure_ascii=False, allow_nan=False)),
    )
