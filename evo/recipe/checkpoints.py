"""Checkpoints and mid-evaluations of one run, as files in its folder.

    checkpoints/checkpoint-200/   with the file `complete`, written last: what a second start resumes from
    mid/000200.want.json          the question: {"step", "model"}
    mid/000200.json               the answer; mid/down.json instead of it: there will be none any more, and why

Invariant: only a checkpoint that is complete is ever resumed, and after a resume nothing of a later step is left.
Needs the standard library only.
"""

from __future__ import annotations

import json
import sys
import time
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from evo.files import write_json, write_text

COMPLETE = "complete"
CHECKPOINTS = "checkpoints"
_LONGEST_PAUSE_S = 0.1


@dataclass(frozen=True)
class Mid:
    """What `mid_eval` of recipe.yaml asks for. `every`: steps; None: the sooner of a quarter epoch and 200."""

    every: int | None = None
    patience: int = 2
    items: int = 0
    worst: float | None = None
    """The lowest mean there is: a run that has shown nothing else yet is given time."""


@dataclass(frozen=True)
class MidScore:
    """The mid slice, scored as dev is. `delta`: paired difference to the parent, None where that has no mid score."""

    step: int
    mean: float
    se: float
    n: int
    seconds: float
    delta: float | None = None
    delta_se: float | None = None
    is_best: bool = False
    """Better than every earlier step of this run, in the metric's own direction."""


def step_of(checkpoint: Path) -> int:
    """The step in the name of `checkpoint-200`; -1 for any other name."""
    head, _, number = checkpoint.name.rpartition("-")
    return int(number) if head == "checkpoint" and number.isdecimal() else -1


def newest_complete(folder: Path) -> Path | None:
    """The checkpoint of highest step in `folder` that was written to its end."""
    found = [path for path in folder.glob("checkpoint-*") if step_of(path) >= 0 and (path / COMPLETE).is_file()]
    return max(found, key=step_of, default=None)


def ask(folder: Path, model_dir: Path, *, step: int, writes: bool) -> MidScore | None:
    """Have `model_dir` scored and wait for it. None where mid-evaluation is down.

    Every process of a launch asks, so that all wait and all learn the same; the one that `writes` puts the question.
    """
    answer = folder / "mid" / f"{step:06d}.json"
    if writes:
        answer.unlink(missing_ok=True)
        write_json(folder / "mid" / f"{step:06d}.want.json", {"step": step, "model": str(model_dir)})
    pause = 0.005
    while True:
        if (found := _read(answer)) is not None:
            return _score(found)
        if (down := _read(folder / "mid" / "down.json")) is not None:
            if writes:
                sys.stderr.write(f"evo: no mid-evaluation at step {step}: {down.get('why', 'it is down')}\n")
            return None
        time.sleep(pause)
        pause = min(1.5 * pause, _LONGEST_PAUSE_S)


def scores(folder: Path) -> list[MidScore]:
    """The mid-evaluations of this run so far, also those before a resume, by step."""
    answers = [_read(path) for path in sorted((folder / "mid").glob("[0-9]*.json")) if path.stem.isdecimal()]
    return sorted((_score(found) for found in answers if found is not None), key=lambda score: score.step)


def forget_after(folder: Path, step: int) -> None:
    """Drop the metrics and mid-evaluations of later steps: the run will come to them again."""
    metrics = folder / "metrics.jsonl"
    if metrics.is_file():
        lines = metrics.read_text(encoding="utf-8", errors="replace").splitlines()
        kept = [line + "\n" for line in lines if _step(line) <= step]
        write_text(metrics, "".join(kept))
    for path in (folder / "mid").glob("*.json*"):
        number = path.name.partition(".")[0]
        is_question = path.name.endswith(".want.json") and not path.with_name(f"{number}.json").exists()
        if path.name == "down.json" or (number.isdecimal() and (int(number) > step or is_question)):
            path.unlink(missing_ok=True)


def _step(line: str) -> float:
    """Of one line of metrics.jsonl; beyond every step where the line was cut off."""
    try:
        return float(json.loads(line)["step"])
    except (ValueError, TypeError, KeyError):
        return float("inf")


def _read(path: Path) -> dict[str, Any] | None:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return found if isinstance(found, dict) else None


def _score(found: dict[str, Any]) -> MidScore:
    known = {item.name for item in fields(MidScore)}
    return MidScore(**{name: value for name, value in found.items() if name in known})
