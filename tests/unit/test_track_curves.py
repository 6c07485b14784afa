"""From an attempt folder to points and tables."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from evo.domain.job import AttemptFolder
from evo.ops.tracking.track_curves import MOST_ITEMS, mid_files, mid_point, mid_table, points_of


@pytest.fixture
def folder(tmp_path: Path) -> AttemptFolder:
    (tmp_path / "mid").mkdir()
    return AttemptFolder(tmp_path)


def graded(item: str, score: Any = 1.0, **more: Any) -> dict[str, Any]:
    return {"item": item, "sample": 0, "score": score, "output": f"answer to {item}", **more}


def leave(folder: AttemptFolder, step: int, rows: list[Any], **answer: Any) -> Path:
    path = folder.mid_dir / f"{step:06d}.json"
    path.with_suffix(".jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    path.write_text(json.dumps({"step": step, "mean": 0.5, "se": 0.1, "n": 8, "seconds": 1.5, **answer}))
    return path


def test_numbers_become_points_and_nothing_else_does() -> None:
    """A24: what a recipe logs stands under `train/`, at its step and time."""
    row = {
        "at": "2026-11-01T10:00:00.000Z", "step": 20, "loss": 0.5, "learning_rate": 1e-4, "grad_norm": 1.0,
        "entropy": 0.2, "kl": 0.01, "mean_token_accuracy": 0.9, "tokens": 4000, "reward": 0.4, "reward_std": 0.1,
        "completion_length": 12, "rewards/exact": 0.3, "note": "text", "flag": True, "gone": None,
    }  # fmt: skip
    (point,) = points_of([row, {"step": 21}, {"step": 22, "loss": float("nan")}, {"note": "x"}])
    assert point.step == 20
    assert point.at.startswith("2026-11-01T10:00:00")
    numbers = {name: value for name, value in row.items() if isinstance(value, (int, float)) and name != "flag"}
    assert point.values == {f"train/{name}": value for name, value in numbers.items()}


def test_a_row_without_time_or_step_is_a_point_all_the_same() -> None:
    first, second = points_of([{"loss": 1.0}, {"loss": 2.0, "step": "many", "at": "yesterday"}])
    assert (first.step, second.step) == (None, None)
    assert first.at <= second.at


def test_a_mid_evaluation_is_a_point_at_its_training_step(folder: AttemptFolder) -> None:
    """A10: each mid-evaluation, with its spread and its distance to the parent."""
    later = leave(folder, 400, [], delta=0.1, delta_se=0.05)
    path = leave(folder, 200, [], delta=None)
    (folder.mid_dir / "000600.want.json").write_text("{}")
    (folder.mid_dir / "down.json").write_text('{"why": "gone"}')
    assert list(mid_files(folder)) == [path, later]
    point = mid_point(path)
    assert point is not None
    assert point.values == {"train/step": 200, "mid/score": 0.5, "mid/se": 0.1, "mid/n": 8, "mid/seconds": 1.5}
    both = mid_point(later)
    assert both is not None
    assert (both.values["mid/delta"], both.values["mid/delta_se"]) == (0.1, 0.05)


def test_only_items_of_the_mid_slice_are_shown(folder: AttemptFolder) -> None:
    """Never anything of held-out or vault, whatever a run has put into its folder."""
    rows = [graded("m1"), graded("sealed-7"), graded("m2", 0.0), "no row", {"item": 3}, graded("m1", float("inf"))]
    table = mid_table(leave(folder, 200, rows), {"m1": "2+2?", "m2": "2+3?"})
    assert table is not None
    assert table.step == 200
    assert sorted(row[:4] for row in table.rows) == [
        ["m1", "2+2?", "answer to m1", 1.0],
        ["m2", "2+3?", "answer to m2", 0.0],
    ]
    assert mid_table(leave(folder, 400, [graded("sealed-7")]), {"m1": "2+2?"}) is None


def test_at_most_two_hundred_items_and_the_same_at_each_step(folder: AttemptFolder) -> None:
    rows = [graded(f"m{i}", sample=k) for i in range(64) for k in range(5)]
    prompts = {f"m{i}": f"question {i}" for i in range(64)}
    first, second = (mid_table(leave(folder, step, rows), prompts) for step in (200, 400))
    assert first is not None
    assert second is not None
    assert len(first.rows) == MOST_ITEMS == 200
    assert first.rows == second.rows
    assert len({row[0] for row in first.rows}) > 40


def test_a_link_is_not_followed(folder: AttemptFolder, tmp_path: Path) -> None:
    sealed = tmp_path / "sealed.jsonl"
    sealed.write_text(json.dumps(graded("m1", output="from elsewhere")) + "\n")
    path = leave(folder, 200, [])
    path.with_suffix(".jsonl").unlink()
    path.with_suffix(".jsonl").symlink_to(sealed)
    assert mid_table(path, {"m1": "2+2?"}) is None
    path.unlink()
    path.symlink_to(sealed)
    assert mid_point(path) is None
