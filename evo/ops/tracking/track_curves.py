"""What an attempt folder says of a run's course: metrics and mid-evaluations as points and tables of a tracker.

Invariant: whatever a run wrote there costs neither an error nor memory, and no link is followed; of a mid-evaluation
only items of the mid slice are shown.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path

from evo.domain.job import AttemptFolder
from evo.runner import records
from evo.track.base import Cell, Point, Table

MOST_ITEMS = 200
"""Trajectories shown of one mid-evaluation."""
LARGEST_TABLE = 32 << 20


def points_of(rows: list[dict[str, object]]) -> list[Point]:
    """Rows of metrics.jsonl as points of `train/…`; text, booleans and what is not finite stay behind."""
    return [point for row in rows if (point := _point(row)) is not None]


def _point(row: Mapping[str, object]) -> Point | None:
    values = {f"train/{name}": number for name, value in row.items() if (number := _number(value)) is not None}
    step = row.get("step")
    if not values.keys() - {"train/step"}:
        return None
    is_step = isinstance(step, int) and not isinstance(step, bool)
    return Point(_moment(row.get("at")), values, step if is_step else None)  # type: ignore[arg-type]


def _moment(value: object) -> str:
    """The time that a run has written, or now."""
    try:
        return datetime.fromisoformat(str(value)).astimezone(UTC).isoformat()
    except (ValueError, OverflowError):
        return datetime.now(UTC).isoformat()


def _number(value: object) -> float | None:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
        return None
    return value


def mid_files(folder: AttemptFolder) -> Iterator[Path]:
    """What mid-evaluations have left, by step: `mid/000200.json`."""
    return (path for path in sorted(folder.mid_dir.glob("*.json")) if path.stem.isdigit())


def mid_point(path: Path) -> Point | None:
    """A mid-evaluation as a point of `mid/…` at its training step; None where the file says nothing of use."""
    told = records.read_record(str(path)) or {}
    step, mean = told.get("step"), _number(told.get("mean"))
    if mean is None or not isinstance(step, int):
        return None
    names = ("se", "n", "delta", "delta_se", "seconds")
    numbers = {f"mid/{name}": number for name in names if (number := _number(told.get(name))) is not None}
    at = datetime.fromtimestamp(path.lstat().st_mtime, UTC).isoformat()
    return Point(at, {"train/step": step, "mid/score": mean, **numbers}, step)


def mid_table(path: Path, prompts: Mapping[str, str]) -> Table | None:
    """Up to MOST_ITEMS graded items of a mid-evaluation, the same ones at each step; items of no other split."""
    content = records.read_bytes(str(path.with_suffix(".jsonl")), limit=LARGEST_TABLE) or b""
    rows: list[list[Cell]] = []
    for line in content.split(b"\n"):
        graded = _graded(line)
        if graded is not None and graded[0] in prompts:
            item, sample, score, output = graded
            rows.append([item, prompts[item], output, score, sample])
    rows.sort(key=lambda row: hashlib.sha256(f"{row[0]} {row[4]}".encode()).digest())
    if not rows:
        return None
    return Table("mid/items", ["item", "prompt", "completion", "reward", "sample"], rows[:MOST_ITEMS], int(path.stem))


def _graded(line: bytes) -> tuple[str, int, float, str | None] | None:
    try:
        row = json.loads(line)
        item, score, output = row["item"], _number(row["score"]), row.get("output")
        sample = row.get("sample", 0)
    except (ValueError, RecursionError, KeyError, TypeError, AttributeError):
        return None
    if score is None or not isinstance(item, str) or not isinstance(sample, int):
        return None
    return item, sample, score, output if isinstance(output, str) else None
